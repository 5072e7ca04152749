"""What should hold in a released frame, measured on one frame of each scene: a wrong camera or axis shows here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float32

from pvit_converters.hypersim.camera import CV_FROM_GL
from pvit_converters.hypersim.frame import Frame

MAX_NORMAL_ERROR = 0.02
MAX_POSITION_ERROR = 0.01
MAX_FLIPPED = 0.5
SCENES = 8
"""Scenes that are looked at before the conversion."""

FRAMES_PER_CHECK = 50
"""One scene more for so many frames: the check must cost little beside the conversion."""

SOME = (slice(None, None, 3), slice(None, None, 3))
"""Pixels enough for a median."""


def normal_error(frame: Frame, rotation: Float[np.ndarray, "3 3"] | None) -> float | None:
    """How far `normal_cam` is from the world normals seen from the camera: the median of the worst component.

    Args:
        rotation: world from OpenGL camera axes.

    Returns:
        None where a file or the rotation is not there.
    """
    if rotation is None or "normal_cam" not in frame or "normal_world" not in frame:
        return None
    expected = frame.read("normal_world")[SOME].astype(np.float32) @ rotation.astype(np.float32)
    return _median(
        np.abs(frame.read("normal_cam")[SOME].astype(np.float32) - expected).max(axis=-1)
    )


def position_error(
    frame: Frame,
    rays: Float32[np.ndarray, "h w 3"],
    rotation: Float[np.ndarray, "3 3"] | None,
    centre: Float[np.ndarray, "3"] | None,
    scale: float | None,
) -> float | None:
    """How far points from distance and camera are from the released positions: the median, as part of the distance.

    Args:
        rays: unit rays, OpenCV camera axes.
        rotation: world from OpenGL camera axes.
        centre: optical centre, asset units.
        scale: metres per asset unit.

    Returns:
        None where a file or a part of the camera is not there.
    """
    if (
        rotation is None
        or centre is None
        or not scale
        or "position" not in frame
        or "depth" not in frame
    ):
        return None
    distance = frame.read("depth")[SOME].astype(np.float64)
    points = distance[..., None] * (rays[SOME] @ (rotation @ CV_FROM_GL).T) + centre * scale
    with np.errstate(invalid="ignore", divide="ignore"):
        error = (
            np.linalg.norm(
                points - frame.read("position")[SOME].astype(np.float64) * scale, axis=-1
            )
            / distance
        )
    return _median(error)


def _median(values: Float[np.ndarray, "..."]) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def warnings_of(checks: Mapping[str, float]) -> list[str]:
    """What a frame's errors say."""
    limits = (("normal_cam", MAX_NORMAL_ERROR), ("position", MAX_POSITION_ERROR))
    return [
        f"check-{name.replace('_', '-')}-disagrees"
        for name, limit in limits
        if checks.get(name, 0) > limit
    ]


def sentence(results: Sequence[Mapping[str, float]]) -> str:
    """The outcome for the report, from the errors of one frame of each scene that was looked at."""
    parts = [f"check of one frame of {len(results)} scenes"]
    for name, what, unit in (
        ("normal_cam", "normal_cam differs from the turned normal_world by", 1.0),
        ("position", "points from depth and camera miss position by", 100.0),
    ):
        errors = [found[name] for found in results if name in found]
        limit = MAX_NORMAL_ERROR if name == "normal_cam" else MAX_POSITION_ERROR
        wrong = sum(error > limit for error in errors)
        percent = " %" if unit > 1 else ""
        text = (
            f"{what} {unit * max(errors):.3g}{percent} at most ({len(errors)} scenes)"
            if errors
            else f"no {name} to compare"
        )
        parts.append(
            text
            + (f", WHICH IS TOO MUCH IN {wrong}: the camera may be wrong there" if wrong else "")
        )
    flipped = [found["flipped"] for found in results if "flipped" in found]
    if flipped:
        parts.append(f"{np.mean(flipped):.1%} of the normals faced away and were turned round")
    return parts[0] + ": " + "; ".join(parts[1:])
