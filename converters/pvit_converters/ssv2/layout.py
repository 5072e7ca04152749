"""Where things lie in a Something-Something V2 tree: the videos, in either of two layouts, and the label files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from pvit_converters.raw.listing import list_entries, list_files
from pvit_converters.ssv2.info import INFO
from pvit_data.errors import SourceError

FRAMES = "frames"
VIDEO_FOLDERS = ("20bn-something-something-v2", "videos", FRAMES)
_PACKAGE = "20bn-something-something-download-package-labels"
LABEL_FOLDERS = ("labels", "annotations", "", _PACKAGE, f"{_PACKAGE}/labels")
_PREFIXES = ("", "something-something-v2-")
FILES = {"train": "train", "val": "validation", "test": "test"}
"""Label file of each split."""

_VIDEO = re.compile(r"(\d{1,9})\.(webm|mp4)\Z", re.IGNORECASE)
_PART = re.compile(r"20bn-something-something-v2-\w\w\Z|.*\.zip\Z")
_FRAMES_BYTES = 200_000
"""Of a clip made from frames; its 40 to 200 files are not listed before the conversion."""


def find_videos(root: Path) -> list[Path]:
    """The folders that hold videos or folders of frames: unpacking that was interrupted leaves some in each.

    Raises:
        SourceError: if there is none; the message names what was looked for.
    """
    if not root.is_dir():
        raise SourceError(
            f"{root}: no such folder; give the folder that holds the videos and labels of SSv2"
        )
    there = [root / name for name in VIDEO_FOLDERS if (root / name).is_dir()]
    if there:
        return [folder for folder in there if _holds_clips(folder)] or there[:1]
    if any(map(_VIDEO.match, list_files(root))):
        return [root]
    folders = " or ".join(f"{name}/" for name in VIDEO_FOLDERS[:2])
    raise SourceError(
        f"{root}: not an SSv2 tree: no folder {folders} with videos such as 1.webm{leftovers(root)}. {INFO.obtain}"
    )


def _holds_clips(folder: Path) -> bool:
    return any(_VIDEO.match(entry.name) or entry.name.isdecimal() for entry in list_entries(folder))


def present_videos(root: Path, folders: Iterable[Path]) -> dict[str, tuple[str, int]]:
    """File name (relative to the root) and bytes by video id.

    Frames are taken where there is no video, empty files where there is nothing else.
    """
    videos: dict[str, tuple[str, int]] = {}
    frames: dict[str, tuple[str, int]] = {}
    for entry in (e for folder in folders for e in reversed(list_entries(folder))):
        name = os.path.relpath(entry.path, root)
        if match := _VIDEO.match(entry.name):
            video, size = str(int(match[1])), entry.stat().st_size
            if size > videos.get(video, ("", -1))[1] <= 0:
                videos[video] = (name, size)
        elif entry.name.isdecimal() and entry.is_dir():
            frames.setdefault(str(int(entry.name)), (name, _FRAMES_BYTES))
    whole = {video: file for video, file in videos.items() if file[1]}
    return videos | frames | whole


def label_file(root: Path, name: str) -> Path | None:
    """A label file such as `labels` or `validation`, wherever the release or its users put it."""
    paths = (root / f / f"{prefix}{name}.json" for f in LABEL_FOLDERS for prefix in _PREFIXES)
    return next((path for path in paths if path.is_file()), None)


def no_labels(root: Path, names: str) -> str:
    """The sentence on label files that are not there."""
    up = f"; give the folder above it, {root.parent}" if root.name in VIDEO_FOLDERS else ""
    return (
        f"{root}: no labels of SSv2: no {names} (or something-something-v2-...) in labels/, annotations/ or "
        f"the folder itself{up}. {INFO.obtain}"
    )


def leftovers(*places: Path) -> str:
    """What to do about archives that were not unpacked, as the end of a sentence."""
    parts = sorted(
        {
            e.name
            for p in set(places)
            for e in list_entries(p)
            if _PART.match(e.name) and e.is_file()
        }
    )
    if not parts:
        return ""
    how = "unzip them first, then: " if any(name.endswith(".zip") for name in parts) else ""
    return (
        f"; archives that are not unpacked lie there ({parts[0]}, {len(parts)} in all): {how}"
        "cat 20bn-something-something-v2-?? | tar zx"
    )
