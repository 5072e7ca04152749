"""3D pose: 25 Kinect v2 joints of one person per predicted frame, metres, relative to the pelvis, camera axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import LossOptions, LossSum, masked_sum
from pvit_model.tasks.heads import TokenHead

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig

NUM_JOINTS = 25


class Pose3dTask:
    """MSE over labelled joints (paper eq. 6)."""

    name, weight, metric, picture = "pose3d", 3.0, "pose3d", "pose3d"

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """Gives (R, T', 25, 3) metres."""
        return TokenHead(width, frames, (NUM_JOINTS, 3))

    def loss(
        self, prediction: Float[Tensor, "r t j 3"], targets: Targets, options: LossOptions
    ) -> LossSum:
        """Over labelled joints."""
        error = prediction.float() - targets.value
        if options.pose3d == "huber":
            return masked_sum(_huber(error, options.pose_delta), targets.valid)
        loss = masked_sum(error.square().mean(-1), targets.valid)
        return LossSum(loss.sum / (NUM_JOINTS * 3), loss.count) if options.literal else loss


def _huber(error: Tensor, delta: float) -> Tensor:
    """Of the joint's distance d: d^2 / 2 up to delta, then delta * (d - delta / 2)."""
    square = error.square().sum(-1)
    far = square > delta**2
    distance = torch.where(far, square, torch.ones_like(square)).sqrt()
    return torch.where(far, delta * (distance - delta / 2), square / 2)
