"""Boxes: a fixed number of objects per predicted frame, cxcywh in [0, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import LossOptions, LossSum, masked_sum
from pvit_model.tasks.heads import BoxHead

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig


class BoxesTask:
    """L1 on cxcywh plus 1 - GIoU on xyxy (paper eq. 7, whose printed + GIoU would reward disjoint boxes)."""

    name, weight, metric, picture = "boxes", 0.1, "boxes", "boxes"

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """Gives (R, T', O, 4)."""
        return BoxHead(width, frames, (config.num_boxes, 4))

    def loss(
        self, prediction: Float[Tensor, "r t o 4"], targets: Targets, options: LossOptions
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
