"""Clips that others have already cut into JPEG files: a folder with a numbered file for each frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pvit_converters.raw.images import read_image
from pvit_converters.raw.listing import list_entries
from pvit_converters.raw.video import Clip
from pvit_data.errors import SourceError

GAPS = "frame-numbers-have-gaps"


def numbered_files(folder: Path, name: re.Pattern[str], examples: str) -> dict[int, Path]:
    """The frames of a folder by their numbers, ascending.

    Args:
        folder: of one video.
        name: of a file, with a group `number`.
        examples: names, for the message.

    Raises:
        SourceError: if there is none (`"empty-folder"`), or two files have one number (`"ambiguous-frames"`).
    """
    found: dict[int, Path] = {}
    for entry in list_entries(folder):
        if match := name.match(entry.name):
            path = Path(entry.path)
            if (other := found.setdefault(int(match["number"]), path)) is not path:
                raise SourceError(
                    f"{folder}: {other.name} and {path.name} are frames of one number; leave one of these kinds there",
                    reason="ambiguous-frames",
                )
    if not found:
        raise SourceError(f"{folder}: no frame such as {examples} in it", reason="empty-folder")
    return dict(sorted(found.items()))


def has_gaps(numbers: Sequence[int]) -> bool:
    """Whether frames are missing, also at the beginning: they count from 0 or 1.

    Args:
        numbers: ascending, one or more.
    """
    return numbers[0] > 1 or numbers[-1] - numbers[0] + 1 != len(numbers)


def read_frames(files: Mapping[int, Path], rate: float) -> Clip:
    """The frames of numbered files, in their order.

    Args:
        files: by number, ascending.
        rate: frames per second; 0: unknown.

    Raises:
        SourceError: if one is damaged, or their sizes differ.
    """
    paths, numbers = list(files.values()), list(files)
    first = read_image(paths[0])
    frames = np.empty((len(paths), *first.shape[:2], 3), np.uint8)
    for i, path in enumerate(paths):
        image = read_image(path)
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, -1)
        if image.shape != frames.shape[1:]:
            raise SourceError(
                f"{path}: {image.shape}, but its first frame is {frames.shape[1:]}",
                reason="size-mismatch",
            )
        frames[i] = image
    warnings = (GAPS,) if has_gaps(numbers) else ()
    return Clip(frames, len(frames), rate, frames.shape[1], frames.shape[2], warnings)
