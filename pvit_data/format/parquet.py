"""Parquet files whose claims nobody vouches for: what a few bytes may become is asked before it is read.

The file says how many rows it has, how large columns and their pages are decompressed, and which texts it stores as
numbers into a dictionary. All of that is compared with its size, or bounded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pvit_data.errors import CorruptShardError
from pvit_data.format.parquet_pages import Chunk, decompressed_bytes, read_chunks

MAX_COLUMN_BYTES = 1 << 30  # of one column, decompressed
MAX_VALUE_BYTES = 256  # of a value, on average, in columns that are read in parts
PART_ROWS = 1 << 16


class ParquetTable:
    """A file whose columns are read one by one.

    Attributes:
        num_rows: its rows.
        names: of its columns.
        head: what its writer has noted.

    Args:
        source: path of a local file, or the contents of a remote one.
        where: its name, for messages.
        row_bytes: what a row takes in the file at least.
        repeated: columns of texts that come as numbers into a dictionary.
        texts: columns of other texts (`"names.list.element"` in lists); the file need not have them.
        checksums: compare those of its pages.

    Raises:
        CorruptShardError: if it is none, does not agree with itself, or claims more rows than fit into it.
    """

    def __init__(
        self,
        source: bytes | Path,
        where: str,
        row_bytes: float,
        repeated: Collection[str] = (),
        texts: Collection[str] = (),
        checksums: bool = False,
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._where = where
        self._repeated = repeated
        self._lock = threading.Lock()  # PyArrow's files are read by one thread at a time
        self._parts: dict[str, list[Chunk]] = {}
        try:
            self._source = file = (
                pa.BufferReader(source)
                if isinstance(source, bytes)
                else pa.OSFile(os.fsencode(source))
            )
            options = {"page_checksum_verification": checksums}
            self._file = pq.ParquetFile(file, read_dictionary=list(repeated), **options)
            self._told = self._file.metadata
            for chunk in read_chunks(self._end(file.size())):
                self._parts.setdefault(chunk.column, []).append(chunk)
            self._require_rows(file.size(), row_bytes)
            if numbered := [name for name in texts if self._is_numbered(name)]:
                self._file = pq.ParquetFile(
                    file, read_dictionary=[*repeated, *numbered], metadata=self._told, **options
                )
        except Exception as error:  # a damaged file may raise anything inside the library
            raise CorruptShardError(f"{where} is not a Parquet file: {plain(error)}") from error
        self.num_rows: int = self._told.num_rows
        self.names: list[str] = self._file.schema_arrow.names
        self.head: dict[bytes, bytes] = self._file.schema_arrow.metadata or {}

    def _require_rows(self, size: int, row_bytes: float) -> None:
        rows = [self._told.row_group(n).num_rows for n in range(self._told.num_row_groups)]
        if min(rows, default=0) < 0 or sum(rows) != self._told.num_rows:
            raise ValueError("its parts have other rows than the whole")
        if sum(rows) * row_bytes > size:
            raise ValueError(f"claims {sum(rows)} rows, which do not fit into its {size} bytes")

    def _end(self, size: int) -> bytes:
        """The description at the end of the file."""
        length = int.from_bytes(self._bytes_at(size - 8, 4), "little")
        return self._bytes_at(max(0, size - 8 - length), length)

    def _chunks(self, name: str) -> list[Chunk]:
        """What the parts of the file say about a column, or about those inside of it."""
        return self._parts.get(name.partition(".")[0], [])

    def _is_numbered(self, path: str) -> bool:
        return any(chunk.is_numbered for chunk in self._chunks(path) if chunk.path == path)

    def read(self, name: str) -> Any:
        """A column in Arrow's form, validated; of texts only those that are `repeated` in a dictionary.

        Raises:
            CorruptShardError: if it cannot be decoded, or becomes larger than `MAX_COLUMN_BYTES`.
        """
        import pyarrow as pa

        try:
            self._require_small([name], MAX_COLUMN_BYTES)
            # Part by part: lists of texts that come as numbers are not read from several at once.
            parts, read = range(self._told.num_row_groups), self._file.read_row_group
            with self._lock:
                chunks = [chunk for n in parts for chunk in read(n, [name])[name].chunks]
            kind = self._file.schema_arrow.field(name).type
            chunks = pa.chunked_array(chunks, kind).unify_dictionaries().chunks
            values = pa.concat_arrays(chunks) if chunks else pa.array([], kind)
            # Arrow trusts dictionary numbers, lengths and UTF-8 of a file.
            values.validate(full=True)
            return values if name in self._repeated else plain_texts(values)
        except Exception as error:  # a damaged file may raise anything inside the library
            raise self._undecodable(name, error) from error

    def parts(self, name: str) -> Iterator[Any]:
        """The same column in parts of `PART_ROWS`, of which none but the last is kept here.

        Raises:
            CorruptShardError: if it cannot be decoded, or a value takes more than `MAX_VALUE_BYTES` on average.
        """
        most = self.num_rows * MAX_VALUE_BYTES
        try:
            self._require_small([name], most)
            for batch in self._file.iter_batches(PART_ROWS, columns=[name]):
                values = batch.column(0)
                values.validate(full=True)
                yield values if name in self._repeated else plain_texts(values, most)
                most -= values.nbytes
                _require_small(-most, 0)
        except Exception as error:  # a damaged file may raise anything inside the library
            raise self._undecodable(name, error) from error

    def _size(self, name: str) -> int:
        """Bytes of a column, decompressed, as the file claims."""
        return sum(max(chunk.whole, 0) for chunk in self._chunks(name))

    def _undecodable(self, name: str, error: Exception) -> CorruptShardError:
        return CorruptShardError(f"{self._where}: column {name} cannot be decoded: {plain(error)}")

    def _require_small(self, names: Collection[str], most: int) -> None:
        """Refuses columns that become too large, by what the end of the file says and by their pages' own headers."""
        _require_small(sum(map(self._size, names)), most)
        chunks = (chunk for name in names for chunk in self._chunks(name))
        _require_small(sum(map(self._page_bytes, chunks)), most)

    def _page_bytes(self, chunk: Chunk) -> int:
        """Bytes that the pages of a part of a column become, by their own headers."""
        return decompressed_bytes(self._bytes_at, chunk.start, chunk.stored)

    def _bytes_at(self, start: int, size: int) -> bytes:
        return bytes(self._source.read_at(size, start))

    def table(self, names: Collection[str], most: int) -> Any:
        """Several columns at once, each in one piece and validated, none of them in a dictionary.

        What the file says about single columns is not looked at: the library ends the process where that contradicts
        itself. So nothing is known of `texts` before they are read; name them as `repeated`.

        Raises:
            CorruptShardError: if they cannot be decoded, or become larger than `most` bytes together.
        """
        import pyarrow as pa

        try:
            self._require_small(names, most)
            found = self._file.read(list(names), use_threads=False)
            found = found.unify_dictionaries().combine_chunks()
            found.validate(full=True)
            if len(found) != self.num_rows:
                raise ValueError(f"holds {len(found)} rows, and claims {self.num_rows}")
            for number, kind in enumerate(found.schema.types):
                if pa.types.is_dictionary(kind) or pa.types.is_list(kind):
                    chunks = found.column(number).chunks
                    values = pa.concat_arrays(chunks) if chunks else pa.array([], kind)
                    texts = plain_texts(values, most)
                    most -= texts.nbytes
                    found = found.set_column(number, found.column_names[number], texts)
            return found.select(list(names))
        except Exception as error:  # a damaged file may raise anything inside the library
            raise CorruptShardError(f"{self._where}: cannot be decoded: {plain(error)}") from error


def _require_small(size: int, most: int = MAX_COLUMN_BYTES) -> None:
    if size > most:
        raise ValueError(f"takes {size} bytes decompressed, at most {most}")


def plain_texts(values: Any, most: int = MAX_COLUMN_BYTES) -> Any:
    """Texts that came as numbers into a dictionary, one by one; others as they are.

    Args:
        values: Arrow array, of texts or lists of them; validated.
        most: bytes that they may take.

    Raises:
        ValueError: if they take more.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type) and pa.types.is_dictionary(values.type.value_type):
        return pa.ListArray.from_arrays(values.offsets, plain_texts(values.values, most))
    if not pa.types.is_dictionary(values.type):
        return values
    sizes = pc.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
    uses = np.bincount(values.indices.drop_null().to_numpy(), minlength=len(sizes))
    _require_small(int(sizes.astype(np.int64) @ uses), most)
    return values.dictionary_decode()


def plain(error: Exception) -> str:
    """What a library says, on one line."""
    return " ".join(str(error).split())
