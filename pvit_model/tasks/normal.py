"""Surface normals: three axes per pixel, in world or camera axes as the data gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import LossOptions, LossSum, masked_sum
from pvit_model.tasks.heads import DenseHead

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig


class NormalTask:
    """MSE over the three axes (paper eq. 4)."""

    name, weight, metric, picture = "normal", 0.5, "normal", "normal"

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """Gives (R, T', h, w, 3), regressed freely: normalise before measuring angles."""
        return DenseHead(widths, width, hidden, config.dense_dropout, {"": 3})

    def loss(
        self, prediction: Float[Tensor, "r t h w 3"], targets: Targets, options: LossOptions
    ) -> LossSum:
        """Over labelled pixels."""
        if options.normal == "cosine":
            cosine = F.cosine_similarity(prediction.float(), targets.value, dim=-1)
            return masked_sum(1 - cosine, targets.valid)
        loss = masked_sum((prediction - targets.value).square().mean(-1), targets.valid)
        h, w = prediction.shape[2:4]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss
