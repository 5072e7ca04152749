"""Actions: one class per clip, the downstream's task; its head is the network's own.

Accuracy as `pvit score` counts it, with its functions: softmax per view, summed over the views of a video. A video that
did not get exactly its views is an error, never a score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

from pvit_data.errors import FormatError, UsageError
from pvit_data.loading.batch import Targets
from pvit_data.scoring.metrics.classes import (
    TOP,
    best,
    confusion,
    majority,
    mean_class_accuracy,
    ranks,
    tops,
)
from pvit_data.scoring.metrics.views import softmax
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import Head
from pvit_model.tasks.meter import Arrays, Meter


class ActionOptions(TaskOptions):
    """Options of the action's loss.

    Args:
        label_smoothing: of the cross-entropy.
    """

    label_smoothing: float = 0.0


class ActionTask(Task[ActionOptions]):
    """Softmax cross-entropy. What guessing gives, the share of the most frequent class, is one of its metrics."""

    options = ActionOptions
    main = "top1"
    on_hub = "video-classification"
    chance = "majority"
    facts = frozenset({"videos", "majority", "majority_se"})
    can_mix = True

    def head(self, plan: HeadPlan) -> Head:
        """There is none to make."""
        raise UsageError(
            "actions are no auxiliary task: every network has their head; leave the name out"
        )

    def loss(
        self, prediction: Float[Tensor, "r k"], targets: Targets, options: ActionOptions
    ) -> LossSum:
        """Over labelled clips; their targets are classes, or weights over all of them, float (r, k)."""
        value = targets.value
        loss = F.cross_entropy(
            prediction.float(),
            value if value.is_floating_point() else value.long(),
            reduction="none",
            label_smoothing=options.label_smoothing,
        )
        return masked_sum(loss, targets.valid)

    def as_weights(self, value: Integer[Tensor, "r"], num_ids: int) -> Float[Tensor, "r k"]:
        """1 for the class, 0 for all others."""
        return F.one_hot(value.long(), num_ids).float()

    def meter(self, num_ids: int, views: int = 1) -> ActionMeter:
        """Accuracies over videos."""
        return ActionMeter(num_ids, views)

    def constant(self, num_ids: int, options: ActionOptions) -> None:
        """The majority class is among the metrics."""
        return None

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The frame: a class is said in words."""
        return shown.rgb

    def result_line(self, values: Mapping[str, float]) -> str:
        """Accuracies beside the majority class."""
        share, error = 100 * values["majority"], 100 * values["majority_se"]
        return f"{_accuracies(values, '%')} (majority class {share:.2f}% +- {error:.2f})"

    def result_sentence(self, values: Mapping[str, float]) -> str:
        """How far above the majority class the accuracy is."""
        error = values["majority_se"]
        excess = (values["top1"] - values["majority"]) / error if error else math.nan
        return (
            f"{_accuracies(values, ' %')} on {values['videos']:.0f} held-out clips; the majority class alone gives "
            f"{100 * values['majority']:.2f} %, so this is {excess:.1f} binomial standard errors above it."
        )


def _accuracies(values: Mapping[str, float], unit: str) -> str:
    named = [(k, f"top{k}") for k in TOP]
    return ", ".join(f"top-{k} {100 * values[n]:.2f}{unit}" for k, n in named if n in values)


class ActionMeter(Meter):
    """Collects the logits of views and gives accuracies over videos.

    Args:
        num_ids: number of classes.
        views: views per video (temporal clips x spatial crops).
    """

    def __init__(self, num_ids: int, views: int = 1) -> None:
        self.num_ids, self.views = num_ids, views
        self._scores: dict[str, Float[np.ndarray, "k"]] = {}
        self._seen: dict[str, int] = {}
        self._labels: dict[str, int] = {}

    def measure(
        self, answer: Float[Tensor, "b k"], targets: Targets, loss: tuple[float, float]
    ) -> Arrays:
        """Logits and labels of one view of each clip."""
        logits = answer.detach().float().cpu().numpy()
        return {"logits": logits, "labels": targets.value.cpu().numpy()}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes in one view of each key.

        Raises:
            FormatError: if a key comes with two different labels, or too often.
        """
        self.add(keys, measured["logits"], measured["labels"])

    def add(
        self,
        keys: Sequence[str],
        logits: Float[np.ndarray, "b k"],
        labels: Integer[np.ndarray, "b"],
    ) -> None:
        """The same."""
        for key, score, label in zip(keys, softmax(logits), labels.tolist(), strict=True):
            if self._labels.setdefault(key, label) != label:
                raise FormatError(
                    f"sample '{key}': label {label} in one view, {self._labels[key]} in another"
                )
            self._scores[key] = self._scores[key] + score if key in self._scores else score
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._seen[key] > self.views:
                raise FormatError(
                    f"sample '{key}' came with more than the {self.views} views of this evaluation"
                )

    def counts(self, ks: Iterable[int] | None = None) -> dict[str, float]:
        """Number of videos (`"videos"`) and of videos whose label is among the best k (`"top1"`, ...).

        Args:
            ks: default: those of the accuracies.

        Raises:
            FormatError: if a video did not get exactly its views.
        """
        scores, labels = self._videos()
        places = ranks(scores, labels)
        ks = tops(self.num_ids) if ks is None else ks
        return {"videos": float(len(labels))} | {f"top{k}": float((places < k).sum()) for k in ks}

    def _videos(self) -> tuple[Float[np.ndarray, "n k"], Integer[np.ndarray, "n"]]:
        """Summed scores and label of each video."""
        short = [key for key, n in self._seen.items() if n != self.views]
        if short:
            raise FormatError(
                f"{len(short)} of {len(self._seen)} videos got other than {self.views} views, first '{short[0]}': "
                "evaluate again with on_corrupt='raise' to see what is unreadable"
            )
        scores = [*self._scores.values()]
        labels = np.fromiter(self._labels.values(), np.int64)
        return np.stack(scores) if scores else np.zeros((0, self.num_ids)), labels

    def total(self) -> Float[np.ndarray, "n"]:
        """The counts, then the videos by class and predicted class, row by row."""
        scores, labels = self._videos()
        table = confusion(labels, best(scores), self.num_ids)
        return np.concatenate([list(self.counts().values()), table.reshape(-1).astype(np.float64)])

    def result(self, total: Float[np.ndarray, "n"]) -> dict[str, float] | None:
        """`top1`, `top5` of more than five classes, `mean_class_accuracy`, `videos`, `majority` and `majority_se`, of
        added totals; None where there are no videos."""
        ks = tops(self.num_ids)
        videos, *hits = total[: 1 + len(ks)].tolist()
        if not videos:
            return None
        table = self.confusion(total)
        share, error = majority(table.sum(axis=1))
        accuracies = {f"top{k}": hit / videos for k, hit in zip(ks, hits, strict=True)}
        return {
            **accuracies,
            "mean_class_accuracy": mean_class_accuracy(table),
            "videos": videos,
            "majority": share,
            "majority_se": error,
        }

    def confusion(self, total: Float[np.ndarray, "n"]) -> Float[np.ndarray, "k k"]:
        """Videos by class (row) and predicted class (column), of added totals."""
        return total[1 + len(tops(self.num_ids)) :].reshape(self.num_ids, self.num_ids)
