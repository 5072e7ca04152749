"""Surface normals: three axes per pixel, in world or camera axes as the data gives them.

Measured by angle; the thresholds are those of Fouhey et al. 2013, used throughout the literature since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.looking.colours import normal_marks
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.heads import DenseHead
from pvit_model.tasks.meter import Meter, ratio

THRESHOLDS = (11.25, 22.5, 30.0)


class NormalOptions(TaskOptions):
    """Options of the normals' loss.

    Args:
        normal: `"mse"`, or `"cosine"` (1 - cosine of the angle).
    """

    normal: Literal["mse", "cosine"] = "mse"


class NormalTask(Task[NormalOptions]):
    """MSE over the three axes (paper eq. 4)."""

    options = NormalOptions
    weight = 0.5
    main = "mean_deg"
    axes = ("frame", "row", "column", "xyz")
    unit = (
        "unit vectors, in the axes that the model was trained in: inference.json, clip.normal_axes"
    )
    lower_is_better = frozenset({"mean_deg"})
    units: ClassVar[Mapping[str, str]] = {"mean_deg": "degrees"}

    def head(self, plan: HeadPlan) -> DenseHead:
        """Gives (R, T', h, w, 3), regressed freely: normalise before measuring angles."""
        return DenseHead(plan.widths, plan.width, plan.hidden, plan.config.dense_dropout, {"": 3})

    def loss(
        self, prediction: Float[Tensor, "r t h w 3"], targets: Targets, options: NormalOptions
    ) -> LossSum:
        """Over labelled pixels."""
        if options.normal == "cosine":
            cosine = F.cosine_similarity(prediction.float(), targets.value, dim=-1)
            return masked_sum(1 - cosine, targets.valid)
        loss = masked_sum((prediction - targets.value).square().mean(-1), targets.valid)
        h, w = prediction.shape[2:4]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss

    def meter(self, num_ids: int = 0, views: int = 1) -> Meter:
        """Angular error in degrees: mean, shares below 11.25, 22.5 and 30."""
        return Meter(5, sums, result)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """Axes as colours."""
        value, valid = shown.value, shown.valid
        seen = value if valid is None else np.where(valid[..., None], value, 0)
        coloured = pictures.normal_picture(seen, shown.clip.normal_axes == "camera")
        return shown.fitted(coloured, smooth=valid is None)

    def caption(self, shown: Shown) -> str:
        """With the axes where they are not the camera's."""
        return "normals" if shown.clip.normal_axes == "camera" else "normals (world)"

    def legend(self, shown: Shown) -> Sequence[pictures.Mark]:
        """The axes."""
        return normal_marks(shown.clip.normal_axes == "camera")


def angles(
    a: Float[np.ndarray, "... 3"], b: Float[np.ndarray, "... 3"]
) -> Float[np.ndarray, "..."]:
    """Angle between vectors of any length, degrees; by atan2, exact near 0 and 180 where arccos is not."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    found: Float[np.ndarray, "..."] = np.degrees(
        np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(axis=-1))
    )
    return found


def sums(
    prediction: Float[np.ndarray, "... 3"],
    target: Float[np.ndarray, "... 3"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "5"]:
    """Sums over valid pixels: angle, pixels under each threshold, number. Predictions need not be unit vectors."""
    error = angles(prediction[valid], target[valid])
    return np.array(
        [error.sum(), *(float((error < limit).sum()) for limit in THRESHOLDS), len(error)]
    )


def result(total: Float[np.ndarray, "5"]) -> dict[str, float]:
    """`mean_deg` and the shares `under11`, `under22`, `under30`."""
    names = ("mean_deg", "under11", "under22", "under30")
    return {name: ratio(value, total[4]) for name, value in zip(names, total[:4], strict=True)}
