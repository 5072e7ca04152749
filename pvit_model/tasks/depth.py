"""Depth: a map of planar z in metres for every predicted frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import LossOptions, LossSum, masked_sum
from pvit_model.tasks.heads import DenseHead

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig


class DepthTask:
    """MSE of min(z, 10 m) / 5 - 1 (paper eq. 3: large depths clipped)."""

    name, weight, metric, picture = "depth", 0.5, "depth", "depth"

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """Gives (R, T', h, w) metres."""
        return DepthHead(widths, width, hidden, config.dense_dropout, config.depth_scale)

    def loss(
        self, prediction: Float[Tensor, "r t h w"], targets: Targets, options: LossOptions
    ) -> LossSum:
        """Over labelled pixels; targets in metres."""
        truth = targets.value.clamp(max=options.depth_clip)
        if options.depth == "scale-invariant":
            return _scale_invariant(prediction, truth, targets.valid)
        loss = masked_sum(((prediction - truth) / options.depth_scale).square(), targets.valid)
        h, w = prediction.shape[-2:]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss


class DepthHead(DenseHead):
    """A dense head whose output x means (x + 1) * scale metres."""

    def __init__(
        self, widths: tuple[int, ...], width: int, hidden: int, dropout: float, scale: float
    ) -> None:
        super().__init__(widths, width, hidden, dropout, {"": 1})
        self.scale = scale

    def finish(self, maps: Float[Tensor, "r t h w c"], layer: str) -> Float[Tensor, "r t h w"]:
        """Metres."""
        return (super().finish(maps, layer)[..., 0].float() + 1) * self.scale


def _scale_invariant(prediction: Tensor, truth: Tensor, valid: Tensor) -> LossSum:
    """Eigen et al. 2014, equation 4 with lambda = 0.5: per frame, mean(d^2) - mean(d)^2 / 2 with d the log error.

    Every labelled pixel carries its frame's loss, so that sum / count weighs frames by their labelled pixels.
    """
    floor = 1e-2  # metres; predictions may be negative early in training
    d = prediction.float().clamp(min=floor).log() - truth.clamp(min=floor).log()
    d = torch.where(valid, d, torch.zeros((), device=d.device))
    number = valid.sum((-2, -1))
    squares, total = d.square().sum((-2, -1)), d.sum((-2, -1))
    return LossSum((squares - total.square() / (2 * number.clamp(min=1))).sum(), number.sum())
