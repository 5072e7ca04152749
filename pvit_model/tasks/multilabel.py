"""Multilabel: any number of classes per clip; one sigmoid each, measured by the mean average precision over videos."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import ClassHead
from pvit_model.tasks.video_precision import PrecisionMeter


class MultilabelTask(Task[TaskOptions]):
    """Binary cross-entropy, the mean over classes and clips."""

    main = "map"
    chance = "prevalence"
    facts = frozenset({"videos", "prevalence"})

    def head(self, plan: HeadPlan) -> ClassHead:
        """Gives (R, K) logits."""
        return ClassHead(plan.width, plan.config.labels["multilabel"], plan.config.dropout)

    def loss(
        self, prediction: Float[Tensor, "r k"], targets: Targets, options: TaskOptions
    ) -> LossSum:
        """Over labelled clips."""
        loss = F.binary_cross_entropy_with_logits(
            prediction.float(), targets.value.float(), reduction="none"
        )
        return masked_sum(loss.mean(1), targets.valid)

    def meter(self, num_ids: int, views: int = 1) -> PrecisionMeter:
        """Mean average precision over videos."""
        return PrecisionMeter(num_ids, views)

    def constant(self, num_ids: int, options: TaskOptions) -> None:
        """What a random order gives is among the metrics."""
        return None

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """The frame: classes are said in words."""
        return shown.rgb

    def result_line(self, values: Mapping[str, float]) -> str:
        """The precision beside that of a random order."""
        return f"mAP {100 * values['map']:.2f} (random order {100 * values['prevalence']:.2f})"
