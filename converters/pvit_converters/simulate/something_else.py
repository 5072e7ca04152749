"""Writes SomethingElse's split and box files beside a simulated Something-Something V2 (spec something-else).

`ssv2/` is a tree for the converter of that name. Boxes are those of the rendered actor and partner, and hands beside
the actor that are in no picture. Traps sit in fixed places (`NOTES`). Truth: `splits.json` and `boxes.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.simulate import ssv2
from pvit_converters.simulate.tree import (
    UNFINISHED,
    Job,
    Simulator,
    Size,
    Tree,
    dump,
    fresh,
    write_truth,
)
from pvit_converters.simulate.world.actions import ACTOR, PARTNER, SIDED_VERBS, STYLES, VERBS
from pvit_converters.simulate.world.render import render

PRESETS = {"tiny": (80, Size(8, 32, 48)), "small": (400, Size(8, 64, 64))}
PRESETS["format"] = (80, Size(16, 240, 427))
NOTES = (
    "ssv2/ is what the layers are made over: convert it first, then this folder with --base",
    "labels.json numbers its classes in another order than the alphabetical one",
    "the 10-shot training file is called finetune_10shot_train.json, that of 5 shots ..._training.json",
    "a video of compositional is in train and in validation, one is in no list of SSv2",
    "the box records of every third video end two frames early, those of every fifth stand in no order",
    "every fourth video has two hands of the same name; some boxes reach the right edge, or beyond it",
    "four box files, and annotations.json with two videos of them again; texts are not ASCII",
    "three videos have no boxes",
)
NOUNS_A = ("pebble", "crème brûlée", "cup")
NOUNS_B = ("bottle", "book", "Æbleskiver")
_RELEASED = 240
_EMPTY = 3
_STRANGER = 220_847 + 7
_DATA = "code/dataset_splits"

Row = dict[str, Any]
Box = tuple[float, float, float, float, int]
"""Corners in pixels of what is written, and number of the object, -1: a hand."""


def simulate(job: Job) -> Tree:
    """Writes the files of SomethingElse, and the SSv2 tree that they are about.

    Args:
        job: `samples` is the number of videos, of which 5 of 7 are in SSv2's train. Presets: `tiny` (80 of 8x32x48),
            `small` (400 of 8x64x64) or `format` (80 of 16x240x427).
    """
    count, size = PRESETS[job.preset]
    verbs = VERBS + SIDED_VERBS
    root = fresh(job.out)
    under = replace(job, out=root / "ssv2", samples=job.samples or count, truth=None)
    tree = ssv2.simulate(
        under, verbs="sided", frames=size.frames, height=size.height, width=size.width
    )
    (tree.root / UNFINISHED).unlink()
    film = ssv2.Film(job.seed, STYLES["default"], size, "webm")
    tasks = [
        task
        for task in ssv2.clip_tasks(tree.root, tree.splits, verbs, False, film)
        if task.split != "test"
    ]
    rows = {task.path.stem: ssv2.row_of(ssv2.truth_of(task)) for task in tasks}
    verb_of = {task.path.stem: task.verb for task in tasks}
    splits = _write_splits(root / _DATA, rows, verb_of, verbs)
    boxes = {task.path.stem: _boxes_of(task, i) for i, task in enumerate(tasks[:-_EMPTY])}
    _write_boxes(root, rows, boxes, size)
    write_truth(job, splits=splits, boxes=boxes)
    steps = (f"ssv2 {tree.root} OUT", f"something-else {root} OUT --base OUT")
    return Tree(root, len(tasks), tree.splits, NOTES, steps)


def _class_of(row: Row) -> str:
    return str(row["template"]).replace("[", "").replace("]", "")


def _write(folder: Path, names: Sequence[str], rows: Sequence[Iterable[Row]], labels: str) -> None:
    """Split files and their labels, numbered backwards."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = [list(one) for one in rows]
    for name, one in zip(names, lists, strict=True):
        dump(folder / f"{name}.json", one)
    classes = sorted({_class_of(row) for one in lists for row in one}, reverse=True)
    dump(folder / f"{labels}.json", {name: i for i, name in enumerate(classes)})


def _write_splits(
    folder: Path, rows: dict[str, Row], verb_of: dict[str, str], verbs: tuple[str, ...]
) -> dict[str, dict[str, list[str]]]:
    """All settings; returns who is where, as a converter should find it."""
    ids = sorted(rows, key=int)
    halves = [video for i, video in enumerate(ids) if i % 2], ids[::2]
    stranger = {**rows[ids[0]], "id": str(_STRANGER)}
    given = [*(rows[v] for v in halves[1]), rows[halves[0][0]], stranger]
    names = ("train", "validation")
    _write(folder / "compositional", names, (_turned(halves[0], rows), given), "labels")
    nouns = {"objectsA": NOUNS_A, "objectsB": NOUNS_B}
    for name, words in nouns.items():
        dump(folder / f"compositional/{name}.json", list(words))
    truth = {"compositional": {"train": halves[0][1:], "val": [*halves[1], halves[0][0]]}}
    _write(
        folder / "compositional_shuffled",
        names,
        [(rows[v] for v in h) for h in halves[::-1]],
        "labels",
    )
    truth["shuffled"] = {"train": halves[1], "val": halves[0]}
    single = [[v for v in half if str(rows[v]["template"]).count("[") == 1] for half in halves]
    one = [[{**rows[v], "new_placeholdes": ["thing"]} for v in half] for half in single]
    _write(folder / "compositional_oneobject", names, one, "labels")
    truth["oneobject"] = {"train": single[0], "val": single[1]}
    return truth | _write_few_shot(folder / "fewshot", rows, verb_of, verbs)


def _turned(videos: Iterable[str], rows: dict[str, Row]) -> list[Row]:
    """Rows with their keys in another order."""
    return [dict(reversed(rows[video].items())) for video in videos]


def _write_few_shot(
    folder: Path, rows: dict[str, Row], verb_of: dict[str, str], verbs: tuple[str, ...]
) -> dict[str, dict[str, list[str]]]:
    base = [v for v in sorted(rows, key=int) if verb_of[v] in verbs[::2]]
    cut = len(base) * 9 // 10
    parts = {"base": (base[:cut], base[cut:])}
    names = {"base": ("base_training_set", "base_validation_set")}
    for shots, name, first in ((5, "training", 0), (10, "train", 1)):
        train = []
        for verb in verbs[1::2]:
            mine = [v for v in sorted(rows, key=int) if verb_of[v] == verb]
            train += mine[first : min(first + shots, len(mine) - 1)]
        rest = [v for v in rows if verb_of[v] in verbs[1::2] and v not in train]
        parts[f"{shots}shot"] = train, rest
        names[f"{shots}shot"] = f"finetune_{shots}shot_{name}", f"finetune_{shots}shot_validation"
    for key, lists in parts.items():
        labels = "base_labels" if key == "base" else "finetune_labels"
        _write(folder, names[key], [[rows[v] for v in one] for one in lists], labels)
    return {key: {"train": lists[0], "val": lists[1]} for key, lists in parts.items()}


def _boxes_of(task: ssv2.ClipTask, place: int) -> dict[str, list[Box]]:
    """Boxes by number of the frame, from 1; what is behind something else has none."""
    size = task.film.size
    clip, _ = ssv2.staged(task, size.frames, size.height, size.width)
    ids = render(clip.scene).ids("instance")
    last = size.frames - 2 if place % 3 == 0 else size.frames
    return {str(number + 1): _in_frame(ids[number], 1 + (place % 4 == 0)) for number in range(last)}


def _in_frame(ids: np.ndarray, hands: int) -> list[Box]:
    width = ids.shape[1]
    found: list[Box] = []
    for slot, instance in enumerate((ACTOR, PARTNER)):
        ys, xs = np.nonzero(ids == instance)
        if len(ys):
            box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
            found.append((*box, slot))
    if found:
        x1, y1, x2, y2, _ = found[0]
        right = width if x2 > width - 2 else min(x2 + 1.37, width)
        found.append((max(x1 - 2.25, 0.0), y1 / 2, float(right), y2, -1))
        if hands == 2:
            found.append((0.0, y1 / 3, x2 / 2, y2 - 0.5, -1))
    return found


def _record(video: str, number: str, boxes: list[Box], row: Row, edge: int, scale: float) -> Row:
    """A frame as it stands in the files; boxes that end at this column are written a little longer."""
    things = [str(thing) for thing in row["placeholders"]]
    labels = []
    for *corners, slot in boxes:
        name = "hand" if slot < 0 else f"{slot:04d}"
        box = {side: v * scale for side, v in zip(("x1", "y1", "x2", "y2"), corners, strict=True)}
        box["x2"] += 0.25 * (corners[2] == edge)
        category = "hand" if slot < 0 else things[slot] if slot < len(things) else "thing"
        about = f"object {'hand' if slot < 0 else slot}"
        labels.append(
            {"box2d": box, "gt_annotation": about, "category": category, "standard_category": name}
        )
    return {
        "name": f"{video}/{int(number):04d}.jpg",
        "url": "",
        "split": "80perc_106",
        "gt_placeholders": [*things, NOUNS_A[1]],
        "nr_instances": len(labels),
        "task_index": 823,
        "labels": labels,
    }


def _write_boxes(
    root: Path, rows: dict[str, Row], boxes: dict[str, dict[str, list[Box]]], size: Size
) -> None:
    """Four files, and the examples: in pixels of videos of the released height, of which these are smaller copies."""
    parts: list[dict[str, list[Row]]] = [{}, {}, {}, {}]
    for place, (video, frames) in enumerate(boxes.items()):
        edge, scale = size.width if place % 2 else -1, _RELEASED / size.height
        records = [
            _record(video, n, found, rows[video], edge, scale) for n, found in frames.items()
        ]
        parts[place % 4][video] = records[::-1] if place % 5 == 0 else records
    for number, part in enumerate(parts, 1):
        text = json.dumps(part, ensure_ascii=False)
        (root / f"bounding_box_smthsmth_part{number}.json").write_text(text, encoding="utf-8")
    examples = dict(list(parts[0].items())[:2])
    (root / "annotations.json").write_text(json.dumps(examples), encoding="utf-8")


SIMULATOR = Simulator("splits and boxes over a simulated ssv2, which comes with it", simulate)
