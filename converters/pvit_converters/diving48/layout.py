"""Where things lie in a Diving48 tree: videos, or folders of extracted frames, and the label files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.diving48.info import INFO
from pvit_converters.raw.listing import list_entries, list_files
from pvit_data.errors import SourceError
from pvit_data.words import shown

NAME = r"[A-Za-z0-9_-]{11}_\d{5}"
"""Of a clip: the id of its video at YouTube, which may hold `-` and `_` anywhere, and a number."""
_VIDEO = re.compile(rf"({NAME})\.(?:mp4|webm|mkv|avi)\Z", re.IGNORECASE | re.ASCII)
_FOLDER = re.compile(rf"{NAME}\Z", re.ASCII)
VIDEO_FOLDERS = ("rgb", "videos", "")
FRAME_FOLDERS = ("frames", "rawframes")
_LABEL_FOLDERS = ("", "annotations", "labels")
_ARCHIVE = re.compile(r".*\.(?:tar\.gz|tgz|tar|zip)\Z", re.IGNORECASE)
_FRAMES_BYTES = 400_000
"""Of a clip made from frames, which are not listed before the conversion."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What is there of a clip.

    Args:
        file: path relative to the root.
        size: bytes.
        is_frames: it is a folder of frames.
    """

    file: str
    size: int
    is_frames: bool


def find_clips(root: Path) -> dict[str, Clip]:
    """Clips by name: videos, the first of several that is not empty; folders of frames for what has none.

    Raises:
        SourceError: if there is neither.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the one that holds rgb/ and the labels")
    found: dict[str, Clip] = {}
    for folder in (
        *VIDEO_FOLDERS,
        *FRAME_FOLDERS,
    ):  # unpacking that was interrupted leaves some in each, and empty ones
        for name, clip in _clips(root, folder) if (root / folder).is_dir() else ():
            if name not in found or not found[name].size:
                found[name] = clip
    if found:
        return found
    raise SourceError(
        f"{root}: not a tree of Diving48: no video such as rgb/-mmq0PT-u8k_00155.mp4{leftovers(root)}. {INFO.obtain}"
    )


def _clips(root: Path, folder: str) -> Iterator[tuple[str, Clip]]:
    for entry in list_entries(root / folder):
        file = os.path.relpath(entry.path, root)
        if folder in FRAME_FOLDERS and entry.is_dir() and _FOLDER.match(entry.name):
            yield entry.name, Clip(file, _FRAMES_BYTES, True)
        elif folder in VIDEO_FOLDERS and entry.is_file() and (match := _VIDEO.match(entry.name)):
            yield match[1], Clip(file, entry.stat().st_size, False)


def label_file(root: Path, name: str) -> Path | None:
    """A label file such as `V2_train`, wherever users put it."""
    paths = (root / folder / f"Diving48_{name}.json" for folder in _LABEL_FOLDERS)
    return next((path for path in paths if path.is_file()), None)


def leftovers(root: Path) -> str:
    """What to do about archives that were not unpacked, as the end of a sentence."""
    found = [
        os.path.join(folder, name)
        for folder in ("", *VIDEO_FOLDERS[:2])
        for name in list_files(root / folder)
        if _ARCHIVE.match(name)
    ]
    return f"; unpack {shown(found[0])} first, unless that is done" if found else ""
