"""Where the videos of a Kinetics-400 tree lie: flat or in class folders, below folders of splits or below none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
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
        folder: the name of the folder that it lies in, below that of its split; "": in none.
        replaced: it stands for a corrupted one.
    """

    file: str
    size: int
    folder: str = ""
    replaced: bool = False

    @property
    def times(self) -> tuple[int, int] | None:
        """From which to which second of the original it goes, if its name says it."""
        match = VIDEO.match(self.file.rpartition("/")[2])
        return (int(match[2]), int(match[3])) if match and match[2] else None


@dataclass
class Tree:
    """What is there.

    Args:
        videos: by split ("": below no folder of a split) and id.
        replacements: for corrupted ones, by id.
        further: more files of the same split and id, as copies of another Kinetics bring: other seconds of a video.
        twice: how many of them there are, which are not used.
    """

    videos: dict[str, dict[str, Video]] = field(default_factory=dict)
    replacements: dict[str, Video] = field(default_factory=dict)
    further: dict[tuple[str, str], list[Video]] = field(default_factory=dict)
    twice: int = 0

    def find(
        self, video: str, split: str, anywhere: bool, times: tuple[float, float] | None = None
    ) -> Video | None:
        """The file of a video, or what replaces it.

        Args:
            video: its id.
            split: which folder it should lie in.
            anywhere: any other folder does as well.
            times: of several files of a video the one of these seconds is meant.
        """
        places = [split, "", *(SPLITS if anywhere else ())]
        place = next((p for p in places if video in self.videos.get(p, {})), None)
        if video in self.replacements or place is None:
            return self.replacements.get(video)
        there: list[Video] = [self.videos[place][video], *self.further.get((place, video), ())]
        meant = [video for video in there if video.times == times]
        return (meant or there)[0]


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
    for name in list_folders(root / base):
        if split := split_of(name):
            _add(tree, split, root, f"{base}/{name}".lstrip("/"))
    if not tree.videos:
        _add(tree, "", root, "")
    for above in ("", *DOWNLOADS):
        place = f"{above}/{_REPLACEMENTS}".lstrip("/")
        if (root / place).is_dir():
            for video, found in _videos(root, place):
                tree.replacements[video] = Video(found.file, found.size, "", True)
    if not any(tree.videos.values()):
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


def _add(tree: Tree, split: str, root: Path, place: str) -> None:
    videos = tree.videos.setdefault(split, {})
    for video, found in _videos(root, place):
        if video in videos:
            tree.twice += 1
            tree.further.setdefault((split, video), []).append(found)
        else:
            videos[video] = found


def _videos(root: Path, place: str) -> Iterator[tuple[str, Video]]:
    """Ids and files below a folder; what replaces others is no part of the root."""
    for inside, entry in walk_files(root / place):
        match = VIDEO.match(entry.name)
        above = inside.split("/")[:-1]
        if match and not (place == "" and _REPLACEMENTS in above):
            file = f"{place}/{inside}" if place else inside
            yield match[1], Video(file, entry.stat().st_size, above[-1] if above else "")


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
