"""The index: one Parquet row per sample, with the place and CRC of each member and what can be filtered by.

Columns are read when they are first asked for, so that opening costs the same for any number of rows.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, MEMBERS
from pvit_data.writing.encode import Encoded

TEXT = ("key", "group", "shard", "rgb_encoding")
REPEATED = TEXT[1:]  # stored as numbers into a dictionary
NUMBERS = {
    "frames": "int32",
    "fps": "float32",
    "height": "int32",
    "width": "int32",
    **{f"has_{name}": "bool" for name in FIELDS},
    "depth_frames": "int32",
    "normal_frames": "int32",
    "segm_frames": "int32",
    "action": "int32",
    "action_time": "float32",
    "boxes": "int32",
    "people": "int32",
}
"""Filter columns. `action`, `action_time`, `boxes` (rows) and `people` are -1 where not annotated."""

PLACES = {
    f"{member}_{part}": dtype
    for member in MEMBERS
    for part, dtype in (("offset", "int64"), ("size", "int32"), ("crc32", "uint32"))
}
"""Byte offset of the contents in the shard (-1 = no such member), their size, and their CRC-32 (as in zlib)."""

COLUMNS = (*TEXT, *NUMBERS, *PLACES)
VIRTUAL = ("source", "split")
ROW_GROUP = 65536


def index_name(source: str, split: str) -> str:
    """Path of an index file in the dataset."""
    return f"{source}/index/{split}.parquet"


def index_row(
    shard: str, encoded: Encoded, places: dict[str, tuple[int, int, int]]
) -> dict[str, Any]:
    """The row of one sample; `places` holds (offset, size, CRC) of each extension."""
    record = encoded.record
    row: dict[str, Any] = {
        "key": record.key,
        "group": record.group,
        "shard": shard.rpartition("/")[2],
        "rgb_encoding": record.rgb_encoding,
        "frames": record.frames,
        "fps": record.fps,
        "height": record.height,
        "width": record.width,
        **{f"has_{name}": name in record.fields for name in FIELDS},
        "depth_frames": len(record.depth_frames),
        "normal_frames": len(record.normal_frames),
        "segm_frames": len(record.segm_frames),
        "action": record.action_id,
        "action_time": record.action_time,
        "boxes": encoded.num_boxes if "boxes" in record.fields else -1,
        "people": record.people if record.pose_frames else -1,
    }
    for member in MEMBERS:
        row |= {f"{member}_offset": -1, f"{member}_size": 0, f"{member}_crc32": 0}
    for extension, (offset, size, crc) in places.items():
        member = MEMBER_OF_EXTENSION[extension]
        row |= {f"{member}_offset": offset, f"{member}_size": size, f"{member}_crc32": crc}
    return row


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
        CorruptShardError: if it is not an index.
    """

    def __init__(self, source: bytes | Path, where: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._where = where
        self._arrays: dict[str, Any] = {}
        try:
            file = pa.BufferReader(source) if isinstance(source, bytes) else pa.OSFile(str(source))
            self._file = pq.ParquetFile(file, read_dictionary=list(REPEATED))
            self._names = set(self._file.schema_arrow.names)
        except Exception as error:  # a damaged file may raise anything inside the library
            raise CorruptShardError(f"{where} is not a Parquet file: {plain(error)}") from error
        self.num_rows: int = self._file.metadata.num_rows

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

        if name not in COLUMNS:
            raise UsageError(
                f"the index has no column {name!r}: it has {', '.join((*VIRTUAL, *TEXT, *NUMBERS))}"
            )
        if name not in self._names:
            if name not in PLACES:
                raise CorruptShardError(f"{self._where} lacks the column {name}")
            return np.full(self.num_rows, -1 if name.endswith("_offset") else 0, PLACES[name])
        kind = pa.string() if name in TEXT else getattr(pa, _arrow(name))()
        try:
            column = self._file.read([name])[name]
            chunks = column.unify_dictionaries().chunks
            values = pa.concat_arrays(chunks) if chunks else pa.array([], column.type)
            values.validate(
                full=True
            )  # Arrow trusts dictionary numbers, lengths and UTF-8 of a file
        except Exception as error:  # a damaged file may raise anything inside the library
            raise CorruptShardError(
                f"{self._where}: column {name} cannot be decoded: {plain(error)}"
            ) from error
        if len(values) != self.num_rows:
            raise CorruptShardError(
                f"{self._where}: column {name} has {len(values)} values, expected {self.num_rows}"
            )
        if values.null_count or kind not in (values.type, getattr(values.type, "value_type", None)):
            raise CorruptShardError(
                f"{self._where}: column {name} holds {values.type}, expected {kind} without nulls"
            )
        return values if name in TEXT else values.to_numpy(zero_copy_only=False)


def plain(error: Exception) -> str:
    """What a library says, on one line."""
    return " ".join(str(error).split())
