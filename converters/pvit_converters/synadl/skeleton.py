"""The skeleton JSON of SynADL in its known forms (spec synadl, section 5.1), as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from pvit_converters.raw.files import parse_json
from pvit_data.errors import SourceError

JOINTS = 25
MAX_PEOPLE = 32
MAX_VALUE = 1e5
"""Coordinates beyond (a kilometre in centimetres, or absurd pixels) are unusable."""

USABLE = 0.5
"""Scores from here on count as visible; files hold 0 and 1, values between are taken as confidence."""


@dataclass(frozen=True)
class Skeleton:
    """All frames of one file.

    Args:
        index: `frame_index` of each entry.
        joints: as stored, NaN where a person or joint is not there.
        visible: whether the score says so.
    """

    index: Int64[np.ndarray, "m"]
    joints: Float64[np.ndarray, "m p 25 d"]
    visible: Bool[np.ndarray, "m p 25"]

    @property
    def finite(self) -> Bool[np.ndarray, "m p 25"]:
        """Joints that have a place."""
        out: Bool[np.ndarray, "m p 25"] = np.isfinite(self.joints).all(-1)
        return out

    @property
    def people(self) -> int:
        """Most people in one frame."""
        return int(self.joints.shape[1])


def parse_skeleton(data: bytes, where: str, dimensions: int) -> Skeleton:
    """Reads one file.

    Args:
        data: the JSON text.
        where: for messages.
        dimensions: 2 for 2DJ, 3 for 3DJ.

    Raises:
        SourceError: `"bad-json"`, or `"bad-skeleton"` with what was found where a form is unknown.
    """
    values = parse_json(data, where)
    try:
        frames = values["data"]
        if not isinstance(frames, list):
            raise TypeError("'data' is no list")
        index = np.array([int(f.get("frame_index", i)) for i, f in enumerate(frames)], np.int64)
        people = [f["skeleton"] for f in frames]
        count = max([1, *map(len, people)])
        if count > MAX_PEOPLE:
            raise ValueError(f"{count} people in one frame")
        joints = np.full((len(frames), count, JOINTS, dimensions), np.nan)
        visible = np.zeros((len(frames), count, JOINTS), bool)
        for m, entries in enumerate(people):
            for p, entry in enumerate(entries):
                joints[m, p], visible[m, p] = _person(entry, dimensions)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise SourceError(
            f"{where}: {_describe(values)}: {error}", reason="bad-skeleton"
        ) from error
    joints[~(np.abs(joints) <= MAX_VALUE)] = np.nan
    return Skeleton(index, joints, visible)


def _person(
    entry: Any, dimensions: int
) -> tuple[Float64[np.ndarray, "25 d"], Bool[np.ndarray, "25"]]:
    pose = entry["pose"]
    if len(pose) and isinstance(pose[0], dict):
        pose = [[joint[axis] for axis in "xyz"[:dimensions]] for joint in pose]
    array = np.array(pose, np.float64)
    if array.size % JOINTS or array.size // JOINTS not in (dimensions, dimensions + 1):
        raise ValueError(
            f"a pose of {array.size} numbers, expected {JOINTS} joints of {dimensions} or {dimensions + 1}"
        )
    array = array.reshape(JOINTS, -1)
    if "score" in entry:
        score = np.array(entry["score"], np.float64)
        if score.shape != (JOINTS,):
            raise ValueError(f"a score of shape {score.shape}, expected {JOINTS} numbers")
    else:
        # A further value per joint is a confidence or a tracking state, 0 where there is none.
        score = array[:, dimensions] if array.shape[1] > dimensions else np.ones(JOINTS)
    return array[:, :dimensions], score >= USABLE


def _describe(values: Any) -> str:
    """Top-level keys, and type and length of the first pose."""
    keys = (
        f"keys {sorted(map(str, values))[:6]}"
        if isinstance(values, dict)
        else f"a {type(values).__name__}"
    )
    try:
        pose = next(p["pose"] for f in values["data"] for p in f["skeleton"])
        first = f"a {type(pose).__name__} of {len(pose)}"
    except (KeyError, TypeError, StopIteration, AttributeError):
        first = "none"
    return f'not a skeleton file as {{"data": [{{"frame_index", "skeleton"}}]}}: {keys}, first pose {first}'
