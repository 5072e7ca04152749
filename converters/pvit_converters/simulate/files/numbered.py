"""Pictures that say which one they are: 16 bits for the number of the frame, 16 for that of its video, as blocks."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

ROWS, COLUMNS = 4, 8
DARK, LIGHT = 40, 215


def numbered(
    count: int, video: int, height: int, width: int, first: int = 0
) -> UInt8[np.ndarray, "t h w 3"]:
    """Frames `first`, `first + 1`, ... of a video.

    Args:
        count: of frames.
        video: its number, below 65,536.
        height, width: in pixels; at least four for each block.
        first: number of the first one.
    """
    return np.stack([_picture(first + n, video, height, width) for n in range(count)])


def _picture(number: int, video: int, height: int, width: int) -> UInt8[np.ndarray, "h w 3"]:
    """The four rows of blocks hold the high and low byte of the frame's number, then those of the video's."""
    values = np.array([number >> 8, number & 255, video >> 8, video & 255], np.uint8)
    bits = np.unpackbits(values[:, None], axis=1)
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    grey = np.where(bits[rows][:, columns], LIGHT, DARK).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)
