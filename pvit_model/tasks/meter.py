"""Adding up one target's loss and metrics over batches and ranks; the same for a network and for a constant predictor.

`Meter` holds only sums, so meters of ranks are merged by adding their vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from pvit_data.loading.batch import Targets
from pvit_model.metrics import boxes, depth, normal, pose3d, segm
from pvit_model.metrics.ratio import ratio

Vector = Float[np.ndarray, "n"]
Sums = Callable[[Tensor, Targets], Vector]
Result = Callable[[Vector], dict[str, float]]


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().float().cpu().numpy()
    return array


def _plain(sums: Callable[..., Vector]) -> Sums:
    """For predictions laid out as their target."""

    def add(prediction: Tensor, t: Targets) -> Vector:
        return sums(_array(prediction), _array(t.value), t.valid.cpu().numpy())

    return add


def _classes(num_ids: int) -> Sums:
    def add(prediction: Tensor, t: Targets) -> Vector:
        best = prediction.argmax(dim=1).cpu().numpy()
        return segm.sums(best, t.value.cpu().numpy(), t.valid.cpu().numpy(), num_ids).ravel()

    return add


def _confusion(num_ids: int) -> Result:
    return lambda total: segm.result(total.reshape(num_ids, num_ids))


class Meter:
    """Loss and metrics of one target name.

    Args:
        target: `"depth"`, `"segm/nyu40"`, ...
        num_ids: of the label space, for segmentation.
    """

    def __init__(self, target: str, num_ids: int = 0) -> None:
        self.target = target
        table: dict[str, tuple[Sums, Result, int]] = {
            "depth": (_plain(depth.sums), depth.result, 6),
            "normal": (_plain(normal.sums), normal.result, 5),
            "segm": (_classes(num_ids), _confusion(num_ids), num_ids * num_ids),
            "pose3d": (_plain(pose3d.sums), pose3d.result, 3),
            "boxes": (_plain(boxes.sums), boxes.result, 3),
        }
        self._sums, self._result, size = table[target.partition("/")[0]]
        self.total = np.zeros(2 + size)

    def update(
        self,
        prediction: Float[Tensor, "r ..."],
        targets: Targets,
        loss_sum: Float[Tensor, ""],
        loss_count: Int[Tensor, ""],
    ) -> None:
        """Takes in the predictions of a batch's supervised rows, and their loss."""
        self.total[0] += float(loss_sum)
        self.total[1] += float(loss_count)
        if len(targets.rows):
            self.total[2:] += self._sums(prediction, targets)

    def result(self) -> dict[str, float]:
        """`loss` (mean over supervised items) and the task's metrics; nan where nothing was supervised."""
        return {"loss": ratio(self.total[0], self.total[1]), **self._result(self.total[2:])}
