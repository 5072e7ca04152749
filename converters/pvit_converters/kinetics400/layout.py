"""Where the videos of a Kinetics-400 tree lie: flat or in class folders, below folders of splits or below none."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.kinetics400.info import INFO
from pvit_converters.raw.listing import list_files, list_folders, walk_files
from pvit_data.errors import SourceError
from pvit_data.words import shown

SPLITS = ("train", "val", "test")
ID = r"[A-Za-z0-9_-]{11}"
"""Of a video at YouTube; `-` and `_` may stand anywhere in it."""
VIDEO = re.compile(
    rf"({ID})(?:_(\d{{1,6}})_(\d{{1,6}}))?\.(?:mp4|webm|mkv|avi)\Z", re.IGNORECASE | re.ASCII
)
"""Name of a video's file: id, and from which to which second of the original it goes, with six digits or fewer."""

_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validate": "val",
          "validation": "val", "test": "test", "testing": "test"}  # fmt: skip
_SPLIT_FOLDER = re.compile(
    r"(?:(?:videos|k400|kinetics400|kinetics)[_-])?([a-z]+)(?:[_-](?:\d+|videos))?\Z", re.IGNORECASE
)
DOWNLOADS = ("k400", "kinetics400", "kinetics-400", "kinetics_400", "kinetics")
"""What the folder above those of the splits and `annotations` is called, where it is not the root."""
_BASES = ("", *DOWNLOADS, "videos", *(f"{name}/videos" for name in DOWNLOADS))
_REPLACEMENTS = "replacement"
_ARCHIVE = re.compile(r".*\.(?:tar\.gz|tgz|tar|zip)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Video:
    """A file that is there.

    Args:
        file: path relative to the root.
        size: bytes.
        split: below the folder of which split it lies; "": below none.
        folder: the name of the folder that it lies in, below that of its split; "": in none.
        replaced: it stands for a corrupted one.
    """

    file: str
    size: int
    split: str = ""
    folder: str = ""
    replaced: bool = False

    @property
    def times(self) -> tuple[int, int] | None:
        """From which to which second of the original it goes, if its name says it."""
        match = VIDEO.match(self.file.rpartition("/")[2])
        return (int(match[2]), int(match[3])) if match and match[2] else None


class Tree:
    """What is there.

    Attributes:
        videos: all files by id; copies of another Kinetics bring other seconds of a video.
    """

    def __init__(self) -> None:
        self.videos: dict[str, list[Video]] = {}

    def of(self, split: str) -> dict[str, list[Video]]:
        """The files below the folder of a split, by id."""
        there = {
            video: [file for file in files if file.split == split and not file.replaced]
            for video, files in self.videos.items()
        }
        return {video: files for video, files in there.items() if files}


def split_of(name: str) -> str | None:
    """The split whose folder is called so.

    >>> split_of("videos_val"), split_of("train_256"), split_of("training dogs")
    ('val', 'train', None)
    """
    match = _SPLIT_FOLDER.match(name)
    return _WORDS.get(match[1].lower()) if match else None


def find_tree(root: Path) -> Tree:
    """All videos below a root.

    Raises:
        SourceError: if there is none.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the one that holds train/ and val/")
    base = _base(root)
    tree = Tree()
    folders = [f"{base}/{name}".lstrip("/") for name in list_folders(root / base)]
    found = [
        (split, folder) for folder in folders if (split := split_of(folder.rpartition("/")[2]))
    ]
    for split, folder in found or [("", "")]:
        _add(tree, root, folder, split)
    for above in ("", *DOWNLOADS):
        place = f"{above}/{_REPLACEMENTS}".lstrip("/")
        if (root / place).is_dir():
            _add(tree, root, place, "", replaced=True)
    if not tree.videos:
        raise SourceError(
            f"{root}: not a tree of Kinetics-400: no video such as train/0wR5jVB-WPk_000417_000427.mp4"
            f"{leftovers(root)}. {INFO.obtain}"
        )
    return tree


def _base(root: Path) -> str:
    """The folder that holds those of the splits, relative to the root; "" where none does."""
    for base in _BASES:
        folder = root / base
        if folder.is_dir() and any(split_of(name) for name in list_folders(folder)):
            return base
    return ""


def _add(tree: Tree, root: Path, place: str, split: str, *, replaced: bool = False) -> None:
    """The videos below a folder; what replaces others is no part of the root."""
    for inside, entry in walk_files(root / place):
        match = VIDEO.match(entry.name)
        above = inside.split("/")[:-1]
        if match and not (place == "" and _REPLACEMENTS in above):
            file = f"{place}/{inside}" if place else inside
            folder = above[-1] if above and not replaced else ""
            video = Video(file, entry.stat().st_size, split, folder, replaced)
            tree.videos.setdefault(match[1], []).append(video)


def leftovers(root: Path) -> str:
    """What to do about archives that were not unpacked, as the end of a sentence."""
    folders = ["", *(name for name in list_folders(root) if name.endswith("_targz"))]
    folders += [split for split in (*SPLITS, _REPLACEMENTS) if (root / split).is_dir()]
    folders += [f"{f}/{s}" for f in folders if f.endswith("_targz") for s in list_folders(root / f)]
    found = [
        f"{folder}/{name}".lstrip("/")
        for folder in folders
        for name in list_files(root / folder)
        if _ARCHIVE.match(name)
    ]
    if not found:
        return ""
    return f"; archives lie there ({shown(found[0])}, {len(found)} in all): k400_extractor.sh unpacks them"
