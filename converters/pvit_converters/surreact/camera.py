"""SURREACT's camera (spec surreact, section 6): it moves around the person and looks at the point (0, 0, 1).

The world's z axis points down in the image; pixels have their edges at integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

FOCAL, HEIGHT, WIDTH = 600.0, 240, 320
"""Focal length in pixels and image size: lens 60 mm, sensor 32 mm wide, 320x240."""

UP = "-z"

K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]], np.float32)


@dataclass(frozen=True)
class View:
    """World to camera: p_cam = R p_world + t, then x negated where the picture is a mirror image.

    Args:
        R: proper rotation.
        t: metres.
        is_mirrored: whether the camera is a reflection.
    """

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    is_mirrored: bool = False

    def see(self, points: Float[np.ndarray, "*s 3"]) -> Float[np.ndarray, "*s 3"]:
        """World points in OpenCV camera axes, metres."""
        out: Float[np.ndarray, "*s 3"] = points @ self.R.T + self.t
        return out * [-1.0, 1.0, 1.0] if self.is_mirrored else out

    def turn(self, vectors: Float[np.ndarray, "*s 3"]) -> Float[np.ndarray, "*s 3"]:
        """World directions in camera axes."""
        out: Float[np.ndarray, "*s 3"] = vectors @ self.R.T.astype(vectors.dtype)
        if self.is_mirrored:
            out[..., 0] *= -1
        return out

    def world_from_camera(self) -> Float[np.ndarray, "4 4"] | None:
        """The rigid transform back; None for a mirror image, which has none."""
        if self.is_mirrored:
            return None
        out = np.eye(4, dtype=np.float32)
        out[:3, :3], out[:3, 3] = self.R.T, -self.R.T @ self.t
        return out


def view_of(angle: float, distance: float, height: float, is_mirrored: bool = False) -> View:
    """The camera of a clip.

    Args:
        angle: azimuth in degrees.
        distance, height: `cam_dist` and `cam_height`, metres.
        is_mirrored: see `View`.
    """
    theta, phi = np.radians(angle), np.arctan2(height - 1, distance)
    c, s, cp, sp = np.cos(theta), np.sin(theta), np.cos(phi), np.sin(phi)
    R = np.array([[c, -s, 0.0], [-sp * s, -sp * c, cp], [-cp * s, -cp * c, -sp]])
    return View(R, -R @ np.array([distance * s, distance * c, height]), is_mirrored)


def project(points: Float[np.ndarray, "*s 3"]) -> Float[np.ndarray, "*s 2"]:
    """Pixels of points in camera axes, rows from the top."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out: Float[np.ndarray, "*s 2"] = FOCAL * points[..., :2] / points[..., 2:] + [
            WIDTH / 2,
            HEIGHT / 2,
        ]
    return out


@lru_cache(maxsize=1)
def rays() -> Float[np.ndarray, "240 320 2"]:
    """x and y of the direction (z = 1) through every pixel centre."""
    x = (np.arange(WIDTH, dtype=np.float32) + 0.5 - WIDTH / 2) / FOCAL
    y = (np.arange(HEIGHT, dtype=np.float32) + 0.5 - HEIGHT / 2) / FOCAL
    out: Float[np.ndarray, "240 320 2"] = np.stack(np.meshgrid(x, y), -1)
    out.setflags(write=False)
    return out
