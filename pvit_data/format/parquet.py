"""Parquet files whose claims nobody vouches for: what a few bytes may become is asked before it is read.

The file says how many rows it has, how large columns are decompressed, and which texts it stores as numbers into a
dictionary. All of that is compared with its size. Pages that lie about themselves still cost up to 2 GiB each, which is
the most that the format can say.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pvit_data.errors import CorruptShardError

MAX_COLUMN_BYTES = 1 << 30  # of one column, decompressed


def open_parquet(
    source: bytes | Path,
    where: str,
    most_rows: int,
    texts: Collection[str],
    repeated: Collection[str] = (),
    checksums: bool = False,
) -> Any:
    """Opens a file.

    Args:
        source: path of a local file, or the contents of a remote one.
        where: its name, for messages.
        most_rows: that it may claim.
        texts: columns of texts (`"names.list.element"` in lists). Where the file says that it stores them as numbers
            into a dictionary they come as that (see `plain_texts`), lest few bytes become many.
        repeated: those of them that come so in any case.
        checksums: compare those of its pages.

    Returns:
        A `pyarrow.parquet.ParquetFile`.

    Raises:
        CorruptShardError: if it is none, does not agree with itself, or claims more rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = (
            pa.BufferReader(source) if isinstance(source, bytes) else pa.OSFile(os.fsencode(source))
        )
        told = pq.read_metadata(file)
        rows = [told.row_group(number).num_rows for number in range(told.num_row_groups)]
        if min(rows, default=0) < 0 or sum(rows) != told.num_rows:
            raise ValueError("its parts have other rows than the whole")
        if told.num_rows > most_rows:
            raise ValueError(f"{told.num_rows} rows, of which a file of its size holds {most_rows}")
        numbered = [name for name in texts if _numbered(told, name, name in repeated)]
        return pq.ParquetFile(
            file,
            metadata=told,
            read_dictionary=numbered,
            page_checksum_verification=checksums,
        )
    except Exception as error:  # a damaged file may raise anything inside the library
        raise CorruptShardError(f"{where} is not a Parquet file: {plain(error)}") from error


def _leaves(told: Any, name: str) -> list[int]:
    """Numbers of the columns that a column consists of."""
    paths = [told.schema.column(number).path for number in range(len(told.schema))]
    return [n for n, path in enumerate(paths) if path == name or path.startswith(f"{name}.")]


def _chunks(told: Any, name: str) -> Iterator[Any]:
    """What the parts of a file say about a column."""
    leaves = _leaves(told, name)
    for group in range(told.num_row_groups):
        yield from (told.row_group(group).column(number) for number in leaves)


def _numbered(told: Any, name: str, always: bool) -> bool:
    """Whether a column is there, and to be read as numbers into a dictionary."""
    if always:
        return bool(_leaves(told, name))
    return any("DICTIONARY" in kind for chunk in _chunks(told, name) for kind in chunk.encodings)


def require_small(file: Any, name: str) -> None:
    """Refuses a column that decompresses to more than `MAX_COLUMN_BYTES`, as the file says.

    Raises:
        ValueError: if it does.
    """
    size = sum(max(chunk.total_uncompressed_size, 0) for chunk in _chunks(file.metadata, name))
    if size > MAX_COLUMN_BYTES:
        raise ValueError(f"takes {size} bytes decompressed, at most {MAX_COLUMN_BYTES}")


def plain_texts(values: Any) -> Any:
    """Texts that came as numbers into a dictionary, one by one; others as they are.

    Args:
        values: Arrow array, of texts or lists of them; validated.

    Raises:
        ValueError: if they take more than `MAX_COLUMN_BYTES`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(values.type) and pa.types.is_dictionary(values.type.value_type):
        return pa.ListArray.from_arrays(values.offsets, plain_texts(values.values))
    if not pa.types.is_dictionary(values.type):
        return values
    sizes = pc.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
    uses = np.bincount(values.indices.drop_null().to_numpy(), minlength=len(sizes))
    if (total := int(sizes.astype(np.int64) @ uses)) > MAX_COLUMN_BYTES:
        raise ValueError(f"takes {total} bytes decompressed, at most {MAX_COLUMN_BYTES}")
    return values.dictionary_decode()


def plain(error: Exception) -> str:
    """What a library says, on one line."""
    return " ".join(str(error).split())
