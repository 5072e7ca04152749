"""Labels that a file of predictions carries, against the truth that it is scored with: both say what videos show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.scoring.doctor.finding import Finding, information
from pvit_data.scoring.doctor.permuted import permuted
from pvit_data.words import short

_NAME = "labels beside predictions"
FEW = 0.05  # of the labels, above which it is hardly another edition of the same labels
FIRST = 3  # ids that are named
RENAMED = (
    "they are the truth's classes with other numbers: give the network's list of classes (--classes FILE), or the "
    "truth that it was evaluated with"
)


def own_labels(
    given: Int64[np.ndarray, "n"],
    labels: Int64[np.ndarray, "n"],
    ids: Sequence[str],
    number: int,
    orders: Mapping[str, Int64[np.ndarray, "k"]],
    renamed: str = RENAMED,
) -> Finding | None:
    """The finding, or None. Labels that are all 0, or all the same, fill a column that nobody knew.

    Args:
        given: the class of each video in the predictions; -1: not said.
        labels: in the truth; -1: not said.
        ids: of the videos.
        number: of classes.
        orders: other orders of the same classes, as of `permuted`.
        renamed: what to do where they are the truth's under other numbers.
    """
    told = (given >= 0) & (labels >= 0)
    wrong = told & (given != labels)
    if not wrong.any() or not given[told].any():
        return None
    if len(set(given[told].tolist())) == 1 < len(set(labels[told].tolist())):
        return information(
            _NAME, f"all {int(told.sum()):,} are {given[told][0]}, which looks like a placeholder"
        )
    first = [f"{given[row]} for {labels[row]}" for row in np.flatnonzero(wrong)[:FIRST]]
    inside = told & (given < number)
    known = [name for name, is_inside in zip(ids, inside, strict=True) if is_inside]
    other = permuted(labels[inside], given[inside], known, number, orders)
    return _finding(wrong, int(told.sum()), ids, first, "" if other is None else renamed)


def own_flags(
    given: Bool[np.ndarray, "n k"], flags: Bool[np.ndarray, "n k"], ids: Sequence[str]
) -> Finding | None:
    """The same of videos with any number of classes."""
    wrong = (given != flags).any(axis=1)
    if not wrong.any() or not given.any():
        return None
    first = [
        f"{_some(given[row])} for {_some(flags[row])}" for row in np.flatnonzero(wrong)[:FIRST]
    ]
    return _finding(wrong, len(wrong), ids, first)


def _some(flags: Bool[np.ndarray, "k"]) -> str:
    return short(np.flatnonzero(flags).tolist(), 40)


def _finding(
    wrong: Bool[np.ndarray, "n"],
    told: int,
    ids: Sequence[str],
    first: list[str],
    renamed: str = "",
) -> Finding:
    number = int(wrong.sum())
    rows = np.flatnonzero(wrong)[:FIRST].tolist()
    named = ", ".join(
        f"{short(ids[row], 40)} ({said})" for row, said in zip(rows, first, strict=True)
    )
    if renamed:
        way = renamed
    elif number > FEW * told:
        way = (
            "most likely these ids are not the videos of their rows (positions in another list?), or the labels are of "
            "another list of classes: write the ids that were evaluated, and name that list as --truth"
        )
    else:
        way = "another edition of the labels? find out which are right: the score counts those of --truth"
    return Finding(
        _NAME,
        f"{number:,} of the {told:,} labels in the predictions are others than the truth's, first {named}",
        "certain",
        way,
    )
