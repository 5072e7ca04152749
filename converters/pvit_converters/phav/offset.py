"""Which RGB frame a map belongs to, judged by the pictures: edges of the frame lie on boundaries of its own map.

Needed only where RGB counts from 1 and the maps from 0 (spec phav, section 6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped

from pvit_converters.raw.images import read_image

FRAMES = 5
CLEAR = 1.02
"""The better offset must have so many times stronger edges on its boundaries."""
_JUMP = 0.03


@dataclass
class Score:
    """Mean strength of RGB edges on map boundaries for the offsets 0 and 1, over the frames tried.

    Args:
        strength: sums for both offsets.
        frames: number of frames.
    """

    strength: tuple[float, float] = (0.0, 0.0)
    frames: int = 0

    def __add__(self, other: Score) -> Score:
        a, b = self.strength, other.strength
        return Score((a[0] + b[0], a[1] + b[1]), self.frames + other.frames)

    @property
    def best(self) -> int | None:
        """The clearly better offset, or None."""
        zero, one = self.strength
        if min(zero, one) <= 0 or max(zero, one) < CLEAR * min(zero, one):
            return None
        return int(one > zero)


def starts_before(rgb: Iterable[int], maps: Iterable[int]) -> bool:
    """Whether the maps' numbers begin one below those of the frames, gaps allowed."""
    first = min(maps, default=None)
    return first is not None and first == min(rgb, default=first) - 1


def score(rgb: Mapping[int, Path], maps: Mapping[int, Path]) -> Score:
    """Scores up to five frames of one video; `maps` are class or depth images."""
    both = [i for i in sorted(maps) if i in rgb and i + 1 in rgb]
    picked = [both[k * len(both) // FRAMES] for k in range(FRAMES)] if len(both) > FRAMES else both
    total = Score()
    for index in picked:
        line = boundary(read_image(maps[index]))
        if line.any():
            zero, one = (float(edges(read_image(rgb[index + k]))[line].mean()) for k in (0, 1))
            total += Score((zero, one), 1)
    return total


def edges(image: Shaped[np.ndarray, "h w *c"]) -> Float[np.ndarray, "h1 w1"]:
    """Strength of the brightness steps to the right and below."""
    grey = image.astype(np.float32)
    grey = grey if grey.ndim == 2 else grey[..., :3].sum(-1)
    strength: Float[np.ndarray, "h1 w1"] = (
        np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
    )
    return strength


def boundary(image: Shaped[np.ndarray, "h w *c"]) -> Bool[np.ndarray, "h1 w1"]:
    """Where a class map changes its colour, or a depth map jumps by 3 %."""
    if image.ndim == 3:
        packed = image[..., :3].astype(np.int32) @ np.array([65536, 256, 1], np.int32)
        change = np.maximum(
            packed[:-1, 1:] != packed[:-1, :-1], packed[1:, :-1] != packed[:-1, :-1]
        )
    else:
        log = np.log(np.maximum(image.astype(np.float32), 1))
        steps = np.maximum(np.abs(np.diff(log, axis=1))[:-1], np.abs(np.diff(log, axis=0))[:, :-1])
        change = steps > np.float32(_JUMP)
    found: Bool[np.ndarray, "h1 w1"] = change
    return found
