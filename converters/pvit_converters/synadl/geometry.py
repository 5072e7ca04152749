"""SynADL's geometry (spec synadl, sections 5.3 and 5.5): units, axes, joint order, and the missing translation.

3D joints are centimetres in the camera of their video, y up, less a constant translation. 2D joints give it back: with
the known camera, every joint makes two linear equations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from pvit_converters.annotations.joint_maps import BODY25
from pvit_data.errors import UsageError
from pvit_data.sample.kinect25 import NAMES, PARENTS

FOCAL, WIDTH, HEIGHT = 320.0, 640, 360
"""Camera that makes 2D and 3D joints agree (spec, section 5.5: confirmed for some cameras)."""

AXES = {"y-up": (1.0, -1.0, 1.0), "y-down": (1.0, 1.0, 1.0)}
STANDING = 0.3
"""Metres by which heads must be above or below ankles to tell where up is."""

MAX_MISFIT = 5.0
"""Pixels that joints may miss their 2D places by, in the median."""

_KINECT = [4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18]
_OPENPOSE = [5, 6, 7, 2, 3, 4, 12, 13, 14, 9, 10, 11]
_CROSSED = [
    3,
    4,
    5,
    0,
    1,
    2,
    9,
    10,
    11,
    6,
    7,
    8,
]  # places in these lists of the other side's joints
_NEAR = 0.15
_BONES = {"upper arm": (0.15, 0.4), "thigh": (0.25, 0.55)}
_LONGEST = 0.7

Points = Float64[np.ndarray, "m p 25 3"]


@dataclass(frozen=True)
class Shift:
    """The translation that was missing.

    Args:
        vector: metres.
        misfit: median distance in pixels between projected and stored 2D joints; NaN without usable joints.
    """

    vector: Float64[np.ndarray, "3"]
    misfit: float


def find_shift(
    points: Points, pixels: Float64[np.ndarray, "m p 25 2"], usable: Bool[np.ndarray, "m p 25"]
) -> Shift:
    """The translation in camera axes that makes 3D joints project onto the 2D ones, by least squares over a file."""
    p, uv = points[usable], pixels[usable] - [WIDTH / 2, HEIGHT / 2]
    if len(p) < 3:
        return Shift(np.zeros(3), float("nan"))
    rows, right = np.zeros((len(p), 2, 3)), np.zeros((len(p), 2))
    for axis in (0, 1):
        rows[:, axis, axis], rows[:, axis, 2] = FOCAL, -uv[:, axis]
        right[:, axis] = uv[:, axis] * p[:, 2] - FOCAL * p[:, axis]
    vector = np.linalg.lstsq(rows.reshape(-1, 3), right.ravel(), rcond=None)[0]
    moved = p + vector
    with np.errstate(divide="ignore", invalid="ignore"):
        miss = np.hypot(*(FOCAL * moved[:, :2] / moved[:, 2:] - uv).T)
    miss = np.where((moved[:, 2] > 0) & np.isfinite(miss), miss, np.inf)
    return Shift(vector, float(np.median(miss)))


def parse_axes(text: str) -> Float[np.ndarray, "3 3"]:
    """The matrix of `"x,-y,z"`: which file axis each camera axis is.

    Raises:
        UsageError: if it is no such text.
    """
    parts = [part.strip().lower() for part in text.split(",")]
    if (
        len(parts) != 3
        or not all(re.fullmatch(r"-?[xyz]", part) for part in parts)
        or len({p[-1] for p in parts}) != 3
    ):
        raise UsageError(
            f'--joint-axes "{text}": expected three different axes with signs, such as "x,-y,z"'
        )
    out = np.zeros((3, 3))
    for row, part in enumerate(parts):
        out[row, "xyz".index(part[-1])] = -1.0 if part.startswith("-") else 1.0
    return out


def bone_lengths(
    joints: Sequence[Points], parents: Sequence[int] = PARENTS
) -> Float64[np.ndarray, "25"]:
    """Median length of the bone from each joint to its parent, NaN for the root."""
    out = np.full(len(parents), np.nan)
    for joint, parent in enumerate(parents):
        if parent >= 0:
            all_of_it = np.concatenate(
                [
                    np.linalg.norm(p[..., joint, :] - p[..., parent, :], axis=-1).ravel()
                    for p in joints
                ]
            )
            good = all_of_it[np.isfinite(all_of_it)]
            out[joint] = float(np.median(good)) if len(good) else np.nan
    return out


def limbs(joints: Sequence[Points], *, openpose: bool) -> dict[str, float]:
    """Median length of upper arm and thigh, left side, in the unit of the joints."""
    names = BODY25 if openpose else NAMES
    ends = {"upper arm": ("LShoulder", "LElbow"), "thigh": ("LHip", "LKnee")}
    if not openpose:
        ends = {"upper arm": ("ShoulderLeft", "ElbowLeft"), "thigh": ("HipLeft", "KneeLeft")}
    out = {}
    for bone, (a, b) in ends.items():
        i, j = names.index(a), names.index(b)
        lengths = np.concatenate(
            [np.linalg.norm(p[..., i, :] - p[..., j, :], axis=-1).ravel() for p in joints]
        )
        lengths = lengths[np.isfinite(lengths)]
        out[bone] = float(np.median(lengths)) if len(lengths) else float("nan")
    return out


def head_above_ankles(joints: Sequence[Points], *, openpose: bool) -> float:
    """Median y of the head less that of the ankles, in the unit of the joints; 0 where they are not there."""
    names = BODY25 if openpose else NAMES
    head, left, right = (
        ("Nose", "LAnkle", "RAnkle") if openpose else ("Head", "AnkleLeft", "AnkleRight")
    )
    y = np.concatenate(
        [p[..., [names.index(n) for n in (head, left, right)], 1].reshape(-1, 3) for p in joints]
    )
    y = y[np.isfinite(y).all(1)]
    return float(np.median(y[:, 0] - y[:, 1:].mean(1))) if len(y) else 0.0


def find_scale(lengths: dict[str, float]) -> float | None:
    """Metres per unit that make the bones humanlike: 0.01 or 1; None if neither does."""
    for scale in (0.01, 1.0):
        if all(low <= scale * lengths[bone] <= high for bone, (low, high) in _BONES.items()):
            return scale
    return None


@dataclass(frozen=True)
class OrderCheck:
    """Whether Kinect files have Kinect's joint order.

    Args:
        is_good: whether they have.
        sentence: the numbers that say so.
    """

    is_good: bool
    sentence: str


def compare_order(kinect: Sequence[Points], openpose: Sequence[Points]) -> OrderCheck:
    """Twelve Kinect joints against the OpenPose joints of the same clips; metres, camera axes.

    Each must lie within 15 cm of its counterpart, or be nearer to it than to any other. The files lack different
    translations, so both are centred on these joints.
    """
    parts = []
    for a, b in zip(kinect, openpose, strict=True):
        length, people = min(len(a), len(b)), min(a.shape[1], b.shape[1])
        x, y = a[:length, :people, _KINECT], b[:length, :people, _OPENPOSE]
        x, y = x - x.mean(2, keepdims=True), y - y.mean(2, keepdims=True)
        parts.append(
            np.linalg.norm(x[..., :, None, :] - y[..., None, :, :], axis=-1).reshape(
                -1, len(_KINECT) ** 2
            )
        )
    apart = _median(parts).reshape(len(_KINECT), -1)  # Kinect joint by OpenPose joint
    if not np.isfinite(apart).all():
        return OrderCheck(False, "no frame has all twelve joints that Kinect and OpenPose share")
    own, crossed = np.diag(apart), apart[np.arange(len(_KINECT)), _CROSSED]
    worst = int(np.argmax(own))
    text = f"Kinect joints lie {own.max():.3f} m from their OpenPose counterparts at worst ({NAMES[_KINECT[worst]]})"
    if ((own <= _NEAR) | (own <= apart.min(1))).all():
        return OrderCheck(True, text)
    if (crossed <= _NEAR).all():
        return OrderCheck(
            False,
            f"{text}, but {crossed.max():.3f} m from those of the other side: left/right swapped",
        )
    return OrderCheck(False, text)


def _median(parts: list[Float64[np.ndarray, "n m"]]) -> Float64[np.ndarray, "m"]:
    values = np.concatenate(parts)
    values = values[np.isfinite(values).all(1)]
    return np.median(values, axis=0) if len(values) else np.full(values.shape[1], np.nan)


def check_body(kinect: Sequence[Points]) -> OrderCheck:
    """Without OpenPose files: are Kinect's bones those of a human who stands? Metres, y down."""
    bones = bone_lengths(kinect)
    heights = np.concatenate([p[..., [3, 2, 0, 13, 14], 1].reshape(-1, 5) for p in kinect])
    heights = heights[np.isfinite(heights).all(1)]
    if not np.isfinite(bones).any() or not len(heights):
        return OrderCheck(False, "no frame has a whole body")
    wrong = []
    for left, right in ((5, 9), (6, 10), (13, 17), (14, 18)):
        a, b = bones[left], bones[right]
        if not abs(a - b) <= 0.15 * max(a, b):
            wrong.append(f"{NAMES[left]} bone {a:.2f} m, {NAMES[right]} bone {b:.2f} m")
    if (longest := float(np.nanmax(bones))) > _LONGEST:
        wrong.append(f"{NAMES[int(np.nanargmax(bones))]} bone {longest:.2f} m")
    if not (np.diff(np.median(heights, axis=0)) > 0).all():
        wrong.append("Head, Neck, SpineBase, knee and ankle are not in this order from above")
    return OrderCheck(
        not wrong, "; ".join(wrong) or f"bones of equal sides agree, the longest is {longest:.2f} m"
    )
