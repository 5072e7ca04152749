"""`Window`: the part of a picture that is wanted, so that decoders need not make the rest."""

from __future__ import annotations

from dataclasses import dataclass

from pvit_data.errors import FormatError


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
