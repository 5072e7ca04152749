"""Permuted classes of videos that have any number of them: the columns of the scores are in another order.

Which column ranks the videos of which class best (the area under its ROC curve) is found on one half of the videos, and
the columns so renamed are scored on the other half, both ways.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.permuted import halves
from pvit_data.scoring.metrics.multilabel import mean_average_precision

GAIN = 0.10  # of mean average precision
POSITIVE = 5  # least videos of a class in each half
CLASSES = 3  # least number of such classes: of fewer, chance gains as much


def permuted_columns(
    scores: Float[np.ndarray, "n k"], flags: Bool[np.ndarray, "n k"], ids: Sequence[str]
) -> Finding | None:
    """The finding, or None.

    Args:
        scores: of the classes of each video (of AVA: of each box).
        flags: its classes.
        ids: of the videos; they say which half a row is in.
    """
    half = halves(ids)
    each = [_scored(scores, flags, here, ~here) for here in (half, ~half)]
    own, other = (np.concatenate(parts) for parts in zip(*each, strict=True))
    if len(own) < 2 * CLASSES:
        return None
    gain = other - own
    error = float(gain.std(ddof=1)) / math.sqrt(len(gain))
    before, after = float(own.mean()), float(other.mean())
    if not (after - before >= max(GAIN, 4 * error) and after >= 2 * before):
        return None
    return Finding(
        "permuted classes",
        f"with the columns renamed, mAP is {after:.3f} instead of {before:.3f}; the renaming was found on one half of "
        f"the {len(set(ids)):,} videos and scored on the other",
        f"{(after - before) / error:.0f} standard errors" if error else "certain",
        _remedy(_renaming(scores, flags)),
    )


def _scored(
    scores: Float[np.ndarray, "n k"],
    flags: Bool[np.ndarray, "n k"],
    here: Bool[np.ndarray, "n"],
    there: Bool[np.ndarray, "n"],
) -> tuple[Float[np.ndarray, "c"], Float[np.ndarray, "c"]]:
    """Average precision of the classes `there`, as they are, and renamed as is best `here`."""
    column = _renaming(scores[here], flags[here])
    own = mean_average_precision(scores[there], flags[there])[1]
    other = mean_average_precision(scores[there][:, column], flags[there])[1]
    known = (flags[here].sum(axis=0) >= POSITIVE) & (flags[there].sum(axis=0) >= POSITIVE)
    return own[known], other[known]


def _renaming(
    scores: Float[np.ndarray, "n k"], flags: Bool[np.ndarray, "n k"]
) -> Int64[np.ndarray, "k"]:
    """The column of each class that ranks its videos best."""
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import rankdata

    ranks = rankdata(scores, axis=0) / len(scores)
    videos = flags.sum(axis=0)
    mean = flags.T.astype(np.float64) @ ranks / np.maximum(1, videos)[:, None]
    column: Int64[np.ndarray, "k"] = linear_sum_assignment(mean, maximize=True)[1]
    return column


def _remedy(column: Int64[np.ndarray, "k"]) -> str:
    number = len(column)
    shifts = np.bincount((column - np.arange(number)) % number, minlength=number)
    shift = int(shifts.argmax())
    if shift and shifts[shift] >= 0.9 * number:
        shift = shift if shift <= number // 2 else shift - number
        return f"the columns are those of the truth's classes moved by {shift:+d}: do the ids count from 1?"
    return (
        "the order is none that is known: give the file with the classes of the network (--classes FILE), or reorder "
        "the columns"
    )
