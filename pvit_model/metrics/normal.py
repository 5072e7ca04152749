"""Angular error of surface normals, degrees, over valid pixels: mean, share below 11.25 / 22.5 / 30 degrees.

The thresholds are those of Fouhey et al. 2013, used throughout the literature since.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from pvit_model.metrics.ratio import ratio

THRESHOLDS = (11.25, 22.5, 30.0)


def angles(
    a: Float[np.ndarray, "... 3"], b: Float[np.ndarray, "... 3"]
) -> Float[np.ndarray, "..."]:
    """Angle between vectors of any length, degrees; by atan2, exact near 0 and 180 where arccos is not."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    found: Float[np.ndarray, "..."] = np.degrees(
        np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1))
    )
    return found


def sums(
    prediction: Float[np.ndarray, "... 3"],
    target: Float[np.ndarray, "... 3"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "5"]:
    """Sums over valid pixels: angle, pixels under each threshold, number. Predictions need not be unit vectors."""
    error = angles(prediction[valid], target[valid])
    return np.array(
        [error.sum(), *(float((error < limit).sum()) for limit in THRESHOLDS), len(error)]
    )


def result(total: Float[np.ndarray, "5"]) -> dict[str, float]:
    """`mean_deg` and the shares `under11`, `under22`, `under30`."""
    names = ("mean_deg", "under11", "under22", "under30")
    return {name: ratio(value, total[4]) for name, value in zip(names, total[:4], strict=True)}
