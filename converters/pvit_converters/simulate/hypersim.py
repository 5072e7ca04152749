"""Writes simulated rooms in Hypersim's raw layout (spec hypersim, sections 2 to 7), small images by default.

Scenes are called `ai_9xx_NNN`. Cameras rotate over the scenes: plain, tilted, off-centre; so do the asset units. Known
traps sit at fixed places (`TRAPS`). `truth` asks for one .npz per frame, in a folder of its own, with the exact planar
depth, camera and world normals, ids, boxes and camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate import hypersim_tables as tables
from pvit_converters.simulate.files.arrays import write_hdf5
from pvit_converters.simulate.files.images import jpeg
from pvit_converters.simulate.tree import Job, Simulator, Size, Tree, fresh, rng_of, spread
from pvit_converters.simulate.world.film import tonemap
from pvit_converters.simulate.world.outlines import boxes_of
from pvit_converters.simulate.world.render import Render, rays_of, render
from pvit_converters.simulate.world.rooms import Room, room, wander
from pvit_converters.simulate.world.scene import Camera, Scene

Array = np.ndarray

PRESETS = {
    "tiny": (48, Size(1, 48, 64)),
    "small": (600, Size(1, 96, 128)),
    "format": (24, Size(1, 768, 1024)),
}
"""Default number of frames, and their size."""

TRAPS = (
    "ai_901_002: one released frame has no files, and a trajectory is listed but excluded",
    "ai_901_003: no color.hdf5, only the tone-mapped JPEG",
    "ai_901_004: one frame without normals",
    "ai_901_005: the first frame's orientation is not a rotation, and its normal_cam was made with it",
    "every second frame: patches of zero, unnormalised and back-facing normals",
    "windows without a surface (NaN, -1), things without a label",
)

FLIP = np.diag([1.0, -1.0, -1.0])
"""Between OpenCV and OpenGL camera axes."""


@dataclass(frozen=True)
class SceneTask:
    """One scene to write; see `tables.plan`."""

    plan: tables.ScenePlan
    root: Path
    seed: int
    size: Size
    truth: Path | None
    traps: bool
    everything: bool


def k_from_uv(m: Float[np.ndarray, "3 3"], height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """The pixel matrix K (OpenCV axes) of Hypersim's M_cam_from_uv (spec hypersim, section 3)."""
    uv_from_pixel = np.array([[2 / width, 0, -1], [0, -2 / height, 1], [0, 0, 1]])
    return np.asarray(np.linalg.inv(FLIP @ m @ uv_from_pixel))


def _spoil_normals(normal: Array, rng: np.random.Generator) -> Array:
    """Rectangles of zero, unnormalised and back-facing vectors, as artists' meshes have them."""
    out = normal.copy()
    height, width = out.shape[:2]
    for factor in (0.0, 1.7, -1.0, 0.4):
        y, x = rng.integers(height), rng.integers(width)
        out[y : y + height // 6, x : x + width // 6] *= factor
    return out


@dataclass(frozen=True)
class _Frame:
    """The arrays of one frame, before they are stored as float16."""

    picture: Render
    distance: Array
    world: Array
    camera: Array
    position: Array
    orientation: Array


def _frame(
    task: SceneTask, space: Room, view: Array, number: int, m: Array, rng: np.random.Generator
) -> _Frame:
    size, scale = task.size, task.plan.scale
    K = k_from_uv(m, size.height, size.width)[None]
    picture = render(
        Scene(space.primitives, Camera(K, view[None], size.height, size.width), space.light, 1)
    )
    rays = rays_of(K, size.height, size.width)[0]
    depth = np.where(picture.surface[0], picture.depth[0], np.nan)
    distance = depth * np.sqrt(1 + (rays * rays).sum(-1))
    point = np.concatenate([rays, np.ones_like(rays[..., :1])], -1) * depth[..., None]
    position = (point @ view[:3, :3].T + view[:3, 3]) / scale
    orientation = view[:3, :3] @ FLIP
    if task.traps and task.plan.number == 4 and number == 0:
        orientation = orientation @ np.array([[1.0, 0.02, 0], [0, 1.0, 0], [0, 0.01, 1.0]])
    world = picture.normal[0] @ view[:3, :3].T
    if task.traps and number % 2:
        world = _spoil_normals(world, rng)
    world = np.where(picture.surface[0][..., None], world, np.nan)
    return _Frame(picture, distance, world, world @ orientation, position, orientation)


def _write_frame(task: SceneTask, camera: str, number: int, frame: _Frame) -> None:
    index = task.plan.cameras[camera].index(number)
    number_of_scene, traps = task.plan.number, task.traps
    folder = task.root / task.plan.name / "images"
    hdf5, preview, geometry = (
        folder / f"scene_{camera}_{kind}"
        for kind in ("final_hdf5", "final_preview", "geometry_hdf5")
    )
    for path in (hdf5, preview, geometry):
        path.mkdir(parents=True, exist_ok=True)
    picture = frame.picture
    entity = np.where(picture.surface[0], picture.primitive[0] + 1, -1).astype(np.int16)
    stem = f"frame.{number:04d}"
    color = picture.radiance[0].astype(np.float16)
    if not (traps and number_of_scene == 2):
        write_hdf5(hdf5 / f"{stem}.color.hdf5", color, True)
    (preview / f"{stem}.tonemap.jpg").write_bytes(jpeg(tonemap(color.astype(np.float32), entity)))
    maps: dict[str, Array] = {
        "depth_meters": frame.distance.astype(np.float16),
        "render_entity_id": entity,
        "semantic": picture.ids("class_id")[0],
        "semantic_instance": picture.ids("instance")[0],
    }
    if not (traps and number_of_scene == 3 and index == 1):
        maps |= {
            "normal_world": frame.world.astype(np.float16),
            "normal_cam": frame.camera.astype(np.float16),
        }
    if task.everything:
        with np.errstate(over="ignore"):
            maps["position"] = frame.position.astype(np.float16)
        maps |= {
            "normal_bump_world": frame.world.astype(np.float16),
            "normal_bump_cam": frame.camera.astype(np.float16),
        }
        maps["tex_coord"] = np.zeros_like(color)
    for name, array in maps.items():
        write_hdf5(geometry / f"{stem}.{name}.hdf5", array, True)


def _write_truth(
    task: SceneTask, camera: str, number: int, frame: _Frame, view: Array, m: Array
) -> None:
    assert task.truth is not None
    folder = task.truth / task.plan.name / camera
    folder.mkdir(parents=True, exist_ok=True)
    picture, world = frame.picture, frame.world
    length = np.sqrt((world * world).sum(-1))
    usable = picture.surface[0] & (np.nan_to_num(length) > 1e-3)
    instance, classes = picture.ids("instance")[0], picture.ids("class_id")[0]
    found = boxes_of(instance)
    rigid = np.abs(frame.orientation @ frame.orientation.T - np.eye(3)).max() < 1e-6
    arrays: dict[str, Any] = {
        "depth": np.where(picture.surface[0], picture.depth[0], 0).astype(np.float32),
        "normal": (picture.normal[0] * usable[..., None]).astype(np.float32),
        "normal_world": ((picture.normal[0] @ view[:3, :3].T) * usable[..., None]).astype(
            np.float32
        ),
        "segm": np.where(classes > 0, classes, 255).astype(np.uint8),
        "instance": instance,
        "box_instance": np.array(list(found), np.int32),
        "box_xyxy": np.array(list(found.values()), np.int32).reshape(-1, 4),
        "K": k_from_uv(m, task.size.height, task.size.width),
        "world_from_camera": view,
        "rigid": np.array(rigid),
    }
    np.savez(folder / f"frame.{number:04d}.npz", **arrays)


def write_scene(task: SceneTask) -> int:
    """Writes one scene folder and returns the number of frames with files."""
    plan, written = task.plan, 0
    rng = rng_of(task.seed, plan.number, 1)
    space = room(rng, window=True if plan.number == 0 else None)
    m = tables.camera_matrix(plan.lens, task.size.height, task.size.width)
    detail = task.root / plan.name / "_detail"
    tables.write_detail(detail, plan, space)
    for camera, numbers in plan.cameras.items():
        views = wander(rng, space, 100)
        orientations = views[:, :3, :3] @ FLIP
        absent = set(plan.absent.get(camera, ()))
        for number in numbers:
            noise = rng_of(task.seed, plan.number, int(camera[-2:]), number)
            if number in absent:
                continue
            frame = _frame(task, space, views[number], number, m, noise)
            orientations[number] = frame.orientation
            _write_frame(task, camera, number, frame)
            if task.truth is not None:
                _write_truth(task, camera, number, frame, views[number], m)
            written += 1
        tables.write_keyframes(
            detail / camera, views[:, :3, 3] / plan.scale, orientations, plan.scale
        )
    return written


def simulate(
    job: Job,
    *,
    height: int | None = None,
    width: int | None = None,
    traps: bool = True,
    everything: bool = False,
) -> Tree:
    """Writes a Hypersim tree with its official tables in `out/metadata`.

    Args:
        job: `samples` is the number of frames; 70 % of the scenes are train, 20 % val, 10 % test.
            Presets: `tiny` (48x64), `small` (96x128) or `format` (768x1024).
        height, width: another image size.
        traps: whether the tree contains `TRAPS`.
        everything: also write position, bump normals and texture coordinates.
    """
    count, size = PRESETS[job.preset]
    size = Size(1, height or size.height, width or size.width)
    plans = tables.plan(job.samples or count, job.seed, traps)
    root = fresh(job.out)
    tasks = [SceneTask(p, root, job.seed, size, job.truth, traps, everything) for p in plans]
    tables.write_metadata(root / "metadata", plans, size.height, size.width)
    spread(write_scene, tasks, job)
    splits = {s: sum(p.present for p in plans if p.split == s) for s in ("train", "val", "test")}
    return Tree(root, sum(splits.values()), splits, TRAPS if traps else ())


SIMULATOR = Simulator(
    "rooms: depth, normals, NYU40 classes, boxes (plain, tilted, shifted cameras)", simulate
)
