"""Rows of index and receipts in one typed form, so that they can be compared and handed to the check of a shard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import CorruptShardError
from pvit_data.format.index import COLUMNS, NUMBERS, PLACES, TEXT
from pvit_data.format.manifest import SHARD_NAME

Rows = Mapping[str, Shaped[np.ndarray, "n"]]


def by_shard(rows: Rows, source: str) -> dict[str, Rows]:
    """The rows of each shard, by the shard's path in the dataset.

    Raises:
        CorruptShardError: if columns have different lengths, or a shard has an impossible name.
    """
    if len({len(column) for column in rows.values()}) > 1:
        raise CorruptShardError(f"the index of {source} has columns of different lengths")
    if wrong := [name for name in set(rows["shard"]) if not SHARD_NAME.match(f"{source}/{name}")]:
        raise CorruptShardError(f"the index of {source} names a shard {wrong[0][:60]!r}")
    names, numbers = np.unique(rows["shard"].astype(str), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=len(names))
    ends = np.cumsum(counts)
    return {
        f"{source}/{name}": {column: values[order[start:stop]] for column, values in rows.items()}
        for name, start, stop in zip(
            names.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True
        )
    }


def no_rows() -> Rows:
    """An empty table."""
    return {
        name: np.empty(0, object if name in TEXT else (NUMBERS | PLACES)[name]) for name in COLUMNS
    }


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
