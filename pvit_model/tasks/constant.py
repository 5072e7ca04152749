"""The best constant predictor of a training set: what a network must beat before its task counts as learned.

Of numbers it is the mean of each pixel, joint or slot over clips and frames, and where one is never labelled the mean
over all of them; of classes it is how often each occurs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

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


class MeanConstant(Constant):
    """The mean target."""

    def __init__(self) -> None:
        self._sum: Tensor | float = 0.0
        self._count: Tensor | float = 0.0
        self._frames: tuple[int, ...] = ()
        self._vector = 0

    def add(self, value: Float[Tensor, "r ..."], valid: Bool[Tensor, "r ..."]) -> None:
        """Takes in the targets of some rows; trailing axes that `valid` lacks are one thing, a vector."""
        weight = valid.double().reshape(valid.shape + (1,) * (value.ndim - valid.ndim))
        axes = tuple(range(min(2, valid.ndim)))  # clips, and frames where there are any
        self._frames, self._vector = tuple(value.shape[1 : len(axes)]), value.ndim - valid.ndim
        self._sum = self._sum + (value.double() * weight).sum(axes)
        self._count = self._count + weight.sum(axes)

    def mean(self) -> Float64[Tensor, "..."]:
        """The mean target, without clip and frame axes."""
        total, count = torch.as_tensor(self._sum), torch.as_tensor(self._count)
        axes = tuple(range(total.ndim - self._vector))
        if not axes:
            return total / count.clamp_min(1)
        overall = total.sum(axes, keepdim=True) / count.sum(axes, keepdim=True).clamp_min(1)
        return torch.where(count > 0, total / count.clamp_min(1), overall)

    def predict(self, like: Targets, for_loss: bool = False) -> Float[Tensor, "r ..."]:
        """The mean for every row and frame."""
        constant = self.mean().float()
        return constant.expand(len(like.rows), *self._frames, *constant.shape)


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
