"""Boxes: a fixed number of objects per predicted frame, cxcywh in [0, 1].

The network predicts one box per slot and no score, so the IoU of a slot with its own target is the natural metric.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.looking.colours import palette
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import TokenHead
from pvit_model.tasks.meter import Meter, ratio

SLOTS = ("left hand", "right hand")


class BoxesOptions(TaskOptions):
    """Options of the box loss.

    Args:
        boxes: which prediction answers for which target: `"slot"` (same index), or `"hungarian"` (cheapest matching).
    """

    boxes: Literal["slot", "hungarian"] = "slot"


class BoxesTask(Task[BoxesOptions]):
    """L1 on cxcywh plus 1 - GIoU on xyxy (paper eq. 7, whose printed + GIoU would reward disjoint boxes)."""

    options = BoxesOptions
    weight = 0.1
    main = "iou"
    on_hub = "object-detection"
    axes = ("frame", "slot", "cxcywh")
    unit = "shares of the crop; slots: left hand, right hand, active objects"

    def head(self, plan: HeadPlan) -> TokenHead:
        """Gives (R, T', O, 4)."""
        return BoxHead(plan.width, plan.frames, (plan.config.num_boxes, 4))

    def loss(
        self, prediction: Float[Tensor, "r t o 4"], targets: Targets, options: BoxesOptions
    ) -> LossSum:
        """Over labelled boxes: the sum of four absolute differences, plus 1 - GIoU."""
        prediction = prediction.float()
        if options.boxes == "hungarian":
            order = match(prediction, targets.value, targets.valid)
            prediction = prediction.gather(2, order[..., None].expand_as(prediction))
        cost = (
            (prediction - targets.value).abs().sum(-1)
            + 1
            - giou(to_xyxy(prediction), to_xyxy(targets.value))
        )
        return masked_sum(cost, targets.valid)

    def meter(self, num_ids: int = 0, views: int = 1) -> Meter:
        """Mean IoU of the slots, and the share that is met."""
        return Meter(3, sums, result)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """Boxes on the frame; beside a target only in the slots that it has."""
        value = shown.value
        exists = shown.valid if shown.valid is not None else shown.beside
        keep = np.arange(len(value)) if exists is None else np.flatnonzero(exists)
        names = [SLOTS[i] if i < len(SLOTS) else f"object {i - 1}" for i in keep]
        xyxy = np.clip(_corners(value), 0, 1)
        colours = palette(len(value))[keep]
        return pictures.draw_boxes(shown.rgb, xyxy[keep], names, colours)

    def caption(self, shown: Shown) -> str:
        """With the further name of a second task of the kind."""
        return shown.target.replace("/", " ")


class BoxHead(TokenHead):
    """Boxes in [0, 1]."""

    def forward(self, prompt: Float[Tensor, "r c"], frames: int) -> Float[Tensor, "r t n 4"]:
        """cxcywh."""
        return super().forward(prompt, frames).sigmoid()


def to_xyxy(boxes: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """cxcywh to corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def giou(a: Float[Tensor, "*n 4"], b: Float[Tensor, "*n 4"]) -> Float[Tensor, "*m"]:
    """Generalised intersection over union of xyxy boxes (Rezatofighi et al. 2019), broadcast over leading axes."""
    tiny = 1e-9  # a pair of empty boxes has no union
    inter = (
        (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2]))
        .clamp(min=0)
        .prod(-1)
    )
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    return inter / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


@torch.no_grad()
def match(
    prediction: Float[Tensor, "r t o 4"],
    truth: Float[Tensor, "r t o 4"],
    valid: Bool[Tensor, "r t o"],
) -> Int[Tensor, "r t o"]:
    """For each frame, the prediction that answers for each target slot: the cheapest one-to-one matching.

    Slots without a target get the predictions that are left.
    """
    from scipy.optimize import linear_sum_assignment

    pairs = prediction[:, :, None, :], torch.where(valid[..., None], truth, 0.5)[:, :, :, None]
    cost = (pairs[0] - pairs[1]).abs().sum(-1) + 1 - giou(to_xyxy(pairs[0]), to_xyxy(pairs[1]))
    frames = torch.where(valid[..., None], cost, 0).flatten(0, 1).cpu().numpy()
    columns = [linear_sum_assignment(frame)[1].tolist() for frame in frames]
    order = torch.tensor(columns, device=prediction.device) if columns else valid.long()
    return order.reshape(valid.shape)


def iou(a: Float[np.ndarray, "... 4"], b: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    """Intersection over union of corner boxes, pair by pair; 0 where both are empty."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    common = size[..., 0] * size[..., 1]
    union = sum(np.clip(x[..., 2:] - x[..., :2], 0, None).prod(axis=-1) for x in (a, b)) - common
    found: Float[np.ndarray, "..."] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return found


def _corners(boxes: np.ndarray) -> np.ndarray:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def sums(
    prediction: Float[np.ndarray, "... 4"],
    target: Float[np.ndarray, "... 4"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "3"]:
    """Sums over labelled slots: IoU, boxes with IoU >= 0.5, number.

    Args:
        prediction, target: cxcywh in [0, 1].
        valid: labelled slots.
    """
    found = iou(_corners(prediction[valid]), _corners(target[valid]))
    return np.array([found.sum(), float((found >= 0.5).sum()), len(found)])


def result(total: Float[np.ndarray, "3"]) -> dict[str, float]:
    """`iou` (mean) and `recall50`, the share of boxes met with IoU >= 0.5."""
    return {"iou": ratio(total[0], total[2]), "recall50": ratio(total[1], total[2])}
