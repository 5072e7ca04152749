"""`Built`: a batch on its way from the process that made it, in two blocks of memory whatever number of tasks it has.

A tensor that crosses processes costs a file descriptor for as long as it lives: with one per target, a few dozen
batches in flight would use up what a process may open. One block also is one copy to a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from pvit_data.loading.pixels import Pixels
from pvit_data.tasks.target import Packed
from pvit_data.words import brief

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pvit_data.loading.batch import Batch

ALIGNMENT = 64


@dataclass(frozen=True)
class Place:
    """Where an array lies in a block."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Built:
    """A batch whose pixels are still bytes, each distinct frame once, and what was skipped on the way.

    Args:
        step, keys, sources: as in `Batch`.
        frames: the distinct frames of the clips, one after another.
        block: all other arrays: `"order"`, (b, t) int64, says which frame each clip shows when; targets are called
            `"rows depth"`, `"value depth"`, `"valid depth"`, ...
        places: where each of them lies in the block.
        attempted: samples asked for.
        skipped: (source, message) of each sample that could not be read.
    """

    step: int
    keys: list[str]
    sources: list[str]
    frames: UInt8[Tensor, "n h w 3"]
    block: UInt8[Tensor, "m"]
    places: Mapping[str, Place]
    attempted: int = 0
    skipped: tuple[tuple[str, str], ...] = ()

    __repr__ = brief

    def pin_memory(self) -> Built:
        """The same in page-locked memory (called by PyTorch's DataLoader)."""
        return replace(self, frames=self.frames.pin_memory(), block=self.block.pin_memory())

    def batch(self, pixels: Pixels, device: torch.device | str | None = None) -> Batch:
        """The finished batch, on a device."""
        from pvit_data.loading.batch import Batch, Targets

        frames, block = self.frames, self.block
        if device is not None:
            frames, block = (
                frames.to(device, non_blocking=True),
                block.to(device, non_blocking=True),
            )
        arrays = {name: _array(block, place) for name, place in self.places.items()}
        video = pixels.normalise(frames, arrays.pop("order"))
        names = [name.removeprefix("rows ") for name in arrays if name.startswith("rows ")]
        targets = {
            n: Targets(arrays[f"rows {n}"], arrays[f"value {n}"], arrays[f"valid {n}"])
            for n in names
        }
        return Batch(self.step, self.keys, self.sources, video, targets)


def labels(order: np.ndarray, targets: Mapping[str, Packed]) -> tuple[Tensor, dict[str, Place]]:
    """The block of a batch's arrays other than pixels, and where each lies; see `Built`."""
    arrays = {"order": order}
    for name, target in targets.items():
        arrays |= {
            f"rows {name}": target.rows,
            f"value {name}": target.value,
            f"valid {name}": target.valid,
        }
    places, end = {}, 0
    for name, array in arrays.items():
        places[name] = Place(end, array.dtype.name, array.shape)
        end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    block = empty_bytes((end,))
    view = block.numpy()
    for name, array in arrays.items():
        start = places[name].offset
        view[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return block, places


def empty_bytes(shape: tuple[int, ...]) -> Tensor:
    """Bytes to fill; in a worker process in shared memory at once, so that sending them copies nothing."""
    import torch
    from torch.utils.data import get_worker_info

    out = torch.empty(shape, dtype=torch.uint8)
    if get_worker_info() is not None and out.numel():
        out.share_memory_()  # type: ignore[no-untyped-call]
    return out


def _array(block: Tensor, place: Place) -> Tensor:
    import torch

    dtype: torch.dtype = getattr(torch, place.dtype)
    size = int(np.prod(place.shape, dtype=np.int64)) * dtype.itemsize
    return block[place.offset : place.offset + size].view(dtype).view(place.shape)
