"""Bytes to normalised clips, in memory that is used again: filling fresh pages costs more than the arithmetic."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64, UInt8

from pvit_data.loading.threads import side_by_side, threads

if TYPE_CHECKING:
    from torch import Tensor

MAX_KEPT = 3
THREAD_BYTES = 4 << 20
"""Of floats, from which on a further thread is worth its while."""
_REFERENCES = 3
"""Of an array that nobody else holds: the list's, the loop's and `getrefcount`'s own."""


class Pixels:
    """Normalises the frames of batches.

    Args:
        mean, std: per channel, of rgb in [0, 1].
    """

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        self._scale = [1 / (255 * s) for s in std]
        self._shift = [m / s for m, s in zip(mean, std, strict=True)]
        self._kept: list[np.ndarray] = []

    def normalise(
        self, frames: UInt8[Tensor, "n h w 3"], places: Int64[Tensor, "b t"]
    ) -> Float[Tensor, "b 3 t h w"]:
        """The clips whose frames are `frames[places]`, float32, on the device they are on."""
        import torch

        if frames.device.type == "cpu":
            return torch.from_numpy(self._on_cpu(frames.numpy(), places.numpy()))
        return self._on_device(frames, places)

    def _on_device(
        self, frames: UInt8[Tensor, "n h w 3"], places: Int64[Tensor, "b t"]
    ) -> Float[Tensor, "b 3 t h w"]:
        import torch

        clips = (
            frames[places]
            .permute(0, 4, 1, 2, 3)
            .to(torch.float32, memory_format=torch.contiguous_format)
        )
        for channel, (scale, shift) in enumerate(zip(self._scale, self._shift, strict=True)):
            clips[:, channel].mul_(scale).sub_(
                shift
            )  # plain numbers: a tensor of them would wait for the device
        return clips

    def _on_cpu(
        self, frames: UInt8[np.ndarray, "n h w 3"], places: Int64[np.ndarray, "b t"]
    ) -> Float[np.ndarray, "b 3 t h w"]:
        out = self._array((len(places), 3, places.shape[1], *frames.shape[1:3]))
        fill = partial(self._fill, frames, places, out)
        for filled in side_by_side(fill, range(len(places)), threads(out.nbytes // THREAD_BYTES)):
            filled()
        return out

    def _fill(
        self,
        frames: UInt8[np.ndarray, "n h w 3"],
        places: Int64[np.ndarray, "b t"],
        out: Float[np.ndarray, "b 3 t h w"],
        number: int,
    ) -> None:
        clip, place = out[number], places[number]
        first, last = int(place.min()), int(place.max()) + 1
        distinct = frames[first:last]
        repeated = last - first < len(place)
        for channel in range(3):
            target = np.empty(distinct.shape[:3], np.float32) if repeated else clip[channel]
            np.multiply(distinct[..., channel], np.float32(self._scale[channel]), out=target)
            target -= np.float32(self._shift[channel])
            if repeated:
                np.take(target, place - first, axis=0, out=clip[channel], mode="clip")

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array with arbitrary contents: an earlier one if nobody holds it, or any view or tensor of it."""
        self._kept = [array for array in self._kept if array.shape == shape]
        for array in self._kept:
            if sys.getrefcount(array) == _REFERENCES:
                return array
        fresh = np.empty(shape, np.float32)
        if len(self._kept) < MAX_KEPT:
            self._kept.append(fresh)
        return fresh
