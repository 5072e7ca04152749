"""What a decoder is given, and what it is asked for: frames, pixels of maps, a window of pictures, so that it need not
make the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import FormatError

Files = Mapping[str, bytes]
"""Members of one sample by file name without the key, such as `"depth.tif"`."""

Told = Mapping[str, Any]
"""What the sample's record says, by its keys."""

Frames = Integer[np.ndarray, "n"]
Grid = tuple[Integer[np.ndarray, "r"], Integer[np.ndarray, "c"]]


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture, in pixels.

    Args:
        top, left, height, width: of the rectangle.
        shrink: the caller is content with 1/2, 1/4 or 1/8 of the resolution where that is cheaper (JPEG: the scaled
            inverse transform, which averages); all numbers and the picture's sides must then be multiples of it.
    """

    top: int
    left: int
    height: int
    width: int
    shrink: int = 1

    def check(self, height: int, width: int) -> None:
        """Refuses a window that is not inside a picture of this size.

        Raises:
            FormatError: if it is not.
        """
        inside = (
            0 <= self.top <= self.top + self.height <= height
            and 0 <= self.left <= self.left + self.width <= width
        )
        if not inside or min(self.height, self.width) < 1:
            raise FormatError(f"{self} is not inside a picture of {height} x {width}")


class Members(dict[str, bytes]):
    """Members of a sample by file name without the key; one that is asked for and missing is an error of the format."""

    def __missing__(self, name: str) -> bytes:
        raise FormatError(f"member {name} is missing")


class Asked(NamedTuple):
    """The part of a sample that is wanted; None is everything.

    Args:
        frames: frame numbers, in any order, repeats allowed.
        grid: row and column numbers at which dense maps are sampled.
        window: the part of rgb.
        checked: a video was found sound when it was stored; False for files that we did not store.
    """

    frames: Frames | None = None
    grid: Grid | None = None
    window: Window | None = None
    checked: bool = True
