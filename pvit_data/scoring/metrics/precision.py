"""Average precision of detections as PASCAL VOC counts it: the area under the envelope over all points of recall."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

Ties = Literal["file", "low", "high"]


def average_precision(
    scores: Float[np.ndarray, "n"],
    correct: Bool[np.ndarray, "n"],
    total: int,
    ties: Ties = "file",
) -> float:
    """Of one class.

    Args:
        scores: of its detections.
        correct: which of them found a box of the truth that no earlier one had found.
        total: boxes of the truth.
        ties: equal scores stand as in the file, or the wrong ones first (the lowest value), or the right ones.

    Returns:
        nan where there is nothing to find.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2).__round__(4)
    0.8333
    """
    if not total:
        return math.nan
    if ties == "file":
        order = np.argsort(-scores, kind="stable")
    else:
        order = np.lexsort((correct if ties == "low" else ~correct, -scores))
    right = correct[order]
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(envelope[right].sum() / total)
