"""What should hold in a released frame, tested on the first frame of each scene: a wrong camera or axis shows here."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from pvit_converters.hypersim.camera import CV_FROM_GL
from pvit_converters.hypersim.frame import Frame

MAX_NORMAL_ERROR = 0.02
MAX_POSITION_ERROR = 0.01
MAX_FLIPPED = 0.5
_SOME = (slice(None, None, 3), slice(None, None, 3))  # pixels enough for a median


def check_normals(frame: Frame, rotation: Float[np.ndarray, "3 3"] | None) -> list[str]:
    """`normal_cam` must be the world normals seen from the camera.

    Args:
        rotation: world from OpenGL camera axes.
    """
    if rotation is None or "normal_cam" not in frame or "normal_world" not in frame:
        return []
    expected = frame.read("normal_world")[_SOME].astype(np.float32) @ rotation.astype(np.float32)
    error = np.abs(frame.read("normal_cam")[_SOME].astype(np.float32) - expected).max(axis=-1)
    error = error[np.isfinite(error)]
    return ["check-normal-cam-disagrees"] if error.size and np.median(error) > MAX_NORMAL_ERROR else []


def check_positions(
    frame: Frame,
    rays: Float32[np.ndarray, "h w 3"],
    rotation: Float[np.ndarray, "3 3"] | None,
    centre: Float[np.ndarray, "3"] | None,
    scale: float | None,
) -> list[str]:
    """Points from distance and camera must agree with the released positions to 1 % of the distance.

    Args:
        rays: unit rays, OpenCV camera axes.
        rotation: world from OpenGL camera axes.
        centre: optical centre, asset units.
        scale: metres per asset unit.
    """
    if rotation is None or centre is None or scale is None or "position" not in frame or "depth" not in frame:
        return []
    distance = frame.read("depth")[_SOME].astype(np.float64)
    points = distance[..., None] * (rays[_SOME] @ (rotation @ CV_FROM_GL).T) + centre * scale
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.linalg.norm(points - frame.read("position")[_SOME].astype(np.float64) * scale, axis=-1) / distance
    error = error[np.isfinite(error)]
    return ["check-position-disagrees"] if error.size and np.median(error) > MAX_POSITION_ERROR else []
