"""Clips of Something-Something V2 that others have already cut into JPEG files (spec ssv2, section 1).

Three forms are known: `ID/0001.jpg` (Something-Else, ORViT) and `ID/img_00001.jpg` (mmaction2) at 12 frames per second,
and `ID/ID_000001.jpg` at 30 (PySlowFast's frame lists).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pvit_converters.raw.images import read_image
from pvit_converters.raw.listing import list_entries
from pvit_converters.raw.video import Clip
from pvit_data.errors import SourceError

_FRAME = re.compile(
    r"(?:(?P<extracted>\d+_)|img_)?(?P<number>\d{4,6})\.jpe?g\Z", re.IGNORECASE | re.ASCII
)
NATIVE_RATE, EXTRACTED_RATE = 12.0, 30.0


def read_frames(folder: Path, frame_rate: float = 0.0) -> Clip:
    """The frames of a folder in the order of their numbers.

    Args:
        folder: of one video.
        frame_rate: 0: by the form of the names.

    Raises:
        SourceError: if there is no frame (`"empty-folder"`), one is damaged, or their sizes differ.
    """
    found: dict[int, tuple[Path, bool]] = {}
    for entry in list_entries(folder):
        if match := _FRAME.match(entry.name):
            found[int(match["number"])] = (Path(entry.path), match["extracted"] is not None)
    if not found:
        raise SourceError(
            f"{folder}: no frame such as 0001.jpg, img_00001.jpg or ID_000001.jpg in it",
            reason="empty-folder",
        )
    numbers = sorted(found)
    first = read_image(found[numbers[0]][0])
    frames = np.empty((len(numbers), *first.shape[:2], 3), np.uint8)
    for i, number in enumerate(numbers):
        path = found[number][0]
        image = read_image(path)
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, -1)
        if image.shape != frames.shape[1:]:
            raise SourceError(
                f"{path}: {image.shape}, but its first frame is {frames.shape[1:]}",
                reason="size-mismatch",
            )
        frames[i] = image
    rate = frame_rate or (EXTRACTED_RATE if found[numbers[0]][1] else NATIVE_RATE)
    has_gaps = numbers[-1] - numbers[0] + 1 != len(numbers)
    warnings = ("frame-numbers-have-gaps",) if has_gaps else ()
    return Clip(frames, len(frames), rate, frames.shape[1], frames.shape[2], warnings)
