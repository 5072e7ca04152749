"""Reading Kinect v2 recordings: NTU's `.skeleton` text, UESTC's `_skeleton.mat` and `_skeleton.txt`.

Joints are given as recorded: Kinect order and camera axes (x to the sensor's left, y up, z forward), metres. Layouts:
spec surreact, section 8.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8

from pvit_converters.raw.files import read_bytes
from pvit_converters.raw.mat import MatFile
from pvit_data.errors import SourceError

MAX_FILE = 1 << 25  # a minute is some 10 MB
MAX_FRAMES = 10_000  # room for all of them is made for each body
_BODY_HEADER, _JOINT, _JOINTS = 10, 12, 25
_ENDINGS = (".skeleton", "_skeleton.mat", "_skeleton.txt")
_SUBFOLDERS = ("nturgb+d_skeletons", "mat_from_skeleton", "skeleton")
_NUMBER = re.compile(rb"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+|nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Recording:
    """The bodies of a recording, the one that moves most first.

    Args:
        joints: metres, NaN where a body is not there.
        state: 0 not tracked, 1 inferred, 2 tracked.
    """

    joints: Float64[np.ndarray, "t p 25 3"]
    state: UInt8[np.ndarray, "t p 25"]


def find_recording(folder: Path, name: str) -> Path | None:
    """The file of a recording: `NAME.skeleton`, `NAME_skeleton.mat` or `NAME_skeleton.txt`, here or one level below."""
    places = (folder, *(folder / below for below in _SUBFOLDERS))
    paths = (place / f"{name}{ending}" for ending in _ENDINGS for place in places)
    return next((path for path in paths if path.is_file()), None)


def read_recording(path: Path) -> Recording:
    """Reads a file of any of the three kinds.

    Raises:
        SourceError: if it is damaged (`"bad-skeleton"`, `"corrupt-mat"`) or holds no body.
    """
    if path.suffix == ".mat":
        return _from_mat(path)
    data = read_bytes(path, MAX_FILE)
    try:
        recording = _from_ntu(data) if path.suffix == ".skeleton" else _from_text(data)
    except (ValueError, IndexError, StopIteration, OverflowError) as error:
        message = f"{path}: not a Kinect recording of the known form ({error}); the file is damaged or truncated"
        raise SourceError(message, reason="bad-skeleton") from error
    if recording.joints.shape[1] == 0:
        raise SourceError(f"{path}: no body in any frame", reason="empty-skeleton")
    return recording


def _from_mat(path: Path) -> Recording:
    file = MatFile(path)
    name = next((n for n in ("v", "skel") if n in file), None)
    if name is None:
        raise SourceError(
            f"{path}: variables {file.names[:5]}, expected 'v' or 'skel'", reason="bad-skeleton"
        )
    array = file.array(name).astype(np.float64)
    if array.shape[1:] not in ((75,), (25, 3)):
        raise SourceError(
            f"{path}: '{name}' has shape {array.shape}, expected (T, 75) or (T, 25, 3)",
            reason="wrong-shape",
        )
    joints = array.reshape(-1, 1, _JOINTS, 3)
    return Recording(
        joints, np.where(np.isfinite(joints).all(-1) & joints.any(-1), 2, 0).astype(np.uint8)
    )


def _from_text(data: bytes) -> Recording:
    """UESTC: a `#` line per frame, then three lines per joint, of which the first (ending in 0) is in metres."""
    frames: list[list[list[float]]] = []
    for block in data.split(b"#")[1:]:
        lines = [_NUMBER.findall(line) for line in block.splitlines()[1:] if line.strip()]
        points = [
            [float(v) for v in line[:3]]
            for line in lines
            if len(line) >= 4 and float(line[-1]) == 0
        ]
        if len(points) != _JOINTS:
            raise ValueError(f"frame {len(frames)} has {len(points)} joints, expected {_JOINTS}")
        frames.append(points)
    joints = np.array(frames).reshape(-1, 1, _JOINTS, 3)
    if len(joints) == 0:
        raise ValueError("no frame")
    return Recording(joints, np.where(joints.any(-1), 2, 0).astype(np.uint8))


def _from_ntu(data: bytes) -> Recording:
    """NTU: numbers separated by white space. Bodies keep their ids as text, since these have up to 17 digits."""
    words = data.split()
    tokens = iter(words)
    num_frames = int(next(tokens))
    if not 0 <= num_frames <= min(MAX_FRAMES, len(words)):
        raise ValueError(f"{num_frames} frames in {len(words)} words")
    bodies: dict[bytes, tuple[Float64[np.ndarray, "t 25 3"], UInt8[np.ndarray, "t 25"]]] = {}
    for frame in range(num_frames):
        for _ in range(_count(tokens, 16, "bodies")):
            name = next(tokens)
            _skip(tokens, _BODY_HEADER - 1)
            if name not in bodies and len(bodies) < 64:
                bodies[name] = (
                    np.full((num_frames, _JOINTS, 3), np.nan),
                    np.zeros((num_frames, _JOINTS), np.uint8),
                )
            if (joints := _count(tokens, _JOINTS, "joints")) != _JOINTS:
                raise ValueError(f"{joints} joints, expected {_JOINTS}")
            rows = [[next(tokens) for _ in range(_JOINT)] for _ in range(_JOINTS)]
            if name in bodies:
                bodies[name][0][frame] = np.array([row[:3] for row in rows], float)
                bodies[name][1][frame] = np.array([row[11] for row in rows], float).clip(0, 2)
    kept = [pair for pair in bodies.values() if _is_person(pair[0])] or list(bodies.values())
    kept.sort(key=lambda pair: -_motion(pair[0]))
    if not kept:
        return Recording(
            np.zeros((num_frames, 0, _JOINTS, 3)), np.zeros((num_frames, 0, _JOINTS), np.uint8)
        )
    return Recording(np.stack([p[0] for p in kept], 1), np.stack([p[1] for p in kept], 1))


def _count(tokens: Iterator[bytes], limit: int, what: str) -> int:
    count = int(next(tokens))
    if not 0 <= count <= limit:
        raise ValueError(f"{count} {what}")
    return count


def _skip(tokens: Iterator[bytes], count: int) -> None:
    for _ in range(count):
        next(tokens)


def _is_person(joints: Float64[np.ndarray, "t 25 3"]) -> bool:
    """Furniture is wider than it is high (advice of the dataset's readme)."""
    there = joints[np.isfinite(joints).all((1, 2))]
    spread = np.ptp(there, axis=1).mean(0) if len(there) else np.ones(3)
    return bool(spread[0] <= spread[1])


def _motion(joints: Float64[np.ndarray, "t 25 3"]) -> float:
    there = joints[np.isfinite(joints).all((1, 2))]
    return float(there.var(0).sum()) if len(there) else 0.0
