"""Writes SURREACT's raw layout: people over a still picture, 320x240, with `_info.mat` and `_segm.mat` (spec surreact).

World axes of the files: z points down in the image, the pelvis stays near (0, 0, 1), the camera moves around it. Sets
differ as in the release: person axis, lengths, missing segmentation (`TRAPS`). `maps=True` adds the depth and normal
files that a user would have to render. Truth: one .npz per clip with exact joints, maps and camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pvit_converters.simulate.files.arrays import write_mat
from pvit_converters.simulate.files.skeletons import write_ntu, write_uestc
from pvit_converters.simulate.files.video import encode
from pvit_converters.simulate.tree import Job, Simulator, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.body import KINECT, SMPL, Body, body, clothes, solids
from pvit_converters.simulate.world.film import srgb
from pvit_converters.simulate.world.people import DEEDS, perform
from pvit_converters.simulate.world.render import Render, rays_of, render
from pvit_converters.simulate.world.scene import Camera, Light, Scene, pose
from pvit_data.errors import UsageError

Array = np.ndarray
HEIGHT, WIDTH, FOCAL, FPS = 240, 320, 600.0, 30
"""Image size, focal length in pixels and frame rate of every clip (spec, sections 3 and 6)."""

BACKGROUND_DEPTH = 1e10
"""Depth of pixels without a person in `_depth.mat` (spec, section 5)."""

VIEWS = (0, 45, 180, 270, 90, 135, 225, 315)
PRESETS = {"tiny": (16, 6), "small": (64, 16), "format": (16, 64)}
"""Default number of clips and their length."""

AXES = np.diag([1.0, -1.0, -1.0])
"""Between the files' world (z down) and the renderer's (z up); a proper rotation."""

PELVIS = 0.92
"""Height in metres at which the renderer's people carry their pelvis, where the files have z = 1."""

TRAPS = (
    "ntu/vibe: a person axis; some clips show two people; one info file has a NaN frame",
    "ntu/hmmr: no person axis; one clip without segmentation, one with a segmentation that ends a frame early",
    "uestc/hmmr: info arrays longer than the video, their tails filled with garbage",
    "uestc/vibe: no segmentation at all, videos longer than the info arrays",
    "foreground videos (_fg.mp4) beside the real ones; joints2D rounded, and counted from the bottom unless asked",
)

_SETS = (("ntu", "vibe", "train"), ("ntu", "hmmr", "train"), ("uestc", "hmmr", "train"), ("uestc", "vibe", "train"),
         ("ntu", "vibe", "test"))  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How the files differ from run to run; see `simulate`."""

    maps: bool
    depth_kind: str
    joints2d: str
    zrot: str
    skeletons: bool

    def __post_init__(self) -> None:
        allowed = {
            "depth_kind": ("planar", "distance"),
            "joints2d": ("bottom", "top"),
            "zrot": ("zero", "view"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise UsageError(
                    f"simulate surreact: {name} '{getattr(self, name)}' is unknown, expected {' or '.join(values)}."
                )


@dataclass(frozen=True)
class ClipTask:
    """One clip to write. `number` counts the sequences of its set."""

    dataset: str
    estimator: str
    split: str
    number: int
    view: int
    frames: int
    root: Path
    seed: int
    truth: Path | None
    look: Look

    @property
    def sequence(self) -> str:
        """Folder name; UESTC's end in `.avi` and are folders all the same."""
        i, which = self.number, self.set
        if self.dataset == "ntu":
            action = 50 + i % 11 if i % 3 == 1 else 1 + i % 49
            return f"S{1 + (i + 5 * which) % 17:03d}C00{2 + i % 2}P{1 + i % 40:03d}R00{2 - i % 2}A{action:03d}"
        return f"a{i % 40}_d1_p{1 + i + 40 * which:03d}_c1_color.avi"

    @property
    def set(self) -> int:
        """Number of the set."""
        return _SETS.index((self.dataset, self.estimator, self.split))

    @property
    def people(self) -> int:
        """NTU's actions 50 to 60 show two people."""
        return 2 if self.dataset == "ntu" and int(self.sequence[-3:]) >= 50 else 1


def camera_of(view: float, distance: float, height: float) -> tuple[Array, Array]:
    """Rotation (3,3) and translation (3,) from the files' world to OpenCV camera axes (spec, section 6)."""
    th, phi = np.radians(view), np.arctan2(height - 1, distance)
    c, s, cp, sp = np.cos(th), np.sin(th), np.cos(phi), np.sin(phi)
    R = np.array([[c, -s, 0], [-sp * s, -sp * c, cp], [-cp * s, -cp * c, -sp]])
    return R, -R @ np.array([distance * s, distance * c, height])


def _bodies(task: ClipTask, frames: int) -> list[Body]:
    """The people of a sequence: the motion is shared by its views, the pelvis pinned (a single one) or centred."""
    rng = rng_of(task.seed, 30, task.number, task.set)
    out = []
    for i in range(task.people):
        x = 0.0 if task.people == 1 else (-0.45, 0.45)[i] + rng.uniform(-0.05, 0.05)
        heading = (
            -np.pi / 2 + rng.uniform(-0.3, 0.3)
            if task.people == 1
            else (0.0, np.pi)[i] - 0.6 * (1 - 2 * i)
        )
        motion = perform(
            rng, frames, np.array([x, 0, 0]), heading, DEEDS[int(rng.integers(len(DEEDS)))]
        )
        person = body(motion)
        drift = person.joints["pelvis"] - [x, 0, PELVIS]
        if task.people > 1:
            drift = drift * [0, 0, 1]
        out.append(Body({k: v - drift for k, v in person.joints.items()}, person.size))
    return out


def _to_file(points: Array) -> Array:
    """Renderer's world to the files' world."""
    return np.asarray(points @ AXES + np.array([0, 0, 1 + PELVIS]))


def _still(rng: np.random.Generator) -> Array:
    """A smooth colourful picture (240,320,3) in linear light, for the background."""
    coarse = rng.uniform(0.05, 0.7, (7, 9, 3))
    y, x = np.linspace(0, 5.999, HEIGHT), np.linspace(0, 7.999, WIDTH)
    yi, xi = y.astype(int), x.astype(int)
    fy, fx = (y - yi)[:, None, None], (x - xi)[None, :, None]
    top = coarse[yi][:, xi] * (1 - fx) + coarse[yi][:, xi + 1] * fx
    low = coarse[yi + 1][:, xi] * (1 - fx) + coarse[yi + 1][:, xi + 1] * fx
    image = top * (1 - fy) + low * fy
    image[rng.integers(60, 200) :] *= rng.uniform(0.4, 0.9)
    return np.asarray(image)


@dataclass(frozen=True)
class _Clip:
    people: list[Body]
    picture: Render
    frames: Array
    R: Array
    t: Array
    distance: float
    height: float
    rng: np.random.Generator


def _clip(task: ClipTask) -> _Clip:
    rng = rng_of(task.seed, 31, task.number, task.view, task.set)
    people = _bodies(task, task.frames)
    distance, height = float(rng.uniform(4, 6)), float(rng.uniform(-0.2, 2.2))
    R, t = camera_of(task.view, distance, height)
    centre = (-R.T @ t - [0, 0, 1 + PELVIS]) @ AXES
    K = np.array([[[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]])
    camera = Camera(K, pose((AXES @ R.T)[None], centre[None]), HEIGHT, WIDTH)
    parts = tuple(s for i, p in enumerate(people) for s in solids(p, clothes(rng), 0, i))
    lamp = centre + np.array([0.5, 0.3, 2.0])
    picture = render(Scene(parts, camera, Light(lamp, np.array(1.5), 0.4), task.frames))
    image = np.where(picture.surface[..., None], picture.radiance, _still(rng))
    return _Clip(people, picture, srgb(image), R, t, distance, height, rng)


def _info(task: ClipTask, clip: _Clip) -> tuple[dict[str, Any], int]:
    """The variables of `_info.mat` and the number of frames that hold real joints."""
    world = np.stack([_to_file(p.ordered(SMPL)) for p in clip.people])
    cam = world @ clip.R.T + clip.t
    uv = FOCAL * cam[..., :2] / cam[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    if task.look.joints2d == "bottom":
        uv[..., 1] = HEIGHT - uv[..., 1]
    joints3d = np.transpose(world, (0, 3, 2, 1)).astype(np.float32)
    joints2d = np.transpose(np.round(uv), (0, 3, 2, 1)).astype(np.float32)
    length, people = task.frames, len(clip.people)
    arrays: dict[str, Array] = {"joints2D": joints2d, "joints3D": joints3d}
    arrays["pose"] = clip.rng.normal(0, 0.2, (people, 72, length)).astype(np.float32)
    arrays["shape"] = clip.rng.normal(0, 1, (people, 10))
    if (task.dataset, task.estimator) == ("uestc", "hmmr"):
        garbage = clip.rng.normal(0, 1e6, (people, 3, 24, 5)).astype(np.float32)
        arrays["joints3D"] = np.concatenate([joints3d, garbage], -1)
        arrays["joints2D"] = np.concatenate([joints2d, garbage[:, :2]], -1)
    if (task.dataset, task.estimator) == ("uestc", "vibe"):
        length -= 2
        arrays |= {k: v[..., :length] for k, v in arrays.items() if k != "shape"}
    if (task.dataset, task.estimator, task.number) == ("ntu", "vibe", 0):
        arrays["joints3D"][:, :, :, 1] = np.nan
    if (task.dataset, task.estimator) == ("ntu", "hmmr") and people == 1:
        arrays = {k: v[0] for k, v in arrays.items()}
    angle = {"zero": 0.0, "view": float(task.view)}[task.look.zrot]
    scalars = {"gender": np.uint8(clip.rng.integers(2)), "zrot_euler": np.float32(angle)}
    scalars |= {"cam_dist": np.float32(clip.distance), "cam_height": np.float32(clip.height)}
    texts = {
        "bg": "backgrounds/still.jpg",
        "cloth": "textures/plain.jpg",
        "source": "ntu",
        "sequence": task.sequence,
    }
    return {**arrays, **scalars, **texts, "light": clip.rng.normal(0, 1, (1, 9))}, length


def _maps(task: ClipTask, clip: _Clip, stem: str, folder: Path) -> int:
    """Writes segmentation and, if asked, depth and normals; returns the number of segmentation frames."""
    picture, frames = clip.picture, task.frames
    lacks = (task.dataset, task.estimator) == ("uestc", "vibe")
    short = (task.dataset, task.estimator) == ("ntu", "hmmr")
    lacks = lacks or (short and (task.number, task.view) == (0, VIEWS[0]))
    length = frames - 1 if short and (task.number, task.view) == (0, VIEWS[1]) else frames
    part = picture.ids("part", 0).astype(np.uint8)
    if not lacks:
        write_mat(folder / f"{stem}_segm.mat", {f"segm_{i + 1}": part[i] for i in range(length)})
    if task.look.maps:
        depth = picture.depth
        if task.look.depth_kind == "distance":
            rays = rays_of(picture.scene.camera.K, HEIGHT, WIDTH)[0]
            depth = depth * np.sqrt(1 + (rays * rays).sum(-1))
        depth = np.where(picture.surface, depth, BACKGROUND_DEPTH).astype(np.float32)
        world = (picture.normal @ clip.R).astype(np.float32)
        write_mat(folder / f"{stem}_depth.mat", {f"depth_{i + 1}": depth[i] for i in range(frames)})
        write_mat(
            folder / f"{stem}_normal.mat", {f"normal_{i + 1}": world[i] for i in range(frames)}
        )
    return frames if lacks else length


def write_clip(task: ClipTask) -> int:
    """Renders and writes one clip with all its files."""
    clip = _clip(task)
    folder = task.root / task.dataset / task.estimator / task.split / task.sequence
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{task.sequence}_v{task.view:03d}_r00"
    (folder / f"{stem}.mp4").write_bytes(encode(clip.frames, FPS, "mp4"))
    if task.number == 0:
        alone = np.where(clip.picture.surface[..., None], clip.frames, 0).astype(np.uint8)
        (folder / f"{stem}_fg.mp4").write_bytes(encode(alone, FPS, "mp4"))
    info, info_length = _info(task, clip)
    write_mat(folder / f"{stem}_info.mat", info)
    length = min(_maps(task, clip, stem, folder), info_length, task.frames)
    if task.look.skeletons and task.view == 0:
        _write_skeleton(task, clip)
    if task.truth is not None:
        _write_truth(task, clip, stem, length)
    return 1


def _write_skeleton(task: ClipTask, clip: _Clip) -> None:
    """The Kinect recording of the front view: mirrored, so its left is the rendered right (spec, section 8.4)."""
    joints = np.stack([_to_file(p.ordered(KINECT)) @ clip.R.T + clip.t for p in clip.people])
    folder = task.root / "skeletons"
    folder.mkdir(exist_ok=True)
    if task.dataset == "ntu":
        write_ntu(folder / f"{task.sequence}.skeleton", joints)
    else:
        write_uestc(
            folder / f"{task.sequence.removesuffix('_color.avi')}_skeleton.mat",
            joints,
            task.number % 2 == 0,
        )


def _write_truth(task: ClipTask, clip: _Clip, stem: str, length: int) -> None:
    assert task.truth is not None
    folder = task.truth / task.dataset / task.estimator / task.split
    folder.mkdir(parents=True, exist_ok=True)
    smpl, kinect = (
        np.stack([_to_file(p.ordered(order)) @ clip.R.T + clip.t for p in clip.people], 1)[:length]
        for order in (SMPL, KINECT)
    )
    uv = FOCAL * smpl[..., :2] / smpl[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    absent = np.zeros(length, bool)
    absent[1] = (task.dataset, task.estimator, task.number) == ("ntu", "vibe", 0)
    view = pose(clip.R.T[None], (-clip.R.T @ clip.t)[None])[0]
    np.savez(
        folder / f"{stem}.npz",
        length=np.array(length),
        smpl=smpl.astype(np.float32),
        kinect=kinect.astype(np.float32),
        smpl2d=uv.astype(np.float32),
        joints_absent=absent,
        segm=clip.picture.ids("part", 0).astype(np.uint8)[:length],
        depth=np.where(clip.picture.surface, clip.picture.depth, 0).astype(np.float32)[:length],
        normal=clip.picture.normal.astype(np.float32)[:length],
        K=clip.picture.scene.camera.K[0],
        world_from_camera=view,
    )


def simulate(
    job: Job,
    *,
    frames: int | None = None,
    maps: bool = False,
    depth_kind: Literal["planar", "distance"] = "planar",
    joints2d: Literal["bottom", "top"] = "bottom",
    zrot: Literal["zero", "view"] = "zero",
    skeletons: bool = False,
    sets: tuple[str, ...] = ("ntu/vibe", "ntu/hmmr", "uestc/hmmr", "uestc/vibe"),
    views: tuple[int, ...] = VIEWS,
) -> Tree:
    """Writes SURREACT sets, `out/{ntu,uestc}/{vibe,hmmr}/{train,test}/...`, two views of every sequence.

    Args:
        job: `samples` is the number of clips over all sets.
            Presets: `tiny` (6 frames), `small` (16) or `format` (64); the size is always 320x240.
        frames: another length (at least 4).
        maps: also write `_depth.mat` and `_normal.mat`.
        depth_kind: `planar` (new Blender) or `distance` (old Blender).
        joints2d: rows counted from the `bottom` (as the public code does) or the `top`.
        zrot: what `zrot_euler` holds: `zero` (as documented) or the `view` angle.
        skeletons: also write the original Kinect recordings of the front views to `out/skeletons`.
        sets: which sets: ntu/vibe, ntu/hmmr, uestc/hmmr, uestc/vibe.
        views: angles of the cameras in degrees, two or more of 0, 45 ... 315; single people face 0.
    """
    look = Look(maps, depth_kind, joints2d, zrot, skeletons)
    count, length = PRESETS[job.preset]
    length = frames or length
    if length < 4:
        raise UsageError(f"simulate surreact: frames must be at least 4, not {length}.")
    chosen = [s for s in _SETS if f"{s[0]}/{s[1]}" in sets]
    if not chosen:
        raise UsageError(
            f"simulate surreact: no set in {sets} is ntu/vibe, ntu/hmmr, uestc/hmmr or uestc/vibe."
        )
    if len(set(views)) < 2 or not set(views) <= set(VIEWS):
        raise UsageError(f"simulate surreact: views must be two or more of {VIEWS}, not {views}.")
    root = fresh(job.out)
    tasks = []
    for i in range(job.samples or count):
        number = i // 2 // len(chosen)
        view = views[(i % 2 + 2 * number) % len(views)]
        tasks.append(
            ClipTask(
                *chosen[i // 2 % len(chosen)], number, view, length, root, job.seed, job.truth, look
            )
        )
    spread(write_clip, tasks, job)
    splits = {s: sum(t.split == s for t in tasks) for s in ("train", "test")}
    return Tree(root, len(tasks), splits, TRAPS)


SIMULATOR = Simulator("people over stills: SMPL joints, body parts; depth on request", simulate)
