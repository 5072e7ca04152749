"""What lies in a raw tree, by name, without what is nobody's data.

Left out are hidden files, what desktops, servers and archivers leave behind (`pvit_data.storage.files.is_litter`), and
links that lead nowhere (a file under git-annex or DVC that was not fetched, a moved disk): these are missing files.
Every converter lists folders here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pvit_converters.raw.places import permitted
from pvit_data.errors import SourceError
from pvit_data.storage.files import is_litter

Entry = os.DirEntry[str]


def is_data(place: str) -> bool:
    """Whether a path in a tree or an archive, with `/` between its parts, may be somebody's data."""
    return not any(part.startswith(".") or is_litter(part) for part in place.split("/"))


def list_entries(folder: Path | str) -> list[Entry]:
    """Files and folders in a folder, by name.

    Raises:
        SourceError: if it cannot be listed: `"missing-file"`, `"unreadable"`, or `"outside-root"` as in `permitted`.
    """
    permitted(folder)
    try:
        with os.scandir(folder) as found:
            there = [e for e in found if is_data(e.name) and _leads_somewhere(e)]
    except OSError as error:
        reason = "missing-file" if isinstance(error, FileNotFoundError) else "unreadable"
        raise SourceError(
            f"{folder}: cannot be listed ({error.strerror})", reason=reason
        ) from error
    return sorted(there, key=lambda entry: entry.name)


def _leads_somewhere(entry: Entry) -> bool:
    """Whether a file or folder is there; not behind a link in a circle, or one that may not be followed."""
    with suppress(OSError):
        return entry.is_file() or entry.is_dir()
    return False


def list_files(folder: Path | str, ending: str = "") -> list[str]:
    """Names of the files in a folder that end so, sorted; none where there is no such folder."""
    if not os.path.isdir(folder):
        return []
    return [e.name for e in list_entries(folder) if e.is_file() and e.name.endswith(ending)]


def is_empty(path: Path) -> bool:
    """Whether a file has no byte, or a folder nothing that may be somebody's data."""
    if not path.is_dir():
        return path.stat().st_size == 0
    permitted(path)
    with os.scandir(path) as found:
        return not any(is_data(entry.name) for entry in found)


def list_folders(folder: Path | str) -> list[str]:
    """Names of the folders in a folder, sorted."""
    return [entry.name for entry in list_entries(folder) if entry.is_dir()]


def walk_files(root: Path) -> Iterator[tuple[str, Entry]]:
    """All files below a folder with their places relative to it: those of a folder by name, then those below it.

    Links to folders are followed, but not to one that they lie in.

    Raises:
        SourceError: as `list_entries`.
    """
    stack = [""]
    while stack:
        place = stack.pop()
        below = []
        for entry in list_entries(root / place):
            relative = f"{place}/{entry.name}" if place else entry.name
            if not entry.is_dir():
                yield relative, entry
            elif not (entry.is_symlink() and _leads_back(entry.path)):
                below.append(relative)
        stack += reversed(below)


def _leads_back(link: str) -> bool:
    target = os.path.realpath(link)
    above = os.path.realpath(os.path.dirname(link))
    return above == target or above.startswith(f"{target}{os.sep}")
