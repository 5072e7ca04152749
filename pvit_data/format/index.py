"""The index: one Parquet row per sample, with the place and CRC of each member and what can be filtered by.

Columns are read when they are first asked for, so that opening costs the same for any number of rows.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, MEMBERS
from pvit_data.format.parquet import ParquetTable
from pvit_data.format.record import Record
from pvit_data.sample.limits import MAX_FRAMES, MAX_PIXELS
from pvit_data.sample.sample import DENSE_FIELDS, is_later
from pvit_data.storage.storage import Storage

TEXT = ("key", "group", "shard", "rgb_encoding")
REPEATED = TEXT[1:]  # stored as numbers into a dictionary
NUMBERS = {
    "frames": "int32",
    "fps": "float32",
    "height": "int32",
    "width": "int32",
    **{f"has_{name}": "bool" for name in FIELDS},
    **{f"{name}_frames": "int32" for name in DENSE_FIELDS},
    "action": "int32",
    "action_time": "float32",
    "boxes": "int32",
    "people": "int32",
}
"""Filter columns. `action`, `action_time`, `boxes` (rows) and `people` are -1 where not annotated."""

SAME = ("key", "group", "rgb_encoding", "frames", "fps", "height", "width")  # as in the record

PLACES = {
    f"{member}_{part}": dtype
    for member in MEMBERS
    for part, dtype in (("offset", "int64"), ("size", "int32"), ("crc32", "uint32"))
}
"""Byte offset of the contents in the shard (-1 = no such member), their size, and their CRC-32 (as in zlib)."""

COLUMNS = (*TEXT, *NUMBERS, *PLACES)
VIRTUAL = ("source", "split")
BOUNDS = {"frames": MAX_FRAMES, "height": MAX_PIXELS, "width": MAX_PIXELS}
"""Largest values of numbers by which memory is reserved."""
ROW_BYTES = 2
"""What a row takes in the file at least: the CRC of its record alone, which nothing compresses, has four bytes."""
ROW_GROUP = 65536


def index_name(source: str, split: str) -> str:
    """Path of an index file in the dataset."""
    return f"{source}/index/{split}.parquet"


def filter_values(record: Record, num_boxes: int) -> dict[str, Any]:
    """What the index says about a sample for filters: every column but those of its place.

    Args:
        record: of the sample.
        num_boxes: rows of its box table.
    """
    return {
        **{name: getattr(record, name) for name in SAME},
        **{f"has_{name}": name in record.fields for name in FIELDS},
        **{f"{name}_frames": len(getattr(record, f"{name}_frames")) for name in DENSE_FIELDS},
        "action": record.action_id,
        "action_time": record.action_time,
        "boxes": num_boxes if "boxes" in record.fields else -1,
        "people": record.people if record.pose_frames else -1,
    }


def index_row(
    shard: str, record: Record, num_boxes: int, places: Mapping[str, tuple[int, int, int]]
) -> dict[str, Any]:
    """The row of one sample.

    Args:
        shard: path of its shard.
        record: of the sample.
        num_boxes: rows of its box table.
        places: (offset, size, CRC) of each file.
    """
    row: dict[str, Any] = {"shard": shard.rpartition("/")[2], **filter_values(record, num_boxes)}
    for member in MEMBERS:
        row |= _place(member, -1, 0, 0)
    for file, place in places.items():
        row |= _place(MEMBER_OF_EXTENSION[file], *place)
    return row


def _place(member: str, offset: int, size: int, crc: int) -> dict[str, int]:
    return {f"{member}_offset": offset, f"{member}_size": size, f"{member}_crc32": crc}


def absent(column: str) -> int:
    """What every row of a file means that lacks a column: no such member, or not annotated."""
    if column in PLACES:
        return -1 if column.endswith("_offset") else 0
    return False if NUMBERS[column] == "bool" else 0


def no_rows(column: str) -> Shaped[np.ndarray, "0"]:
    """A column of a dataset that has no samples.

    Raises:
        UsageError: if there is no such column.
    """
    kinds = NUMBERS | PLACES | dict.fromkeys((*VIRTUAL, *TEXT), "object")
    return np.zeros(0, kinds[_known(column, kinds)])


def _known(name: str, names: Collection[str]) -> str:
    if name not in names:
        raise UsageError(
            f"the index has no column {name!r}: it has {', '.join((*VIRTUAL, *TEXT, *NUMBERS))}"
        )
    return name


def write_index(columns: dict[str, list[Any]]) -> bytes:
    """Encodes an index; columns of members that no sample has are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = {}
    for name in COLUMNS:
        member = name.rpartition("_")[0] if name in PLACES else ""
        if member and max(columns[f"{member}_offset"], default=-1) < 0:
            continue
        kept[name] = pa.array(
            columns[name], pa.string() if name in TEXT else getattr(pa, _arrow(name))()
        )
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(kept),
        buffer,
        row_group_size=ROW_GROUP,
        compression="zstd",
        use_dictionary=list(REPEATED),
    )
    return buffer.getvalue()


def _arrow(name: str) -> str:
    dtype = (NUMBERS | PLACES)[name]
    return {"bool": "bool_"}.get(dtype, dtype)


class Index:
    """One index file. Texts stay in Arrow's compact form until a whole column is asked for.

    Args:
        source: path of a local file, or the contents of a remote one.
        where: its name, for messages.

    Raises:
        CorruptShardError: if it is not an index, or claims more rows than a file of its size holds.
    """

    def __init__(self, source: bytes | Path, where: str) -> None:
        self._where = where
        self._arrays: dict[str, Any] = {}
        self._file = ParquetTable(source, where, ROW_BYTES, REPEATED, TEXT[:1])
        self._names = set(self._file.names)
        self.num_rows: int = self._file.num_rows

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """All values of a column: text as objects, else as declared in `NUMBERS` and `PLACES`.

        Raises:
            UsageError: if there is no such column.
            CorruptShardError: if it cannot be decoded.
        """
        array = self._array(name)
        if name in REPEATED:
            values: Shaped[np.ndarray, "k"] = np.array(
                [*array.dictionary.to_pylist(), None], object
            )
            return np.asarray(values[array.indices.to_numpy()])
        return np.asarray(array.to_numpy(zero_copy_only=False) if name in TEXT else array)

    def text(self, name: str, row: int) -> str:
        """One value of a text column."""
        return str(self._array(name)[row].as_py())

    def _array(self, name: str) -> Any:
        if name not in self._arrays:
            self._arrays[name] = self._load(name)
        return self._arrays[name]

    def _load(self, name: str) -> Any:
        import pyarrow as pa

        _known(name, COLUMNS)
        if name not in self._names:
            if name not in PLACES and not is_later(name):
                raise CorruptShardError(f"{self._where} lacks the column {name}")
            return np.full(self.num_rows, absent(name), (NUMBERS | PLACES)[name])
        kind = pa.string() if name in TEXT else getattr(pa, _arrow(name))()
        values = self._file.read(name)
        if len(values) != self.num_rows:
            raise CorruptShardError(
                f"{self._where}: column {name} has {len(values)} values, expected {self.num_rows}"
            )
        if values.null_count or kind not in (values.type, getattr(values.type, "value_type", None)):
            raise CorruptShardError(
                f"{self._where}: column {name} holds {values.type}, expected {kind} without nulls"
            )
        if name in TEXT:
            return values
        return within_bounds(name, values.to_numpy(zero_copy_only=False), self._where)


def within_bounds(
    name: str, values: Shaped[np.ndarray, "n"], where: str
) -> Shaped[np.ndarray, "n"]:
    """A column of numbers as it is.

    Raises:
        CorruptShardError: if it holds one above its `BOUNDS`.
    """
    if name in BOUNDS and len(values) and values.max() > BOUNDS[name]:
        raise CorruptShardError(
            f"{where}: column {name} holds {values.max()}, expected at most {BOUNDS[name]}"
        )
    return values


def open_index(storage: Storage, name: str, expected: tuple[int, str], num_rows: int) -> Index:
    """Opens the index that a manifest vouches for; a remote file is fetched once.

    Args:
        storage: the dataset.
        name: of the file.
        expected: its bytes and sha256.
        num_rows: its rows.

    Raises:
        CorruptShardError: if it is another one or damaged.
        StorageError: if it cannot be read.
    """
    data = b""
    if storage.root is None:
        data = storage.read(name, expected[0])
        found = (len(data), hashlib.sha256(data).hexdigest())
    else:
        found = storage.hash(name, expected[0])
    if found != expected:
        raise CorruptShardError(
            f"{name} is not the file that the manifest lists: run 'pvit-data finish'"
        )
    index = Index(storage.path(name) or data, name)
    if index.num_rows != num_rows:
        raise CorruptShardError(f"{name} has {index.num_rows} rows, the manifest says {num_rows}")
    return index
