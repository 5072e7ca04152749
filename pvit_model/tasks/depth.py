"""Depth: a map of planar z in metres for every predicted frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_data.looking import pictures
from pvit_data.looking.colours import depth_marks
from pvit_model.tasks.base import HeadPlan, LossSum, Shown, Task, TaskOptions, masked_sum
from pvit_model.tasks.constant import MeanConstant
from pvit_model.tasks.heads import DenseHead
from pvit_model.tasks.meter import Meter, ratio

LEAST = 1e-3
"""Metres; smaller predictions count as this, so that ratios stay finite, and are drawn as very near, not as invalid."""


class DepthOptions(TaskOptions):
    """Options of the depth loss.

    Args:
        depth: `"mse"`, or `"scale-invariant"` (Eigen et al. 2014: variance of the log error, half its mean kept).
        depth_clip: metres above which depths count as this depth.
        depth_scale: metres per unit of the loss: target = min(z, clip) / scale - 1.
    """

    depth: Literal["mse", "scale-invariant"] = "mse"
    depth_clip: float = 10.0
    depth_scale: float = 5.0


class DepthTask(Task[DepthOptions]):
    """MSE of min(z, 10 m) / 5 - 1 (paper eq. 3: large depths clipped)."""

    options = DepthOptions
    weight = 0.5
    main = "rmse"
    on_hub = "depth-estimation"
    axes = ("frame", "row", "column")
    unit = "metres along the optical axis"
    lower_is_better = frozenset({"rmse", "absrel"})
    units: ClassVar[Mapping[str, str]] = {"rmse": "m"}

    def head(self, plan: HeadPlan) -> DenseHead:
        """Gives (R, T', h, w) metres."""
        config = plan.config
        return DepthHead(
            plan.widths, plan.width, plan.hidden, config.dense_dropout, config.depth_scale
        )

    def loss(
        self, prediction: Float[Tensor, "r t h w"], targets: Targets, options: DepthOptions
    ) -> LossSum:
        """Over labelled pixels; targets in metres."""
        truth = targets.value.clamp(max=options.depth_clip)
        if options.depth == "scale-invariant":
            return _scale_invariant(prediction, truth, targets.valid)
        loss = masked_sum(((prediction - truth) / options.depth_scale).square(), targets.valid)
        h, w = prediction.shape[-2:]
        return LossSum(loss.sum / (h * w), loss.count) if options.literal else loss

    def meter(self, num_ids: int = 0, views: int = 1) -> Meter:
        """RMSE (m), AbsRel, delta < 1.25 to the power of 1 to 3."""
        return Meter(6, sums, result)

    def constant(self, num_ids: int, options: DepthOptions) -> DepthConstant:
        """The mean depth of each pixel."""
        return DepthConstant(options.depth_clip)

    def picture(self, shown: Shown) -> UInt8[np.ndarray, "h w 3"]:
        """On one colour ramp for the whole clip."""
        value, valid = shown.value, shown.valid
        seen = np.maximum(value, LEAST) if valid is None else np.where(valid, value, 0)
        coloured = pictures.depth_picture(seen, pictures.depth_range(shown.whole))
        return shown.fitted(coloured, smooth=valid is None)

    def legend(self, shown: Shown) -> Sequence[pictures.Mark]:
        """The ramp in metres."""
        has_gaps = shown.valid is not None and not shown.valid.all()
        return depth_marks(*pictures.depth_range(shown.whole), has_gaps)


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


_CLIPPED = "clipped "


class DepthConstant(MeanConstant):
    """The mean depths; for the loss, which clips its target, the mean of the clipped ones.

    Args:
        clip: metres.
    """

    def __init__(self, clip: float) -> None:
        super().__init__()
        self.clip, self.clipped = clip, MeanConstant()

    def add(self, value: Float[Tensor, "r t h w"], valid: Bool[Tensor, "r t h w"]) -> None:
        """Takes in the targets of some rows, in metres."""
        super().add(value, valid)
        self.clipped.add(value.clamp(max=self.clip), valid)

    def predict(self, like: Targets, for_loss: bool = False) -> Float[Tensor, "r t h w"]:
        """The mean for every row and frame."""
        return self.clipped.predict(like) if for_loss else super().predict(like)

    def sums(self) -> dict[str, Float64[Tensor, "..."]]:
        """See `Constant`."""
        clipped = {f"{_CLIPPED}{name}": value for name, value in self.clipped.sums().items()}
        return super().sums() | clipped

    def restore(self, sums: Mapping[str, Float64[Tensor, "..."]]) -> None:
        """See `Constant`."""
        super().restore(sums)
        clipped = {n.removeprefix(_CLIPPED): v for n, v in sums.items() if n.startswith(_CLIPPED)}
        self.clipped.restore(clipped)


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


def sums(
    prediction: Float[np.ndarray, "..."],
    target: Float[np.ndarray, "..."],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "6"]:
    """Sums over valid pixels: squared error, relative error, three deltas, number (Eigen et al. 2014, section 4.2).

    Args:
        prediction, target: planar z, metres.
        valid: pixels that count.
    """
    p = np.maximum(np.asarray(prediction, np.float64)[valid], LEAST)
    t = np.asarray(target, np.float64)[valid]
    factor = np.maximum(p / t, t / p)
    deltas = [float((factor < 1.25**k).sum()) for k in (1, 2, 3)]
    return np.array([((p - t) ** 2).sum(), (np.abs(p - t) / t).sum(), *deltas, len(t)])


def result(total: Float[np.ndarray, "6"]) -> dict[str, float]:
    """`rmse` (m), `absrel`, `delta1` to `delta3` (shares)."""
    n = float(total[5])
    names = ("delta1", "delta2", "delta3")
    return {
        "rmse": math.sqrt(ratio(total[0], n)) if n else math.nan,
        "absrel": ratio(total[1], n),
        **{name: ratio(value, n) for name, value in zip(names, total[2:5], strict=True)},
    }
