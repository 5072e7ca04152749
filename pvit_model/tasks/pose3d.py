"""3D pose: 25 Kinect v2 joints of one person per predicted frame, metres, relative to the pelvis, camera axes.

Measured by the mean per-joint position error, without alignment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.looking.colours import SIDES
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import TokenHead
from pvit_model.tasks.meter import Meter, ratio

NUM_JOINTS = 25


class Pose3dOptions(TaskOptions):
    """Options of the pose loss.

    Args:
        pose3d: `"mse"`, or `"huber"` (per joint, on the distance).
        pose_delta: where the Huber loss turns linear, metres.
    """

    pose3d: Literal["mse", "huber"] = "mse"
    pose_delta: float = 0.1


class Pose3dTask(Task[Pose3dOptions]):
    """MSE over labelled joints (paper eq. 6)."""

    options = Pose3dOptions
    weight = 3.0
    main = "mpjpe_mm"
    on_hub = "keypoint-detection"
    axes = ("frame", "joint", "xyz")
    unit = "metres from the pelvis, x right, y down, z forward; joints of Kinect v2"
    lower_is_better = frozenset({"mpjpe_mm"})
    units: ClassVar[Mapping[str, str]] = {"mpjpe_mm": "mm"}

    def head(self, plan: HeadPlan) -> TokenHead:
        """Gives (R, T', 25, 3) metres."""
        return TokenHead(plan.width, plan.frames, (NUM_JOINTS, 3))

    def loss(
        self, prediction: Float[Tensor, "r t j 3"], targets: Targets, options: Pose3dOptions
    ) -> LossSum:
        """Over labelled joints."""
        error = prediction.float() - targets.value
        if options.pose3d == "huber":
            return masked_sum(_huber(error, options.pose_delta), targets.valid)
        loss = masked_sum(error.square().mean(-1), targets.valid)
        return LossSum(loss.sum / (NUM_JOINTS * 3), loss.count) if options.literal else loss

    def meter(self, num_ids: int = 0, views: int = 1) -> Meter:
        """Error in millimetres, and the share of joints within 150 mm."""
        return Meter(3, sums, result)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The skeleton as the camera sees it, over the frame; where the root is in it is not known."""
        side = min(shown.rgb.shape[:2])
        return pictures.pose_picture(shown.value, side, shown.valid, over=shown.rgb)

    def caption(self, shown: Shown) -> str:
        """The same for every pose."""
        return "pose, centred"

    def legend(self, shown: Shown) -> Sequence[pictures.Mark]:
        """The limbs."""
        return SIDES


def _huber(error: Tensor, delta: float) -> Tensor:
    """Of the joint's distance d: d^2 / 2 up to delta, then delta * (d - delta / 2)."""
    square = error.square().sum(-1)
    far = square > delta**2
    distance = torch.where(far, square, torch.ones_like(square)).sqrt()
    return torch.where(far, delta * (distance - delta / 2), square / 2)


def sums(
    prediction: Float[np.ndarray, "... 3"],
    target: Float[np.ndarray, "... 3"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "3"]:
    """Sums over labelled joints: distance (m), joints closer than 150 mm, number.

    Args:
        prediction, target: joints, metres, relative to the root.
        valid: labelled joints.
    """
    error = np.linalg.norm(
        np.asarray(prediction, np.float64)[valid] - np.asarray(target, np.float64)[valid], axis=-1
    )
    return np.array([error.sum(), float((error < 0.15).sum()), len(error)])


def result(total: Float[np.ndarray, "3"]) -> dict[str, float]:
    """`mpjpe_mm`, and `pck150`: the share of joints within 150 mm (Mehta et al. 2017)."""
    return {"mpjpe_mm": 1000 * ratio(total[0], total[2]), "pck150": ratio(total[1], total[2])}
