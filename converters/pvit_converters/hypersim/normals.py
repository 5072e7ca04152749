"""Repairing Hypersim's normals: some are zero, not of unit length, or face away (apple/ml-hypersim issue 26)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

MIN_LENGTH = 1e-3


def repair_normals(
    normals: Float[np.ndarray, "h w 3"],
    rotation: Float[np.ndarray, "3 3"],
    rays: Float32[np.ndarray, "h w 3"],
    surface: Bool[np.ndarray, "h w"] | None = None,
) -> tuple[Float32[np.ndarray, "h w 3"], float]:
    """Unit normals in OpenCV camera axes that face the camera; zero where invalid.

    Valid are finite normals longer than 1e-3 on a surface; the depth plays no part. A visible surface cannot face
    away, so a normal whose dot product with its viewing ray is positive is turned round.

    Args:
        normals: raw normals, any axes.
        rotation: OpenCV camera axes from those axes.
        rays: unit viewing rays, OpenCV camera axes.
        surface: where there is a surface at all; None: everywhere.

    Returns:
        The normals, and the fraction of the valid ones that was turned round.
    """
    vectors = normals.astype(np.float32)
    valid = np.isfinite(vectors).all(axis=-1)
    vectors[~valid] = 0
    length = np.linalg.norm(vectors, axis=-1)
    valid &= length > MIN_LENGTH
    if surface is not None:
        valid &= surface
    vectors = vectors @ rotation.T.astype(np.float32)
    vectors /= np.where(valid, np.linalg.norm(vectors, axis=-1), 1)[..., None]
    away = valid & (np.einsum("hwi,hwi->hw", vectors, rays) > 0)
    vectors[away] *= -1
    vectors[~valid] = 0
    return vectors, float(away.sum() / max(1, valid.sum()))
