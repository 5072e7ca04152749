"""Writes real-looking action clips in the layout of a Something-Something V2 download (spec ssv2, section 1, left).

Only labels, as in the real one: `truth` asks for a JSON with verb and shapes of every clip, kept outside the tree.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pvit_converters.simulate.files.video import Container, encode
from pvit_converters.simulate.tree import Job, Simulator, Size, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.actions import (
    GROUP_ONE,
    OTHER_VERBS,
    SHAPES_A,
    SHAPES_B,
    SIDED_VERBS,
    STYLES,
    VERBS,
    ActionClip,
    Style,
    action_clip,
)
from pvit_converters.simulate.world.film import develop
from pvit_converters.simulate.world.render import render
from pvit_data.errors import UsageError

FPS = 12
"""Frame rate of the release (spec ssv2, section 1)."""

VIDEOS = "20bn-something-something-v2"
"""Folder of the videos."""

PRESETS = {
    "tiny": (64, Size(8, 32, 32)),
    "small": (896, Size(8, 64, 64)),
    "format": (16, Size(16, 224, 224)),
}
"""Default number of videos, their length and size."""

TEMPLATES = {
    "pass_in_front": "Moving [something] across a surface in front of [something]",
    "pass_behind": "Moving [something] across a surface behind [something]",
    "move_towards_camera": "Moving [something] towards the camera",
    "grow_in_place": "[Something] growing without leaving its place",
    "lift_up": "Lifting up [one of many things] beside [something]",
    "fall_down": "[Something] falling like a rock",
    "put_onto": "Putting [something] onto [something]",
    "approach_each_other": "Moving [something] and [something] closer to each other",
    "move_away_from_camera": "Moving [something] away from the camera",
    "shrink_in_place": "[Something] shrinking without leaving its place",
    "take_off": "Taking [something] off [something]",
    "put_next_to": "Putting [something] next to [something]",
    "separate": "Moving [something] and [something] away from each other",
    "push": "Pushing [something] with [something]",
    "push_to_the_right": "Pushing [something] from left to right",
    "push_to_the_left": "Pushing [something] from right to left",
}
"""Class templates; a class name is its template without the brackets, as in the release."""


@dataclass(frozen=True)
class Film:
    """What all videos of a tree share."""

    seed: int
    style: Style
    size: Size
    container: Container


@dataclass(frozen=True)
class ClipTask:
    """One video to write. `number` counts the videos of its split."""

    number: int
    split: str
    verb: str
    shapes: tuple[str, ...] | None
    path: Path
    film: Film


@dataclass(frozen=True)
class ClipTruth:
    """What happens in a clip."""

    id: str
    split: str
    verb: str
    actor: str
    partner: str


_SPLITS = ("train", "validation", "test")


def staged(
    task: ClipTask, frames: int, height: int, width: int
) -> tuple[ActionClip, np.random.Generator]:
    """A clip before it is rendered, and the generator that goes on from there."""
    rng = rng_of(task.film.seed, _SPLITS.index(task.split), task.number)
    return action_clip(rng, task.verb, task.film.style, frames, height, width, task.shapes), rng


def write_clip(task: ClipTask) -> int:
    """Renders, films and writes one video."""
    film, size = task.film, task.film.size
    clip, rng = staged(task, size.frames, size.height, size.width)
    frames = develop(render(clip.scene).radiance, rng, film.style.gap)
    task.path.write_bytes(encode(frames, FPS, film.container, film.style.gap))
    return 1


def truth_of(task: ClipTask) -> ClipTruth:
    """Verb and shapes of a video, without rendering it: they are drawn before anything that depends on its size."""
    clip, _ = staged(task, 1, 8, 8)
    return ClipTruth(task.path.stem, task.split, task.verb, clip.actor, clip.partner)


def row_of(truth: ClipTruth) -> dict[str, object]:
    """The row of a video in a label file."""
    template = TEMPLATES[truth.verb]
    count = template.count("[")
    things = [
        {"disc": "pebble", "capsule": "bottle"}.get(s, s) for s in (truth.actor, truth.partner)
    ][:count]
    label = template.lower()
    for thing in things:
        start, end = label.index("["), label.index("]")
        label = label[:start] + thing + label[end + 1 :]
    return {"id": truth.id, "label": label, "template": template, "placeholders": things}


def dump(path: Path, value: object) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def _write_labels(folder: Path, truths: list[ClipTruth], verbs: tuple[str, ...]) -> None:
    folder.mkdir()
    names = sorted(TEMPLATES[v].replace("[", "").replace("]", "") for v in verbs)
    dump(folder / "labels.json", {name: str(i) for i, name in enumerate(names)})
    rows = {split: [t for t in truths if t.split == split] for split in _SPLITS}
    for split in ("train", "validation"):
        dump(folder / f"{split}.json", [row_of(t) for t in rows[split]])
    dump(folder / "test.json", [{"id": t.id} for t in rows["test"]])
    answers = [
        f"{t.id};{TEMPLATES[t.verb].replace('[', '').replace(']', '')}\n" for t in rows["test"]
    ]
    (folder / "test-answers.csv").write_text("".join(answers), encoding="utf-8")


def _shapes(verb: str, split: str, compositional: bool) -> tuple[str, ...] | None:
    """Shapes A go with verbs one in training and with verbs two in validation (SomethingElse's 1A+2B, 1B+2A)."""
    if not compositional:
        return None
    return SHAPES_A if (verb in GROUP_ONE) == (split == "train") else SHAPES_B


def _counts(total: int) -> dict[str, int]:
    train, test = total * 5 // 7, max(1, total // 56)
    return {"train": train, "validation": max(total - train - test, 0), "test": test}


def clip_tasks(
    root: Path, counts: dict[str, int], verbs: tuple[str, ...], compositional: bool, film: Film
) -> list[ClipTask]:
    """The videos of all splits, verbs in turn, under random ids as large as the release's."""
    folder = root / VIDEOS
    ids = iter(rng_of(film.seed, 9).permutation(220_847)[: sum(counts.values())] + 1)
    out = []
    for split in _SPLITS:
        for i in range(counts[split]):
            verb = verbs[i % len(verbs)]
            path = folder / f"{next(ids)}.{film.container}"
            out.append(ClipTask(i, split, verb, _shapes(verb, split, compositional), path, film))
    return out


def simulate(
    job: Job,
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    style: Literal["easy", "default", "hard"] = "default",
    gap: float | None = None,
    verbs: Literal["downstream", "pretraining", "all", "sided"] = "downstream",
    compositional: bool = False,
    container: Literal["webm", "mp4"] = "webm",
) -> Tree:
    """Writes an SSv2 tree of class-balanced clips.

    Args:
        job: `samples` is the number of videos: 5 of 7 train, the rest validation, except 1 of 56 test.
            Presets: `tiny` (8x32x32), `small` (8x64x64) or `format` (16x224x224).
        train, validation, test: numbers of videos per split, instead of `samples`.
        frames, height, width: another length or size.
        style: `easy`, `default` or `hard` (see `actions.STYLES`).
        gap: 0..1, replaces the style's strength of nuisances.
        verbs: `downstream` (8 classes), `pretraining` (6 others), `all` (both), or `sided` (10: downstream and two
            that a mirror exchanges).
        compositional: shapes of the actor are disjoint between training and validation, per verb group.
        container: `webm` (VP9, as released) or `mp4` (H.264, as re-packed by others).
    """
    choices = {"downstream": VERBS, "pretraining": OTHER_VERBS, "all": VERBS + OTHER_VERBS}
    choices["sided"] = VERBS + SIDED_VERBS
    if style not in STYLES or verbs not in choices or container not in ("webm", "mp4"):
        raise UsageError(
            f"simulate ssv2: style '{style}', verbs '{verbs}', container '{container}': expected style one of "
            f"{', '.join(STYLES)}, verbs one of {', '.join(choices)}, container webm or mp4."
        )
    count, size = PRESETS[job.preset]
    size = Size(frames or size.frames, height or size.height, width or size.width)
    look = STYLES[style] if gap is None else replace(STYLES[style], gap=gap)
    counts = _counts(job.samples or count) | {
        k: v
        for k, v in (("train", train), ("validation", validation), ("test", test))
        if v is not None
    }
    root = fresh(job.out)
    (root / VIDEOS).mkdir()
    tasks = clip_tasks(
        root, counts, choices[verbs], compositional, Film(job.seed, look, size, container)
    )
    truths = [truth_of(t) for t in tasks]
    _write_labels(root / "labels", sorted(truths, key=lambda t: int(t.id)), choices[verbs])
    if job.truth is not None:
        job.truth.mkdir(parents=True, exist_ok=True)
        dump(job.truth / "clips.json", [asdict(t) for t in truths])
    spread(write_clip, tasks, job)
    return Tree(root, len(tasks), counts)


SIMULATOR = Simulator("real-looking action clips: only a label", simulate)
