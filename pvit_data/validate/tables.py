"""Rows of index and receipts in one typed form, so that they can be compared and handed to the check of a shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import CorruptShardError
from pvit_data.format.index import COLUMNS, GROUPS, TEXT, TYPES
from pvit_data.format.names import SHARD_NAME
from pvit_data.format.rows import with_groups

Rows = Mapping[str, Shaped[np.ndarray, "n"]]


class Slice(Rows):
    """Some neighbouring rows of a table; a column of them is made when it is asked for."""

    def __init__(self, rows: Rows, start: int, stop: int) -> None:
        self._rows, self._start, self._stop = rows, start, stop

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "n"]:
        return self._rows[name][self._start : self._stop]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> Any:
        return dict, ({name: np.array(column) for name, column in self.items()},)


def by_shard(rows: Rows, source: str) -> dict[str, Rows]:
    """The rows of each shard, by the shard's path in the dataset.

    Raises:
        CorruptShardError: if columns have different lengths, or a shard has an impossible name.
    """
    if len({len(column) for column in rows.values()}) > 1:
        raise CorruptShardError(f"the index of {source} has columns of different lengths")
    numbers_of: dict[str, int] = {}
    shards = [numbers_of.setdefault(name, len(numbers_of)) for name in rows["shard"]]
    if wrong := [name for name in numbers_of if not SHARD_NAME.match(f"{source}/{name}")]:
        raise CorruptShardError(f"the index of {source} names a shard {wrong[0][:60]!r}")
    numbers = np.array(shards, np.int64)
    if np.any(np.diff(numbers) < 0):
        order = np.argsort(numbers, kind="stable")
        rows = {name: column[order] for name, column in rows.items()}
    ends = np.cumsum(np.bincount(numbers, minlength=len(numbers_of))).tolist()
    return {
        f"{source}/{name}": Slice(rows, start, stop)
        for name, start, stop in zip(numbers_of, [0, *ends], ends, strict=False)
    }


def no_rows() -> Rows:
    """An empty table."""
    return {name: np.empty(0, object if name in TEXT else TYPES[name]) for name in COLUMNS}


def columns_of(table: Any) -> Rows:
    """The rows of a receipt (an Arrow table), with all columns."""
    whole = with_groups(table, GROUPS)
    return {name: whole[name].to_numpy(zero_copy_only=False) for name in COLUMNS}


def difference(found: Rows, expected: Rows) -> tuple[str, str] | None:
    """The key of the first row in which two tables differ, and a sentence; None if they are equal."""
    if len(found["key"]) != len(expected["key"]):
        return "", f"{len(found['key'])} rows in the index, {len(expected['key'])} in the receipt"
    for name in COLUMNS:
        unequal = np.flatnonzero(found[name] != expected[name])
        if len(unequal):
            row = int(unequal[0])
            text = (
                f"{name} is {found[name][row]} in the index, {expected[name][row]} in the receipt"
            )
            return str(expected["key"][row]), f"{text} ({len(unequal)} such rows)"
    return None
