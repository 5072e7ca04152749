"""Mean average precision over videos that have any number of classes.

Average precision of a class: the precision at each threshold, weighted by the recall that it adds (equal scores are one
threshold), as scikit-learn's `average_precision_score`, which SlowFast takes. The mean is over classes with a positive.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float


def average_precision(scores: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]) -> float:
    """Of one class; nan without a positive.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True])).__round__(4)
    0.8333
    """
    total = int(positive.sum())
    if not total:
        return math.nan
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    precision = found[last] / (last + 1)
    gained = np.diff(found[last], prepend=0)
    return float((precision * gained).sum() / total)


def random_precision(positive: Bool[np.ndarray, "n k"]) -> float:
    """What random scores give: the mean share of videos, over classes with a positive; nan without one."""
    share = positive.mean(axis=0)
    return float(share[share > 0].mean()) if (share > 0).any() else math.nan


def mean_average_precision(
    scores: Float[np.ndarray, "n k"], positive: Bool[np.ndarray, "n k"]
) -> tuple[float, Float[np.ndarray, "k"]]:
    """The mean over classes, and the average precision of each."""
    each = np.array([average_precision(s, p) for s, p in zip(scores.T, positive.T, strict=True)])
    known = each[~np.isnan(each)]
    return (float(known.mean()) if len(known) else math.nan), each
