"""Which samples of a table are meant, in little memory: all of them take none, some in their order a bit each.

`Rows` are a `range` from 0 (all), `SomeRows` (ascending), or numbers in any order in an array. All three have a length
and give the i-th row as `rows[i]`; the functions below are for whole selections.
"""

from __future__ import annotations

import operator

import numpy as np
from jaxtyping import Bool, Integer, UInt8

BLOCK = 512  # rows, whose bits are counted once
SPARSE = 32  # one row among so many takes less as a number than as bits


class SomeRows:
    """Ascending row numbers, as a bit for each row of the table and a count for each block of them.

    Args:
        mask: which rows are meant.
    """

    def __init__(self, mask: Bool[np.ndarray, "n"]) -> None:
        self._bits: UInt8[np.ndarray, "m"] = np.packbits(mask)
        counts = np.add.reduceat(mask, np.arange(0, len(mask), BLOCK), dtype=np.int64)
        self._before = np.cumsum(counts) - counts
        self._number = int(counts.sum())
        self.table_rows = len(mask)

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, place: int) -> int:
        number = operator.index(place)
        if not 0 <= number < self._number:
            raise IndexError(f"row {number} of {self._number}")
        block = int(np.searchsorted(self._before, number, side="right")) - 1
        found = np.flatnonzero(self._block(block))[number - self._before[block]]
        return block * BLOCK + int(found)

    def place(self, row: int) -> int:
        """How many of them lie before a row of the table."""
        block = row // BLOCK
        return int(self._before[block]) + int(self._block(block)[: row % BLOCK].sum())

    def mask(self) -> Bool[np.ndarray, "n"]:
        """Which rows of the table are meant."""
        return np.unpackbits(self._bits, count=self.table_rows).view(bool)

    def _block(self, block: int) -> UInt8[np.ndarray, "b"]:
        return np.unpackbits(self._bits[block * BLOCK // 8 : (block + 1) * BLOCK // 8])


Rows = range | SomeRows | Integer[np.ndarray, "n"]


def marked(mask: Bool[np.ndarray, "n"]) -> Rows:
    """The rows of a table that are marked, in their order."""
    number = int(np.count_nonzero(mask))
    if number == len(mask):
        return range(number)
    return (
        numbers(np.flatnonzero(mask), len(mask)) if number * SPARSE < len(mask) else SomeRows(mask)
    )


def numbers(rows: Integer[np.ndarray, "k"], table_rows: int) -> Rows:
    """Rows in any order, four bytes each where that is enough."""
    return rows.astype(np.uint32 if table_rows <= 1 << 32 else np.int64)


def selected(rows: Integer[np.ndarray, "k"], table_rows: int) -> Rows:
    """Rows in the order in which they are given, in as little memory as that allows."""
    if len(rows) * SPARSE < table_rows or np.any(rows[1:] <= rows[:-1]):
        return numbers(rows, table_rows)
    mask = np.zeros(table_rows, bool)
    mask[rows] = True
    return marked(mask)


def row_array(rows: Rows) -> Integer[np.ndarray, "k"]:
    """All of them as numbers."""
    if isinstance(rows, SomeRows):
        return np.flatnonzero(rows.mask())
    return np.arange(len(rows)) if isinstance(rows, range) else rows.astype(np.int64)


def row_mask(rows: Rows, table_rows: int) -> Bool[np.ndarray, "n"]:
    """Which rows of the table they are."""
    if isinstance(rows, SomeRows):
        return rows.mask()
    mask = np.full(table_rows, isinstance(rows, range))
    if not isinstance(rows, range):
        mask[rows] = True
    return mask


def place_of(rows: Rows, row: int) -> int:
    """The place of a row among ascending ones that hold it."""
    if isinstance(rows, range):
        return row
    return rows.place(row) if isinstance(rows, SomeRows) else int(np.searchsorted(rows, row))
