"""Scoring AVA's detections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.doctor.boxes import (
    Boxes,
    doubled,
    exchanged,
    misread,
    repeated,
    shifted,
    truth_twice,
    unmatched,
)
from pvit_data.scoring.doctor.detector import detector
from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.label_ids import other_ids, renumbered, reordered
from pvit_data.scoring.doctor.lists import another_list, leak
from pvit_data.scoring.files.ava import (
    EXCHANGED,
    FIRST,
    LAST,
    Videos,
    excluded_beside,
    model_told_by,
    read_detections,
    read_excluded,
    read_truth,
    told_by,
)
from pvit_data.scoring.files.class_names import NAMED, OFFICIAL, differs, read_label_map
from pvit_data.scoring.files.kinds import facts_of
from pvit_data.scoring.files.shards import Seconds, is_shards, read_seconds
from pvit_data.scoring.metrics import overlap
from pvit_data.scoring.metrics.ava import (
    CAP,
    SECONDS,
    BoxTable,
    Precision,
    Variant,
    mean_precision,
    oracle,
)
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import ListFacts, Result, Views, list_sha256, truth_sha256
from pvit_data.words import short

_NOBODY = "of a movie in which nobody was found a line MOVIE,SECOND says so, and its persons count as missed"
SPREAD = 1e-4  # of mAP over orders of the rows, above which it is said
UNLISTED = 0.10  # of the boxes, on seconds that the truth does not list, above which it is said


def score_boxes(path: Path, how: ScoreOptions) -> Result:
    """Scores a file of detections.

    Raises:
        FormatError: if files are damaged, or movies are not the list's.
        UsageError: if something has to be said by an option.
    """
    where = how.truth
    if where is None:
        raise UsageError("--metric ava needs --truth (ava_val_v2.2.csv, or shards)")
    own = {key: value for key, value in told_by(path).items() if getattr(how, key) is None}
    how = replace(how, **own)
    videos, listed = Videos(), Path(where)
    in_shards = read_seconds(where, how.source, how.part, videos) if is_shards(where) else None
    truth = read_truth(listed, videos) if in_shards is None else in_shards.truth
    movies = videos.names()
    classes, notes, map_facts = _label_map(how, listed)
    excluded, excluded_file = _excluded(how, listed, videos, in_shards)
    known = len(videos.names())
    found = read_detections(path, videos)
    scored = _movies(path, how, videos, known, movies, found, truth)
    if lacking := len(movies) - len(scored):
        notes.append(
            f"{lacking} movies without detections are left out with their persons; {_NOBODY}"
        )
        numbers = np.array([videos.numbers[name] for name in scored], np.int64)
        truth = truth.keep(np.isin(truth.image // SECONDS, numbers))
    cap = CAP if how.protocol.name == "activitynet" and not how.no_cap else 0
    variant = Variant(how.protocol.name, classes, cap)
    name = how.protocol.list_name(listed.name, len(movies))
    facts = ListFacts.make(name, scored, len(movies))
    told = Seconds(movies, truth, excluded)
    result = _scored(told, found, videos, (facts, map_facts), variant, how, excluded_file)
    if not result.details["truth_rows"]:
        raise FormatError(
            f"{where}: none of its {len(truth):,} boxes counts: they are of other actions than the {len(classes)} that "
            "do, or of excluded seconds"
        )
    result.files = {"predictions": facts_of(path), "truth": facts_of(listed), **result.files}
    if in_shards is None:
        again = repeated(truth)
        result.notes += _outside(truth, again)
        if twice := truth_twice(truth, len(again)):
            result.findings.append(twice)
    if len(found.listed):
        result.notes.append(f"{len(found.listed):,} seconds are listed in which nobody was found")
    result.model = model_told_by(path)
    if excluded_file not in (None, listed):
        result.notes += _of_no_movie(excluded, [videos.numbers[name] for name in movies])
    result.notes = [*notes, *result.notes]
    if result.files["predictions"] == result.files["truth"]:
        raise FormatError(f"{path}: is the ground truth itself, not predictions: {EXCHANGED}")
    if how.diagnose and (leaked := leak(scored, listed, how.train_list, "ava", str)):
        result.findings.append(leaked)
    return result


def score_seconds(
    told: Seconds,
    found: BoxTable,
    videos: Videos,
    of: tuple[str, Sequence[str]],
    classes: tuple[tuple[int, ...], dict[str, Any]],
    how: ScoreOptions,
) -> Result:
    """The same of detections and truth that are at hand, of all of its seconds, in the papers' variant.

    Args:
        told: the truth.
        found: detections.
        videos: numbers of the movies of both.
        of: name of the list, and the ids that it is known by: its movies, where it is whole.
        classes: ids that count, and further facts of them.
        how: threshold and views; its protocol is that of the papers.
    """
    (name, ids), (counted, facts) = of, classes
    variant = Variant(how.protocol.name, counted)
    scored = ListFacts.make(name, ids, len(ids))
    return _scored(told, found, videos, (scored, facts), variant, how, Path(name))


def _scored(
    told: Seconds,
    found: BoxTable,
    videos: Videos,
    facts: tuple[ListFacts, dict[str, Any]],
    variant: Variant,
    how: ScoreOptions,
    excluded: Path | None,
) -> Result:
    """The result on detections and truth; `facts` are the list, and further ones of the classes."""
    twice = _require_once(found, videos)
    precision = mean_precision(told.truth, found, variant, told.excluded)
    files = None if excluded is None else _excluded_facts(excluded, told, videos)
    classes = variant.classes
    result = Result(
        metric="ava",
        protocol=how.protocol.name,
        variant=str(variant),
        values={"mAP": precision.mean},
        scored=facts[0],
        truth=_truth(told.truth, videos),
        views=Views(how.frames, 1, 1, 1, how.whole),
        classes={"number": len(classes), "sha256": _sha256(classes), **facts[1]},
        thresholds={"iou": overlap.IOU},
        files={"excluded": files},
        notes=_notes(precision, how, excluded),
        diagnosed=how.diagnose,
    )
    _examine(result, told.truth, found, variant, told.excluded, precision, how, videos)
    result.findings += twice
    return result


def _truth(truth: BoxTable, videos: Videos) -> str:
    """Identity of boxes with their actions, in the three decimals that AVA has."""
    names = videos.names()
    movies, seconds = np.divmod(truth.image, SECONDS)
    images = (f"{names[m]},{s:04d}" for m, s in zip(movies.tolist(), seconds.tolist(), strict=True))
    corners = np.round(truth.xyxy * 1000).astype(np.int64).tolist()
    labels = zip(corners, truth.class_id.tolist(), strict=True)
    return truth_sha256(images, labels)


def _require_once(found: BoxTable, videos: Videos) -> list[Finding]:
    """Refuses detections that stand twice, each of which would count as a false positive; the same boxes with other
    scores are told where they are many.

    Raises:
        FormatError: if they have one score, too, with how many there are, and the first.
    """
    columns = [found.image, found.class_id, *found.xyxy.T.copy()]
    pairs = overlap.repeated(columns)
    again = pairs[found.score[pairs[:, 0]] == found.score[pairs[:, 1]], 1]
    if again.size:
        row = int(again.min())
        movie, second = divmod(int(found.image[row]), SECONDS)
        raise FormatError(
            f"{again.size:,} detections stand twice, the first in {videos.names()[movie]}, second {second}, action "
            f"{found.class_id[row]}: padding of the last batch, or the files of several processes with the same boxes"
        )
    return [told] if (told := doubled(found, pairs[:, 1])) else []


def _excluded_facts(path: Path, told: Seconds, videos: Videos) -> dict[str, object]:
    """Facts of the file that lists the excluded seconds, and the identity of those of the truth's movies."""
    movies, seconds = np.divmod(told.excluded, SECONDS)
    known, names = {videos.numbers[name] for name in told.movies}, videos.names()
    pairs = zip(movies.tolist(), seconds.tolist(), strict=True)
    lines = (f"{names[movie]},{second:04d}" for movie, second in pairs if movie in known)
    return {**facts_of(path), "seconds": list_sha256(lines)}


def _examine(
    result: Result,
    truth: BoxTable,
    found: BoxTable,
    variant: Variant,
    excluded: Int64[np.ndarray, "m"],
    precision: Precision,
    how: ScoreOptions,
    videos: Videos,
) -> None:
    """Facts about the boxes, which are always said, and what the doctor finds."""
    if variant.name != "activitynet":
        truth = truth.keep(~np.isin(truth.image, excluded))
    persons, boxes = Boxes.of(truth), Boxes.of(found)
    images = np.unique(persons.image)
    matched = float(np.isin(images, boxes.image).mean()) if len(images) else float("nan")
    listed = np.concatenate([truth.image, truth.listed, excluded])
    unlisted = float((~np.isin(boxes.image, listed)).mean()) if len(boxes.image) else 0.0
    if variant.name == "pyslowfast" and unlisted > UNLISTED:
        result.notes.append(
            f"{100 * unlisted:.1f} % of the boxes are on seconds that the truth does not list, where they count as "
            "wrong; were all of these seconds annotated?"
        )
    best = mean_precision(truth, oracle(truth, found), variant, excluded, ties=False).mean
    result.baselines = {"oracle": best}
    result.detections = {
        "sha256": _boxes_sha256(boxes, videos.names(), result.scored.sha256),
        "threshold": how.threshold,
        "boxes": len(boxes.image),
    }
    result.details = {
        "per_class": {str(number): value for number, value in precision.by_class.items()},
        "groups": precision.groups(),
        "rows": precision.detections,
        "truth_rows": precision.truth,
        "persons": len(persons.image),
        "images": len(images),
        "images_matched": matched,
        "boxes_unlisted": unlisted,
        "recall": persons.recall(boxes),
        "degenerate": precision.degenerate,
        "tied": precision.tied,
        "mAP_low": precision.low,
        "mAP_high": precision.high,
        "mAP_ranked": precision.ranked,
    }
    result.findings = list(detector(persons, boxes, matched, best))
    if how.diagnose:

        def score(detections: BoxTable) -> float:
            return mean_precision(truth, detections, variant, excluded, ties=False).mean

        result.findings += _diagnose(truth, found, score, variant, how, videos.names())


def _diagnose(
    truth: BoxTable,
    found: BoxTable,
    score: Callable[[BoxTable], float],
    variant: Variant,
    how: ScoreOptions,
    names: Sequence[str],
) -> list[Finding]:
    persons, boxes = Boxes.of(truth), Boxes.of(found)
    by_name = how.label_map in NAMED and how.label_map != "ava60"
    told = [
        None if by_name else other_ids(variant.classes, np.unique(truth.class_id).tolist()),
        renumbered(found, truth, score) or reordered(found, truth),
    ]
    reasons = [shifted(persons, boxes), misread(persons, boxes)]
    if not any(reasons):
        reasons = [exchanged(persons, boxes, names)]
    if not any(reasons):
        reasons = [unmatched(persons, boxes)]
    return [finding for finding in (*told, *reasons) if finding is not None]


def _label_map(how: ScoreOptions, truth: Path) -> tuple[tuple[int, ...], list[str], dict[str, Any]]:
    """Ids that count, notes, and facts of the file."""
    beside = truth.with_name(OFFICIAL)
    given = how.label_map or (str(beside) if beside.is_file() else "ava60")
    if given in NAMED:
        note = "all 80 classes count, which no published number does" if given == "ava80" else ""
        return NAMED[given], [note] if note else [], {"label_map": given}
    path = Path(given)
    classes = tuple(sorted(read_label_map(path)))
    if (said := differs(classes)) and not how.diagnose:
        raise UsageError(
            f"{path}: {said} than the 60 that count; take {OFFICIAL} or nothing. --label-map ava80 counts all; "
            "--diagnose scores with this file all the same"
        )
    return classes, [], {"label_map": path.name}


def _excluded(
    how: ScoreOptions, truth: Path, videos: Videos, in_shards: Seconds | None
) -> tuple[Int64[np.ndarray, "m"], Path | None]:
    """Images that are left out, and the file that says so: the truth itself where it is in shards."""
    none = np.zeros(0, np.int64)
    if how.protocol.name == "activitynet":
        return none, None
    if how.no_excluded:
        if how.excluded is not None:
            raise UsageError("--excluded and --no-excluded were both given")
        return none, None
    if in_shards is not None and how.excluded is None:
        return in_shards.excluded, truth
    path = how.excluded or excluded_beside(truth)
    if path is None:
        raise UsageError(
            f"protocol {how.protocol.name} leaves out the excluded seconds, and no list of them lies beside "
            f"{truth.name}: give --excluded ava_val_excluded_timestamps_v2.2.csv, or say --no-excluded"
        )
    return read_excluded(path, videos), path


def _movies(
    path: Path,
    how: ScoreOptions,
    videos: Videos,
    known: int,
    movies: list[str],
    found: BoxTable,
    truth: BoxTable,
) -> list[str]:
    """Movies that are scored."""
    names = videos.names()
    numbers = set(np.unique(np.concatenate([found.image, found.listed]) // SECONDS).tolist())
    unknown = sorted(names[number] for number in numbers if number >= known)
    given = {names[number] for number in numbers}
    missing = [name for name in movies if name not in given]
    if unknown or (missing and not how.partial):
        other = another_list(given, Path(how.truth or ""), "ava", str)
        hint = f"; these are the movies of {other}, which is another list" if other else ""
        said = (
            f"{len(unknown)} movies that the truth does not have, first {short(unknown[0], 60)}"
            if unknown
            else ""
        )
        lack = (
            f"{len(missing)} of {len(movies)} movies without detections, first {short(missing[0], 60)}"
            if missing
            else ""
        )
        way = (
            "give the truth of these detections"
            if unknown
            else f"{_NOBODY}; else predict the rest, or say --partial, which leaves these movies out"
        )
        raise FormatError(f"{path}: {' and '.join(t for t in (said, lack) if t)}{hint}: {way}")
    return [name for name in movies if name in given]


def _notes(precision: Precision, how: ScoreOptions, excluded: Path | None) -> list[str]:
    notes = []
    if how.protocol.name == "activitynet":
        notes.append(
            "seconds that the truth does not list are ignored; there are no excluded seconds in this variant"
        )
        if how.excluded is not None:
            notes.append("--excluded is not used by this variant")
    elif excluded is None:
        notes.append("no second is excluded")
    if how.no_cap and how.protocol.name != "activitynet":
        notes.append("--no-cap is not used by this variant, which has no cap to lift")
    if precision.degenerate:
        notes.append(
            f"{precision.degenerate:,} rows of detections have boxes without area and were dropped"
        )
    if precision.high - precision.low > SPREAD:
        notes.append(
            f"{100 * precision.tied:.1f} % of the detections have a score that another of their class has: mAP is "
            f"between {precision.low:.5f} and {precision.high:.5f}, by the order of equal scores, where the same "
            "detections are right"
        )
    if abs(precision.ranked - precision.mean) > SPREAD:
        notes.append(
            "of several detections of a person this variant counts the first row of the file as right: with the rows "
            f"in the order of their scores, best first, mAP is {precision.ranked:.5f}"
        )
    if how.threshold is None:
        notes.append("the threshold of the detector's scores is unknown (--threshold tells it)")
    return notes


def _of_no_movie(excluded: Int64[np.ndarray, "m"], movies: list[int]) -> list[str]:
    if np.isin(excluded // SECONDS, movies).any():
        return []
    return [
        f"none of the {len(excluded):,} excluded seconds is of the truth's movies: is it the list of another split?"
    ]


def _outside(truth: BoxTable, again: Int64[np.ndarray, "m"]) -> list[str]:
    """Rows of AVA's file that its converted shards lack; `again`: those that have stood there before."""
    second, (x1, y1, x2, y2) = truth.image % SECONDS, truth.xyxy.T
    kinds = {
        f"of seconds outside {FIRST}..{LAST}": (second < FIRST) | (second > LAST),
        "of boxes without area": (x1 >= x2) | (y1 >= y2),
        "as one before them": np.isin(np.arange(len(truth)), again),
    }
    return [
        f"{int(rows.sum()):,} rows of the truth are {what}; they count here, and converted shards leave them out"
        for what, rows in kinds.items()
        if rows.any()
    ]


def _boxes_sha256(boxes: Boxes, names: Sequence[str], salt: str) -> str:
    """Identity of the detections: their boxes with 3 decimals, in order of movies and seconds, for a list of movies."""
    numbers, movie = np.unique(boxes.image // SECONDS, return_inverse=True)
    movies = [names[number] for number in numbers.tolist()]
    # Its number follows from the order of the files, its place among the names does not.
    place = {name: rank for rank, name in enumerate(sorted(movies))}
    ranks = np.array([place[name] for name in movies], np.int64)
    image = ranks[movie] * SECONDS + boxes.image % SECONDS
    rounded = np.rint(boxes.xyxy * 1000).astype(np.int64)
    rows = np.lexsort((*rounded.T, image))
    digest = hashlib.sha256((salt + "\n".join(place)).encode())
    digest.update(np.column_stack([image[rows], rounded[rows]]).astype("<i8").tobytes())
    return digest.hexdigest()


def _sha256(classes: tuple[int, ...]) -> str:
    return hashlib.sha256("".join(f"{number}\n" for number in classes).encode()).hexdigest()
