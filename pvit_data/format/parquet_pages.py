"""What the pages of a Parquet column say that they become, asked before any of them is decompressed.

A column is a row of pages, each behind a header in Thrift's compact form: `{1: kind, 2: size decompressed, 3: size in
the file, ...}`. The library makes room for whatever a header says, and the end of the file may say something else.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_PAGE_BYTES = 1 << 28  # decompressed: writers make pages of a megabyte
MAX_PAGES = 1 << 16  # of one part of a column
_HEAD = 1 << 16  # bytes of a header, which may quote values, at most
_DEPTH = 8
_BINARY, _STRUCT = 8, 12
_SIZES = {1: 0, 2: 0, 3: 1, 7: 8}  # of true, false, a byte, a double
_INTEGERS = (4, 5, 6)


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
        header = _Header(read(place, min(_HEAD, end - place)))
        whole, stored = header.sizes()
        if whole < 0 or stored < 0:
            raise ValueError("a page has a negative size")
        if whole > MAX_PAGE_BYTES:
            raise ValueError(f"a page takes {whole} bytes decompressed, at most {MAX_PAGE_BYTES}")
        total += whole
        place += header.place + stored
    raise ValueError(f"more than {MAX_PAGES} pages")


class _Header:
    """A header in Thrift's compact form, of which two numbers matter."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def sizes(self) -> tuple[int, int]:
        """Bytes decompressed, and in the file; afterwards `place` is where the page begins."""
        try:
            found = self._struct(0)
        except IndexError:
            raise ValueError("the header of a page does not end") from None
        if 2 not in found or 3 not in found:
            raise ValueError("a page does not say how large it is")
        return found[2], found[3]

    def _struct(self, depth: int) -> dict[int, int]:
        if depth > _DEPTH:
            raise ValueError("the header of a page is nested too deep")
        found: dict[int, int] = {}
        number = 0
        while head := self._byte():
            step, kind = head >> 4, head & 15
            number = number + step if step else self._integer()
            if kind in _INTEGERS:
                found[number] = self._integer()
            else:
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind == _STRUCT:
            self._struct(depth + 1)
        elif kind in _INTEGERS:
            self._integer()
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind in _SIZES:
            self._pass(_SIZES[kind])
        else:  # lists, sets and maps: no header of a page has one
            raise ValueError(f"the header of a page holds a value of kind {kind}")

    def _pass(self, size: int) -> None:
        self.place += size
        if self.place > len(self._data):
            raise IndexError

    def _byte(self) -> int:
        self.place += 1
        return self._data[self.place - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in the header of a page does not end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
