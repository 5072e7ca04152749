"""Hypersim's cameras: the per-scene ray matrix, poses, and what a frame is in camera axes: planar depth, normals.

The released camera of a scene is a 3x3 matrix M ("M_cam_from_uv") that maps (u, v, 1), u and v in [-1, 1] with v up, to
a viewing direction in OpenGL camera axes. 268 of the 457 scenes are shifted or tilted, so one focal length is not
enough. Source: apple/ml-hypersim, contrib/mikeroberts3000.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

# OpenGL camera axes (x right, y up, z backwards) to OpenCV ones (x right, y down, z forward).
CV_FROM_GL = np.diag([1.0, -1.0, -1.0])
STANDARD_FIELD_OF_VIEW = np.pi / 3
MAX_ROTATION_ERROR = 1e-3
MIN_LENGTH = 1e-3  # of a normal
_ZERO = 1e-6


def standard_m(height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """The ray matrix of the plain scenes (189 of 457): a centred pinhole, 60 degrees wide, with square pixels."""
    half = np.tan(STANDARD_FIELD_OF_VIEW / 2)
    return np.diag([half, half * height / width, -1.0])


def rays_from_pixels(
    m: Float[np.ndarray, "3 3"], height: int, width: int
) -> Float[np.ndarray, "3 3"]:
    """The matrix D with (x, y, z) ~ D (u, v, 1): OpenCV camera axes from pixels (corner of the first pixel at 0)."""
    uv_from_pixels = np.array([[2 / width, 0, -1], [0, -2 / height, 1], [0, 0, 1]])
    rays: Float[np.ndarray, "3 3"] = CV_FROM_GL @ m @ uv_from_pixels
    return rays


def intrinsics(m: Float[np.ndarray, "3 3"], height: int, width: int) -> Float[np.ndarray, "3 3"]:
    """K with (u, v, 1) ~ K (x, y, z): the inverse of `rays_from_pixels`, scaled to K[2, 2] = 1."""
    k = np.linalg.inv(rays_from_pixels(m, height, width))
    scaled: Float[np.ndarray, "3 3"] = k / k[2, 2]
    return scaled


def unit_rays(m: Float[np.ndarray, "3 3"], height: int, width: int) -> Float32[np.ndarray, "h w 3"]:
    """Unit viewing direction of each pixel centre, OpenCV camera axes."""
    d = rays_from_pixels(m, height, width)
    u, v = np.arange(width) + 0.5, np.arange(height) + 0.5
    rays = d[:, 0] * u[None, :, None] + d[:, 1] * v[:, None, None] + d[:, 2]
    unit: Float32[np.ndarray, "h w 3"] = (
        rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    ).astype(np.float32)
    return unit


def planar_depth(
    distance: Float[np.ndarray, "h w"], rays: Float32[np.ndarray, "h w 3"]
) -> Float32[np.ndarray, "h w"]:
    """Depth along the optical axis in metres, from the distance to the optical centre; 0 where there is no surface."""
    distance = distance.astype(np.float32)
    valid = np.isfinite(distance) & (distance > 0)
    depth: Float32[np.ndarray, "h w"] = np.where(
        valid, distance * rays[..., 2], np.float32(0)
    ).astype(np.float32)
    return depth


def camera_kind(m: Float[np.ndarray, "3 3"]) -> str:
    """`"standard"` (a centred pinhole), `"shifted"` (off-centre) or `"tilted"` (the image plane is turned)."""
    if abs(m[2, 0]) > _ZERO or abs(m[2, 1]) > _ZERO:
        return "tilted"
    return "shifted" if abs(m[0, 2]) > _ZERO or abs(m[1, 2]) > _ZERO else "standard"


def clean_rotation(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"] | None:
    """The nearest rotation, or None if the matrix is none (error above 1e-3; seen in ai_008_003/cam_01/0000).

    First frames come from the artist's own camera, and 69 of 769 are slightly off (apple/ml-hypersim issue 103).
    """
    error = (
        np.abs(rotation @ rotation.T - np.eye(3)).max() if np.isfinite(rotation).all() else np.inf
    )
    if error > MAX_ROTATION_ERROR or np.linalg.det(rotation) <= 0:
        return None
    u, _, vt = np.linalg.svd(rotation)
    nearest: Float[np.ndarray, "3 3"] = u @ vt
    return nearest


def world_from_camera(
    rotation: Float[np.ndarray, "3 3"], position: Float[np.ndarray, "3"], scale: float
) -> Float32[np.ndarray, "4 4"]:
    """The pose in OpenCV axes and metres.

    Args:
        rotation: world from OpenGL camera axes.
        position: optical centre in asset units.
        scale: metres per asset unit.
    """
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = rotation @ CV_FROM_GL
    pose[:3, 3] = position * scale
    return pose


def repair_normals(
    normals: Float[np.ndarray, "h w 3"],
    rotation: Float[np.ndarray, "3 3"],
    rays: Float32[np.ndarray, "h w 3"],
    surface: Bool[np.ndarray, "h w"] | None = None,
) -> tuple[Float32[np.ndarray, "h w 3"], float]:
    """Unit normals in OpenCV camera axes that face the camera; zero where invalid.

    Raw ones may be zero, not of unit length, or face away (apple/ml-hypersim issue 26). Valid are finite normals longer
    than 1e-3 on a surface; the depth plays no part. A visible surface cannot face away, so a normal whose dot product
    with its viewing ray is positive is turned round.

    Args:
        normals: raw normals, any axes.
        rotation: OpenCV camera axes from those axes.
        rays: unit viewing rays, OpenCV camera axes.
        surface: where there is a surface at all; None: everywhere.

    Returns:
        The normals, and the fraction of the valid ones that was turned round.
    """
    vectors = normals.astype(np.float32)
    # Sums over three channels are several times faster as products than as numpy reductions of so short an axis.
    square = np.einsum("hwi,hwi->hw", vectors, vectors)
    valid = np.isfinite(square) & (square > MIN_LENGTH**2)
    if surface is not None:
        valid &= surface
    vectors[~valid] = 0
    vectors = vectors @ rotation.T.astype(np.float32)
    away = np.einsum("hwi,hwi->hw", vectors, rays) > 0
    scale = 1 / np.sqrt(np.where(valid, square, 1))
    vectors *= np.where(away, -scale, scale)[..., None]
    return vectors, float(away.sum() / max(1, valid.sum()))
