"""Mean per-joint position error of root-relative 3D poses, millimetres, over labelled joints; no alignment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from pvit_model.metrics.ratio import ratio


def sums(
    prediction: Float[np.ndarray, "... 3"],
    target: Float[np.ndarray, "... 3"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "3"]:
    """Sums over labelled joints: distance (m), joints closer than 150 mm, number.

    Args:
        prediction, target: joints, metres, relative to the root.
        valid: labelled joints.
    """
    error = np.linalg.norm(
        np.asarray(prediction, np.float64)[valid] - np.asarray(target, np.float64)[valid], axis=-1
    )
    return np.array([error.sum(), float((error < 0.15).sum()), len(error)])


def result(total: Float[np.ndarray, "3"]) -> dict[str, float]:
    """`mpjpe_mm`, and `pck150`: the share of joints within 150 mm (Mehta et al. 2017)."""
    return {"mpjpe_mm": 1000 * ratio(total[0], total[2]), "pck150": ratio(total[1], total[2])}
