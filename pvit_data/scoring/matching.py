"""Which prediction belongs to which video of the list; what is missing, unknown or of another list is an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

from pvit_data.errors import FormatError
from pvit_data.scoring.files.scores import ClassScores, require_once, stem
from pvit_data.words import short


def align(
    given: Sequence[str],
    wanted: Sequence[str],
    where: str,
    *,
    partial: bool,
    another: Callable[[], str] = str,
    known: Sequence[str] = (),
) -> tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "n"]]:
    """Rows of predictions and of the list that belong together, in the list's order.

    Args:
        given, wanted: ids of predictions and of the list; each once.
        where: the predictions' file.
        partial: videos of the list may be missing.
        another: names another list that has exactly the given ids, if there is one.
        known: further ids that may be predicted, and are not scored.

    Raises:
        FormatError: if ids are missing or unknown.
    """
    place = {name: row for row, name in enumerate(given)}
    found = np.array([place.get(name, -1) for name in wanted], np.int64)
    unknown = sorted(set(given) - set(wanted) - set(known))
    missing = np.flatnonzero(found < 0)
    if unknown or (missing.size and not partial):
        name = another()
        said = (
            [f"{len(missing):,} of the {len(wanted):,} videos have no prediction"]
            if missing.size
            else []
        )
        if missing.size:
            said[0] += f", first {short(wanted[int(missing[0])], 60)}"
        if unknown:
            said.append(
                f"{len(unknown):,} predictions are of videos that the list does not have, first {short(unknown[0], 60)}"
            )
        way = (
            "predict the rest, or say --partial"
            if missing.size and not unknown
            else "give the list that was predicted"
        )
        other = f"; these are the ids of {name}, which is another list" if name else ""
        raise FormatError(f"{where}: {' and '.join(said)}{other}: {way}")
    rows = np.flatnonzero(found >= 0)
    if not rows.size:
        raise FormatError(f"{where}: none of the {len(wanted):,} videos has a prediction")
    return found[rows], rows


def best_ids(
    scores: ClassScores,
    wanted: Sequence[str],
    clean: Callable[[str], str],
    where: str,
    keys: Sequence[str] = (),
) -> list[str]:
    """The ids of predictions in the list's own spelling: their ids, or else their keys, or what both are without folder
    and ending of a file, whichever it knows most of.

    Args:
        scores: the predictions.
        wanted: ids of the list.
        clean: makes the data set's id of what people write.
        where: the predictions' file.
        keys: of the list's samples, one per id.

    Raises:
        FormatError: if two become one.
    """
    listed = set(wanted)
    cleaned = [clean(name) for name in scores.ids]
    own = dict(zip(keys, wanted, strict=True)) if keys else {}
    spelled = [scores.ids, scores.keys] if scores.keys else [scores.ids]
    bare = {stem(name): name for name in wanted}
    bare = bare if len(bare) == len(wanted) else {}
    candidates = [
        cleaned,
        *([own.get(name, name) for name in names] for names in spelled),
        [bare.get(stem(name), name) for name in scores.ids],
    ]
    best = max(candidates, key=lambda names: len(listed & set(names)))
    require_once(best, where)
    return best
