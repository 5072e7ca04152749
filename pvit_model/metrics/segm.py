"""Segmentation metrics of one label space: mean IoU over the classes that occur, and pixel accuracy."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Integer

from pvit_model.metrics.ratio import ratio


def sums(
    prediction: Integer[np.ndarray, "..."],
    target: Integer[np.ndarray, "..."],
    valid: Bool[np.ndarray, "..."],
    num_ids: int,
) -> Float[np.ndarray, "k k"]:
    """The confusion matrix over valid pixels: entry (i, j) counts pixels of class i predicted as j.

    Args:
        prediction, target: class ids below `num_ids` at valid pixels.
        valid: pixels that count.
        num_ids: `LabelSpace.num_ids`.
    """
    t, p = target[valid].astype(np.int64), prediction[valid].astype(np.int64)
    return (
        np.bincount(t * num_ids + p, minlength=num_ids * num_ids)
        .reshape(num_ids, num_ids)
        .astype(np.float64)
    )


def result(confusion: Float[np.ndarray, "k k"]) -> dict[str, float]:
    """`miou` over classes with at least one labelled pixel, `accuracy`, `classes` (how many of them)."""
    hit, labelled = np.diag(confusion), confusion.sum(axis=1)
    union = labelled + confusion.sum(axis=0) - hit
    seen = labelled > 0
    return {
        "miou": float((hit[seen] / union[seen]).mean()) if seen.any() else math.nan,
        "accuracy": ratio(hit.sum(), confusion.sum()),
        "classes": float(seen.sum()),
    }
