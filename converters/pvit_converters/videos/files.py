"""Which files are videos or pictures, and where the paths of a table lead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pvit_converters.videos.options import TABLES, VideosOptions
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.words import shown

VIDEOS = frozenset({"mp4", "m4v", "mov", "3gp", "webm", "mkv", "avi"})
STILLS = frozenset({"jpg", "jpeg", "png"})
ENDINGS = VIDEOS | STILLS
OTHERS = frozenset({"wmv", "flv", "mpg", "mpeg", "ts", "mts", "ogv", "heic", "gif", "bmp", "webp"})
"""Endings of what a user may take for a video or picture, and what nothing here reads."""


def ending(name: str) -> str:
    """What stands behind the last dot, in small letters."""
    return os.path.splitext(name)[1][1:].lower()


@contextmanager
def given_by_option() -> Iterator[None]:
    """Reading a file that an option names: whatever is wrong with it is wrong with what was asked for.

    Raises:
        UsageError: in place of every other error of ours.
    """
    try:
        yield
    except (SourceError, FormatError) as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class Found:
    """A file that a row means.

    Args:
        file: its path, with `/`, below ROOT or a table's folder.
        beside: the option whose table lies in that folder; "": ROOT.
        size: bytes.
    """

    file: str
    beside: str
    size: int


class Finder:
    """Finds files by the paths in tables: in ROOT, in the folder of the table, or absolute.

    Args:
        root: of the raw data.
        options: of the converter.
    """

    def __init__(self, root: Path, options: VideosOptions) -> None:
        self._root, self._options = os.path.abspath(root), options
        self._folders = folders(root, options)

    def find(self, path: str, table: str, where: str) -> Found | None:
        """The file; None where there is none.

        Args:
            path: as the table writes it.
            table: the option that names the table.
            where: the row, for messages.

        Raises:
            UsageError: if there are two.
            SourceError: if it lies elsewhere.
        """
        bases = {"root": self._root, "table": self._folders.get(table, self._root)}
        wanted = ("root", "table") if self._options.paths == "auto" else (self._options.paths,)
        places = dict.fromkeys(os.path.abspath(os.path.join(bases[w], path)) for w in wanted)
        there = [place for place in places if os.path.isfile(place)]
        if len(there) > 1 and not os.path.samefile(*there):
            raise UsageError(
                f"{where}: {shown(path)} is in ROOT, {there[0]} (--paths root), and beside the table, {there[1]} "
                "(--paths table)"
            )
        return self._found(there[0]) if there else None

    def _found(self, place: str) -> Found:
        for beside, folder in {"": self._root, **self._folders}.items():
            for base in (folder, os.path.realpath(folder)):
                if place.startswith(base.rstrip(os.sep) + os.sep):
                    file = os.path.relpath(place, base).replace(os.sep, "/")
                    return Found(file, beside, os.stat(place).st_size)
        raise SourceError(f"{shown(place)}: is not in {self._root}", reason="outside-root")


def folders(root: Path, options: VideosOptions) -> Mapping[str, str]:
    """The folders of the tables by their options, but for those that lie in ROOT themselves."""
    inside = os.path.abspath(root)
    found = {}
    for name in TABLES:
        if (path := getattr(options, name)) is not None:
            folder = os.path.dirname(os.path.abspath(path))
            found[name] = folder
    return {name: folder for name, folder in found.items() if folder != inside}
