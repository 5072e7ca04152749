"""Where things lie in a Diving48 tree: videos, or folders of extracted frames, and the label files."""

from __future__ import annotations

import os
import re
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


@dataclass(frozen=True)
class Clips:
    """What is there.

    Args:
        files: path relative to the root, and bytes, by name of the clip.
        are_frames: they are folders of frames.
    """

    files: dict[str, tuple[str, int]]
    are_frames: bool


def find_clips(root: Path) -> Clips:
    """The videos of all folders, those of the first where two have one; where there is none, the folders of frames.

    Raises:
        SourceError: if there is neither.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the one that holds rgb/ and the labels")
    for names, are_frames in ((VIDEO_FOLDERS, False), (FRAME_FOLDERS, True)):
        found: dict[str, tuple[str, int]] = {}
        for name in names:  # unpacking that was interrupted leaves some in each, and empty ones
            there = _clips(root, name, are_frames) if (root / name).is_dir() else {}
            found = there | {clip: f for clip, f in found.items() if f[1] or clip not in there}
        if found:
            return Clips(found, are_frames)
    raise SourceError(
        f"{root}: not a tree of Diving48: no video such as rgb/-mmq0PT-u8k_00155.mp4{leftovers(root)}. {INFO.obtain}"
    )


def _clips(root: Path, name: str, are_frames: bool) -> dict[str, tuple[str, int]]:
    found = {}
    for entry in list_entries(root / name):
        file = os.path.relpath(entry.path, root)
        if are_frames and entry.is_dir() and _FOLDER.match(entry.name):
            found[entry.name] = (file, _FRAMES_BYTES)
        elif not are_frames and entry.is_file() and (match := _VIDEO.match(entry.name)):
            found.setdefault(match[1], (file, entry.stat().st_size))
    return found


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
