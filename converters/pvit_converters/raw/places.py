"""Which files a conversion may read: those in the folders that its user named, with no link leading out of them.

A raw tree may be a stranger's, and a plan may lie where others write. A link in the one, a path in the other, would
carry a private file byte for byte into a shard, and to whoever gets the data. All of `raw` asks here before it opens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pvit_data.errors import SourceError
from pvit_data.words import shown


class _Places(NamedTuple):
    """What may be read.

    Args:
        named: folders and files as the user named them, absolute; the first is the root.
        real: where they are.
        follow_links: a link may lead anywhere.
    """

    named: tuple[str, ...]
    real: tuple[str, ...]
    follow_links: bool


_places: ContextVar[_Places | None] = ContextVar("places", default=None)


@contextmanager
def reading_within(places: Iterable[Path | str], *, follow_links: bool = False) -> Iterator[None]:
    """Until it is left, only what lies in these folders, or is one of these files, may be read.

    Args:
        places: what the user named; the first is the root of the raw data. They may be links themselves.
        follow_links: links below them may lead elsewhere.
    """
    named = tuple(os.path.abspath(place) for place in places)
    token = _places.set(_Places(named, tuple(map(os.path.realpath, named)), follow_links))
    try:
        yield
    finally:
        _places.reset(token)


def permitted(path: Path | str) -> str:
    """Where a file or folder really is, if it may be read.

    Raises:
        SourceError: `"outside-root"`, if it lies elsewhere or a link leads elsewhere; both are named.
    """
    places = _places.get()
    text = os.fspath(path)
    if places is None:
        return text
    full = os.path.abspath(text)
    root = next(iter(places.named), "what was named")
    if not _is_in(full, places.named) and not _is_in(full, places.real):
        raise SourceError(
            f"{shown(text)}: is not in {root}, and nothing else is read", reason="outside-root"
        )
    if places.follow_links:
        return full
    real = _real(full)
    if not _is_in(real, places.real):
        raise SourceError(
            f"{shown(text)}: a link leads to {shown(real)}, which is not in {root}; put the data there itself, "
            "or pass --follow-links if the links are your own",
            reason="outside-root",
        )
    return real


def _is_in(path: str, places: tuple[str, ...]) -> bool:
    return any(
        path == place or path.startswith(f"{place.rstrip(os.sep)}{os.sep}") for place in places
    )


def _real(path: str) -> str:
    """`os.path.realpath`, with the folder's remembered: a folder has thousands of files."""
    folder, name = os.path.split(path)
    place = os.path.join(_real_folder(folder), name)
    return os.path.realpath(place) if os.path.islink(place) else place


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
