"""`Batch`: what the loader yields, with each task's targets packed to the rows that carry its label."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pvit_data.words import brief

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Targets of one task for the R supervised rows of a batch. Nothing is padded with fake labels.

    T' and (h, w) are the temporal tokens and the map size of the model's clip; prediction t belongs to input frame 2t.

    Args:
        rows: row numbers in the batch, ascending; of a task with an entry for each box (`persons`) a clip's number
            stands as often as it has boxes, and R is the number of boxes.
        value: depth (R, T', h, w) metres planar z; normal (R, T', h, w, 3) unit vectors; segm (R, T', h, w) class ids;
            pose3d (R, T', 25, 3) metres root-relative; boxes (R, T', O, 4) cxcywh in [0, 1]; action (R,) class ids;
            actions (R, K) 1 for each of K classes that the clip shows; pnr (R, 3) frame of the clip, seconds of the
            change and of the window; persons (R, 4 + K) corners in [0, 1] of the clip's picture, then 1 for each of K
            classes that the person shows.
        valid: which entries are labelled: depth, normal, segm (R, T', h, w); pose3d (R, T', 25); boxes (R, T', O);
            labels of whole clips, and persons (R,).
    """

    rows: Int[Tensor, "r"]
    value: Tensor
    valid: Bool[Tensor, "r ..."]

    __repr__ = brief

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Targets:
        """The same targets on another device."""
        return Targets(
            *(t.to(device, non_blocking=non_blocking) for t in (self.rows, self.value, self.valid))
        )


@dataclass(frozen=True)
class Batch:
    """One (rank's part of a) global batch.

    Args:
        step: number of the global batch.
        keys: sample key of each row.
        sources: source name of each row.
        video: normalised clips.
        targets: by target name: `"action"`, `"depth"`, `"normal"`, `"pose3d"`, `"boxes"`, and `"segm/<space>"` for
            each segmentation label space. A task without rows has an entry with R = 0.
    """

    step: int
    keys: list[str]
    sources: list[str]
    video: Float[Tensor, "b 3 t h w"]
    targets: dict[str, Targets] = field(default_factory=dict)

    __repr__ = brief

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        targets = {name: t.to(device, non_blocking) for name, t in self.targets.items()}
        return replace(
            self, video=self.video.to(device, non_blocking=non_blocking), targets=targets
        )

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (called by PyTorch's DataLoader)."""
        pin = {
            n: Targets(t.rows.pin_memory(), t.value.pin_memory(), t.valid.pin_memory())
            for n, t in self.targets.items()
        }
        return replace(self, video=self.video.pin_memory(), targets=pin)
