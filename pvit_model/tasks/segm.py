"""Segmentation: class scores per pixel, one output layer per label space on a shared head.

Measured by the mean IoU over the classes that occur, and pixel accuracy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Integer, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.looking.colours import class_marks
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.constant import FrequencyConstant
from pvit_model.tasks.heads import DenseHead
from pvit_model.tasks.meter import Meter, ratio


class SegmTask(Task[TaskOptions]):
    """Softmax cross-entropy per pixel (paper eq. 5)."""

    weight = 0.1
    main = "miou"
    on_hub = "image-segmentation"
    facts = frozenset({"classes"})
    axes = ("frame", "row", "column")
    unit = "class ids of the label space"

    def head(self, plan: HeadPlan) -> DenseHead:
        """Gives (R, K, T', h, w) scores per label space; no output layer where no space is configured."""
        config = plan.config
        return SegmHead(
            plan.widths, plan.width, plan.hidden, config.dense_dropout, dict(config.segm_spaces)
        )

    def loss(
        self, prediction: Float[Tensor, "r k t h w"], targets: Targets, options: TaskOptions
    ) -> LossSum:
        """Over labelled pixels."""
        ids = torch.where(targets.valid, targets.value.long(), 0)
        loss = masked_sum(F.cross_entropy(prediction.float(), ids, reduction="none"), targets.valid)
        h, w = prediction.shape[-2:]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss

    def answer(self, prediction: Float[Tensor, "r k t h w"]) -> Integer[Tensor, "r t h w"]:
        """The ids of the best classes."""
        return prediction.argmax(dim=1)

    def meter(self, num_ids: int, views: int = 1) -> Meter:
        """The confusion matrix of a label space."""

        def result_of(total: Float[np.ndarray, "n"]) -> dict[str, float]:
            return result(total.reshape(num_ids, num_ids))

        return Meter(num_ids * num_ids, functools.partial(sums, num_ids=num_ids), result_of)

    def constant(self, num_ids: int, options: TaskOptions) -> FrequencyConstant:
        """How often each class occurs."""
        return FrequencyConstant(num_ids)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """Colours of the classes over the frame."""
        coloured = pictures.segm_picture(_seen(shown), shown.space)
        coloured = shown.fitted(coloured, smooth=False)
        return pictures.blend(shown.rgb, coloured, 0.6)

    def legend(self, shown: Shown) -> Sequence[pictures.Mark]:
        """The classes, those that cover most first."""
        return class_marks(_seen(shown), shown.space)

    def caption(self, shown: Shown) -> str:
        """With the label space."""
        return f"classes {shown.target.partition('/')[2]}"

    def result_sentence(self, values: Mapping[str, float]) -> str:
        """Over how many classes the mean goes."""
        return f"mean IoU {100 * values['miou']:.2f} % over the {values['classes']:.0f} classes that occur."


def _seen(shown: Shown) -> Integer[np.ndarray, "h w"]:
    return shown.value if shown.valid is None else np.where(shown.valid, shown.value, -1)


class SegmHead(DenseHead):
    """A dense head with class scores first."""

    def output_names(self) -> list[str]:
        """Those of the label spaces."""
        return list(self.outputs)

    def finish(self, maps: Float[Tensor, "r t h w c"], layer: str) -> Float[Tensor, "r k t h w"]:
        """Class scores."""
        return super().finish(maps, layer).movedim(-1, 1)


def sums(
    prediction: Integer[np.ndarray, "..."],
    target: Integer[np.ndarray, "..."],
    valid: Bool[np.ndarray, "..."],
    num_ids: int,
) -> Float[np.ndarray, "n"]:
    """The confusion matrix over valid pixels, row by row: entry (i, j) counts pixels of class i predicted as j.

    Args:
        prediction, target: class ids below `num_ids` at valid pixels.
        valid: pixels that count.
        num_ids: `LabelSpace.num_ids`.
    """
    t, p = target[valid].astype(np.int64), prediction[valid].astype(np.int64)
    return np.bincount(t * num_ids + p, minlength=num_ids * num_ids).astype(np.float64)


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
