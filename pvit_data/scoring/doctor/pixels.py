"""Pixels that the network was not trained on: the same clips once more, with channels exchanged or not normalised.

The statistic alone; who has a network runs it (`pvit eval --diagnose`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics.classes import majority

CLIPS = 64
GAIN, SURE = 0.1, 1e-4


def log_softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Logarithms of probabilities, in float64."""
    values = np.asarray(logits, np.float64)
    values = values - values.max(axis=1, keepdims=True)
    result: Float[np.ndarray, "n k"] = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return result


def other_pixels(
    plain: Float[np.ndarray, "n k"],
    changed: Mapping[str, Float[np.ndarray, "n k"]],
    labels: Int64[np.ndarray, "n"],
) -> Finding | None:
    """The finding, or None.

    Args:
        plain: logits of the clips as they are fed.
        changed: logits of the same clips, by what was changed.
        labels: their classes.
    """
    from scipy.special import bdtrc

    rows = np.arange(len(labels))
    own = log_softmax(plain)[rows, labels]
    share, error = majority(np.bincount(labels).astype(np.float64))
    found: list[tuple[float, str, str]] = []
    for name, logits in changed.items():
        gain = log_softmax(logits)[rows, labels] - own
        better, worse = int((gain > 0).sum()), int((gain < 0).sum())
        chance = float(bdtrc(better - 1, better + worse, 0.5)) if better else 1.0
        top1 = float((logits.argmax(axis=1) == labels).mean())
        mean = float(gain.mean())
        if math.isfinite(mean) and mean > GAIN and chance < SURE and top1 > share + 3 * error:
            seen = f"with {name}, the true class gains {mean:.2f} nat on {len(labels)} clips and top-1 is {top1:.3f}"
            found.append((mean, seen, f"p = {chance:.1e}"))
    if not found:
        return None
    _, seen, sure = max(found)
    return Finding(
        "BGR or normalisation",
        seen,
        sure,
        "the network was trained on such pixels: convert its first layer, or feed it as it was trained",
    )
