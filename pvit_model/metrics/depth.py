"""Depth metrics in metres over valid pixels: RMSE, AbsRel, delta < 1.25 (Eigen et al. 2014, section 4.2)."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float

from pvit_model.metrics.ratio import ratio

LEAST = 1e-3
"""Metres; smaller predictions count as this, so that ratios stay finite."""


def sums(
    prediction: Float[np.ndarray, "..."],
    target: Float[np.ndarray, "..."],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "6"]:
    """Sums over valid pixels that add up over batches and ranks: squared error, relative error, three deltas, number.

    Args:
        prediction, target: planar z, metres.
        valid: pixels that count.
    """
    p = np.maximum(np.asarray(prediction, np.float64)[valid], LEAST)
    t = np.asarray(target, np.float64)[valid]
    factor = np.maximum(p / t, t / p)
    deltas = [float((factor < 1.25**k).sum()) for k in (1, 2, 3)]
    return np.array([((p - t) ** 2).sum(), (np.abs(p - t) / t).sum(), *deltas, len(t)])


def result(total: Float[np.ndarray, "6"]) -> dict[str, float]:
    """`rmse` (m), `absrel`, `delta1` to `delta3` (shares), from summed `sums`."""
    n = float(total[5])
    names = ("delta1", "delta2", "delta3")
    return {
        "rmse": math.sqrt(ratio(total[0], n)) if n else math.nan,
        "absrel": ratio(total[1], n),
        **{name: ratio(value, n) for name, value in zip(names, total[2:5], strict=True)},
    }
