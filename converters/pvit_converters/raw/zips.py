"""Reading single members of zip archives in place, with their sizes checked first.

A place is `folder/archive.zip!member`; anything else is the path of a plain file.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pvit_converters.raw.files import read_bytes, regular_path
from pvit_converters.raw.listing import is_data
from pvit_data.errors import SourceError

MARK = ".zip!"
MAX_MEMBER = 1 << 30
MAX_RATIO = 100  # of a large member; videos are hardly compressed at all, texts up to 20 times
_SMALL = 1 << 25


def members(path: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes of all files in an archive, without those that are nobody's data.

    Raises:
        SourceError: if it is no complete zip archive (`"corrupt-zip"`).
    """
    for info in _open(path).infolist():
        if not info.is_dir() and is_data(info.filename):
            yield info.filename, info.file_size


def read_place(root: Path, place: str) -> bytes:
    """The bytes of a file or of a member of an archive.

    Raises:
        SourceError: if it is missing, too large, encrypted or damaged.
    """
    if MARK not in place:
        return read_bytes(root / place, MAX_MEMBER)
    archive, _, member = place.partition(MARK)
    path = root / f"{archive}.zip"
    file = _open(path)
    try:
        return _read(path, file, member)
    except KeyError as error:
        raise SourceError(f"{path}: no member '{member}'", reason="missing-file") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        MemoryError,
        RuntimeError,
        NotImplementedError,
        EOFError,
        OSError,
    ) as error:
        raise SourceError(
            f"{path}: '{member}' cannot be read ({error}); get it again", reason="corrupt-zip"
        ) from error


def _read(path: Path, file: zipfile.ZipFile, member: str) -> bytes:
    info = file.getinfo(member)
    size = info.file_size
    limit = min(MAX_MEMBER, max(_SMALL, MAX_RATIO * info.compress_size))
    if size > limit:
        raise SourceError(
            f"{path}: '{member}' has {size} bytes made of {info.compress_size}, at most {limit}",
            reason="too-large",
        )
    with file.open(info) as stream:
        data = stream.read(size)
        if len(data) != size or stream.read(1):
            raise zipfile.BadZipFile(f"{len(data)} bytes, {size} promised")
    return data


def _open(path: Path) -> zipfile.ZipFile:
    return _opened(path, regular_path(path))


@lru_cache(maxsize=8)
def _opened(path: Path, place: str) -> zipfile.ZipFile:
    """Kept open: reading the directory of half a million members takes seconds."""
    try:
        return zipfile.ZipFile(place)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        message = f"{path}: not a complete zip archive ({error}); get it again"
        raise SourceError(message, reason="corrupt-zip") from error
