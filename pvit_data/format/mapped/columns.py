"""Columns of a table: numbers as arrays, texts one after another, repeated texts as numbers; in memory or in a file.

`write_columns` lays them out in one file, `map_columns` looks at such a file without reading it. Nothing in a damaged
file is believed beyond its size: looking a value up gives another one or an error, and never leaves the file.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int32, Integer, Shaped

from pvit_data.errors import CorruptShardError

MAGIC = b"PVITCOL1"
ALIGNMENT = 64
TRAILER = struct.Struct("<QI8s")  # bytes of the table of contents before it, their CRC, `MAGIC`
MAX_CONTENTS_BYTES = 1 << 20
NUMBERS = frozenset(["bool", "int8", "uint8", "int32", "uint32", "int64", "float32", "float64"])


class Texts:
    """Texts that lie one after another.

    Args:
        offsets: where each begins, and where the last one ends.
        data: all of them, as UTF-8.
        where: they come from, for messages.
    """

    def __init__(self, offsets: Integer[np.ndarray, "n+1"], data: memoryview, where: str) -> None:
        self._offsets, self._data, self._where = offsets, data, where

    def __len__(self) -> int:
        return max(0, len(self._offsets) - 1)

    def __getitem__(self, row: int) -> str:
        begin, end = int(self._offsets[row]), int(self._offsets[row + 1])
        try:
            return str(self._data[max(0, begin) : max(0, end)], "utf-8")
        except UnicodeDecodeError as error:
            raise damaged(self._where) from error

    def array(self) -> Shaped[np.ndarray, "n"]:
        """All of them as objects."""
        return np.asarray(self.arrow().to_numpy(zero_copy_only=False), object)

    def arrow(self) -> Any:
        """All of them as an Arrow array of large strings, which shares their memory."""
        import pyarrow as pa

        if not len(self):
            return pa.array([], pa.large_string())
        offsets = np.ascontiguousarray(self._offsets, np.int64)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self._data)]
        try:
            found = pa.Array.from_buffers(pa.large_string(), len(self), buffers)
            found.validate(full=True)
        except pa.ArrowInvalid as error:
            raise damaged(self._where) from error
        return found


class Coded:
    """Texts that come again, as numbers into those that there are.

    Args:
        codes: the number of each row's text.
        texts: the texts; the same one may be among them several times.
        where: they come from, for messages.
    """

    def __init__(self, codes: Int32[np.ndarray, "n"], texts: Texts, where: str) -> None:
        self.codes, self.texts, self._where = codes, texts, where

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str:
        code = int(self.codes[row])
        if not 0 <= code < len(self.texts):
            raise damaged(self._where)
        return self.texts[code]

    def array(self) -> Shaped[np.ndarray, "n"]:
        """All rows' texts as objects, one for each text."""
        return taken(self.texts.array(), self.codes, self._where)


Column = Shaped[np.ndarray, "n"] | Texts | Coded


def taken(
    values: Shaped[np.ndarray, "k"], codes: Integer[np.ndarray, "n"], where: str
) -> Shaped[np.ndarray, "n"]:
    """Values by their numbers.

    Raises:
        CorruptShardError: if there is none of some number.
    """
    if len(codes) and not 0 <= codes.min() <= codes.max() < len(values):
        raise damaged(where)
    return np.asarray(values[codes])


def damaged(where: str) -> CorruptShardError:
    """That a look-up found nothing that could be there."""
    return CorruptShardError(
        f"{where}: texts are damaged; where this is a file of a cache, remove it"
    )


def column_of(values: Any, where: str) -> Column:
    """A validated Arrow array without nulls as a column, without copying it where that is possible."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        texts = column_of(values.dictionary, where)
        assert isinstance(texts, Texts)
        return Coded(np.asarray(values.indices.to_numpy()), texts, where)
    if not pa.types.is_string(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    _, offsets, data = values.buffers()
    if not len(values):
        return Texts(np.zeros(1, np.int32), memoryview(b""), where)
    found = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    return Texts(found, memoryview(data or b""), where)


class _File:
    """A file that grows by aligned pieces."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.end = 0

    def align(self) -> int:
        """Begins a new piece, and says where."""
        self._add(bytes(-self.end % ALIGNMENT))
        return self.end

    def array(self, values: Shaped[np.ndarray, "n"]) -> None:
        """Adds an array to the piece."""
        self._add(np.ascontiguousarray(values).view(np.uint8).data)

    def _add(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.end += len(data)

    def finish(self, contents: Mapping[str, Any]) -> None:
        """Adds the table of contents."""
        text = json.dumps(contents).encode()
        self._file.write(text + TRAILER.pack(len(text), zlib.crc32(text), MAGIC))


def write_columns(file: BinaryIO, rows: int, columns: Mapping[str, Iterable[Any]]) -> None:
    """Lays columns out in a file, one after another, holding no more than a part of one.

    Args:
        file: an empty one.
        rows: of the table.
        columns: parts of each as Arrow arrays without nulls, at least one.

    Raises:
        OSError: if it cannot be written.
        CorruptShardError: if a column has another number of rows.
    """
    out = _File(file)
    contents = {name: _write_column(out, name, rows, parts) for name, parts in columns.items()}
    out.finish({"rows": rows, "columns": contents})


def _write_column(out: _File, name: str, rows: int, parts: Iterable[Any]) -> dict[str, Any]:
    begin, written, kind = out.align(), 0, ""
    texts: list[Any] = []
    lengths: list[Int32[np.ndarray, "p"]] = []
    for part in parts:
        column, written = column_of(part, name), written + len(part)
        if isinstance(column, np.ndarray):
            kind = column.dtype.name
            out.array(column)
        elif isinstance(column, Texts):
            kind = "text"
            lengths.append(_write_texts(out, part))
        else:
            kind = "coded"
            used, codes = np.unique(column.codes, return_inverse=True)
            out.array((codes + sum(map(len, texts))).astype(np.int32))
            texts.append(part.dictionary.take(used))
    if written != rows:
        raise CorruptShardError(f"column {name} has {written} values, expected {rows}")
    if kind == "coded":
        return {
            "kind": kind,
            "at": begin,
            "texts": _write_column(out, name, sum(map(len, texts)), texts),
        }
    if kind == "text":
        return {"kind": kind, "at": begin, "count": rows, **_write_offsets(out, begin, lengths)}
    return {"kind": kind, "at": begin}


def _write_texts(out: _File, part: Any) -> Int32[np.ndarray, "p"]:
    _, offsets, data = part.buffers()
    bounds = np.frombuffer(offsets, np.int32)[part.offset : part.offset + len(part) + 1]
    if data is not None:
        out.array(np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]])
    return np.diff(bounds)


def _write_offsets(out: _File, begin: int, lengths: list[Int32[np.ndarray, "p"]]) -> dict[str, int]:
    size, end = out.end - begin, 0
    at = out.align()
    out.array(np.zeros(1, np.int64))
    for part in lengths:
        ends = end + np.cumsum(part, dtype=np.int64)
        out.array(ends)
        end = int(ends[-1]) if len(ends) else end
    return {"bytes": size, "offsets": at}


def map_columns(path: Path) -> tuple[int, dict[str, Column]]:
    """The columns of a file, each a view of it: nothing is read before a value is looked up.

    The file must stay as it is: whoever shortens it ends the process.

    Returns:
        Number of rows, and the columns.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is none of these files, or not whole.
    """
    import pyarrow as pa

    with pa.memory_map(
        str(path)
    ) as file:  # closed at once: the views keep the memory, not a descriptor
        whole = file.read_buffer(file.size())
    try:
        view = memoryview(whole)
        size, checksum, magic = TRAILER.unpack(view[-TRAILER.size :])
        text = bytes(view[-TRAILER.size - size : -TRAILER.size])
        if magic != MAGIC or size > MAX_CONTENTS_BYTES or zlib.crc32(text) != checksum:
            raise ValueError("not whole")
        contents = json.loads(text)
        rows, told = contents["rows"], contents["columns"]
        return rows, {name: _column(whole, rows, entry, str(path)) for name, entry in told.items()}
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        struct.error,
        RecursionError,
    ) as error:
        raise ValueError(f"{path}: no file of columns, or damaged: {error}") from error


def _column(whole: Any, rows: int, told: Mapping[str, Any], where: str) -> Column:
    def array(kind: str, count: int, at: int) -> Shaped[np.ndarray, "_"]:
        if count < 1 or kind not in NUMBERS:
            raise ValueError(f"{count} values of kind {kind}")
        return np.frombuffer(whole, kind, count, at)  # which looks whether they are there

    if told["kind"] == "coded":
        texts = _column(whole, rows, told["texts"], where)
        if not isinstance(texts, Texts):
            raise ValueError("texts are none")
        return Coded(array("int32", rows, told["at"]), texts, where)
    if told["kind"] == "text":
        begin, size = told["at"], told["bytes"]
        if not 0 <= begin <= begin + size <= len(whole):
            raise ValueError("texts lie outside")
        offsets = array("int64", told["count"] + 1, told["offsets"])
        return Texts(offsets, memoryview(whole)[begin : begin + size], where)
    return array(told["kind"], rows, told["at"])
