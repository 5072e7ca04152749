"""The shards of a split: from the manifest, or from the file that it names where there are many.

`SOURCE/index/SPLIT.shards.parquet` has one row per shard, by number, with all columns of fixed size, so that a million
of them cost what they weigh; opening a dataset reads none of it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import CorruptShardError
from pvit_data.format.manifest import NAME, FileInfo, ShardInfo, ShardListInfo, SplitInfo
from pvit_data.format.names import PER_FOLDER, SHARD_NAME, part_of, place_of, shard_name
from pvit_data.format.parquet import ParquetTable
from pvit_data.storage.storage import Storage

MAX_INLINE = 1000
"""Shards of a split that the manifest itself lists."""
MAX_INLINE_ALL = 40_000
"""And of all splits together; where there are more, only shorter lists stay there."""
MAX_LIST_BYTES = 1 << 30  # 25 million shards
_COLUMNS = {"number": "int32", "part": "int32", "samples": "int64", "bytes": "int64"}
_HASH = "sha256"
_ROW_BYTES = 32  # of a hash, which is stored as it is


def list_name(source: str, split: str) -> str:
    """Path of a list in the dataset."""
    return f"{source}/index/{split}.shards.parquet"


def write_list(shards: Sequence[ShardInfo]) -> bytes:
    """Encodes shards, which are in the order of their numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = [place_of(shard.name) for shard in shards]
    values: dict[str, Any] = {
        "number": [place.number for place in places],
        "part": [
            0 if shard.name == shard_name(*place, part=0) else part_of(place.number)
            for shard, place in zip(shards, places, strict=True)
        ],
        "samples": [shard.samples for shard in shards],
        "bytes": [shard.bytes for shard in shards],
    }
    columns = {name: pa.array(values[name], kind) for name, kind in _COLUMNS.items()}
    hashes = [bytes.fromhex(shard.sha256) for shard in shards]
    columns[_HASH] = pa.array(hashes, pa.binary(_ROW_BYTES))
    buffer = io.BytesIO()
    compression = {**dict.fromkeys(_COLUMNS, "zstd"), _HASH: "none"}
    pq.write_table(pa.table(columns), buffer, compression=compression, use_dictionary=False)
    return buffer.getvalue()


class ShardList:
    """The shards of a split, read when they are first needed.

    Args:
        storage: the dataset.
        source: name of the source.
        split: its split.
        info: the split's entry in the manifest.
    """

    def __init__(self, storage: Storage, source: str, split: str, info: SplitInfo) -> None:
        self._storage = storage
        self._source = source
        self._split = split
        self._info = info
        self._shards: Mapping[str, ShardInfo] = {shard.name: shard for shard in info.shards}
        self._columns: dict[str, Shaped[np.ndarray, "n"]] = {}

    def __len__(self) -> int:
        return len(self._info.shards) if self._listed is None else self._listed.count

    def __iter__(self) -> Iterator[ShardInfo]:
        """All of them by number.

        Raises:
            CorruptShardError: if the list is not the one that the manifest names, or does not agree with it.
            StorageError: if it cannot be read.
        """
        if self._listed is None:
            yield from self._info.shards
            return
        columns = [self._column(name).tolist() for name in _COLUMNS]
        for number, part, samples, size, sha256 in zip(*columns, self.sha256s(), strict=True):
            name = shard_name(self._source, self._split, number, part)
            yield ShardInfo.model_construct(name=name, samples=samples, bytes=size, sha256=sha256)

    def bytes_of(self, name: str) -> int | None:
        """Bytes of a shard by its path in the dataset; None if there is no such shard.

        Raises:
            CorruptShardError: as iterating.
            StorageError: as iterating.
        """
        if self._listed is None:
            found = self._shards.get(name)
            return None if found is None else found.bytes
        if not SHARD_NAME.match(name):
            return None
        numbers = self._column("number")
        number = place_of(name).number
        row = int(np.searchsorted(numbers, number))
        if row == len(numbers) or numbers[row] != number:
            return None
        part = int(self._column("part")[row])
        is_this = shard_name(self._source, self._split, number, part) == name
        return int(self._column("bytes")[row]) if is_this else None

    def sha256s(self) -> list[str]:
        """Hashes of all shards, by number.

        Raises:
            CorruptShardError: as iterating.
            StorageError: as iterating.
        """
        if self._listed is None:
            return [shard.sha256 for shard in self._info.shards]
        return [value.hex() for value in self._read([_HASH])[_HASH].to_pylist()]

    @property
    def _listed(self) -> ShardListInfo | None:
        return self._info.shard_list

    def _column(self, name: str) -> Shaped[np.ndarray, "n"]:
        if not self._columns:
            table = self._read(list(_COLUMNS))
            columns = {n: np.asarray(table[n].combine_chunks()) for n in _COLUMNS}
            self._require_consistent(columns)
            self._columns = columns
        return self._columns[name]

    def _read(self, names: list[str]) -> Any:
        """Columns of the file, of the right types."""
        import pyarrow as pa

        listed = self._listed
        assert listed is not None
        name = list_name(self._source, self._split)
        data = read_vouched(self._storage, name, listed, MAX_LIST_BYTES)
        file = ParquetTable(data, name, _ROW_BYTES)
        if file.num_rows != listed.count:
            raise CorruptShardError(
                f"{name} lists {file.num_rows} shards, the manifest says {listed.count}"
            )
        if lacking := [column for column in names if column not in file.names]:
            raise CorruptShardError(f"{name} lacks the column {lacking[0]}")
        table = file.table(names, MAX_LIST_BYTES)
        for column in names:
            kind = pa.binary(_ROW_BYTES) if column == _HASH else getattr(pa, _COLUMNS[column])()
            if table[column].type != kind or table[column].null_count:
                raise CorruptShardError(
                    f"{name}: column {column} holds {table[column].type}, expected {kind} without nulls"
                )
        return table

    def _require_consistent(self, columns: Mapping[str, Shaped[np.ndarray, "n"]]) -> None:
        """Numbers ascend, folders are possible ones, and the sums are those of the manifest."""
        number, part, samples, size = (columns[name] for name in _COLUMNS)
        info, listed = self._info, self._listed
        assert listed is not None
        is_sound = (
            number[0] >= 0
            and number[-1] == listed.last
            and bool(np.all(np.diff(number.astype(np.int64)) > 0))
            and bool(np.all((part == 0) | (part == number // PER_FOLDER)))
            and samples.min() >= 0
            and size.min() >= 0
            and size.max() <= info.bytes
            and samples.max() <= info.samples
            and (int(samples.sum()), int(size.sum())) == (info.samples, info.bytes)
        )
        if not is_sound:
            raise CorruptShardError(
                f"{list_name(self._source, self._split)} does not agree with itself or with the manifest: "
                "run 'pvit-data finish'"
            )


def read_vouched(
    storage: Storage, name: str, info: FileInfo, limit: int, by: str = f"the manifest ({NAME})"
) -> bytes:
    """A whole file whose size and hash are known.

    Args:
        storage: the dataset.
        name: of the file.
        info: what is known.
        limit: bytes that such a file may have.
        by: who says so, for messages.

    Raises:
        CorruptShardError: if it is another one.
        FormatError: if it is larger than the limit.
        StorageError: if it cannot be read.
    """
    data = storage.read(name, min(info.bytes, limit))
    if (len(data), hashlib.sha256(data).hexdigest()) != (info.bytes, info.sha256):
        raise CorruptShardError(f"{name} is not the file that {by} names")
    return data
