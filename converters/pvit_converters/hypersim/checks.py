"""What should hold in a released frame, measured on one frame of each scene: a wrong camera or axis shows here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pvit_converters.hypersim.camera import CV_FROM_GL, repair_normals
from pvit_converters.hypersim.frame import Frame, View

MAX_FLIPPED = 0.5
SCENES = 8
"""Scenes that are looked at before the conversion."""

FRAMES_PER_CHECK = 50
"""One scene more for so many frames: the check must cost little beside the conversion."""

SOME = (slice(None, None, 3), slice(None, None, 3))
"""Pixels enough for a median."""


class _Check(NamedTuple):
    """What is compared, from which error on it is wrong, and how an error is said."""

    what: str
    limit: float
    factor: float = 1.0
    unit: str = ""

    def sentence(self, errors: Sequence[float]) -> str:
        worst = f"{self.factor * max(errors):.3g}{self.unit}"
        text = f"{self.what} {worst} at most ({len(errors)} scenes)"
        if wrong := sum(error > self.limit for error in errors):
            text += f", WHICH IS TOO MUCH IN {wrong}: the camera may be wrong there"
        return text


_CHECKS = {
    "normal_cam": _Check("normal_cam differs from the turned normal_world by", 0.02),
    "position": _Check("points from depth and camera miss position by", 0.01, 100.0, " %"),
}


def compare(frame: Frame, view: View) -> dict[str, float]:
    """The errors of a frame, of those comparisons for which its files are there."""
    errors = {"normal_cam": _normal_error(frame, view), "position": _position_error(frame, view)}
    return {name: round(error, 6) for name, error in errors.items() if error is not None}


def share_flipped(frame: Frame, view: View) -> float | None:
    """The share of the world normals that faces away; None where they or the pose are not there."""
    if "normal_world" not in frame or view.rotation is None:
        return None
    some = frame.read("normal_world")[SOME]
    return repair_normals(some, CV_FROM_GL @ view.rotation.T, view.rays[SOME])[1]


def _normal_error(frame: Frame, view: View) -> float | None:
    """How far `normal_cam` is from the world normals seen from the camera: the median of the worst component."""
    if view.rotation is None or "normal_cam" not in frame or "normal_world" not in frame:
        return None
    turn = view.rotation.astype(np.float32)
    expected = frame.read("normal_world")[SOME].astype(np.float32) @ turn
    found = frame.read("normal_cam")[SOME].astype(np.float32)
    return _median(np.abs(found - expected).max(axis=-1))


def _position_error(frame: Frame, view: View) -> float | None:
    """How far points from distance and camera are from the released positions: the median, as part of the distance."""
    if view.rotation is None or view.centre is None or not view.scale:
        return None
    if "position" not in frame or "depth" not in frame:
        return None
    distance = frame.read("depth")[SOME].astype(np.float64)
    rays = view.rays[SOME] @ (view.rotation @ CV_FROM_GL).T
    points = distance[..., None] * rays + view.centre * view.scale
    released = frame.read("position")[SOME].astype(np.float64) * view.scale
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(points - released, axis=-1) / distance
    return _median(error)


def _median(values: Float[np.ndarray, "..."]) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def warnings_of(checks: Mapping[str, float]) -> list[str]:
    """What a frame's errors say."""
    return [
        f"check-{name.replace('_', '-')}-disagrees"
        for name, check in _CHECKS.items()
        if checks.get(name, 0) > check.limit
    ]


def sentence(results: Sequence[Mapping[str, float]]) -> str:
    """The outcome for the report, from the errors of one frame of each scene that was looked at."""
    parts = []
    for name, check in _CHECKS.items():
        errors = [found[name] for found in results if name in found]
        parts.append(check.sentence(errors) if errors else f"no {name} to compare")
    flipped = [found["flipped"] for found in results if "flipped" in found]
    if flipped:
        parts.append(f"{np.mean(flipped):.1%} of the normals faced away and were turned round")
    return f"check of one frame of {len(results)} scenes: {'; '.join(parts)}"
