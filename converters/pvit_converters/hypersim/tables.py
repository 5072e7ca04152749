"""Hypersim's tables: which frames were released in which split, which are broken, and each scene's camera.

They are not in the downloaded archives. They come from the official CSV files (a metadata folder), or from the compact
copy that ships with this package; each of the three CSVs is optional and falls back to the compact copy on its own.
`python -m pvit_converters.hypersim.tables CSV_FOLDER OUT.json.gz` derives the compact copy.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from pvit_converters.raw.files import read_utf8
from pvit_data.errors import SourceError

SPLIT_CSV = "metadata_images_split_scene_v1.csv"
CAMERA_CSV = "metadata_camera_parameters.csv"
ROOM_CSV = "metadata_camera_trajectories.csv"
COMPACT = "tables.json.gz"
ATTRIBUTION = (
    "Derived from the metadata CSV files of Hypersim (Mike Roberts et al., ICCV 2021, "
    "https://github.com/apple/ml-hypersim), licence CC BY-SA 3.0 Unported; this derived table has the same licence."
)
SPLITS = ("train", "val", "test")
BROKEN = (
    "ai_003_001/cam_00",  # colour is black
    "ai_004_009/cam_01",  # colour is black
    "ai_013_001/*",
    "ai_015_006/*",
    "ai_023_004/cam_01",
    "ai_023_006/*",
    "ai_023_008/cam_01",
    "ai_023_009/*",
    "ai_026_013/*",
    "ai_026_018/*",
    "ai_026_020/*",
    "ai_038_007/*",
    "ai_046_001/*",
    "ai_048_004/*",
    "ai_053_005/*",
)
"""Released trajectories with broken textures, lighting or labels, or without usable colour: 2,200 released images.

Sources: apple/ml-hypersim issue 22, and the list of TUI-NICR/nicr-scene-analysis-datasets.
"""

_PLACES = (
    "",
    "evermotion_dataset/analysis",
    "contrib/mikeroberts3000",
)  # the last two: in a clone of the repository
_MATRIX = [f"M_cam_from_uv_{r}{c}" for r in range(3) for c in range(3)]
_SCALE = "settings_units_info_meters_scale"


@dataclass(frozen=True)
class SceneCamera:
    """The camera that all trajectories of a scene share.

    Args:
        m: viewing direction (OpenGL camera axes) from (u, v, 1), u and v in [-1, 1], v up.
        scale: metres per asset unit.
    """

    m: Float64[np.ndarray, "3 3"]
    scale: float


@dataclass
class Tables:
    """Everything the converter looks up.

    Args:
        cameras: camera of each scene.
        frames: released frame numbers of each (scene, camera name), ascending.
        splits: split of each released scene.
        rooms: room class of each (scene, camera name), for example `"Kitchen"`.
    """

    cameras: dict[str, SceneCamera] = field(default_factory=dict)
    frames: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    rooms: dict[tuple[str, str], str] = field(default_factory=dict)


def is_broken(scene: str, camera: str) -> bool:
    """Whether a trajectory is on the list of broken ones."""
    return any(fnmatchcase(f"{scene}/{camera}", pattern) for pattern in BROKEN)


def has_tables(folder: Path) -> bool:
    """Whether a folder holds any of the official CSV files."""
    return any(_find(folder, name) for name in (SPLIT_CSV, CAMERA_CSV, ROOM_CSV))


def load_tables(folder: Path | None) -> Tables:
    """The tables of a metadata folder (or a clone of the official repository); the compact copy has what it lacks.

    Raises:
        SourceError: if the folder is missing or holds none of the official CSVs, or a row of one cannot be parsed.
    """
    if folder is None:
        return read_compact(files(__package__).joinpath(COMPACT).read_bytes())
    paths = {name: _find(folder, name) for name in (SPLIT_CSV, CAMERA_CSV, ROOM_CSV)}
    present = {name: path for name, path in paths.items() if path is not None}
    if not present:
        raise SourceError(
            f"{folder}: holds none of the Hypersim tables {SPLIT_CSV}, {CAMERA_CSV}, {ROOM_CSV}; "
            "get them from https://github.com/apple/ml-hypersim, or leave out --metadata",
            reason="missing-file",
        )
    tables = Tables() if len(present) == 3 else load_tables(None)
    if SPLIT_CSV in present:
        tables.frames, tables.splits = read_split(present[SPLIT_CSV])
    if CAMERA_CSV in present:
        tables.cameras = read_cameras(present[CAMERA_CSV])
    if ROOM_CSV in present:
        tables.rooms = read_rooms(present[ROOM_CSV])
    return tables


def _find(folder: Path, name: str) -> Path | None:
    return next((path for place in _PLACES if (path := folder / place / name).is_file()), None)


def read_split(path: Path) -> tuple[dict[tuple[str, str], list[int]], dict[str, str]]:
    """Released frames of each trajectory and the split of each scene."""
    frames: dict[tuple[str, str], list[int]] = {}
    splits: dict[str, str] = {}
    columns = [
        "scene_name",
        "camera_name",
        "frame_id",
        "included_in_public_release",
        "split_partition_name",
    ]
    for line, (scene, camera, frame, released, split) in _rows(path, columns):
        if released not in {"True", "False"} or not frame.isdecimal():
            raise _bad_row(
                path, line, f"frame_id '{frame}', included_in_public_release '{released}'"
            )
        if released == "False":
            continue
        if split not in SPLITS or splits.setdefault(scene, split) != split:
            raise _bad_row(
                path,
                line,
                f"split '{split}' of scene {scene} (one of {', '.join(SPLITS)} per scene)",
            )
        frames.setdefault((scene, camera), []).append(int(frame))
    return {key: sorted(value) for key, value in frames.items()}, splits


def read_cameras(path: Path) -> dict[str, SceneCamera]:
    """The ray matrix and scale of each scene."""
    cameras = {}
    for line, (scene, scale, *matrix) in _rows(path, ["scene_name", _SCALE, *_MATRIX]):
        try:
            cameras[scene] = _camera([float(x) for x in matrix], float(scale))
        except ValueError as error:
            raise _bad_row(path, line, f"scene {scene}: {error}") from error
    return cameras


def read_rooms(path: Path) -> dict[tuple[str, str], str]:
    """The room class of each trajectory."""
    rooms = {}
    for line, (animation, kind) in _rows(path, ["Animation", "Scene type"]):
        scene, found, number = animation.rpartition("_cam_")
        if not found:
            raise _bad_row(path, line, f"Animation '{animation}' (expected ai_VVV_NNN_cam_XX)")
        rooms[scene, f"cam_{number}"] = kind
    return rooms


def _camera(matrix: list[float], scale: float) -> SceneCamera:
    m = np.array(matrix, np.float64).reshape(3, 3)
    # Every pixel must look forward: the corners bound the rest, the direction being affine in (u, v).
    forward = all((m @ (u, v, 1))[2] < 0 for u in (-1, 1) for v in (-1, 1))
    if not (forward and np.isfinite(m).all() and abs(np.linalg.det(m)) > 1e-12):
        raise ValueError("M_cam_from_uv is not a camera that looks forward at every pixel")
    if not 0 < scale < np.inf:
        raise ValueError(f"{_SCALE} {scale} is not a positive number")
    return SceneCamera(m, scale)


def _rows(path: Path, columns: list[str]) -> Iterator[tuple[int, list[str]]]:
    """The wanted columns of each row, with its line number."""
    try:
        with io.StringIO(read_utf8(path), newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise SourceError(
                    f"{path}: no column {', '.join(missing)}; not the official file",
                    reason="bad-csv",
                )
            for row in reader:
                values = [row[name] for name in columns]
                if any(v is None for v in values):
                    raise _bad_row(path, reader.line_num, "too few columns")
                yield reader.line_num, values
    except csv.Error as error:
        raise SourceError(f"{path}: cannot be read as CSV ({error})", reason="bad-csv") from error


def _bad_row(path: Path, line: int, found: str) -> SourceError:
    return SourceError(
        f"{path}:{line}: unexpected {found}; get the official file again", reason="bad-csv"
    )


def read_compact(data: bytes) -> Tables:
    """Parses the compact copy."""
    tables = Tables()
    for scene, row in json.loads(gzip.decompress(data))["scenes"].items():
        tables.cameras[scene] = _camera(row["m"], row["scale"])
        if row["split"]:
            tables.splits[scene] = row["split"]
        for camera, (room, frames) in row["cameras"].items():
            tables.rooms[scene, camera] = room
            if frames:
                tables.frames[scene, camera] = parse_ranges(frames)
    return tables


def write_compact(tables: Tables) -> bytes:
    """The compact copy of some tables; the same bytes for the same tables."""
    scenes = {
        scene: {
            "m": camera.m.ravel().tolist(),
            "scale": camera.scale,
            "split": tables.splits.get(scene, ""),
            "cameras": {
                name: [room, format_ranges(tables.frames.get((scene, name), []))]
                for (owner, name), room in sorted(tables.rooms.items())
                if owner == scene
            },
        }
        for scene, camera in sorted(tables.cameras.items())
    }
    text = json.dumps({"attribution": ATTRIBUTION, "scenes": scenes}, separators=(",", ":"))
    return gzip.compress(text.encode(), 9, mtime=0)


def parse_ranges(text: str) -> list[int]:
    """`"0-2,5"` as `[0, 1, 2, 5]`."""
    bounds = [part.partition("-") for part in text.split(",")]
    return [n for first, _, last in bounds for n in range(int(first), int(last or first) + 1)]


def format_ranges(numbers: Iterable[int]) -> str:
    """`[0, 1, 2, 5]` as `"0-2,5"`."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in runs)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(write_compact(load_tables(Path(sys.argv[1]))))
