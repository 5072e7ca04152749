"""Rows of samples in Arrow's form: those of one shard, and an index that is written while they come.

Rows have the columns of the index (`pvit_data.format.index`); those of members that no sample has are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pvit_data.errors import CorruptShardError
from pvit_data.format.index import (
    BOUNDS,
    COLUMNS,
    GROUPS,
    ROW_BYTES,
    ROW_GROUP,
    TEXT,
    TYPES,
    absent,
    arrow_type,
    index_row,
    names_of,
    parquet_writer,
    sign_of,
    table_of,
)
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS
from pvit_data.format.parquet import ParquetTable
from pvit_data.format.record import LayerRecord, Record
from pvit_data.sample.sample import is_later

MAX_ROWS_BYTES = 1 << 28
"""Of the rows of a shard, decompressed: 2,600 bytes a row at `pvit_data.format.receipts.MAX_SHARD_SAMPLES`."""
FLUSH = 1024  # rows that are kept as Python objects


def groups_of(table: Any) -> list[str]:
    """The `GROUPS` that a row of a table has something of: members above all."""
    names = set(table.column_names)
    return [group for group in GROUPS if sign_of(group) in names]


class Rows:
    """Rows that come one by one, most of them in Arrow's form, which is far smaller than dictionaries."""

    def __init__(self) -> None:
        self._tables: list[Any] = []
        self._fresh: list[dict[str, Any]] = []
        self._old = 0

    def __len__(self) -> int:
        return self._old + len(self._fresh)

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row, as `pvit_data.format.index.index_row` makes it."""
        self._fresh.append(row)
        if len(self._fresh) == FLUSH:
            self._flush()

    def table(self) -> Any:
        """All rows."""
        if self._fresh or not self._tables:
            self._flush()
        groups = {group for table in self._tables for group in groups_of(table)}
        return joined([with_groups(table, groups) for table in self._tables])

    def _flush(self) -> None:
        columns = {name: [row[name] for row in self._fresh] for name in COLUMNS}
        self._tables.append(table_of(columns))
        self._old += len(self._fresh)
        self._fresh = []


def with_groups(table: Any, groups: Iterable[str]) -> Any:
    """A table that says of these `GROUPS`, too, that no row has anything of them."""
    return completed(table, names_of(groups))


def completed(table: Any, names: list[str]) -> Any:
    """A table with these columns; those that it lacks say that there is nothing (`index.absent`)."""
    import pyarrow as pa

    if names == table.column_names:
        return table
    there = set(table.column_names)
    arrays = [table[name] if name in there else nothing(name, len(table)) for name in names]
    return pa.table(arrays, names)


def nothing(name: str, rows: int) -> Any:
    """A column of rows that lack it."""
    import pyarrow as pa

    return pa.array(np.full(rows, absent(name), TYPES[name]), arrow_type(name))


def joined(tables: list[Any]) -> Any:
    """Tables of the same columns below each other, each column in one piece."""
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()


MOST_WAITING = 500  # tables: of a few rows each they take many times what their rows do


class _Out:
    """What pyarrow writes to: a file of a `Storage`."""

    closed = False

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.is_wanted = True

    def write(self, data: Any) -> int:
        if self.is_wanted:
            self._writer.write(bytes(data))
        return len(data)

    def tell(self) -> int:
        return int(self._writer.size)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class IndexWriter:
    """An index that is written while its rows come; the file has the same bytes however they come.

    Attributes:
        writer: the file.
        totals: of the rows: `samples`, `frames`, and how many carry each field.
        members: those that samples have, each with what the pictures of samples are stored in.

    Args:
        writer: the file (see `Storage.create`).
        members: those that any of its samples has.
    """

    def __init__(self, writer: Any, members: Iterable[str]) -> None:
        import pyarrow as pa

        self.writer = writer
        self.totals: Counter[str] = Counter()
        self.members: set[tuple[str, str]] = set()
        self._names = names_of(members)
        schema = pa.schema([(name, arrow_type(name)) for name in self._names])
        self._out = _Out(writer)
        self._file = parquet_writer(self._out, schema)
        self._waiting = [schema.empty_table()]
        self._rows = 0

    def add(self, table: Any) -> None:
        """Appends rows."""
        self._waiting.append(completed(table, self._names))
        self._rows += len(table)
        if len(self._waiting) > MOST_WAITING:
            self._waiting = [joined(self._waiting)]
        if self._rows >= ROW_GROUP:
            whole = self._rows - self._rows % ROW_GROUP
            table = joined(self._waiting)
            self._write(table[:whole])
            self._waiting = [table[whole:]]
            self._rows -= whole

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Ends the file, or forgets it after an exception."""
        self._out.is_wanted = kind is None
        if self._rows and kind is None:
            self._write(joined(self._waiting))
        self._file.close()

    def _write(self, table: Any) -> None:
        import pyarrow.compute as pc

        self._file.write_table(table, ROW_GROUP)
        self.totals["samples"] += len(table)
        for total, name in {"frames": "frames", **{f: f"has_{f}" for f in FIELDS}}.items():
            self.totals[total] += pc.sum(table[name], min_count=0).as_py()
        kinds = table["rgb_encoding"].unique().to_pylist()
        self.members |= {(member, kind) for member in groups_of(table) for kind in kinds}


def read_rows(data: bytes, where: str, expected: int) -> Any:
    """The rows of a shard, with all columns but those of members that no sample has.

    Args:
        data: a Parquet file that nobody vouches for.
        where: its name, for messages.
        expected: number of rows.

    Raises:
        CorruptShardError: if it is no such file, or claims more than fits into it.
    """
    file = ParquetTable(data, where, ROW_BYTES, TEXT)
    if file.num_rows != expected:
        raise CorruptShardError(f"{where} has {file.num_rows} rows, its receipt says {expected}")
    there = set(file.names)
    names = names_of(group for group in GROUPS if sign_of(group) in there)
    lacking = [name for name in names if name not in there]
    if wrong := [name for name in lacking if not is_later(name)]:
        raise CorruptShardError(f"{where} lacks the column {wrong[0]}")
    table = file.table([name for name in names if name in there], MAX_ROWS_BYTES)
    return checked(completed(table, names), where)


def checked(table: Any, where: str) -> Any:
    """A table whose values may be what they say.

    Raises:
        CorruptShardError: if a column has another type, nulls, or a value above its bound.
    """
    import pyarrow.compute as pc

    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count or column.type != arrow_type(name):
            raise CorruptShardError(
                f"{where}: column {name} holds {column.type}, expected {arrow_type(name)} without nulls"
            )
    for name, bound in BOUNDS.items():
        most = pc.max(table[name]).as_py() or 0
        if most > bound:
            raise CorruptShardError(
                f"{where}: column {name} holds {most}, expected at most {bound}"
            )
    return table


def row_record(value: Callable[[str], Any], spec: SourceSpec, split: str) -> LayerRecord | None:
    """The record of a row that has none in its shard, since its index row says all of it; None but for protocols.

    Args:
        value: gives the row's value of a column.
        spec: of its source or layer.
        split: of its rows.
    """
    if not isinstance(spec, LayerSpec) or spec.kind != "protocol":
        return None
    space, crc = spec.spaces.get("action"), int(value("base_crc32"))
    return LayerRecord(
        key=str(value("key")),
        group=str(value("group")),
        source=spec.name,
        split=split,
        licence=spec.licence,
        fields=["action"] if value("has_action") else [],
        frames=int(value("frames")),
        height=int(value("height")),
        width=int(value("width")),
        fps=float(np.float32(value("fps"))),
        action_space="" if space is None else space.name,
        action_id=int(value("action")),
        action_time=float(np.float32(value("action_time"))),
        base_crc32=f"{crc:08x}" if crc else "",
    )


def is_told_by_row(record: Record, spec: SourceSpec, split: str) -> bool:
    """Whether an index row says all that a record does, so that it is not stored.

    A row without the CRC of pictures keeps its record: nothing else in it would resist compression (`ROW_BYTES`).
    """
    if not isinstance(record, LayerRecord) or not record.base_crc32:
        return False
    return row_record(index_row("", record, 0, {}).__getitem__, spec, split) == record
