"""Adding up one target's loss and metrics over batches and ranks; the same for a network and for a constant predictor.

A meter's state is a vector of sums, so meters of ranks are merged by adding their vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pvit_data.loading.batch import Targets

Vector = Float[np.ndarray, "n"]
Arrays = Mapping[str, np.ndarray]
"""What was measured of the rows of a batch, by name; of numbers, so that it can be kept in a file."""


class Meter:
    """Loss and metrics of one target.

    Args:
        size: number of the metrics' sums.
        sums: gives them for answers, values and valid entries of some rows.
        result: makes metrics of them.
    """

    def __init__(
        self,
        size: int,
        sums: Callable[[np.ndarray, np.ndarray, np.ndarray], Vector],
        result: Callable[[Vector], dict[str, float]],
    ) -> None:
        self._sums, self._result = sums, result
        self._total = np.zeros(2 + size)

    def measure(
        self, answer: Shaped[Tensor, "r ..."], targets: Targets, loss: tuple[float, float]
    ) -> Arrays:
        """What a batch's supervised rows add; nothing is taken in.

        Args:
            answer: `Task.answer` of their predictions.
            targets: theirs.
            loss: sum and count.
        """
        sums = self._sums(*map(_array, (answer, targets.value, targets.valid)))
        return {"total": np.concatenate([np.array(loss, np.float64), sums])}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes in what was measured.

        Args:
            keys: of the samples of its rows.
            measured: by `measure`.
        """
        self._total += measured["total"]

    def total(self) -> Float[np.ndarray, "n"]:
        """The sums so far, to be added to those of other ranks."""
        return self._total

    def confusion(self, total: Float[np.ndarray, "n"]) -> Float[np.ndarray, "k k"] | None:
        """Videos by class and predicted class, of added totals; None for tasks that have no such table."""
        return None

    def result(self, total: Float[np.ndarray, "n"]) -> dict[str, float] | None:
        """`loss` (mean over supervised items) and the task's metrics, of added totals; None: nothing was measured."""
        if not total[1]:
            return None
        return {"loss": ratio(total[0], total[1]), **self._result(total[2:])}


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    is_short = tensor.dtype in (
        torch.bfloat16,
        torch.float16,
    )  # numpy lacks the one, sums need more than the other
    array: np.ndarray = (tensor.float() if is_short else tensor).numpy()
    return array


def ratio(numerator: float, denominator: float) -> float:
    """`numerator / denominator`, or nan ("not measured") where the denominator is 0."""
    return float(numerator) / float(denominator) if denominator else math.nan
