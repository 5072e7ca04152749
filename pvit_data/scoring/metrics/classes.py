"""Accuracies over videos of one class each: top-k, per class, mean over classes, confusion counts, majority class."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int, Int64

TOP = (1, 5)


def tops(number: int) -> tuple[int, ...]:
    """The k of the top-k accuracies of so many classes: those that can be missed, and always 1.

    >>> tops(5), tops(6)
    ((1,), (1, 5))
    """
    return tuple(k for k in TOP if k == 1 or k < number)


def ranks(scores: Float[np.ndarray, "n k"], labels: Int[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """How many classes stand before the label of each video; among equal scores the smaller id stands first.

    >>> ranks(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), np.array([2, 1]))
    array([1, 1])
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    before = np.arange(scores.shape[1])[None, :] < labels[:, None]
    first = (scores > own) | ((scores == own) & before)
    return np.asarray(first.sum(axis=1), np.int64)


def ties(
    scores: Float[np.ndarray, "n k"], labels: Int[np.ndarray, "n"], k: int
) -> tuple[float, float, float]:
    """What equal scores leave open of the top-k accuracy.

    Args:
        scores: of each video, higher is better; of more than k classes.
        labels: its class.
        k: places that count.

    Returns:
        Share of the videos whose scores at the k-th place and the next are equal, and the lowest and the highest
        accuracy over all orders of equal scores.

    >>> ties(np.array([[0.5, 0.5, 0.1], [0.2, 0.7, 0.1]]), np.array([1, 1]), 1)
    (0.5, 0.5, 1.0)
    """
    ordered = np.partition(scores, (-k - 1, -k), axis=1)
    tied = ordered[:, -k - 1] == ordered[:, -k]
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    above, level = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    low, high = (above + level <= k).mean(), (above < k).mean()
    return float(tied.mean()), float(low), float(high)


def best(scores: Float[np.ndarray, "n k"]) -> Int64[np.ndarray, "n"]:
    """The class with the highest score of each video; among equal ones the smallest id."""
    found: Int64[np.ndarray, "n"] = scores.argmax(axis=1)
    return found


def confusion(
    labels: Int[np.ndarray, "n"], predicted: Int[np.ndarray, "n"], number: int
) -> Int64[np.ndarray, "k k"]:
    """Videos by class (row) and predicted class (column)."""
    counts = np.bincount(labels * number + predicted, minlength=number * number)
    return counts.reshape(number, number)


def class_accuracies(counts: Float[np.ndarray, "k k"]) -> Float[np.ndarray, "k"]:
    """The share of each class's videos that is found; nan for a class without videos."""
    videos = counts.sum(axis=1).astype(np.float64)
    hits = np.diagonal(counts).astype(np.float64)
    shares = np.full(len(videos), math.nan)
    np.divide(hits, videos, out=shares, where=videos > 0)
    return shares


def mean_class_accuracy(counts: Float[np.ndarray, "k k"]) -> float:
    """The mean of the accuracies of the classes that have videos; nan where there are none.

    >>> mean_class_accuracy(np.array([[3, 1, 0], [1, 1, 0], [0, 0, 0]]))
    0.625
    """
    found = class_accuracies(counts)
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else math.nan


def majority(histogram: Float[np.ndarray, "k"]) -> tuple[float, float]:
    """Share of the most frequent class, and the binomial standard error of an accuracy at that share.

    >>> majority(np.array([2.0, 1.0, 1.0]))
    (0.5, 0.25)
    """
    number = float(histogram.sum())
    if not number:
        return math.nan, math.nan
    share = float(histogram.max()) / number
    return share, math.sqrt(share * (1 - share) / number)


def top_k(scores: Float[np.ndarray, "n k"], labels: Int[np.ndarray, "n"]) -> dict[str, float]:
    """`top1`, `top5` of more than five classes, `mean_class_accuracy`, and the `majority` share with its standard error
    `majority_se`.

    Args:
        scores: of each video, higher is better.
        labels: its class.
    """
    places = ranks(scores, labels)
    counts = confusion(labels, best(scores), scores.shape[1])
    share, error = majority(counts.sum(axis=1).astype(np.float64))
    number = max(1, len(labels))
    return {
        **{f"top{k}": float((places < k).sum()) / number for k in tops(scores.shape[1])},
        "mean_class_accuracy": mean_class_accuracy(counts),
        "majority": share,
        "majority_se": error,
    }
