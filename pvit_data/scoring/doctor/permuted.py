"""Permuted classes: the network orders its classes otherwise than the truth does.

The best assignment of predicted to true classes is found on one half of the videos and scored on the other, both ways:
on all of them a random classifier reaches .51 with 174 classes and 200 videos, crosswise .006.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics.classes import confusion, majority

FEW = 20  # classes
LEAST = 20  # videos: of fewer, a random order may look like a found one
_NAME = "permuted classes"


def permuted(
    labels: Int64[np.ndarray, "n"],
    predicted: Int64[np.ndarray, "n"],
    ids: Sequence[str],
    number: int,
    orders: Mapping[str, Int64[np.ndarray, "k"]],
) -> Finding | None:
    """The finding, or None.

    Args:
        labels, predicted: class of each video.
        ids: of the videos; they say which half a video is in.
        number: of classes.
        orders: known orders: by name, the id there of each class of the truth.
    """
    videos = len(labels)
    if videos < LEAST:
        return None
    half = halves(ids)
    first, second = (confusion(labels[part], predicted[part], number) for part in (half, ~half))
    hits = _scored(first, second) + _scored(second, first)
    share, top1 = hits / videos, float((labels == predicted).mean())
    most = majority((first + second).sum(axis=1).astype(np.float64))[0]
    error = math.sqrt(share * (1 - share) / videos)
    found = share >= max(top1, most) + max(0.10, 4 * error)
    if number > 2:  # of two the rest is wrong anyway: one as strong is worse than chance
        found = found and share >= 2 * top1
    if not found or (number < FEW and share < 0.4):
        return None
    return Finding(
        _NAME,
        f"with the classes renamed, top-1 is {share:.3f} instead of {top1:.3f} (majority class {most:.3f}); the "
        f"renaming was found on one half of the {videos:,} videos and scored on the other",
        f"{(share - max(top1, most)) / error:.0f} standard errors" if error else "certain",
        _remedy(first + second, orders, share * videos),
    )


def halves(ids: Sequence[str]) -> Bool[np.ndarray, "n"]:
    """Which rows are in the first half: by the order of their ids' hashes, whatever the order of the file. Rows of one
    id stay together."""
    listed = sorted(
        set(ids), key=lambda name: hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest()
    )
    first = set(listed[::2])
    return np.array([name in first for name in ids], bool)


def _scored(counts: Int64[np.ndarray, "k k"], others: Int64[np.ndarray, "k k"]) -> int:
    from scipy.optimize import linear_sum_assignment

    truth, predicted = linear_sum_assignment(counts, maximize=True)
    return int(others[truth, predicted].sum())


def _remedy(
    counts: Int64[np.ndarray, "k k"], orders: Mapping[str, Int64[np.ndarray, "k"]], hits: float
) -> str:
    """Which known order the predictions follow."""
    plain = np.arange(len(counts))
    known = {**orders, "ids that count from 1": plain + 1, "ids that are one too low": plain - 1}
    values = {name: _followed(counts, order) for name, order in known.items()}
    name = max(values, key=values.__getitem__)
    if values[name] >= 0.9 * hits:
        return (
            f"the columns follow {name} (top-1 then {values[name] / counts.sum():.3f}): name the file with the order "
            "of the columns (--classes FILE), or reorder them"
        )
    return "the order is none that is known: give the file with the classes of the network (--classes FILE)"


def _followed(counts: Int64[np.ndarray, "k k"], order: Int64[np.ndarray, "k"]) -> int:
    """Videos whose predicted column is the id of their class in an order."""
    if len(order) != len(counts):
        return 0
    rows = np.flatnonzero((order >= 0) & (order < len(counts)))
    return int(counts[rows, order[rows]].sum())
