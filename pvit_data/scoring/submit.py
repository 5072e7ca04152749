"""Predictions in the form in which a data set's server takes them, also of lists without labels.

SSv2: lines `id;class;class;...` (five classes). Kinetics: the challenge's JSON. Ego4D: its JSON. AVA: its CSV. What has
no server: CSV `id,label`, or, of any number of classes per video, `id` and a column of probabilities per class.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pvit_data.errors import UsageError
from pvit_data.scoring.class_scores import read_classes_of, read_truth, require_views
from pvit_data.scoring.files import ava
from pvit_data.scoring.files.ego4d import read_annotations, read_answers
from pvit_data.scoring.files.predictions import read_class_scores
from pvit_data.scoring.files.shards import is_shards, read_state_changes
from pvit_data.scoring.matching import align, best_ids
from pvit_data.scoring.metrics.ego4d import predicted_frame
from pvit_data.scoring.metrics.views import summed
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.score import require_sense
from pvit_data.storage.files import write_file

TOP = 5
NEEDS_NAMES = ("ssv2", "kinetics400")
IN_JSON = ("kinetics400", "ego4d")
"""Protocols whose submission is JSON; that of the others is CSV."""


@dataclass(frozen=True)
class Submission:
    """Predictions that were compared with the list, and may be written.

    Args:
        write: writes them to a file, and returns how many videos, clips or rows it has; raises OSError.
        has_labels: whether it is known what is true of them, so that a score is possible as well.
    """

    write: Callable[[Path], int]
    has_labels: bool


def require_ending(protocol: str, out: Path) -> None:
    """Refuses a name that says another form than the submission's.

    Raises:
        UsageError: with the right ending.
    """
    allowed = (".json", "") if protocol in IN_JSON else (".csv", ".txt", "")
    if out.suffix.lower() not in allowed:
        form, name = allowed[0].strip(".").upper(), out.with_suffix(allowed[0]).name
        raise UsageError(f"--submit {out}: the submission of {protocol} is {form}: name it {name}")


def prepare(predictions: Path, metric: str, how: ScoreOptions) -> Submission:
    """Reads predictions and the list, and compares them; nothing is written.

    Args:
        predictions: as for `score`.
        metric, how: as for `score`; the truth is the list, whose labels don't matter.

    Raises:
        UsageError, FormatError: as `score`.
    """
    require_sense(predictions, metric, how)
    if metric == "ava":
        return _boxes(predictions, how)
    if metric in ("pnr", "oscc"):
        return _answers(predictions, metric, how)
    return _classes(predictions, metric, how)


def _boxes(predictions: Path, how: ScoreOptions) -> Submission:
    """Detections are read when they are written: scoring them, too, would need them in memory twice."""

    def write(out: Path) -> int:
        videos = ava.Videos()
        table = ava.read_detections(predictions, videos)
        ava.write_csv(out, table, videos)
        return len(table)

    has_labels = how.truth is not None
    if how.truth is not None and not is_shards(how.truth):
        listed, given = ava.Videos(), ava.Videos()
        has_labels = len(ava.read_truth(Path(how.truth), listed)) > 0
        if not has_labels:
            ava.read_detections(predictions, given)
            align(given.names(), listed.names(), str(predictions), partial=how.partial)
    return Submission(write, has_labels)


def _answers(predictions: Path, metric: str, how: ScoreOptions) -> Submission:
    if how.truth is None:
        raise UsageError(
            f"--submit of {metric} needs --truth, the list of clips (fho_oscc-pnr_test_unannotated.json, or shards)"
        )
    truth = (
        read_state_changes(how.truth, how.source, how.part)
        if is_shards(how.truth)
        else read_annotations(Path(how.truth))
    )
    answers = read_answers(predictions, metric)
    rows, listed = align(answers.ids, truth.ids, str(predictions), partial=how.partial)
    scored = truth.keep(listed)
    told: list[float] | list[bool]
    if metric == "oscc":
        assert answers.state is not None
        key, told = "state_change", answers.state[rows].astype(bool).tolist()
    elif answers.bins is not None:
        frames = predicted_frame(answers.bins[rows], scored.windows, answers.number)
        key, told = "pnr_frame", frames.tolist()
    else:
        assert answers.frames is not None
        key, told = "pnr_frame", answers.frames[rows].tolist()
    found = [{"unique_id": name, key: value} for name, value in zip(scored.ids, told, strict=True)]
    counted = truth.positive if metric == "pnr" else truth.state >= 0
    return Submission(_text([json.dumps(found)], len(found)), bool(counted.any()))


def _classes(predictions: Path, metric: str, how: ScoreOptions) -> Submission:
    scores, where, several = (
        read_class_scores(predictions),
        str(predictions),
        metric == "multilabel",
    )
    require_views(scores, how, where)
    names = read_classes_of(how) or scores.classes
    ids, rows = scores.ids, np.arange(len(scores.ids))
    has_labels = scores.several is not None if several else bool((scores.labels >= 0).any())
    if how.truth is not None:
        truth = read_truth(how, scores, where, several=several)
        given = best_ids(scores, truth.ids, how.protocol.clean, where, truth.keys)
        rows, listed = align(given, truth.ids, where, partial=how.partial)
        ids, names = [truth.ids[row] for row in listed], names or truth.classes
        labels = truth.labels >= 0 if truth.several is None else truth.several
        has_labels = bool(labels.any())
    number = scores.logits.shape[2]
    if names and len(names) != number:
        raise UsageError(
            f"{where}: {number} columns of scores, {len(names)} names of classes (--classes FILE)"
        )
    if not names and how.protocol.name in NEEDS_NAMES:
        raise UsageError(
            f"--submit of {how.protocol.name} writes names of classes: give --classes FILE"
        )
    names = names or tuple(map(str, range(number)))
    values = summed(scores.logits[rows], exclusive=not several, where=where, ids=ids)
    if several:
        head = ["id", *names]
        cells = (
            [n, *map("{:.9g}".format, v)] for n, v in zip(ids, values / scores.views, strict=True)
        )
        return Submission(_text((_line(row) for row in (head, *cells)), len(ids)), has_labels)
    best = np.argsort(-values, axis=1, kind="stable")[:, :TOP]
    if how.protocol.name == "kinetics400":
        results = {
            name: [{"score": float(v[k]), "label": names[k]} for k in row]
            for name, v, row in zip(ids, values, best, strict=True)
        }
        document = {"version": "KINETICS VERSION 1.0", "results": results, "external_data": {}}
        lines = [json.dumps(document)]
    elif how.protocol.name in ("ssv2", "something-else"):
        lines = [
            ";".join([name, *(names[k] for k in row)]) for name, row in zip(ids, best, strict=True)
        ]
    else:
        firsts = ([name, names[row[0]]] for name, row in zip(ids, best, strict=True))
        lines = [_line(row) for row in (["id", "label"], *firsts)]
    return Submission(_text(lines, len(ids)), has_labels)


def _text(lines: Iterable[str], number: int) -> Callable[[Path], int]:
    def write(out: Path) -> int:
        write_file(out, "".join(f"{line}\n" for line in lines), follow=True)
        return number

    return write


def _line(cells: Iterable[str]) -> str:
    return ",".join(map(_cell, cells))


def _cell(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(mark in text for mark in ',"\n') else text
