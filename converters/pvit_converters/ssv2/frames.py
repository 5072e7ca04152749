"""Clips of Something-Something V2 that others have already cut into JPEG files (spec ssv2, section 1).

Three forms are known: `ID/0001.jpg` (Something-Else, ORViT) and `ID/img_00001.jpg` (mmaction2) at 12 frames per second,
and `ID/ID_000001.jpg` at 30 (PySlowFast's frame lists).
"""

from __future__ import annotations

import re
from pathlib import Path

from pvit_converters.raw import frame_folders
from pvit_converters.raw.video import Clip

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
    files = frame_folders.numbered_files(folder, _FRAME, "0001.jpg, img_00001.jpg or ID_000001.jpg")
    first = next(iter(files.values()))
    match = _FRAME.match(first.name)
    is_extracted = match is not None and match["extracted"] is not None
    rate = frame_rate or (EXTRACTED_RATE if is_extracted else NATIVE_RATE)
    return frame_folders.read_frames(files, rate)
