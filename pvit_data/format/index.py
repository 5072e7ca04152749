"""The index: one Parquet row per sample, with the place and CRC of each member and what can be filtered by.

Columns are read when they are first asked for, so that opening costs the same for any number of rows. Indices of many
rows are laid out in a file once, which all processes of a machine map (`mapped`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.format.mapped.cache import Columns, Write, cached
from pvit_data.format.mapped.columns import Column, Texts, column_of, write_columns
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, MEMBERS
from pvit_data.format.names import split_folder
from pvit_data.format.parquet import ParquetTable
from pvit_data.format.record import NO_META, LayerRecord, Record
from pvit_data.sample.limits import MAX_FRAMES, MAX_PIXELS
from pvit_data.sample.sample import DENSE_FIELDS, is_later
from pvit_data.storage.files import utf8
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

OF_LAYERS = {"base_crc32": "uint32", "meta_bytes": "int32"}
"""Of rows of a layer: CRC-32 of the pictures behind them (0 = none), and bytes of their own `meta` (0 = none)."""

TYPES = NUMBERS | PLACES | OF_LAYERS
COLUMNS = (*TEXT, *TYPES)
OPTIONAL = PLACES.keys() | OF_LAYERS.keys()
"""Columns that a file lacks where they would say nothing of any row."""
GROUPS = (*MEMBERS, *(name.partition("_")[0] for name in OF_LAYERS))
"""What optional columns belong together by, as they begin: members, and the two of layers."""
VIRTUAL = ("source", "split")
BOUNDS = {"frames": MAX_FRAMES, "height": MAX_PIXELS, "width": MAX_PIXELS}
"""Largest values of numbers by which memory is reserved."""
ROW_BYTES = 2
"""What a row takes in the file at least: the CRC of its record alone, which nothing compresses, has four bytes."""
ROW_GROUP = 65536
MAPPED_ROWS = 65536
"""Rows from which on an index is laid out in a file that is mapped."""
MAPPED_ROW_BYTES = 160  # about what a row takes there
LAYOUT = "1"  # of these files: another one gets other names


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
    row: dict[str, Any] = {
        "shard": split_folder(shard)[1],
        **filter_values(record, num_boxes),
        **_of_layer(record),
    }
    for member in MEMBERS:
        row |= _place(member, -1, 0, 0)
    for file, place in places.items():
        row |= _place(MEMBER_OF_EXTENSION[file], *place)
    return row


def _of_layer(record: Record) -> dict[str, int]:
    if not isinstance(record, LayerRecord):
        return dict.fromkeys(OF_LAYERS, 0)
    size = 0 if record.meta == NO_META else len(utf8(record.meta))
    return {"base_crc32": int(record.base_crc32 or "0", 16), "meta_bytes": size}


def _place(member: str, offset: int, size: int, crc: int) -> dict[str, int]:
    return {f"{member}_offset": offset, f"{member}_size": size, f"{member}_crc32": crc}


def absent(column: str) -> int:
    """What every row of a file means that lacks a column: no such member, or not annotated."""
    if column.endswith("_offset"):
        return -1
    return False if TYPES[column] == "bool" else 0


def no_rows(column: str) -> Shaped[np.ndarray, "0"]:
    """A column of a dataset that has no samples.

    Raises:
        UsageError: if there is no such column.
    """
    kinds = TYPES | dict.fromkeys((*VIRTUAL, *TEXT), "object")
    return np.zeros(0, kinds[_known(column, kinds)])


def _known(name: str, names: Collection[str]) -> str:
    if name not in names:
        raise UsageError(
            f"the index has no column {name!r}: it has {', '.join((*VIRTUAL, *TEXT, *NUMBERS))}"
        )
    return name


def names_of(groups: Iterable[str]) -> list[str]:
    """The columns of a file whose rows have something of these `GROUPS`."""
    there = set(groups)
    return [name for name in COLUMNS if name not in OPTIONAL or name.rpartition("_")[0] in there]


def sign_of(group: str) -> str:
    """The column that tells whether a row has something of a group."""
    if group in MEMBERS:
        return f"{group}_offset"
    return next(name for name in OF_LAYERS if name.startswith(f"{group}_"))


def table_of(columns: Mapping[str, Any]) -> Any:
    """An Arrow table of columns (arrays, or lists of values), without those of members that no sample has."""
    import pyarrow as pa

    kept = names_of(group for group in GROUPS if _is_there(columns, sign_of(group)))
    return pa.table({name: pa.array(columns[name], arrow_type(name)) for name in kept})


def _is_there(columns: Mapping[str, Any], sign: str) -> bool:
    """Whether a row has something of a group, by its telling column."""
    return sign in columns and max(columns[sign], default=absent(sign)) > absent(sign)


def encode_table(table: Any) -> bytes:
    """Encodes an index, or the rows of a shard."""
    buffer = io.BytesIO()
    with parquet_writer(buffer, table.schema) as file:
        file.write_table(table, ROW_GROUP)
    return buffer.getvalue()


def parquet_writer(out: Any, schema: Any) -> Any:
    """An index file, of which one row group after the other is written."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(out, schema, compression="zstd", use_dictionary=list(REPEATED))


@cache
def arrow_type(name: str) -> Any:
    """What a column holds, for Arrow."""
    import pyarrow as pa

    return pa.string() if name in TEXT else getattr(pa, _arrow(name))()


def _arrow(name: str) -> str:
    dtype = TYPES[name]
    return {"bool": "bool_"}.get(dtype, dtype)


class Index:
    """One index file in memory. Texts stay in Arrow's compact form until a whole column is asked for.

    Args:
        source: path of a local file, or the contents of a remote one.
        where: its name, for messages.

    Raises:
        CorruptShardError: if it is not an index, or claims more rows than a file of its size holds.
    """

    def __init__(self, source: bytes | Path, where: str) -> None:
        self._where = where
        self._columns: dict[str, Column] = {}
        self._file = ParquetTable(source, where, ROW_BYTES, REPEATED, TEXT[:1])
        self._names = set(self._file.names)
        self.num_rows: int = self._file.num_rows

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """The values of a column: text as objects, else as declared in `NUMBERS` and `PLACES`. Not to be written to.

        Args:
            name: of the column.
            rows: whose values, in this order. Default: all.

        Raises:
            UsageError: if there is no such column.
            CorruptShardError: if it cannot be decoded.
        """
        column = self._column(name)
        if isinstance(column, np.ndarray):
            return column if rows is None else column[rows]
        if rows is None or len(rows) > len(column) // 8:
            return column.array() if rows is None else column.array()[rows]
        return np.array([*(column[row] for row in rows.tolist()), None], object)[:-1]

    def value(self, name: str, row: int) -> Any:
        """One value of a column, as a number or text of Python."""
        column = self._columns[name] if name in self._columns else self._column(name)
        return column[row].item() if isinstance(column, np.ndarray) else column[row]

    def text(self, name: str, row: int) -> str:
        """One value of a text column."""
        return str(self.value(name, row))

    def keys(self) -> Any:
        """All keys, as an Arrow array of large strings.

        Raises:
            CorruptShardError: if they cannot be decoded.
        """
        column = self._column("key")
        assert isinstance(column, Texts)  # never stored as numbers
        return column.arrow()

    def lay_out(self, file: BinaryIO) -> None:
        """Writes all of its columns into a file that can be mapped.

        Raises:
            CorruptShardError: if one cannot be decoded.
            OSError: if it cannot be written.
        """
        mine = [name for name in COLUMNS if name in self._names]
        write_columns(file, self.num_rows, {name: self._parts(name) for name in mine})

    def _parts(self, name: str) -> Iterator[Any]:
        return (checked(name, part, self._where) for part in self._file.parts(name))

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = self._load(name) if self._has(name) else self._absent(name)
        return self._columns[name]

    def _has(self, name: str) -> bool:
        """Whether the file has a column, or all of its rows mean the same without it."""
        _known(name, COLUMNS)
        if name not in self._names and name not in OPTIONAL and not is_later(name):
            raise CorruptShardError(f"{self._where} lacks the column {name}")
        return name in self._names

    def _absent(self, name: str) -> Shaped[np.ndarray, "n"]:
        value = np.array(absent(name), TYPES[name])
        return np.broadcast_to(value, (self.num_rows,))  # takes no memory

    def _load(self, name: str) -> Column:
        values = self._file.read(name)
        if len(values) != self.num_rows:
            raise CorruptShardError(
                f"{self._where}: column {name} has {len(values)} values, expected {self.num_rows}"
            )
        return column_of(checked(name, values, self._where), self._where)


class MappedIndex(Index):
    """The same of a file that was laid out; it takes no memory of its own, and was checked when it was made.

    Args:
        columns: of the file, and its rows.
        where: name of the index, for messages.
    """

    def __init__(self, columns: Columns, where: str) -> None:
        self._where = where
        self.num_rows, self._mapped = columns
        self._columns = {}
        self._names = set(self._mapped)

    def _load(self, name: str) -> Column:
        return self._mapped[name]


def checked(name: str, values: Any, where: str) -> Any:
    """A column, or a part of one, as it is.

    Args:
        name: of the column.
        values: in Arrow's form.
        where: they come from, for messages.

    Raises:
        CorruptShardError: if it is of another type, has nulls, or numbers above its `BOUNDS`.
    """
    import pyarrow as pa

    kind = pa.string() if name in TEXT else getattr(pa, _arrow(name))()
    has_nulls = values.null_count or getattr(values, "dictionary", values).null_count
    if has_nulls or kind not in (values.type, getattr(values.type, "value_type", None)):
        raise CorruptShardError(
            f"{where}: column {name} holds {values.type}, expected {kind} without nulls"
        )
    if name in BOUNDS:
        within_bounds(name, values.to_numpy(zero_copy_only=False), where)
    return values


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
    """Opens the index that a manifest vouches for; a large one is read and laid out once for all processes.

    Args:
        storage: the dataset.
        name: of the file.
        expected: its bytes and sha256.
        num_rows: its rows.

    Raises:
        CorruptShardError: if it is another one or damaged.
        StorageError: if it cannot be read.
    """
    if num_rows < MAPPED_ROWS:
        return _open(storage, name, expected, num_rows)

    opened: list[Index] = []

    def begin() -> tuple[int, Write]:
        opened.append(_open(storage, name, expected, num_rows))
        return num_rows * MAPPED_ROW_BYTES, opened[0].lay_out

    known = [LAYOUT, expected[1], str(num_rows), *COLUMNS]
    with suppress(CorruptShardError):  # of a column that perhaps nobody asks for
        columns = cached(hashlib.sha256("\n".join(known).encode()).hexdigest(), begin)
        if columns is not None and columns[0] == num_rows:
            return MappedIndex(columns, name)
    return opened[0] if opened else _open(storage, name, expected, num_rows)


def _open(storage: Storage, name: str, expected: tuple[int, str], num_rows: int) -> Index:
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
