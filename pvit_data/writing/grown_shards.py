"""The shards of one split that grow one after the other: a new one begins where one is full and the group changes."""

from __future__ import annotations

from pvit_data.errors import FormatError
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.receipts import MAX_SHARD_SAMPLES
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.writing.keys import Taken
from pvit_data.writing.shard import ShardFile

SHARD_SAMPLES = MAX_SHARD_SAMPLES // 2  # with room for the rest of a group


class GrownShards:
    """Shards of one split, under temporary names.

    Args:
        storage: the dataset.
        source: its declaration.
        split: `"train"`, `"val"` or `"test"`.
        first: number of the first shard.
        keys: those of all samples that are there.
        shard_bytes: size from which on a shard is full.
    """

    def __init__(
        self,
        storage: Storage,
        source: SourceSpec,
        split: str,
        first: int,
        keys: Taken,
        shard_bytes: int,
    ) -> None:
        self._storage, self._source, self._split = storage, source, split
        self._first, self._keys, self._shard_bytes = first, keys, shard_bytes
        self._shards: list[ShardFile] = []
        self._group = ""

    def add(self, sample: Sample) -> None:
        """Appends a sample.

        Raises:
            FormatError: if it breaks the schema or its key is taken.
            StorageError: if the file cannot be written.
        """
        if (shard := self._keys.place(sample.key)) is not None:
            raise FormatError(f"sample '{sample.key}' is in {shard} already: keys must be unique")
        if self._shards and self._is_full(self._shards[-1]) and sample.group != self._group:
            self._shards[-1].seal()
            self._begin()
        elif not self._shards:
            self._begin()
        self._shards[-1].add(sample)
        self._group = sample.group
        self._keys.add(sample.key, self._shards[-1].name)

    def _begin(self) -> None:
        number = self._first + len(self._shards)
        self._shards.append(ShardFile(self._storage, self._source, self._split, number))

    def _is_full(self, shard: ShardFile) -> bool:
        return shard.size >= self._shard_bytes or shard.samples >= SHARD_SAMPLES

    def seal(self) -> list[ShardFile]:
        """All shards that hold a sample, closed.

        Raises:
            StorageError: if one cannot be written.
        """
        filled = [shard for shard in self._shards if shard.samples]
        for shard in filled:
            shard.seal()
        return filled

    def discard(self) -> None:
        """Removes what is temporary."""
        for shard in self._shards:
            shard.discard()
