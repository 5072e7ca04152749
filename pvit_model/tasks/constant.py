"""The best constant predictor of a training set: what a network must beat before its task counts as learned.

Depth and normals: the mean of each pixel over clips and frames; segmentation: the class frequencies; pose: the mean of
each joint; boxes: the mean of each slot; actions: the class frequencies. Where a pixel, joint or slot is never labelled
in the training set, the mean over all of them stands in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from pvit_data.loading.batch import Batch, Targets

CLIPPED = "depth/clipped"
VALUE_AXES = {"depth": 0, "normal": 1, "pose3d": 1, "boxes": 1}
"""Trailing axes of a value that are one thing (a vector), by task."""


class ConstantPredictor:
    """Fits constants from batches and predicts them in the layout of the network's heads.

    Args:
        num_ids: number of ids by target name, for segmentation and actions.
        depth_clip: metres at which the depth loss clips its target; the best constant for the loss is the mean of the
            clipped depths, that for the metrics the mean of the depths.
    """

    def __init__(self, num_ids: Mapping[str, int], depth_clip: float = math.inf) -> None:
        self.num_ids, self.depth_clip = num_ids, depth_clip
        self.clips = 0
        self._sum: dict[str, Tensor] = {}
        self._count: dict[str, Tensor] = {}
        self._frames: dict[str, int] = {}

    def fit(self, batches: Iterable[Batch]) -> ConstantPredictor:
        """Takes in batches; may be called again."""
        for batch in batches:
            self.clips += len(batch.keys)
            for name, targets in batch.targets.items():
                if len(targets.rows):
                    self._add(name, targets)
                if name == "depth" and len(targets.rows):
                    self._add(
                        CLIPPED, replace(targets, value=targets.value.clamp(max=self.depth_clip))
                    )
        return self

    def _add(self, name: str, t: Targets) -> None:
        task = name.partition("/")[0]
        value, valid = t.value.cpu(), t.valid.cpu()
        if task in ("segm", "action"):
            ids = value[valid]
            total = torch.bincount(ids.flatten(), minlength=self.num_ids[name]).double()
            count = torch.tensor(float(len(ids)), dtype=torch.float64)
        else:
            weight = valid.double()
            while weight.ndim < value.ndim:
                weight = weight[..., None]
            total, count = (value.double() * weight).sum((0, 1)), weight.sum((0, 1))
        self._frames[name] = value.shape[1] if value.ndim > 1 else 1
        self._sum[name] = self._sum[name] + total if name in self._sum else total
        self._count[name] = self._count[name] + count if name in self._count else count

    def __contains__(self, name: str) -> bool:
        return name in self._sum

    def frequencies(self, name: str) -> Float64[Tensor, "k"]:
        """Share of each id, float64; ids that never occur get half an occurrence, so that their log is finite."""
        counts = self._sum[name]
        smoothed = torch.where(counts > 0, counts, torch.full_like(counts, 0.5))
        return smoothed / smoothed.sum()

    def mean(self, name: str) -> Float64[Tensor, "..."]:
        """The mean target, without clip and frame axes."""
        total, count = self._sum[name], self._count[name]
        axes = tuple(range(total.ndim - VALUE_AXES[name.partition("/")[0]]))
        overall = total.sum(axes, keepdim=True) / count.sum(axes, keepdim=True).clamp_min(1)
        return torch.where(count > 0, total / count.clamp_min(1), overall)

    def predict(self, name: str, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The constant for each supervised row, laid out as the network's head would.

        Args:
            name: target name.
            like: gives the number of rows.
            for_loss: the constant that is best for the loss rather than for the metrics.
        """
        name = CLIPPED if for_loss and name == "depth" else name
        rows, frames = len(like.rows), self._frames[name]
        task = name.partition("/")[0]
        if task == "action":
            return self.frequencies(name).log().float().expand(rows, -1)
        if task == "segm":
            logits = self.frequencies(name).log().float()
            shape = like.value.shape[1:]
            return logits.view(1, -1, *(1,) * len(shape)).expand(rows, -1, *shape)
        constant = self.mean(name).float()
        return constant.expand(rows, frames, *constant.shape)


def beaten(value: float, constant: float) -> float:
    """`value / constant`, "x of the constant predictor"; nan where either is missing or the constant is 0."""
    if not (math.isfinite(value) and math.isfinite(constant)) or constant == 0:
        return math.nan
    return value / constant
