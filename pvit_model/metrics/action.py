"""Top-k action accuracy over the views of a video, as the official SSv2 evaluation counts it.

Softmax per view, summed over the views of a video (facebookresearch/SlowFast `slowfast/utils/meters.py`, TestMeter);
averaging logits would rank differently. A video that did not get exactly its views is an error, never a score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Integer

from pvit_data.errors import FormatError


def softmax(logits: Float[np.ndarray, "b k"]) -> Float[np.ndarray, "b k"]:
    """Rows turned into probabilities, in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    scores: Float[np.ndarray, "b k"] = shifted / shifted.sum(axis=1, keepdims=True)
    return scores


class ActionMeter:
    """Collects per-view logits and gives accuracies over videos.

    Args:
        num_views: views per video (temporal clips x spatial crops).
    """

    def __init__(self, num_views: int = 1) -> None:
        self.num_views = num_views
        self._scores: dict[str, Float[np.ndarray, "k"]] = {}
        self._views: dict[str, int] = {}
        self._labels: dict[str, int] = {}

    def update(
        self,
        keys: Sequence[str],
        logits: Float[np.ndarray, "b k"],
        labels: Integer[np.ndarray, "b"],
    ) -> None:
        """Takes in one view of each key.

        Raises:
            FormatError: if a key comes with two different labels, or too often.
        """
        for key, score, label in zip(keys, softmax(logits), labels.tolist(), strict=True):
            if self._labels.setdefault(key, label) != label:
                raise FormatError(
                    f"sample '{key}': label {label} in one view, {self._labels[key]} in another"
                )
            self._scores[key] = self._scores[key] + score if key in self._scores else score
            self._views[key] = self._views.get(key, 0) + 1
            if self._views[key] > self.num_views:
                raise FormatError(
                    f"sample '{key}' came with more than the {self.num_views} views of this evaluation"
                )

    def __len__(self) -> int:
        return len(self._scores)

    def counts(self, ks: Iterable[int] = (1, 5)) -> dict[str, float]:
        """Number of videos (`"videos"`) and of videos whose label is among the best k (`"top1"`, ...).

        Raises:
            FormatError: if a video did not get exactly its views.
        """
        short = [key for key, n in self._views.items() if n != self.num_views]
        if short:
            raise FormatError(
                f"{len(short)} of {len(self)} videos got other than {self.num_views} views, first '{short[0]}': "
                "evaluate again with on_corrupt='raise' to see what is unreadable"
            )
        result = {"videos": float(len(self))} | {f"top{k}": 0.0 for k in ks}
        for key, score in self._scores.items():
            order = np.argsort(-score, kind="stable")
            for k in ks:
                result[f"top{k}"] += float(self._labels[key] in order[:k])
        return result

    def predictions(self) -> dict[str, Float[np.ndarray, "k"]]:
        """Mean probability of each class, by key."""
        return {key: score / self._views[key] for key, score in self._scores.items()}

    def labels(self) -> dict[str, int]:
        """Label by key."""
        return dict(self._labels)


def majority(labels: Iterable[int]) -> tuple[float, float]:
    """Share of the most frequent class, and the binomial standard error of an accuracy at that share.

    >>> majority([0, 0, 1, 2])
    (0.5, 0.25)
    """
    values = np.fromiter(labels, np.int64)
    if not len(values):
        return math.nan, math.nan
    share = float(np.unique(values, return_counts=True)[1].max() / len(values))
    return share, math.sqrt(share * (1 - share) / len(values))
