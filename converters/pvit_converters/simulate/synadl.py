"""Writes KIST SynADL's raw layout: 640x360 AVIs and one JSON per video, joint set and dimension (spec synadl).

3D joints are centimetres with y up, in the camera of each view, less a constant translation per file; 2D joints are
pixels. Only joints are annotated, so videos are rendered at a quarter of their size unless the preset is `format`.
Traps sit in fixed clips (`TRAPS`). Truth: one .npz per video with joints in OpenCV camera axes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.simulate.files.video import encode
from pvit_converters.simulate.tree import Job, Simulator, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.body import BODY25, KINECT, Body, body, clothes, solids
from pvit_converters.simulate.world.film import srgb
from pvit_converters.simulate.world.people import DEEDS, perform
from pvit_converters.simulate.world.render import render
from pvit_converters.simulate.world.rooms import room
from pvit_converters.simulate.world.scene import Camera, Scene, look_at, pinhole
from pvit_data.errors import UsageError

Array = np.ndarray
HEIGHT, WIDTH, FOCAL, FPS = 360, 640, 320.0, 20
"""Video size, the focal length that makes 2D and 3D joints agree, and the frame rate (spec, sections 5.5 and 6)."""

PRESETS = {"tiny": (12, 6, 8), "small": (32, 12, 4), "format": (8, 48, 1)}
"""Default number of clips, their length, and how many times smaller the video is rendered."""

CAMERAS = (1, 9)
ACTIONS = (1, 46, 22, 54, 16, 48)
"""Actions in turn; 46 and 48 show two people."""
PEOPLE, TAKES = 15, 20
"""Persons in turn, and numbers that a file name leaves for repetitions (G001 to G020)."""
FRONT = np.pi * sum(CAMERAS) / 28
"""Direction in the middle between the two cameras, radians."""

TRAPS = (
    "clip 1: no skeleton files",
    "clip 2: the video is one frame longer than the skeleton, whose frame_index starts at 1",
    "clip 3: two skeleton entries in actions of two people",
    "clip 4: a NaN joint, a frame without a skeleton, Kinect joints as nested lists without scores",
    "clip 5: frame_index as text, a file name with a suffix, Kinect joints with a fourth value",
    "joints out of the picture have score 0; every 3D file lacks its own constant translation",
)


@dataclass(frozen=True)
class ClipTask:
    """One video to write: `order` numbers the videos, `number` the recordings that its cameras share."""

    order: int
    number: int
    camera: int
    root: Path
    seed: int
    frames: int
    shrink: int
    kinect: bool
    truth: Path | None
    actions: tuple[int, ...] = ACTIONS
    facing: float = 180

    @property
    def stem(self) -> str:
        """`A..._P..._G..._C...`."""
        turn, which = divmod(self.number, len(self.actions))
        take, person = divmod(turn, PEOPLE)
        return f"A{self.actions[which]:03d}_P{101 + person:03d}_G{1 + take:03d}_C{self.camera:03d}"

    @property
    def people(self) -> int:
        """Actions 45 to 48 show two."""
        return 2 if 45 <= int(self.stem[1:4]) <= 48 else 1


def _people(task: ClipTask) -> list[Body]:
    rng = rng_of(task.seed, 50, task.number)
    out = []
    for i in range(task.people):
        heading = float(FRONT + np.radians(task.facing) * rng.uniform(-1, 1))
        place = np.array([0.7 * i - 0.3 * (task.people - 1), rng.uniform(-0.2, 0.2), 0.0])
        deed = DEEDS[int(rng.integers(len(DEEDS)))]
        out.append(
            body(perform(rng, task.frames, place, heading, deed, float(rng.uniform(0.9, 1.05))))
        )
    return out


def _view(task: ClipTask) -> Array:
    rng = rng_of(task.seed, 51, task.number, task.camera)
    angle = 2 * np.pi * task.camera / 28 + rng.uniform(-0.1, 0.1)
    distance = rng.uniform(1.3, 1.5)
    eye = np.array([[distance * np.cos(angle), distance * np.sin(angle), rng.uniform(1.3, 2.0)]])
    return look_at(eye, np.array([[0.0, 0.0, 0.95]]))


def _film(task: ClipTask, people: list[Body], view: Array) -> Array:
    """Frames (T,360,640,3): the people in an empty room, rendered small and enlarged."""
    rng = rng_of(task.seed, 52, task.number)
    space = room(rng, person=False, window=False)
    parts = tuple(p for p in space.primitives if p.instance <= 3)
    parts += tuple(s for i, p in enumerate(people) for s in solids(p, clothes(rng), 31, 90 + i))
    height, width = HEIGHT // task.shrink, WIDTH // task.shrink
    camera = Camera(pinhole(FOCAL / task.shrink, height, width), view, height, width)
    small = srgb(render(Scene(parts, camera, space.light, task.frames)).radiance)
    return small.repeat(task.shrink, 1).repeat(task.shrink, 2)


def _project(joints: Array) -> Array:
    uv: Array = FOCAL * joints[..., :2] / joints[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    return uv


def _pose(task: ClipTask, kinect: bool, values: Array, scores: Array) -> dict[str, Any]:
    """One skeleton entry; Kinect files come in several forms."""
    rounded = [[None if np.isnan(v) else round(float(v), 5) for v in joint] for joint in values]
    rows: list[Any] = [[float("nan") if v is None else v for v in joint] for joint in rounded]
    if kinect and task.order == 4:
        return {"pose": rows}
    if kinect and task.order == 5:
        rows = [[*joint, float(s)] for joint, s in zip(rows, scores, strict=True)]
    return {
        "pose": [v for joint in rows for v in joint],
        "score": [float(s) for s in scores],
        "id": 0,
    }


def _skeleton(task: ClipTask, kinect: bool, values: Array, scores: Array) -> dict[str, Any]:
    """The JSON of one joint set and dimension; `values` (T,P,25,2 or 3)."""
    data = []
    for t in range(len(values)):
        index: Any = t + (task.order % 2 == 0)
        people = [_pose(task, kinect, v, s) for v, s in zip(values[t], scores[t], strict=True)]
        if task.order == 4 and t == 1:
            people = []
        data.append({"frame_index": str(index) if task.order == 5 else index, "skeleton": people})
    return {"data": data}


def write_clip(task: ClipTask) -> int:
    """Renders and writes one video and its skeleton files."""
    people, view = _people(task), _view(task)
    frames = _film(task, people, view)
    if task.order == 2:
        frames = np.concatenate([frames, frames[-1:]])
    suffix = "_rgb" if task.order == 5 else ""
    (task.root / "RGB" / f"{task.stem}{suffix}.avi").write_bytes(encode(frames, FPS, "avi"))
    truth: dict[str, Any] = {"frames": np.array(task.frames), "people": np.array(len(people))}
    for kinect, order, folder in ((False, BODY25, "Openpose"), (True, KINECT, "Kinect")):
        world = np.stack([p.ordered(order) for p in people], 1)
        cam = (world - view[0, :3, 3]) @ view[0, :3, :3]
        name = "kinect" if kinect else "body25"
        uv = _project(cam)
        inside = ((uv >= 0) & (uv < [WIDTH, HEIGHT])).all(-1) & (cam[..., 2] > 0.05)
        truth |= {
            name: cam.astype(np.float32),
            f"{name}_2d": uv.astype(np.float32),
            f"{name}_score": inside,
        }
        if task.order != 1 and (task.kinect or not kinect):
            _write_json(task, kinect, folder, cam, uv, inside)
    if task.truth is not None:
        np.savez(task.truth / f"{task.stem}.npz", **truth)
    return 1


def _write_json(
    task: ClipTask, kinect: bool, folder: str, cam: Array, uv: Array, scores: Array
) -> None:
    """The 2DJ and 3DJ files; the 3D one is moved by a translation of its own, y up, in centimetres."""
    shift = rng_of(task.seed, 53, task.order, kinect).uniform(-0.4, 0.4, 3) * [1, 1, 0.8]
    stored = (cam - shift) * [100, -100, 100]
    if task.order == 4:
        stored[2, 0, 7] = np.nan
    for kind, values in (("2DJ", uv), ("3DJ", stored)):
        path = task.root / folder / kind / f"{task.stem}.json"
        path.write_text(json.dumps(_skeleton(task, kinect, values, scores)), encoding="utf-8")


def simulate(
    job: Job,
    *,
    frames: int | None = None,
    kinect: bool = True,
    actions: tuple[int, ...] = ACTIONS,
    facing: float = 180,
) -> Tree:
    """Writes a SynADL tree, `out/{RGB,Openpose,Kinect}/...`, two cameras of every recording.

    Args:
        job: `samples` is the number of videos.
            Presets: `tiny` (6 frames), `small` (12) or `format` (48); the size is always 640x360.
        frames: another length (at least 4).
        kinect: whether the Kinect files exist too.
        actions: numbers of the actions that take turns, 1 to 55; 45 to 48 show two people.
        facing: degrees that people turn at most away from the middle between the two cameras; 180 is any direction.

    Raises:
        UsageError: for actions that do not exist, or for more videos than there are file names.
    """
    count, length, shrink = PRESETS[job.preset]
    total = job.samples or count
    most = len(CAMERAS) * len(actions) * PEOPLE * TAKES
    if not actions or not set(actions) <= set(range(1, 56)):
        raise UsageError(f"simulate synadl: actions must be numbers from 1 to 55, not {actions}.")
    if total > most:
        raise UsageError(
            f"simulate synadl: {total} videos, but only {most} have names of their own; add actions."
        )
    root = fresh(job.out)
    for folder in ("Openpose", "Kinect") if kinect else ("Openpose",):
        for kind in ("2DJ", "3DJ"):
            (root / folder / kind).mkdir(parents=True)
    (root / "RGB").mkdir()
    if job.truth is not None:
        job.truth.mkdir(parents=True, exist_ok=True)
    tasks = [
        ClipTask(
            i,
            i // 2,
            CAMERAS[i % 2],
            root,
            job.seed,
            max(frames or length, 4),
            shrink,
            kinect,
            job.truth,
            actions,
            facing,
        )
        for i in range(total)
    ]
    spread(write_clip, tasks, job)
    return Tree(root, total, {}, TRAPS)


SIMULATOR = Simulator("people in rooms: OpenPose and Kinect joints in 2D and 3D", simulate)
