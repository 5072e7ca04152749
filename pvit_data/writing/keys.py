"""Keys of samples, which are unique in a dataset: millions of them, in Arrow's form or as hashes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from pvit_data.errors import FormatError
from pvit_data.format.index import Index


def twice(key: str, first: str, second: str) -> FormatError:
    """The error about a key of two samples."""
    return FormatError(f"sample '{key}' is in {first} and in {second}: keys must be unique")


class Keys:
    """The keys of all samples of a dataset, shard by shard."""

    def __init__(self) -> None:
        self._shards: list[tuple[str, Any]] = []

    def add(self, shard: str, keys: Any) -> None:
        """Notes the keys of a shard (an Arrow column of texts)."""
        self._shards.append((shard, keys))

    def require_unique(self) -> None:
        """Refuses two samples of the same key.

        Raises:
            FormatError: naming the first one and its shards.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        chunks = [chunk for _, column in self._shards for chunk in column.chunks]
        keys = pa.chunked_array(chunks, pa.string())
        if pc.count_distinct(keys).as_py() == len(keys):
            return
        counts = pc.value_counts(keys)
        again = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        places: dict[str, str] = {}
        for shard, column in self._shards:
            for key in column.filter(pc.is_in(column, again)).to_pylist():
                if key in places:
                    raise twice(key, places[key], shard)
                places[key] = shard


class Taken:
    """Keys that may not be given again: those in indices by their hashes, those that came since as they are.

    Args:
        indices: each with the name of its source.
    """

    def __init__(self, indices: Sequence[tuple[str, Index]]) -> None:
        self._indices = indices
        hashes = [
            np.fromiter(map(hash, index.column("key")), np.int64, index.num_rows)
            for _, index in indices
        ]
        self._starts = np.cumsum([0, *map(len, hashes)])
        every = np.concatenate([np.empty(0, np.int64), *hashes])
        self._rows = np.argsort(every)
        self._hashes = every[self._rows]
        self._own: dict[str, str] = {}

    def add(self, key: str, shard: str) -> None:
        """Takes a key for a sample of a shard."""
        self._own[key] = shard

    @property
    def own(self) -> Collection[str]:
        """Keys that came since."""
        return self._own

    def place(self, key: str) -> str | None:
        """The shard of the sample that has a key; None where there is none."""
        if key in self._own:
            return self._own[key]
        wanted = hash(key)
        at = int(np.searchsorted(self._hashes, wanted))
        while at < len(self._hashes) and self._hashes[at] == wanted:
            row = int(self._rows[at])
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            source, index = self._indices[number]
            row -= int(self._starts[number])
            if index.text("key", row) == key:
                return f"{source}/{index.text('shard', row)}"
            at += 1
        return None
