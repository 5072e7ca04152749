"""Tiny raw trees with analytic truth, written from the raw specification and not with the converters' code."""

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH, SCALE = 24, 32, 0.0254
PLAIN = np.diag([np.tan(np.pi / 6), np.tan(np.pi / 6) * 0.75, -1.0])
TILTED = np.array([[0.58, 0.0, -0.07], [0.0, 0.44, 0.09], [0.0, 0.05, -1.0]])


@dataclass
class Truth:
    """What a frame shows: a floor z = 0 below the camera and nothing above the horizon."""

    m: np.ndarray
    rotation: np.ndarray
    centre: np.ndarray
    distance: np.ndarray
    planar: np.ndarray
    hit: np.ndarray
    labels: np.ndarray
    instances: np.ndarray


def floor_truth(m: np.ndarray, index: int) -> Truth:
    """A camera 2 m above the floor, looking along +y, 0.3 rad down and a little rolled; OpenGL axes."""
    down, roll = 0.3 + 0.01 * index, 0.05 * index
    forward = np.array([0, np.cos(down), -np.sin(down)])
    right = np.array([1.0, 0, 0])
    up = np.cross(right, forward)
    right, up = np.cos(roll) * right + np.sin(roll) * up, -np.sin(roll) * right + np.cos(roll) * up
    rotation = np.stack([right, up, -forward], axis=1)
    centre = np.array([10.0 + index, -20.0, 2.0 / SCALE])  # asset units
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    uv1 = np.stack([2 * (x + 0.5) / WIDTH - 1, 1 - 2 * (y + 0.5) / HEIGHT, np.ones_like(x, float)], axis=-1)
    rays = uv1 @ m.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    slope = (rays @ rotation.T)[..., 2]
    with np.errstate(divide="ignore"):
        distance = np.where(slope < -0.05, -2.0 / slope, np.nan)
    labels = np.where(np.isfinite(distance), 2, -1).astype(np.int16)
    instances = np.full((HEIGHT, WIDTH), -1, np.int16)
    labels[15:20, 4:11] = 5
    instances[15:20, 4:11] = 7
    instances[22, 30] = 1200
    return Truth(m, rotation, centre, distance, distance * -rays[..., 2], np.isfinite(distance), labels, instances)


def write_h5(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["dataset"] = array


@dataclass
class RawHypersim:
    """A tree of `ai_901_001` (plain) and `ai_901_002` (tilted), each with cam_00 and `frames` frames."""

    root: Path
    truths: dict[tuple[str, int], Truth]

    def folder(self, scene: str, kind: str) -> Path:
        return self.root / scene / "images" / f"scene_cam_00_{kind}"

    def file(self, scene: str, frame: int, name: str) -> Path:
        kind = "final_preview" if name.endswith("jpg") else "final_hdf5" if "color" in name else "geometry_hdf5"
        return self.folder(scene, kind) / f"frame.{frame:04d}.{name}"


def _write_frame(raw: RawHypersim, scene: str, frame: int, truth: Truth, rng: np.random.Generator) -> None:
    world = np.where(truth.hit[..., None], [0.0, 0, 1], np.nan)
    world[2::3] *= -1  # every third row faces away, as artists' normals do
    world[12] *= 0.5
    write_h5(raw.file(scene, frame, "depth_meters.hdf5"), truth.distance.astype(np.float16))
    write_h5(raw.file(scene, frame, "normal_world.hdf5"), world.astype(np.float16))
    write_h5(raw.file(scene, frame, "normal_cam.hdf5"), (world @ truth.rotation).astype(np.float16))
    write_h5(raw.file(scene, frame, "semantic.hdf5"), truth.labels)
    write_h5(raw.file(scene, frame, "semantic_instance.hdf5"), truth.instances)
    write_h5(raw.file(scene, frame, "render_entity_id.hdf5"), np.where(truth.hit, 3, -1).astype(np.int16))
    radiance = rng.uniform(0, 2, (HEIGHT, WIDTH, 3)).astype(np.float16)
    write_h5(raw.file(scene, frame, "color.hdf5"), radiance)
    preview = raw.file(scene, frame, "tonemap.jpg")
    preview.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(preview, quality=90)


def write_metadata(folder: Path, scenes: dict[str, np.ndarray], frames: int) -> None:
    """The official CSV files, reduced to the columns that the specification names."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "metadata_images_split_scene_v1.csv").open("w", newline="") as file:
        out = csv.writer(file)
        columns = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"
        out.writerow(columns.split(","))
        for number, scene in enumerate(scenes):
            out.writerows([scene, "cam_00", n, "True", "", ("train", "val")[number % 2]] for n in range(frames))
            out.writerow([scene, "cam_00", frames, "False", "CONTENT FLAGGED FOR REMOVAL", ""])
    with (folder / "metadata_camera_parameters.csv").open("w", newline="") as file:
        out = csv.writer(file)
        matrix = [f"M_cam_from_uv_{r}{c}" for r in range(3) for c in range(3)]
        out.writerow(["scene_name", "settings_units_info_meters_scale", *matrix])
        out.writerows([scene, SCALE, *m.ravel()] for scene, m in scenes.items())
    rooms = "".join(f"{scene}_cam_00,Kitchen\n" for scene in scenes)
    (folder / "metadata_camera_trajectories.csv").write_text("Animation,Scene type\n" + rooms)


@pytest.fixture
def make_hypersim(tmp_path: Path) -> Callable[..., RawHypersim]:
    """A function that writes a tree: `make_hypersim(frames=2, scenes=("ai_901_001", "ai_901_002"))`."""

    def make(frames: int = 2, scenes: tuple[str, ...] = ("ai_901_001", "ai_901_002"), name: str = "raw") -> RawHypersim:
        raw = RawHypersim(tmp_path / name, {})
        cameras = {scene: (PLAIN, TILTED)[i % 2] for i, scene in enumerate(scenes)}
        write_metadata(raw.root / "metadata", cameras, frames)
        rng = np.random.default_rng(0)
        for scene, m in cameras.items():
            truths = [floor_truth(m, n) for n in range(frames)]
            detail = raw.root / scene / "_detail" / "cam_00"
            write_h5(detail / "camera_keyframe_orientations.hdf5", np.stack([t.rotation for t in truths]))
            write_h5(detail / "camera_keyframe_positions.hdf5", np.stack([t.centre for t in truths]))
            (raw.root / scene / "_detail/metadata_scene.csv").write_text(
                f"parameter_name,parameter_value\nmeters_per_asset_unit,{SCALE}\n"
            )
            for n, truth in enumerate(truths):
                raw.truths[scene, n] = truth
                _write_frame(raw, scene, n, truth, rng)
        return raw

    return make


@pytest.fixture
def write_array() -> Callable[[Path, Any], None]:
    """Writes one array as a Hypersim HDF5 file."""
    return write_h5


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module `toy_converter`, which worker processes can import as well."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    import toy_converter

    return toy_converter


@pytest.fixture
def fingerprint() -> Callable[[Path], dict[str, str]]:
    """The hash of every file below a folder, reports left out."""

    def hashes(folder: Path) -> dict[str, str]:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "report.json")
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    return hashes
