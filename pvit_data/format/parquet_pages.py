"""What a Parquet file and its pages say about themselves, asked before anything of it is decompressed.

A column is a row of pages, each behind a header in Thrift's compact form: `{1: kind, 2: size decompressed, 3: size in
the file, ...}`. The library makes room for whatever a header says, and the end of the file may say something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pvit_data.format.thrift import Compact

MAX_PAGE_BYTES = 1 << 28  # decompressed: writers make pages of a megabyte
MAX_PAGES = 1 << 16  # of one part of a column
_HEAD = 1 << 16  # bytes of a header, which may quote values, at most
_NUMBERED = {2, 8}  # encodings: plain and packed numbers into a dictionary


def decompressed_bytes(read: Callable[[int, int], bytes], start: int, size: int) -> int:
    """Bytes that the pages of one part of a column become.

    Args:
        read: gives bytes (offset, size) of the file.
        start, size: where its pages are.

    Raises:
        ValueError: if they are no pages, too many, or one becomes more than `MAX_PAGE_BYTES`.
    """
    place, end, total = start, start + size, 0
    for _ in range(MAX_PAGES):
        if place >= end:
            return total
        header = Compact(read(place, min(_HEAD, end - place)))
        whole, stored = _sizes(header)
        if whole < 0 or stored < 0:
            raise ValueError("a page has a negative size")
        if whole > MAX_PAGE_BYTES:
            raise ValueError(f"a page takes {whole} bytes decompressed, at most {MAX_PAGE_BYTES}")
        total += whole
        place += header.place + stored
    raise ValueError(f"more than {MAX_PAGES} pages")


def _sizes(header: Compact) -> tuple[int, int]:
    """Bytes decompressed, and in the file; afterwards `place` is where the page begins."""
    found = header.struct()
    whole, stored = found.get(2), found.get(3)
    if type(whole) is not int or type(stored) is not int:
        raise ValueError("a page does not say how large it is")
    return whole, stored


class Chunk(NamedTuple):
    """What the end of a file says about one part of a column.

    Args:
        column: name of the column, or of the outermost one around it.
        path: the same with all names down to it (`"names.list.element"`).
        is_numbered: some values are stored as numbers into a dictionary.
        start, stored: where its pages begin, and their bytes.
        whole: bytes that they become.
    """

    column: str
    path: str
    is_numbered: bool
    start: int
    stored: int
    whole: int


def read_chunks(end: bytes) -> list[Chunk]:
    """All parts of all columns, from the description at the end of a file.

    Raises:
        ValueError: if it is none.
    """
    groups = Compact(end).struct().get(4, [])
    try:
        return [_chunk(column[3]) for group in groups for column in group[1]]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"a part of a column is not described ({error!r:.60})") from None


def _chunk(told: dict[int, Any]) -> Chunk:
    """Of fields 2 encodings, 3 path, 6 and 7 sizes, 9 and 11 where the first pages are."""
    firsts = [first for first in (told[9], told.get(11, 0)) if first]
    return Chunk(
        told[3][0].decode(),
        b".".join(told[3]).decode(),
        bool(_NUMBERED & set(told[2])),
        min(firsts, default=0),
        int(told[7]),
        int(told[6]),
    )
