"""Predictions in the form in which a data set's server takes them, also of lists without labels.

SSv2: lines `id;class;class;...` (five classes). Kinetics: the challenge's JSON. Ego4D: its JSON. AVA: its CSV. What has
no server: CSV `id,class`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pvit_data.errors import UsageError
from pvit_data.scoring.class_scores import read_classes_of, require_views
from pvit_data.scoring.files.ava import Videos, read_detections, write_csv
from pvit_data.scoring.files.class_truth import read_class_truth
from pvit_data.scoring.files.ego4d import read_annotations, read_answers
from pvit_data.scoring.files.predictions import read_class_scores
from pvit_data.scoring.files.shards import is_shards
from pvit_data.scoring.matching import align, best_ids
from pvit_data.scoring.metrics.ego4d import predicted_frame
from pvit_data.scoring.metrics.views import summed
from pvit_data.scoring.options import ScoreOptions
from pvit_data.storage.files import write_file

TOP = 5


def submit(predictions: Path, metric: str, how: ScoreOptions, out: Path) -> int:
    """Writes a submission; returns how many videos, clips or rows it has.

    Args:
        predictions: as for `score`.
        metric, how: as for `score`; the truth is the list, whose labels don't matter.
        out: the file.

    Raises:
        UsageError, FormatError: as `score`.
        OSError: if it cannot be written.
    """
    if metric == "ava":
        videos = Videos()
        table = read_detections(predictions, videos)
        write_csv(out, table, videos)
        return len(table)
    if metric in ("pnr", "oscc"):
        rows = _answers(predictions, metric, how)
        write_file(out, json.dumps(rows) + "\n")
        return len(rows)
    return _classes(predictions, how, out)


def _answers(predictions: Path, metric: str, how: ScoreOptions) -> list[dict[str, object]]:
    if how.truth is None:
        raise UsageError(
            f"--submit of {metric} needs --truth, the list of clips (fho_oscc-pnr_test_unannotated.json)"
        )
    truth, answers = read_annotations(Path(how.truth)), read_answers(predictions, metric)
    rows, listed = align(answers.ids, truth.ids, str(predictions), partial=how.partial)
    scored = truth.keep(listed)
    if metric == "oscc":
        assert answers.state is not None
        said = answers.state[rows].tolist()
        return [
            {"unique_id": n, "state_change": bool(s)} for n, s in zip(scored.ids, said, strict=True)
        ]
    if answers.bins is not None:
        frames = predicted_frame(answers.bins[rows], scored.windows)
    else:
        assert answers.frames is not None
        frames = answers.frames[rows]
    return [
        {"unique_id": n, "pnr_frame": f} for n, f in zip(scored.ids, frames.tolist(), strict=True)
    ]


def _classes(predictions: Path, how: ScoreOptions, out: Path) -> int:
    scores = read_class_scores(predictions)
    require_views(scores, how, str(predictions))
    names = read_classes_of(how) or scores.classes
    ids, rows = scores.ids, np.arange(len(scores.ids))
    if how.truth is not None and not is_shards(how.truth):
        truth = read_class_truth(
            Path(how.truth), how.protocol.name, how.protocol.clean, how.classes
        )
        given = best_ids(scores, truth.ids, how.protocol.clean, str(predictions))
        rows, listed = align(given, truth.ids, str(predictions), partial=how.partial)
        ids, names = [truth.ids[row] for row in listed], names or truth.classes
    number = scores.logits.shape[2]
    if names and len(names) != number:
        raise UsageError(
            f"{predictions}: {number} columns of scores, {len(names)} names of classes (--classes FILE)"
        )
    if not names and how.protocol.name in ("ssv2", "kinetics400"):
        raise UsageError(
            f"--submit of {how.protocol.name} writes names of classes: give --classes FILE"
        )
    names = names or tuple(map(str, range(number)))
    values = summed(scores.logits[rows], where=str(predictions), ids=ids)
    best = np.argsort(-values, axis=1, kind="stable")[:, :TOP]
    if how.protocol.name == "kinetics400":
        results = {
            name: [{"score": float(v[k]), "label": names[k]} for k in row]
            for name, v, row in zip(ids, values, best, strict=True)
        }
        document = {"version": "KINETICS VERSION 1.0", "results": results, "external_data": {}}
        write_file(out, json.dumps(document) + "\n")
    elif how.protocol.name in ("ssv2", "something-else"):
        lines = [
            ";".join([name, *(names[k] for k in row)]) for name, row in zip(ids, best, strict=True)
        ]
        write_file(out, "".join(f"{line}\n" for line in lines))
    else:
        lines = [
            f"{_cell(name)},{_cell(names[row[0]])}" for name, row in zip(ids, best, strict=True)
        ]
        write_file(out, "".join(f"{line}\n" for line in ["id,label", *lines]))
    return len(ids)


def _cell(text: str) -> str:
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(mark in text for mark in ',"\n') else text


def has_labels(how: ScoreOptions, metric: str) -> bool:
    """Whether a list says what is true, so that a score is possible as well."""
    if how.truth is None or is_shards(how.truth) or metric == "ava":
        return how.truth is not None
    if metric in ("pnr", "oscc"):
        return bool((read_annotations(Path(how.truth)).state >= 0).any())
    truth = read_class_truth(Path(how.truth), how.protocol.name, how.protocol.clean, how.classes)
    return bool((truth.labels >= 0).any())
