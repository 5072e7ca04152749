"""Writes real-looking action clips in the layouts of a Something-Something V2 download (spec ssv2, section 1).

Only labels, as in the real one: `truth` asks for a JSON with verb and shapes of every clip, kept outside the tree.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pvit_converters.simulate.files.images import jpeg
from pvit_converters.simulate.files.video import Container, encode
from pvit_converters.simulate.tree import (
    Job,
    Simulator,
    Size,
    Tree,
    dump,
    fresh,
    rng_of,
    spread,
    write_truth,
)
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

FRAMES = {
    "frames": "{number:04d}.jpg",
    "frames-mmaction": "img_{number:05d}.jpg",
    "frames-pyslowfast": "{video}_{number:06d}.jpg",
}
"""Names of extracted frames, numbered from 1; PySlowFast's are at 30 a second: each stands there two or three times."""

EXTRACTED_FPS = 30

Form = Literal["webm", "mp4", "frames", "frames-mmaction", "frames-pyslowfast"]

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
    container: Form


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
    if film.container in FRAMES:
        _write_frames(task.path, frames, film.container)
    else:
        container: Container = "mp4" if film.container == "mp4" else "webm"
        task.path.write_bytes(encode(frames, FPS, container, film.style.gap))
    return 1


def _write_frames(folder: Path, frames: np.ndarray, form: str) -> None:
    """A file per frame, and the mark that extracting is over."""
    folder.mkdir()
    rate = EXTRACTED_FPS if form == "frames-pyslowfast" else FPS
    for i in range(len(frames) * rate // FPS):
        name = FRAMES[form].format(video=folder.name, number=i + 1)
        (folder / name).write_bytes(jpeg(frames[i * FPS // rate]))
    (folder / "DONE").touch()


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


def _write_labels(
    root: Path, truths: list[ClipTruth], verbs: tuple[str, ...], names_of: str
) -> None:
    """The label files under the names of either download; the older one has no answers to the test."""
    is_old = names_of == "twentybn"
    folder, prefix = (
        (root / "annotations", "something-something-v2-") if is_old else (root / "labels", "")
    )
    folder.mkdir()
    names = sorted(TEMPLATES[v].replace("[", "").replace("]", "") for v in verbs)
    dump(folder / f"{prefix}labels.json", {name: str(i) for i, name in enumerate(names)})
    rows = {split: [t for t in truths if t.split == split] for split in _SPLITS}
    for split in ("train", "validation"):
        dump(folder / f"{prefix}{split}.json", [row_of(t) for t in rows[split]])
    dump(folder / f"{prefix}test.json", [{"id": t.id} for t in rows["test"]])
    if is_old:
        return
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
    place = "frames/{}" if film.container in FRAMES else VIDEOS + "/{}." + film.container
    ids = iter(rng_of(film.seed, 9).permutation(220_847)[: sum(counts.values())] + 1)
    out = []
    for split in _SPLITS:
        for i in range(counts[split]):
            verb = verbs[i % len(verbs)]
            path = root / place.format(next(ids))
            out.append(ClipTask(i, split, verb, _shapes(verb, split, compositional), path, film))
    return out


def _require(**given: tuple[str, Collection[str]]) -> None:
    """Refuses a value that is none of the known ones."""
    for name, (value, known) in given.items():
        if value not in known:
            raise UsageError(
                f"simulate ssv2: {name} '{value}': expected {name} one of {', '.join(known)}."
            )


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
    container: Form = "webm",
    layout: Literal["qualcomm", "twentybn"] = "qualcomm",
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
        container: `webm` (VP9, as released), `mp4` (H.264, as re-packed by others), or extracted frames: `frames`,
            `frames-mmaction`, `frames-pyslowfast`.
        layout: names of the label files: `qualcomm` (of the current download) or `twentybn` (of the older one).
    """
    choices = {"downstream": VERBS, "pretraining": OTHER_VERBS, "all": VERBS + OTHER_VERBS}
    choices["sided"] = VERBS + SIDED_VERBS
    _require(style=(style, STYLES), verbs=(verbs, choices), container=(container, get_args(Form)))
    _require(layout=(layout, ("qualcomm", "twentybn")))
    count, size = PRESETS[job.preset]
    size = Size(frames or size.frames, height or size.height, width or size.width)
    look = STYLES[style] if gap is None else replace(STYLES[style], gap=gap)
    counts = _counts(job.samples or count) | {
        k: v
        for k, v in (("train", train), ("validation", validation), ("test", test))
        if v is not None
    }
    root = fresh(job.out)
    (root / ("frames" if container in FRAMES else VIDEOS)).mkdir()
    tasks = clip_tasks(
        root, counts, choices[verbs], compositional, Film(job.seed, look, size, container)
    )
    truths = [truth_of(t) for t in tasks]
    _write_labels(root, sorted(truths, key=lambda t: int(t.id)), choices[verbs], layout)
    write_truth(job, clips=[asdict(t) for t in truths])
    spread(write_clip, tasks, job)
    return Tree(root, len(tasks), counts)


SIMULATOR = Simulator("real-looking action clips: only a label", simulate)
