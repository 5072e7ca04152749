"""Lists of the videos of a split: CSV files with a header in any order of columns, or lines of a path and a number.

Tables quote their labels or not; some have none (of the test split). In lists the path may hold blanks, and what counts
is the name of its file, since the folders are those of somebody's machine.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.kinetics400 import classes
from pvit_converters.kinetics400.layout import DOWNLOADS, VIDEO, Video, split_of
from pvit_converters.raw.files import read_utf8
from pvit_data.errors import SourceError
from pvit_data.words import short, shown

MAX_BYTES = 1 << 27
_FOLDERS = ("annotations", "", "labels", *(f"{name}/annotations" for name in DOWNLOADS))
_NAMES = ("{}.csv", "kinetics-400_{}.csv", "kinetics_{}.csv", "kinetics400_{}.csv", "k400_{}.csv",
          "kinetics400_{}_list_videos.txt", "{}.txt")  # fmt: skip
_WORDS = {"train": ("train",), "val": ("val", "validate", "validation"), "test": ("test",)}


@dataclass(frozen=True, slots=True)
class Row:
    """A video of a list.

    Args:
        where: file and line, for messages.
        video: its id.
        action: its class; None: the list does not say it.
        times: from which to which second of the original it goes; None: the list does not say it.
        is_cc: `"1"` where it has a Creative Commons licence; "": the list does not say it.
        has_path: the row names a file, in whatever folder.
        file: that is meant, where no list but its class folder names it.
    """

    where: str
    video: str
    action: int | None = None
    times: tuple[float, float] | None = None
    is_cc: str = ""
    has_path: bool = False
    file: Video | None = None

    @property
    def seconds(self) -> tuple[int, int] | None:
        """Its times as names of files have them, if they are known."""
        if self.file is not None:
            return self.file.times
        return None if self.times is None else (int(self.times[0]), int(self.times[1]))

    def is_clip(self, file: Video) -> bool:
        """Whether a file of its video may be this clip: other seconds are other pictures."""
        return None in (self.seconds, file.times) or self.seconds == file.times

    def repeats(self, other: Row, *, within: bool) -> bool:
        """Whether it is a clip of a video again, or, of another split's list, shows a part of it.

        What no list names is known by its video alone.
        """
        if self.times is None or other.times is None:
            return True
        if within:
            return self.seconds == other.seconds
        return self.times[0] < other.times[1] and other.times[0] < self.times[1]


def find_list(root: Path, split: str) -> Path | None:
    """The list of a split that lies in a tree."""
    places = (
        root / folder / name.format(word)
        for folder in _FOLDERS
        for name in _NAMES
        for word in _WORDS[split]
    )
    return next((place for place in places if place.is_file()), None)


def read_list(path: Path, split: str, order: Sequence[str]) -> list[Row]:
    """The rows of a list.

    Args:
        path: the file.
        split: whose list it should be.
        order: names of the classes as numbers in it mean them.

    Raises:
        SourceError: if it is none, or a row is damaged.
    """
    lines = [(n, t) for n, t in enumerate(read_utf8(path, MAX_BYTES).splitlines(), 1) if t.strip()]
    if not lines:
        raise SourceError(f"{path}: is empty; get it again", reason="bad-list")
    header = [name.strip().lower() for name in _cells(lines[0][1], f"{path}, line {lines[0][0]}")]
    if "youtube_id" in header:
        return [_table_row(path, n, text, header, split) for n, text in lines[1:]]
    return [_list_row(path, n, text, order) for n, text in lines]


def _cells(line: str, where: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(line), skipinitialspace=True), [])
    except csv.Error as error:
        raise SourceError(f"{where}: is no row of a table ({error})", reason="bad-list") from error


def _table_row(path: Path, number: int, text: str, header: list[str], split: str) -> Row:
    where = f"{path}, line {number}"
    cells = _cells(text, where)
    if len(cells) != len(header):
        raise SourceError(
            f"{where}: has {len(cells)} cells, its header {len(header)}: {short(text)}",
            reason="bad-list",
        )
    told = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    video = told["youtube_id"]
    if not VIDEO.match(f"{video}.mp4") or len(video) != len("0wR5jVB-WPk"):
        raise SourceError(
            f"{where}: youtube_id is {short(video)}, expected 11 letters, digits, - and _ (programs for tables change "
            "ids that begin with - or =; get the file again)",
            reason="bad-list",
        )
    own = split_of(told["split"]) if told.get("split") else None
    if own is not None and own != split:
        raise SourceError(
            f"{where}: split is {told['split']}, but this should be the list of {split}",
            reason="bad-list",
        )
    label = told.get("label", "")
    action = classes.require_class(label, where) if label else None
    return Row(where, video, action, _times(told, where), told.get("is_cc", ""))


def _times(told: dict[str, str], where: str) -> tuple[float, float] | None:
    texts = [told.get("time_start", ""), told.get("time_end", "")]
    if not any(texts):
        return None
    try:
        start, end = map(float, texts)
    except ValueError:
        start = end = math.nan
    if not 0 <= start < end < math.inf:
        raise SourceError(
            f"{where}: goes from {short(texts[0])} to {short(texts[1])}, expected seconds",
            reason="bad-list",
        )
    return start, end


def _list_row(path: Path, number: int, text: str, order: Sequence[str]) -> Row:
    where = f"{path}, line {number}"
    place, label = _parted(text)
    parts = place.replace("\\", "/").split("/")
    match = VIDEO.match(parts[-1])
    if match is None or not (label.isascii() and label.isdecimal() and len(label) < 7):
        raise SourceError(
            f"{where}: {short(text)}: expected a header with the column youtube_id, or the path of a video, a blank, "
            "and the number of its class",
            reason="bad-list",
        )
    if int(label) >= len(order):
        raise SourceError(
            f"{where}: class {label}, expected 0 to {len(order) - 1}; this is no list of Kinetics-400",
            reason="unknown-class",
        )
    action = classes.require_class(order[int(label)], where)
    folder = classes.class_of(parts[-2]) if len(parts) > 1 else None
    if folder is not None and folder != action:
        raise SourceError(
            f"{where}: class {label} is '{classes.names()[action]}', but the video lies in {short(parts[-2])}: the "
            "list counts classes in an order of its own; --classes FILE names them in that order",
            reason="unknown-class",
        )
    times = (float(match[2]), float(match[3])) if match[2] else None
    return Row(where, match[1], action, times, has_path=True)


def _parted(text: str) -> tuple[str, str]:
    """Path and number: behind the last blank, tab or comma, since paths hold blanks too."""
    text = text.strip()
    cut = max(text.rfind(mark) for mark in " \t,")
    return text[:cut].strip().strip('"'), text[cut + 1 :].strip()


def rows_of_folders(videos: Mapping[str, Sequence[Video]]) -> Iterator[Row]:
    """The videos of class folders, each once.

    Args:
        videos: files by id.

    Raises:
        SourceError: if a folder is no class, or a clip lies in the folders of two.
    """
    for video, files in videos.items():
        file = min(files, key=lambda each: not each.size)
        where = f"folder {shown(file.folder)}"
        row = Row(where, video, classes.require_class(file.folder, where), file=file)
        other = next((f for f in files if row.is_clip(f) and _is_other(row, f)), None)
        if other is not None:
            raise SourceError(
                f"{shown(file.file)} and {shown(other.file)}: the same clip in the folders of two classes, and no "
                "list says which one it shows; remove one of them",
                reason="bad-list",
            )
        yield row


def _is_other(row: Row, file: Video) -> bool:
    return classes.class_of(file.folder) != row.action
