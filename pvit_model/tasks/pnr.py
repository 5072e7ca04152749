"""The point of no return (Ego4D): one logit per frame of the clip; measured in seconds, as officially.

Cross-entropy over the frames of clips whose state changes, nothing for the others, and the mean over both (EGO4D/
hands-and-objects, i3d-resnet50). A bin stands for its left edge (`pvit_data.scoring.metrics.ego4d`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pvit_data.codecs.video import VideoInfo
from pvit_data.loading.batch import Targets
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.metrics.ego4d import ALWAYS, BINS
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import ClassHead
from pvit_model.tasks.meter import Meter, ratio


class PnrTask(Task[TaskOptions]):
    """A class per frame. What guessing the middle one gives is one of its metrics."""

    main = "pnr_error_sec"
    lower_is_better = frozenset({"pnr_error_sec"})
    chance = "always_8"
    facts = frozenset({"clips", "always_8"})
    units: ClassVar[Mapping[str, str]] = {"pnr_error_sec": "seconds", "always_8": "seconds"}
    axes = ("frame",)
    unit = "logits"

    def head(self, plan: HeadPlan) -> ClassHead:
        """Gives (R, T) logits, one per frame of the network's clip."""
        return ClassHead(plan.width, plan.clip_frames, plan.config.dropout)

    def loss(
        self, prediction: Float[Tensor, "r t"], targets: Targets, options: TaskOptions
    ) -> LossSum:
        """Over all clips; those without a change add 0."""
        frame = targets.value[:, 0].long()
        loss = F.cross_entropy(prediction.float(), frame.clamp(min=0), reduction="none")
        return masked_sum(loss.where(frame >= 0, loss.new_zeros(())), targets.valid)

    def answer(self, prediction: Float[Tensor, "r t"]) -> Float[Tensor, "r"]:
        """The left edge of the likeliest frame's bin, as a share of the window."""
        return prediction.argmax(1).double() / prediction.shape[1]

    def told(
        self, answer: Float[np.ndarray, ""], video: VideoInfo, space: LabelSpace | None
    ) -> dict[str, float]:
        """The frame of the video, and where its rate is known, when it is shown."""
        frame = float(answer) * (video.num_frames - 1)
        return {"frame": frame, **({"seconds": frame / video.fps} if video.fps else {})}

    def meter(self, num_ids: int, views: int = 1) -> Meter:
        """The mean error, and that of the middle frame."""
        return Meter(3, sums, result)

    def constant(self, num_ids: int, options: TaskOptions) -> None:
        """The middle frame is among the metrics."""
        return None

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The frame: a time is said in words."""
        return shown.rgb

    def result_line(self, values: Mapping[str, float]) -> str:
        """The error beside that of the middle frame."""
        return f"PNR error {values['pnr_error_sec']:.3f} s (always the middle {values['always_8']:.3f} s)"


def sums(
    answer: Float[np.ndarray, "r"],
    value: Float[np.ndarray, "r 3"],
    valid: Bool[np.ndarray, "r"],
) -> Float[np.ndarray, "3"]:
    """Errors in seconds, those of the middle frame, and how many clips change."""
    rows = value[valid & (value[:, 0] >= 0)]
    chosen = answer[valid & (value[:, 0] >= 0)]
    error = np.abs(rows[:, 2] * chosen - rows[:, 1])
    middle = np.abs(rows[:, 2] * (ALWAYS / BINS) - rows[:, 1])
    return np.array([error.sum(), middle.sum(), len(rows)], np.float64)


def result(total: Float[np.ndarray, "3"]) -> dict[str, float]:
    """Means over the clips whose state changes."""
    error, middle, clips = total.tolist()
    if not clips:
        return {"pnr_error_sec": math.nan, "always_8": math.nan, "clips": 0.0}
    return {
        "pnr_error_sec": ratio(error, clips),
        "always_8": ratio(middle, clips),
        "clips": clips,
    }
