"""The task: one logit per action for every person; binary cross-entropy; measured by AVA's official precision.

The loss is the mean over persons and actions of the whole batch, as facebookresearch/SlowFast has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.tasks.persons import CORNERS, NAME
from pvit_model.tasks.base import (
    HeadPlan,
    HeldOut,
    LossSum,
    Shown,
    Task,
    TaskOptions,
    binary_sum,
)
from pvit_model.tasks.meter import Meter
from pvit_model.tasks.persons.head import RoiHead
from pvit_model.tasks.persons.measuring import FACTS, MAIN, VARIANTS, PersonsMeter, is_own_truth


class PersonsTask(Task[TaskOptions]):
    """Any number of actions for each person. What the boxes allow at best, `oracle`, is among the metrics."""

    main = MAIN
    facts = FACTS
    chance = ""
    axes = ("person", "action")
    unit = "logits"
    units: ClassVar[Mapping[str, str]] = {}

    def head(self, plan: HeadPlan) -> RoiHead:
        """Gives (R, K) logits, a row for each box.

        Raises:
            UsageError: if nobody says how many actions there are.
        """
        return RoiHead(plan.width, plan.classes(NAME, 80), plan.config.dropout)

    def rois(self, targets: Targets) -> Float[Tensor, "r 5"]:
        """The corners, behind the number of the clip."""
        corners = targets.value[:, :CORNERS]
        return torch.cat([targets.rows[:, None].to(corners.dtype), corners], 1)

    def loss(
        self, prediction: Float[Tensor, "r k"], targets: Targets, options: TaskOptions
    ) -> LossSum:
        """The mean over actions of each person, over labelled persons."""
        return binary_sum(prediction, targets.value[:, CORNERS:], targets.valid)

    def meter(self, num_ids: int, views: int = 1) -> Meter:
        """The loss alone: precision needs to know the samples, see `meter_of`."""
        return Meter(0, lambda answer, value, valid: np.zeros(0), lambda total: {})

    def meter_of(self, held_out: HeldOut, num_ids: int, views: int = 1) -> PersonsMeter:
        """Mean average precision in its variants."""
        return PersonsMeter(held_out)

    def remarks(self, held_out: HeldOut) -> Sequence[str]:
        """That the boxes of the ground truth are scored, where no detector's are attached."""
        if not is_own_truth(held_out.ds, held_out.source):
            return ()
        return (
            f"{held_out.source}: the persons of the ground truth itself were scored, which no published number does; "
            f"attach a detector's boxes with --layer {held_out.source}={held_out.source}-detections",
        )

    def constant(self, num_ids: int, options: TaskOptions) -> None:
        """Precision has its own bound, the oracle."""
        return None

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The frame: actions are said in words."""
        return shown.rgb

    def result_line(self, values: Mapping[str, float]) -> str:
        """The precision beside what the boxes allow."""
        if MAIN not in values:
            return f"loss {values['loss']:.4g}"
        others = ", ".join(f"{name} {100 * values[key]:.2f}" for key, name in VARIANTS.items())
        return f"mAP {100 * values[MAIN]:.2f} of {100 * values['oracle']:.2f} that these boxes allow ({others})"
