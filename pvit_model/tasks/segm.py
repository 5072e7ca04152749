"""Segmentation: class scores per pixel, one output layer per label space on a shared head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import LossOptions, LossSum, masked_sum
from pvit_model.tasks.heads import DenseHead

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig


class SegmTask:
    """Softmax cross-entropy per pixel (paper eq. 5)."""

    name, weight, metric, picture = "segm", 0.1, "segm", "segm"

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """Gives (R, K, T', h, w) scores per label space; no output layer where no space is configured."""
        return SegmHead(widths, width, hidden, config.dense_dropout, dict(config.segm_spaces))

    def loss(
        self, prediction: Float[Tensor, "r k t h w"], targets: Targets, options: LossOptions
    ) -> LossSum:
        """Over labelled pixels."""
        ids = torch.where(targets.valid, targets.value.long(), 0)
        loss = masked_sum(F.cross_entropy(prediction.float(), ids, reduction="none"), targets.valid)
        h, w = prediction.shape[-2:]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss


class SegmHead(DenseHead):
    """A dense head with class scores first."""

    per_space = True

    def finish(self, maps: Float[Tensor, "r t h w c"], layer: str) -> Float[Tensor, "r k t h w"]:
        """Class scores."""
        return super().finish(maps, layer).movedim(-1, 1)
