"""The best constant predictor of a training set: what a network must beat before its task counts as learned.

Of numbers it is the mean of each pixel, joint or slot over clips and frames, and where one is never labelled the mean
over all of them; of classes it is how often each occurs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Float64, Int, Num
from torch import Tensor

from pvit_data.loading.batch import Targets


class Constant(ABC):
    """Fitted from targets, predicts in the layout of the network's head."""

    @abstractmethod
    def add(self, value: Num[Tensor, "r ..."], valid: Bool[Tensor, "r ..."]) -> None:
        """Takes in the targets of some rows."""

    @abstractmethod
    def predict(self, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The constant for each supervised row.

        Args:
            like: gives the number of rows.
            for_loss: the constant that is best for the loss rather than for the metrics.
        """

    @abstractmethod
    def sums(self) -> dict[str, Float64[Tensor, "..."]]:
        """What has been added up, by name, scalars where nothing was: the sums of two added are those of both."""

    @abstractmethod
    def restore(self, sums: Mapping[str, Float64[Tensor, "..."]]) -> None:
        """Takes the place of what has been added up."""


class MeanConstant(Constant):
    """The mean target."""

    def __init__(self) -> None:
        self._sum = torch.zeros((), dtype=torch.float64)
        self._count = torch.zeros((), dtype=torch.float64)

    def add(self, value: Float[Tensor, "r ..."], valid: Bool[Tensor, "r ..."]) -> None:
        """Takes in the targets of some rows; trailing axes that `valid` lacks are one thing, a vector."""
        weight = valid.double().reshape(valid.shape + (1,) * (value.ndim - valid.ndim))
        axes = tuple(range(min(2, valid.ndim)))  # clips, and frames where there are any
        self._sum = self._sum + (value.double() * weight).sum(axes)
        self._count = self._count + weight.sum(axes)

    def mean(self, vector: int) -> Float64[Tensor, "..."]:
        """The mean target, without clip and frame axes; the last `vector` axes are one thing."""
        total, count = self._sum, self._count
        axes = tuple(range(total.ndim - vector))
        if not axes:
            return total / count.clamp_min(1)
        overall = total.sum(axes, keepdim=True) / count.sum(axes, keepdim=True).clamp_min(1)
        return torch.where(count > 0, total / count.clamp_min(1), overall)

    def predict(self, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The mean for every row and frame."""
        constant = self.mean(like.value.ndim - like.valid.ndim).float()
        frames = like.value.shape[1 : min(2, like.valid.ndim)]
        return constant.expand(len(like.rows), *frames, *constant.shape)

    def sums(self) -> dict[str, Float64[Tensor, "..."]]:
        """See `Constant`."""
        return {"sum": self._sum, "count": self._count}

    def restore(self, sums: Mapping[str, Float64[Tensor, "..."]]) -> None:
        """See `Constant`."""
        self._sum, self._count = sums["sum"], sums["count"]


class FrequencyConstant(Constant):
    """How often each class occurs, as the log probabilities that a head's scores would be.

    Args:
        num_ids: of the label space.
    """

    def __init__(self, num_ids: int) -> None:
        self._counts = torch.zeros(num_ids, dtype=torch.float64)

    def add(self, value: Int[Tensor, "r ..."], valid: Bool[Tensor, "r ..."]) -> None:
        """Takes in the class ids of some rows."""
        self._counts += torch.bincount(value[valid].flatten(), minlength=len(self._counts))

    def frequencies(self) -> Float64[Tensor, "k"]:
        """Share of each id; ids that never occur get half an occurrence, so that their log is finite."""
        counts = torch.where(self._counts > 0, self._counts, 0.5)
        return counts / counts.sum()

    def predict(self, like: Targets, for_loss: bool = False) -> Float[Tensor, "r k ..."]:
        """The same scores everywhere."""
        places = like.value.shape[1:]
        scores = self.frequencies().log().float().view(1, -1, *(1,) * len(places))
        return scores.expand(len(like.rows), -1, *places)

    def sums(self) -> dict[str, Float64[Tensor, "..."]]:
        """See `Constant`."""
        return {"counts": self._counts}

    def restore(self, sums: Mapping[str, Float64[Tensor, "..."]]) -> None:
        """See `Constant`."""
        self._counts = sums["counts"]
