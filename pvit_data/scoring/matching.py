"""Which prediction belongs to which video of the list; what is missing, unknown or of another list is an error."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int64

from pvit_data.errors import FormatError
from pvit_data.scoring.files.scores import ClassScores, require_once, stem
from pvit_data.words import short

MOST_FOLDERS = 8  # of a path, by which videos are told apart


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
        if (
            missing.size
            and unknown
            and set(map(_bare, unknown)) == {_bare(wanted[n]) for n in missing.tolist()}
        ):
            way = "they are the same but for zeros in front, which tables of numbers lose: write the ids as texts"
        other = f"; these are the ids of {name}, which is another list" if name else ""
        raise FormatError(f"{where}: {' and '.join(said)}{other}: {way}")
    rows = np.flatnonzero(found >= 0)
    if not rows.size:
        raise FormatError(f"{where}: none of the {len(wanted):,} videos has a prediction")
    return found[rows], rows


def _bare(name: str) -> str:
    return name.lstrip("0") if name.isdecimal() else name


def best_ids(
    scores: ClassScores,
    wanted: Sequence[str],
    clean: Callable[[str], str],
    where: str,
    keys: Sequence[str] = (),
) -> list[str]:
    """The ids of predictions in the list's own spelling: their ids, paths or keys, or what paths are without ending and
    with as few folders as tell the list's videos apart; whichever the list knows most of.

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
    paths = scores.paths or scores.ids
    spelled = [scores.ids, paths, scores.keys] if scores.keys else [scores.ids, paths]
    candidates = [
        cleaned,
        *([own.get(name, name) for name in names] for names in spelled),
        _by_ends(paths, wanted),
    ]
    best = max(candidates, key=lambda names: len(listed & set(names)))
    require_once(best, where)
    return best


def _by_ends(paths: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Paths by the wanted names that end as they do, where one path and one name alone do so; else as they are."""
    depth = max(name.count("/") + name.count("\\") for name in wanted)
    for folders in range(min(MOST_FOLDERS, depth) + 1):
        names = {_plain(stem(name, folders)): name for name in wanted}
        if len(names) == len(wanted):
            ends = [_plain(stem(path, folders)) for path in paths]
            times = Counter(ends)
            told = zip(paths, ends, strict=True)
            return [names.get(end, path) if times[end] == 1 else path for path, end in told]
    return list(paths)


def _plain(name: str) -> str:
    """A name with composed letters; macOS writes those of files decomposed."""
    return unicodedata.normalize("NFC", name)
