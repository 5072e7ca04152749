"""Writes PHAV's raw layout: one folder per video with all modalities side by side (spec phav, sections 3 to 7).

Depth is 16-bit centimetres with 65535 for the sky, classes are colours, frame numbers may be shifted between the
modalities. Traps sit in fixed videos (`TRAPS`). Truth: one .npz per video, maps by position of the RGB frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pvit_converters.simulate.files.images import jpeg, png
from pvit_converters.simulate.phav_tables import (
    ACTIONS,
    CLASSES,
    COLOURS,
    PART_CLASSES,
    UNKNOWN_COLOUR,
    write_colours,
)
from pvit_converters.simulate.tree import Job, Simulator, Size, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.body import body, clothes, solids
from pvit_converters.simulate.world.film import srgb
from pvit_converters.simulate.world.people import DEEDS, perform
from pvit_converters.simulate.world.render import Render, render
from pvit_converters.simulate.world.rooms import paint, pattern
from pvit_converters.simulate.world.scene import (
    Camera,
    Kind,
    Light,
    Material,
    Primitive,
    Scene,
    look_at,
    pinhole,
    pose,
)
from pvit_data.errors import UsageError

Array = np.ndarray
PRESETS = {
    "tiny": (8, Size(6, 48, 64)),
    "small": (24, Size(8, 96, 128)),
    "format": (8, Size(30, 256, 340)),
}
"""Default number of videos, their length and size."""

SKY_DEPTH = 65535
"""Depth value of the sky; one unit is a centimetre (spec, section 7.2)."""

TRAPS = (
    "video 1: no depth",
    "video 2: RGB files with another, ten letters long prefix",
    "video 3: pixels of a colour that is in no table; raw RGB beside the processed one",
    "video 4: a folder name that does not parse, and class images with an alpha channel",
    "video 5: one map missing in the middle",
    "stray .DS_Store files; flow without its last frame; the RGB numbers start at 1, the maps' at 0 unless asked",
)

_ENVIRONMENTS = ("Urban", "GreenCity", "Lake", "Stadium", "Middle")
_PHASES = ("Dawn", "Day", "Dusk")
_WEATHER = ("Clear", "Cloudy", "Foggy", "Rainy")
_PEOPLE = ("Civilian_Female01", "Vincent", "Justin", "Model_Girl", "Joan")


@dataclass(frozen=True)
class VideoTask:
    """One video to write."""

    number: int
    root: Path
    seed: int
    size: Size
    numbering: str
    truth: Path | None

    @property
    def names(self) -> tuple[str, str]:
        """Action folder and video folder."""
        rng = rng_of(self.seed, 40, self.number)
        action = ACTIONS[(self.number * 3 + 2) % len(ACTIONS)]
        fields = [
            f"b{1000 + self.number}",
            *(str(rng.choice(x)) for x in (_ENVIRONMENTS, _PHASES, _WEATHER)),
        ]
        fields += [
            str(rng.choice(["clap_01", "118_29", "walk_forward_02"])),
            str(rng.choice(_PEOPLE)),
            "Kite",
        ]
        fields += [str(rng.choice(list("bnopw"))), rng.bytes(16).hex()]
        return action, f"take_{self.number} (copy)" if self.number == 4 else "-".join(fields)


def _thing(
    kind: Kind,
    at: tuple[float, float, float],
    half: tuple[float, float, float],
    m: Material,
    name: str,
) -> Primitive:
    return Primitive(
        kind, pose(position=np.array([at])), np.array([half]), m, CLASSES.index(name), shadow=0.4
    )


def _street(rng: np.random.Generator) -> list[Primitive]:
    """Ground, houses, trees, a pole and a car, around a place where people stand."""
    grey = (0.15, 0.6)
    ground = Primitive(
        "plane", pose(), np.ones((1, 3)), pattern(rng, 0.3, 0.4, grey), CLASSES.index("Road")
    )
    out = [ground]
    for x in (-1, 1):
        w, d, h = rng.uniform(2, 4), rng.uniform(2, 4), rng.uniform(3, 7)
        out.append(
            _thing(
                "box",
                (x * rng.uniform(5, 8), rng.uniform(8, 18), h),
                (w, d, h),
                pattern(rng, 0.4),
                "Building",
            )
        )
        at = (x * rng.uniform(2, 4), rng.uniform(4, 9))
        out.append(
            _thing("capsule", (*at, 1.0), (0.15, 0.15, 1.0), Material((0.2, 0.1, 0.05)), "Tree")
        )
        out.append(_thing("ball", (*at, 2.8), (1.0, 1.0, 1.1), pattern(rng, 0.9), "Tree"))
    out.append(
        _thing(
            "capsule",
            (rng.uniform(-2, 2), 6.0, 2.0),
            (0.06, 0.06, 2.0),
            Material(paint(rng)),
            "Pole",
        )
    )
    out.append(
        _thing(
            "box", (rng.uniform(-3, 3), 7.0, 0.6), (1.0, 0.5, 0.5), Material(paint(rng, 1.0)), "Car"
        )
    )
    return out


def _scene(task: VideoTask) -> Scene:
    rng = rng_of(task.seed, 41, task.number)
    size = task.size
    solid = _street(rng)
    for i in range(1 + task.number % 2):
        place = np.array([(-0.5, 0.6)[i] if task.number % 2 else 0.0, 3.0, 0.0])
        deed = DEEDS[int(rng.integers(len(DEEDS)))]
        person = body(perform(rng, size.frames, place, -np.pi / 2 + rng.uniform(-0.8, 0.8), deed))
        solid += [
            replace(s, class_id=PART_CLASSES[s.part]) for s in solids(person, clothes(rng), 0, i)
        ]
    ball = _thing(
        "ball", (rng.uniform(-1, 1), 2.4, 0.15), (0.15, 0.15, 0.15), pattern(rng, 1.0), "Ball"
    )
    solid.append(replace(ball, instance=2))
    way = min(0.12 * size.frames, 1.2) * rng.choice([-1, 1])
    drift = np.linspace(-0.5, 0.5, size.frames)[:, None] * [way, 0.3 * rng.uniform(-1, 1), 0.0]
    eye = np.array([rng.uniform(-0.5, 0.5), -0.6, 1.4]) + drift
    view = look_at(eye, np.tile([0.0, 3.0, 0.9], (size.frames, 1)))
    camera = Camera(
        pinhole(0.9 * size.width, size.height, size.width), view, size.height, size.width
    )
    return Scene(
        tuple(solid),
        camera,
        Light(np.array([2.0, 0.0, 6.0]), np.array(2.0), 0.5),
        size.frames,
        (0.5, 0.65, 0.9),
    )


def _numbers(task: VideoTask) -> tuple[list[int], dict[int, int]]:
    """File numbers of the RGB frames, and of each frame's maps (by frame, where it has one)."""
    frames = range(task.size.frames)
    rgb = [i + 1 for i in frames]
    if task.numbering == "shifted":
        return rgb, {i: i for i in frames}
    if task.numbering == "equal":
        return rgb, {i: i + 1 for i in frames if i < task.size.frames - 1}
    return rgb, {i: i + 1 for i in frames if i < task.size.frames - 1} | {-1: 0}


def _write_tables(folder: Path, names: dict[int, str]) -> None:
    rows = [f"{name} {i * 40 + 30} {200 - i * 60} 90\n" for i, name in names.items()]
    (folder / "instances.txt").write_text("Name r g b\n" + "".join(rows), encoding="utf-8")


def _colours(ids: Array, nothing: tuple[int, int, int], table: Array) -> Array:
    out: Array = np.concatenate([table, [nothing]])[ids].astype(np.uint8)
    return out


def write_video(task: VideoTask) -> int:
    """Renders and writes one video folder."""
    picture = render(_scene(task))
    folder = task.root / task.names[0] / task.names[1]
    folder.mkdir(parents=True)
    (folder.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    rgb_numbers, map_numbers = _numbers(task)
    exposure = 0.8
    frames = srgb(picture.radiance, exposure)
    prefix = "rgb_image_" if task.number == 2 else "img_"
    for number, frame in zip(rgb_numbers, frames, strict=True):
        (folder / f"{prefix}{number:05d}.jpg").write_bytes(jpeg(frame))
        if task.number == 3:
            (folder / f"raw_{number:05d}.jpg").write_bytes(jpeg(frame // 2))
        if number != rgb_numbers[-1]:
            for axis in "xy":
                (folder / f"flow_{axis}_{number:05d}.jpg").write_bytes(
                    jpeg(np.full_like(frame, 128))
                )
    classes = np.where(picture.surface, picture.ids("class_id"), CLASSES.index("Sky"))
    names = {0: "Person_0", 1: "Person_1", 2: "Ball_0"}
    _write_tables(folder, names)
    given = _write_maps(task, folder, picture, classes, map_numbers)
    if task.truth is not None:
        _write_truth(task, picture, classes, given)
    return 1


def _write_maps(
    task: VideoTask, folder: Path, picture: Render, classes: Array, numbers: dict[int, int]
) -> list[int]:
    """Depth, class and instance images; returns the frames that have them."""
    instances = np.array([(i * 40 + 30, 200 - i * 60, 90) for i in range(3)])
    centimetres = np.minimum(
        np.round(np.where(picture.surface, picture.depth, 0) * 100), SKY_DEPTH - 6
    )
    depth = np.where(picture.surface, centimetres, SKY_DEPTH).astype(np.uint16)
    given = []
    for frame, number in numbers.items():
        if task.number == 5 and frame == task.size.frames // 2:
            continue
        i = max(frame, 0)
        coloured = _colours(classes[i], (0, 0, 0), COLOURS)
        if task.number == 3:
            coloured[:6, :9] = UNKNOWN_COLOUR
        if task.number == 4:
            coloured = np.concatenate([coloured, np.full_like(coloured[..., :1], 255)], -1)
        (folder / f"classgt_{number:05d}.png").write_bytes(png(coloured))
        ids = _colours(picture.ids("instance")[i], (0, 0, 0), instances)
        (folder / f"instancegt_{number:05d}.png").write_bytes(png(ids))
        if task.number != 1:
            (folder / f"depth_{number:05d}.png").write_bytes(png(depth[i]))
        given.append(frame)
    return [f for f in given if f >= 0]


def _write_truth(task: VideoTask, picture: Render, classes: Array, given: list[int]) -> None:
    assert task.truth is not None
    segm = classes.astype(np.uint8)
    if task.number == 3:
        segm[:, :6, :9] = 255
    (task.truth / task.names[0]).mkdir(parents=True, exist_ok=True)
    np.savez(
        task.truth / task.names[0] / f"{task.names[1]}.npz",
        frames=np.array(given),
        depth=np.where(picture.surface, picture.depth, 0).astype(np.float32)[given],
        segm=segm[given],
        instance=picture.ids("instance")[given],
        action=np.array(ACTIONS.index(task.names[0])),
        has_depth=np.array(task.number != 1),
    )


def simulate(
    job: Job,
    *,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    numbering: Literal["shifted", "equal", "zero"] = "shifted",
) -> Tree:
    """Writes a PHAV tree, `out/<Action>/<Video>/<files>`.

    Args:
        job: `samples` is the number of videos.
            Presets: `tiny` (6x48x64), `small` (8x96x128) or `format` (30x256x340).
        frames, height, width: another length or size.
        numbering: `shifted`: RGB 1..N, maps 0..N-1, map i belongs to RGB i + 1; `equal`: maps 1..N-1, same numbers;
            `zero`: maps 0..N-1, same numbers, so that map 0 has no RGB frame and RGB N no map.
    """
    if numbering not in ("shifted", "equal", "zero"):
        raise UsageError(
            f"simulate phav: numbering '{numbering}', expected shifted, equal or zero."
        )
    count, size = PRESETS[job.preset]
    size = Size(frames or size.frames, height or size.height, width or size.width)
    root = fresh(job.out)
    tasks = [
        VideoTask(i, root, job.seed, size, numbering, job.truth)
        for i in range(job.samples or count)
    ]
    write_colours(root / "colors.txt")
    spread(write_video, tasks, job)
    return Tree(root, len(tasks), {}, TRAPS)


SIMULATOR = Simulator("street clips: depth in centimetres, class and instance colours", simulate)
