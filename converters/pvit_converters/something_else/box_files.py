"""Where in SomethingElse's box files the boxes of each video are: gigabytes of JSON that are never read whole.

Either a few files, each an object of video id -> records, or a file per video that holds its records.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

from pvit_converters.raw.files import open_file, parse_json
from pvit_converters.raw.listing import list_entries, list_files, list_folders
from pvit_converters.something_else.info import BOXES
from pvit_converters.something_else.keys import is_video, video_of
from pvit_data.errors import SourceError
from pvit_data.words import short

MAX_VIDEO = 1 << 22
"""Bytes of the records of a video: the longest real ones take a tenth of a million."""
CHUNK = 1 << 20
PARTS = tuple(f"bounding_box_smthsmth_part{n}.json" for n in range(1, 5))
_FOLDERS = ("", "bbox_jsons", "annotations", "boxes")
_MARK = "\xef\xbb\xbf"
_PART = re.compile(rf'(?:{_MARK})?\s*\{{\s*"\d{{1,9}}"\s*:\s*\[')
_ALL_SPACE = re.compile(r"[ \t\n\r]*")


class Place(NamedTuple):
    """The bytes of a file that hold the records of a video.

    Args:
        file: relative to the root.
        start, end: first byte, and that after the last one.
    """

    file: str
    start: int
    end: int


@dataclass
class BoxFiles:
    """What there is.

    Args:
        places: by video.
        files: that were found.
        repeated: how often a video came again, in the same file or another; its first records count.
    """

    places: dict[str, Place] = field(default_factory=dict)
    files: int = 0
    repeated: int = 0

    def add(self, video: str, place: Place) -> None:
        """Takes the first place of a video."""
        if self.places.setdefault(video, place) is not place:
            self.repeated += 1


def find_boxes(root: Path) -> BoxFiles:
    """The videos that have records, in all box files of a folder.

    Raises:
        SourceError: if there are none, or a file is damaged; the message names it.
    """
    if not root.is_dir():
        raise SourceError(f"{root}: no such folder; give the one with SomethingElse's box files")
    found = BoxFiles()
    for folder in _FOLDERS:
        if (root / folder).is_dir():
            _add_folder(root, folder, found)
    if not found.places:
        zips = [*list_files(root, ".zip"), *list_files(root, ".gz")]
        below = [name for name in list_folders(root) if (root / name / PARTS[0]).is_file()]
        hint = f"; {below[0]}/ has them: give {root / below[0]}" if below else ""
        hint = f"; unpack {zips[0]} first" if zips else hint
        raise SourceError(
            f"{root}: no boxes of SomethingElse: no bounding_box_smthsmth_part1.json ... part4.json, "
            f"and no bbox_jsons/1.json ...{hint}. {BOXES.obtain}"
        )
    return found


def missing_part(root: Path) -> str:
    """The sentence on a released part that is not there, where others are; "" if there is none."""
    for folder in _FOLDERS:
        there = [(root / folder / name).is_file() for name in PARTS]
        if any(there) and not all(there):
            return f"{root / folder}: {PARTS[there.index(True)]} is there, {PARTS[there.index(False)]} is not"
    return ""


def _add_folder(root: Path, folder: str, found: BoxFiles) -> None:
    for entry in list_entries(root / folder):
        stem, ending = os.path.splitext(entry.name)
        file = os.path.join(folder, entry.name)
        if ending.lower() != ".json" or not entry.is_file():
            continue
        if is_video(stem):
            found.add(video_of(stem), Place(file, 0, entry.stat().st_size))
        elif _is_part(root / file):
            for video, start, end in members(root / file):
                found.add(video, Place(file, start, end))
        else:
            continue
        found.files += 1


def _is_part(path: Path) -> bool:
    with open(open_file(path), "rb", buffering=0) as file:
        return _PART.match(file.read(4096).decode("latin-1")) is not None


def read_records(root: Path, place: Place) -> Any:
    """The records of one video, as they stand in the file.

    Raises:
        SourceError: if the file is gone, was changed since it was listed, or has too many bytes (`"too-large"`).
    """
    path = root / place.file
    size = place.end - place.start
    if size > MAX_VIDEO:
        raise SourceError(
            f"{path}: the records of a video take {size} bytes, more than {MAX_VIDEO}",
            reason="too-large",
        )
    with open(open_file(path), "rb", buffering=0) as file:
        file.seek(place.start)
        data = file.read(size) or b""
    if len(data) != size:
        raise SourceError(
            f"{path}: ends before byte {place.end}; it was changed since it was listed",
            reason="unreadable",
        )
    return parse_json(data, f"{path}, bytes {place.start} to {place.end}")


class _Window:
    """A part of a file as text, one character per byte, so that places in the one are places in the other.

    Bytes of other letters than ASCII's stand inside of JSON's quotes only, where they end nothing.
    """

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path, self._file = path, file
        self.text, self.first, self.place = "", 0, 0

    def grow(self) -> None:
        """Forgets what lies before the place, and reads more.

        Raises:
            SourceError: if there is no more, or what is there is larger than any video.
        """
        self.text = self.text[self.place :]
        self.first += self.place
        self.place = 0
        data = self._file.read(max(CHUNK, len(self.text))) if len(self.text) <= MAX_VIDEO else b""
        if not data:
            raise SourceError(
                f"{self.path}: after byte {self.first} comes no JSON with an end; the file is damaged or truncated, "
                "get it again",
                reason="bad-json",
            )
        self.text += data.decode("latin-1")

    def skip(self) -> str:
        """Goes to the next character that is no space, and gives it."""
        while True:
            match = _ALL_SPACE.match(self.text, self.place)
            self.place = match.end() if match else self.place
            if self.place < len(self.text):
                return self.text[self.place]
            self.grow()

    def take(self, mark: str) -> None:
        """Goes past a mark that must come next.

        Raises:
            SourceError: if it doesn't.
        """
        if (found := self.skip()) != mark:
            raise SourceError(
                f"{self.path}: byte {self.first + self.place}: expected '{mark}', found {short(found)}; the file is "
                "damaged, get it again",
                reason="bad-json",
            )
        self.place += 1

    def value(self) -> tuple[Any, int, int]:
        """The next text or list, with its first byte and that after its last one."""
        self.skip()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.place)
            except (ValueError, RecursionError):
                self.grow()
                continue
            start, self.place = self.first + self.place, end
            return value, start, self.first + end


_DECODER = json.JSONDecoder()


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Video, first byte, and that after the last one, of each member of an object of lists.

    Raises:
        SourceError: if the file is not such an object.
    """
    with open(open_file(path), "rb", buffering=0) as file:
        window = _Window(path, file)
        window.grow()
        if window.text.startswith(_MARK):
            window.place = len(_MARK)
        window.take("{")
        while True:
            name, _, _ = window.value()
            window.take(":")
            value, start, end = window.value()
            if not (isinstance(name, str) and is_video(name) and isinstance(value, list)):
                raise SourceError(
                    f'{path}: expected {{"1": [...], ...}}, found {short(name)}: {short(value)}',
                    reason="bad-json",
                )
            yield video_of(name), start, end
            if window.skip() == "}":
                return
            window.take(",")
