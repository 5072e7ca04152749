"""How scores of views were combined: per view, both ways; one row per video, what its sum tells. Information only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.scoring.doctor.finding import Finding, information
from pvit_data.scoring.metrics.classes import ranks
from pvit_data.scoring.metrics.views import whole_of

_NAME = "logits averaged"


def combined(
    logits: Float[np.ndarray, "n v k"],
    has_views: bool,
    labels: Int64[np.ndarray, "n"],
    scores: Float[np.ndarray, "n k"],
) -> list[Finding]:
    """What is known of the combination.

    Args:
        logits: of each view, or probabilities.
        has_views: whether the file tells views apart.
        labels: class of each video.
        scores: sums of softmax, which are ranked.
    """  # fmt: skip
    if has_views and logits.shape[1] > 1:
        if whole_of(logits) is not None:
            seen = f"the numbers are probabilities, summed over {logits.shape[1]} views"
            return [information(_NAME, f"{seen}; what averaged logits would give, nobody can see")]
        mean = np.zeros(scores.shape)
        with np.errstate(invalid="ignore"):
            for view in range(logits.shape[1]):
                mean += logits[:, view]
        proper, other = ranks(scores, labels), ranks(mean, labels)
        moved = float((scores.argmax(axis=1) != mean.argmax(axis=1)).mean())
        return [
            information(
                _NAME,
                f"summed softmax of {logits.shape[1]} views gives top-1 {(proper == 0).mean():.4f}, averaged logits "
                f"would give {(other == 0).mean():.4f}; {100 * moved:.1f} % of the videos get another first class",
            )
        ]
    if has_views:
        return []
    return [information(_NAME, f"one row per video: {_told(logits[:, 0])}")]


def _told(rows: Float[np.ndarray, "n k"]) -> str:
    sums = np.asarray(rows, np.float64).sum(axis=1)
    if (rows >= 0).all() and np.allclose(sums, sums[0], rtol=1e-2):
        views = round(float(sums[0]))
        if views == 1:
            return "rows add up to 1, so they are softmax of one view, or a mean of softmax"
        if views > 1:
            return f"rows add up to {sums[0]:.2f}, so they are sums of softmax over {views} views"
    with np.errstate(over="ignore", under="ignore"):
        total = np.exp(np.minimum(np.asarray(rows, np.float64), 50)).sum(axis=1)
    if np.allclose(total, 1, rtol=1e-2):
        return "rows are logarithms of probabilities"
    return "rows are logits; if they are means over views, the ranking is another than the published one"
