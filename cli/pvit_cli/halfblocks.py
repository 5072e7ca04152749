"""Pictures in a terminal: two pixels per character, the upper one as the colour of a half block."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8


def half_blocks(picture: UInt8[np.ndarray, "h w 3"], width: int) -> Any:
    """A rich text of the picture.

    Args:
        picture: sRGB.
        width: in characters.
    """
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    from pvit_data.looking.pictures import resize

    height = max(2, 2 * round(picture.shape[0] * width / picture.shape[1] / 2))
    small = resize(picture, height, width)
    text = Text(no_wrap=True, overflow="crop")
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style(color=Color.from_rgb(*above), bgcolor=Color.from_rgb(*below)))
        text.append("\n")
    return text
