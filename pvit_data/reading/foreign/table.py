"""`webdataset.parquet` as a file: a row per sample, and in its head the bytes of every shard and the classes."""

from __future__ import annotations

import io
import json
from typing import Any

from pvit_data.errors import CorruptShardError, StorageError
from pvit_data.format.index import NUMBERS, ROW_GROUP, TEXT
from pvit_data.format.parquet import ParquetTable, plain
from pvit_data.format.record import parse_json
from pvit_data.format.tar import BLOCK
from pvit_data.sample.labels import LabelSpace
from pvit_data.storage.storage import Storage

NAME = "webdataset.parquet"
VERSION = "pvit-foreign-index 1"
MEMBERS = ("names", "offsets", "sizes", "crcs")  # list columns
AGAIN = "run 'pvit-data index' again"


def columns() -> dict[str, Any]:
    """Arrow type of each column."""
    import pyarrow as pa

    numbers = {
        name: getattr(pa, {"bool": "bool_"}.get(kind, kind))() for name, kind in NUMBERS.items()
    }
    lists = dict(zip(MEMBERS, (pa.string(), pa.int64(), pa.int64(), pa.uint32()), strict=True))
    return {
        **{n: pa.string() for n in TEXT},
        **numbers,
        **{n: pa.list_(kind) for n, kind in lists.items()},
    }


def write_table(table: Any, sizes: dict[str, int], classes: LabelSpace | None) -> bytes:
    """The file of a table.

    Args:
        table: with the `columns`.
        sizes: bytes of each shard.
        classes: what its classes mean, or None where nobody says.
    """
    import pyarrow.parquet as pq

    told = {} if classes is None else {"classes": {"name": classes.name, "names": classes.classes}}
    head = json.dumps({"version": VERSION, "shards": sizes, **told}, sort_keys=True)
    table = table.replace_schema_metadata({"pvit": head})
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, row_group_size=ROW_GROUP, compression="zstd", write_page_checksum=True
    )
    return buffer.getvalue()


def read_table(storage: Storage) -> tuple[Any, dict[str, int], LabelSpace | None]:
    """The table of a folder, the bytes of its shards, and its classes.

    Raises:
        CorruptShardError: if the file is damaged, no such index, or claims more than there is.
        StorageError: if it cannot be read.
    """
    import pyarrow as pa

    texts = (*TEXT, f"{MEMBERS[0]}.list.element")
    try:
        file = ParquetTable(storage.read(NAME), NAME, 1, texts=texts, checksums=True)
    except CorruptShardError as error:
        raise CorruptShardError(f"{error}: {AGAIN}") from error
    try:
        head = parse_json(file.head.get(b"pvit", b""), NAME)
        version = head.get("version") if isinstance(head, dict) else None
        if version != VERSION or sorted(file.names) != sorted(columns()):
            raise CorruptShardError(f"{NAME} is {version!r}, expected {VERSION!r}: {AGAIN}")
        sizes = _sizes_of(head.get("shards"))
        classes = _classes_of(head.get("classes"))
        if file.num_rows * BLOCK > _there(storage, sizes):
            raise CorruptShardError(f"{NAME} lists more samples than its shards hold: {AGAIN}")
        table = pa.table({name: file.read(name) for name in columns()})
    except (CorruptShardError, StorageError):
        raise
    except Exception as error:  # a damaged file may raise anything inside the library
        raise CorruptShardError(f"{NAME} is damaged, {AGAIN}: {plain(error)}") from error
    found = {field.name: field.type for field in table.schema}
    if found != columns() or any(column.null_count for column in table.columns):
        raise CorruptShardError(f"{NAME} has other columns than {VERSION!r}: {AGAIN}")
    return table, sizes, classes


def _there(storage: Storage, sizes: dict[str, int]) -> int:
    """Bytes of the shards: of local ones as they are, of others as the index has them."""
    if storage.root is None:
        return sum(sizes.values())
    return sum(storage.size(name) for name in sizes if storage.exists(name))


def _sizes_of(told: object) -> dict[str, int]:
    if not isinstance(told, dict) or not all(type(n) is int and n >= 0 for n in told.values()):
        raise CorruptShardError(f"{NAME} lists no shards: {AGAIN}")
    return told


def _classes_of(told: object) -> LabelSpace | None:
    if told is None:
        return None
    names = told.get("names") if isinstance(told, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptShardError(f"{NAME} lists no classes: {AGAIN}")
    return LabelSpace(str(told.get("name")), tuple(names))  # type: ignore[attr-defined]
