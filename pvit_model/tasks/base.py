"""What a task is: a head, a loss on packed targets, and the names of its metric and its picture.

A task is registered under the entry point `pvit.tasks`. Its targets are described in `pvit_data.loading.batch.Targets`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pvit_data.errors import UsageError
from pvit_data.loading.batch import Targets

if TYPE_CHECKING:
    from pvit_model.config import PViTConfig

ORDER = ("depth", "normal", "segm", "pose3d", "boxes")
"""Order of the built-in tasks wherever all are meant."""


@dataclass(frozen=True)
class LossSum:
    """A loss as its sum over the supervised items and their number, so that ranks can add both before dividing.

    Args:
        sum: scalar, float32, connected to the graph even where there is nothing to supervise.
        count: scalar, int64: labelled pixels, joints, boxes or rows.
    """

    sum: Tensor
    count: Tensor

    @property
    def mean(self) -> Float[Tensor, ""]:
        """The loss: sum / count, and exactly 0 where count is 0."""
        return self.sum / self.count.clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class LossOptions:
    """How losses are computed; the defaults are the paper's (supplement C, and `docs/paper`).

    Args:
        depth_clip: metres above which depths count as this depth.
        depth_scale: metres per unit of the depth loss: target = min(z, clip) / scale - 1.
        literal: divide map losses by h * w and the pose loss by 75 once more, as equations 3 to 6 print them.
        depth: `"mse"`, or `"scale-invariant"` (Eigen et al. 2014: variance of the log error, half its mean kept).
        normal: `"mse"`, or `"cosine"` (1 - cosine of the angle).
        pose3d: `"mse"`, or `"huber"` (per joint, on the distance, `pose_delta` metres).
        pose_delta: where the Huber loss turns linear, metres.
        boxes: which prediction answers for which target: `"slot"` (same index), or `"hungarian"` (cheapest matching).
        label_smoothing: of the action's cross-entropy.
    """

    depth_clip: float = 10.0
    depth_scale: float = 5.0
    literal: bool = False
    depth: Literal["mse", "scale-invariant"] = "mse"
    normal: Literal["mse", "cosine"] = "mse"
    pose3d: Literal["mse", "huber"] = "mse"
    pose_delta: float = 0.1
    boxes: Literal["slot", "hungarian"] = "slot"
    label_smoothing: float = 0.0


@runtime_checkable
class Task(Protocol):
    """One auxiliary task.

    Attributes:
        name: as in recipes and in `create_model(tasks=[...])`.
        weight: of its loss in the total, from the paper.
        metric: name of its metric.
        picture: name of its visualisation.
    """

    name: str
    weight: float
    metric: str
    picture: str

    def head(
        self, config: PViTConfig, widths: tuple[int, ...], width: int, hidden: int, frames: int
    ) -> nn.Module:
        """A fresh head (see `pvit_model.tasks.heads`).

        Args:
            widths: of the tapped layers.
            width: of the prompt after the final norm.
            hidden: channels of a dense head.
            frames: T' of the model's nominal clip.
        """

    def loss(
        self, prediction: Float[Tensor, "r ..."], targets: Targets, options: LossOptions
    ) -> LossSum:
        """The loss of the packed predictions: `prediction[i]` belongs to `targets.rows[i]`."""


def masked_sum(value: Float[Tensor, "*n"], valid: Bool[Tensor, "*n"]) -> LossSum:
    """The sum of `value` where `valid`, and how many entries that is. Invalid entries may hold NaN."""
    kept = torch.where(valid, value.float(), torch.zeros((), device=value.device))
    return LossSum(kept.sum(), valid.sum())


@cache
def get_task(name: str) -> Task:
    """The task registered under a name.

    Raises:
        UsageError: if there is none.
    """
    found = {entry.name: entry for entry in entry_points(group="pvit.tasks")}
    if name not in found:
        close = difflib.get_close_matches(name, found, 1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise UsageError(f"unknown task '{name}': {hint}available: {', '.join(sorted(found))}")
    task: Task = found[name].load()()
    return task


def kind_of(task: str) -> str:
    """The kind of a task or target: `"boxes"` of `"boxes"` and of `"boxes/hands"`, a second task of the same kind."""
    return task.partition("/")[0]
