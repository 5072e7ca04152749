"""The plan and the tables of a simulated Hypersim tree: which frames exist, cameras, and the official CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate.files.arrays import write_hdf5
from pvit_converters.simulate.tree import rng_of
from pvit_converters.simulate.world.rooms import Room
from pvit_converters.simulate.world.scene import Primitive

Array = np.ndarray
Lens = Literal["plain", "tilted", "shifted"]
LENSES: tuple[Lens, ...] = ("plain", "tilted", "shifted")
SCALES = (0.0254, 0.01, 1.0, 0.001)
"""Metres per asset unit that occur in the release (spec hypersim, section 3)."""

ROWS = 100
"""Frames of every trajectory, released or not."""

BAD_TRAJECTORY = "OUTSIDE VIEWING AREA (BAD TRAJECTORY)"
FLAGGED = "CONTENT FLAGGED FOR REMOVAL"
_TRAJECTORY_COLUMNS = (
    "Animation", "Rendering job (geometry)", "Instance type (geometry)", "Rendering job (pre)", "Instance type (pre)",
    "Rendering job (final)", "Instance type (final)", "Scene type", "Notes", "Any good views of scene?",
)  # fmt: skip
ROOM_TYPES = ("Living room", "Kitchen", "Bedroom", "Office", "Hall")


@dataclass(frozen=True)
class ScenePlan:
    """What one scene holds.

    Args:
        number: 0-based number of the scene.
        name: `ai_9xx_NNN`.
        split: `train`, `val` or `test`.
        lens: kind of camera.
        scale: metres per asset unit.
        cameras: released frame numbers of each camera.
        absent: released frames whose files are missing, by camera.
        excluded: cameras of which no frame was released.
    """

    number: int
    name: str
    split: str
    lens: Lens
    scale: float
    cameras: Mapping[str, list[int]]
    absent: Mapping[str, list[int]] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()

    @property
    def present(self) -> int:
        """Number of released frames that have files."""
        return sum(map(len, self.cameras.values())) - sum(map(len, self.absent.values()))


def _split(number: int) -> str:
    if number % 5 == 4:
        return "val"
    return "test" if number % 10 == 7 else "train"


def plan(samples: int, seed: int, traps: bool) -> list[ScenePlan]:
    """Spreads the frames over scenes (about ten each, eight scenes at least) and the scenes over the splits."""
    scenes = min(max(8, -(-samples // 10)), samples)
    out = []
    for i in range(scenes):
        rng = rng_of(seed, i, 0)
        count = min(samples // scenes + (i < samples % scenes), ROWS)
        numbers = [0, *sorted(int(n) for n in rng.permutation(np.arange(1, ROWS))[: count - 1])]
        two = i % 4 == 1 and count > 1
        half = (count + 1) // 2
        cameras = (
            {"cam_00": numbers[:half], "cam_02": numbers[half:]} if two else {"cam_00": numbers}
        )
        absent = {"cam_02": numbers[-1:]} if traps and i == 1 and two else {}
        excluded = ("cam_03",) if traps and i == 1 else ()
        name = f"ai_{901 + i // 10:03d}_{i % 10 + 1:03d}"
        out.append(
            ScenePlan(
                i,
                name,
                _split(i),
                LENSES[i % 3],
                SCALES[i % len(SCALES)],
                cameras,
                absent,
                excluded,
            )
        )
    return out


def camera_matrix(lens: Lens, height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """M_cam_from_uv of a lens: 60 degrees wide; the tilted and the shifted one as strong as the release's strongest."""
    m = np.diag([np.tan(np.pi / 6), np.tan(np.pi / 6) * height / width, -1.0])
    if lens == "tilted":
        m[0, 2], m[1, 2], m[2] = -0.05, 0.12, [0.1, -0.25, -1.05]
    if lens == "shifted":
        m[0, 2], m[1, 2] = 0.14, -0.09
    return m


def projection(m: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4 4"]:
    """M_proj, the OpenGL partner of M_cam_from_uv with near 1 and far 1000 asset units (spec hypersim, section 3)."""
    near, far = 1.0, 1000.0
    inverse = np.linalg.inv(m)
    out = np.zeros((4, 4))
    out[:2, :3], out[3, :3] = inverse[:2], inverse[2]
    out[2, :3] = inverse[2] * (far + near) / (far - near)
    out[2, 3] = -2 * far * near / (far - near)
    return out


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_metadata(folder: Path, plans: Sequence[ScenePlan], height: int, width: int) -> None:
    """The official tables (spec hypersim, section 7), with the camera table's columns that matter."""
    _write_frames(folder, plans)
    _write_cameras(folder / "metadata_camera_parameters.csv", plans, height, width)
    kinds = [
        (f"{p.name}_{camera}", ROOM_TYPES[p.number % len(ROOM_TYPES)])
        for p in plans
        for camera in p.cameras
    ]
    path = folder / "metadata_camera_trajectories.csv"
    blank = [""] * (_TRAJECTORY_COLUMNS.index("Scene type") - 1)
    _write_csv(path, _TRAJECTORY_COLUMNS, [[name, *blank, kind, "", ""] for name, kind in kinds])


def _write_frames(folder: Path, plans: Sequence[ScenePlan]) -> None:
    """Which frames were released, without and with their splits."""
    rows: list[list[object]] = []
    for p in plans:
        for camera in [*p.cameras, *p.excluded]:
            released = set(p.cameras.get(camera, ()))
            reason = FLAGGED if camera in p.excluded else BAD_TRAJECTORY
            for i in range(ROWS):
                told = ["True", "", p.split] if i in released else ["False", reason, ""]
                rows.append([p.name, camera, i, *told])
    header = [
        "scene_name",
        "camera_name",
        "frame_id",
        "included_in_public_release",
        "exclude_reason",
    ]
    _write_csv(folder / "metadata_images.csv", header, [row[:-1] for row in rows])
    header.append("split_partition_name")
    _write_csv(folder / "metadata_images_split_scene_v1.csv", header, rows)


def _write_cameras(path: Path, plans: Sequence[ScenePlan], height: int, width: int) -> None:
    cells = [f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)]
    cells += [f"M_proj_{i}{j}" for i in range(4) for j in range(4)]
    header = ["scene_name", "settings_output_img_height", "settings_output_img_width"]
    header += ["settings_units_info_meters_scale", "use_camera_physical", *cells]
    rows = []
    for p in plans:
        m = camera_matrix(p.lens, height, width)
        values = [repr(float(v)) for v in (*m.ravel(), *projection(m).ravel())]
        rows.append([p.name, float(height), float(width), p.scale, "False", *values])
    _write_csv(path, header, rows)


def write_detail(folder: Path, p: ScenePlan, room: Room) -> None:
    """`_detail`: the scene's tables and the 3-D boxes of its instances (asset units, +inf rows where there is none)."""
    listed = sorted({*p.cameras, *p.excluded, "cam_01"})
    _write_csv(folder / "metadata_cameras.csv", ["camera_name"], [[c] for c in listed])
    _write_csv(
        folder / "metadata_scene.csv",
        ["parameter_name", "parameter_value"],
        [["meters_per_asset_unit", repr(p.scale)]],
    )
    nodes = [
        [i + 1, f"node_{i + 1}", max(q.instance, 0), f"object_{q.instance}"]
        for i, q in enumerate(room.primitives)
    ]
    _write_csv(
        folder / "metadata_nodes.csv", ["node_id", "node_name", "object_id", "object_name"], nodes
    )
    _write_csv(folder / "metadata_node_strings.csv", ["node_id", "path", "string"], [])
    count = len(room.names) + 1
    centres, sizes = np.full((count, 3), np.inf), np.full((count, 3), np.inf)
    turns = np.full((count, 3, 3), np.inf)
    for i in range(1, count):
        low, high = _bounds([q for q in room.primitives if q.instance == i])
        centres[i], sizes[i], turns[i] = (
            (low + high) / 2 / p.scale,
            (high - low) / p.scale,
            np.eye(3),
        )
    mesh = folder / "mesh"
    mesh.mkdir(parents=True, exist_ok=True)
    stem = "metadata_semantic_instance_bounding_box_object_aligned_2d"
    for name, array in (("extents", sizes), ("positions", centres), ("orientations", turns)):
        write_hdf5(mesh / f"{stem}_{name}.hdf5", array, False)


def _bounds(primitives: Sequence[Primitive]) -> tuple[Array, Array]:
    lows, highs = [], []
    for q in primitives:
        axes, half = np.abs(q.pose[0, :3, :3]), q.half[0]
        reach = axes @ half if q.kind != "capsule" else axes[:, 2] * half[2] + half[0]
        lows.append(q.pose[0, :3, 3] - reach)
        highs.append(q.pose[0, :3, 3] + reach)
    return np.min(lows, 0), np.max(highs, 0)


def write_keyframes(folder: Path, positions: Array, orientations: Array, scale: float) -> None:
    """The 100-row camera arrays of one trajectory: asset units, world_from_camera rotations (OpenGL camera axes)."""
    folder.mkdir(parents=True, exist_ok=True)
    ahead = positions - orientations[:, :, 2] / scale
    arrays: dict[str, Array] = {
        "frame_indices": np.arange(ROWS),
        "positions": positions,
        "orientations": orientations,
        "look_at_positions": ahead,
    }
    for name, array in arrays.items():
        write_hdf5(folder / f"camera_keyframe_{name}.hdf5", array, False)
    _write_csv(
        folder / "metadata_camera.csv",
        ["parameter_name", "parameter_value"],
        [["frame_time_seconds", 1.0]],
    )
