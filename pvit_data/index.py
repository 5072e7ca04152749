"""The index: one Parquet row per sample, with the place and CRC of each member and what can be filtered by.

Columns are read when they are first asked for, so that opening costs the same for any number of rows.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pvit_data.encode import Encoded
from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.members import FIELDS, MEMBER_OF_EXTENSION, MEMBERS

TEXT = ("key", "group", "shard", "rgb_encoding")
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
    for part, dtype in (("offset", "int64"), ("size", "int64"), ("crc32", "uint32"))
}
"""Byte offset of the contents in the shard (-1 = no such member), their size, and their CRC-32 (as in zlib)."""

COLUMNS = (*TEXT, *NUMBERS, *PLACES)
VIRTUAL = ("source", "split")
ROW_GROUP = 65536


def index_name(source: str, split: str) -> str:
    """Path of an index file in the dataset."""
    return f"{source}/index/{split}.parquet"


def index_row(shard: str, encoded: Encoded, places: dict[str, tuple[int, int, int]]) -> dict[str, Any]:
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
        kept[name] = pa.array(columns[name], pa.string() if name in TEXT else getattr(pa, _arrow(name))())
    buffer = io.BytesIO()
    dictionary = ["group", "shard", "rgb_encoding"]
    pq.write_table(pa.table(kept), buffer, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=dictionary)
    return buffer.getvalue()


def _arrow(name: str) -> str:
    dtype = (NUMBERS | PLACES)[name]
    return {"bool": "bool_"}.get(dtype, dtype)


class Index:
    """One index file.

    Args:
        data: the whole file.
        where: its name, for messages.

    Raises:
        CorruptShardError: if it is not an index.
    """

    def __init__(self, data: bytes, where: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._where = where
        self._columns: dict[str, Shaped[np.ndarray, "n"]] = {}
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptShardError(f"{where} is not a Parquet file: {error}") from error
        self._names = set(self._file.schema_arrow.names)
        self.num_rows: int = self._file.metadata.num_rows

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """All values of a column: text as objects, else as declared in `NUMBERS` and `PLACES`.

        Raises:
            UsageError: if there is no such column.
            CorruptShardError: if it cannot be decoded.
        """
        if name not in self._columns:
            self._columns[name] = self._load(name)
        return self._columns[name]

    def _load(self, name: str) -> Shaped[np.ndarray, "n"]:
        import pyarrow as pa

        if name not in COLUMNS:
            raise UsageError(f"the index has no column {name!r}: it has {', '.join((*VIRTUAL, *TEXT, *NUMBERS))}")
        if name not in self._names:
            if name not in PLACES:
                raise CorruptShardError(f"{self._where} lacks the column {name}")
            return np.full(self.num_rows, -1 if name.endswith("_offset") else 0, PLACES[name])
        try:
            values = self._file.read([name])[name].combine_chunks()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptShardError(f"{self._where}: column {name} cannot be decoded: {error}") from error
        array = values.to_numpy(zero_copy_only=False)
        expected = "object" if name in TEXT else (NUMBERS | PLACES)[name]
        if array.dtype != np.dtype(expected):
            raise CorruptShardError(f"{self._where}: column {name} holds {array.dtype}, expected {expected}")
        return np.asarray(array)
