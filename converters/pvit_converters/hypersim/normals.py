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
