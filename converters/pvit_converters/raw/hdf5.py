"""Reading one array from an HDF5 file that nobody vouches for.

HDF5 can point outside itself: external raw storage and external links read other local files, virtual datasets
assemble them. A hostile "raw" file could so leak local files into published shards, or claim a size that fills the
memory. This reader accepts one plain, hard-linked, numeric dataset of an expected shape, and nothing else.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.raw.files import regular_path
from pvit_data.errors import SourceError

MAX_BYTES = 256 << 20
MAX_CHUNKS = 1 << 16
_INFLATED = 1032  # bytes that deflate makes of one, at most
_DEFLATE = 1
# H5Z_FILTER_DEFLATE, _SHUFFLE and _FLETCHER32: the filters that HDF5 runs without loading a plug-in.
_BUILT_IN_FILTERS = {1, 2, 3}


def read_hdf5(
    path: Path,
    shape: Sequence[int | None] | None,
    kinds: str = "fiu",
    *,
    name: str = "dataset",
    max_bytes: int = MAX_BYTES,
) -> np.ndarray[Any, np.dtype[Any]]:
    """The only dataset of an HDF5 file, as a new array.

    Args:
        path: the file.
        shape: expected shape; None stands for any length of at least 1, or instead of the tuple for any shape.
        kinds: allowed numpy dtype kinds, for example `"f"` for floats or `"iu"` for integers.
        name: name of the dataset, at the root of the file.
        max_bytes: the largest array that is read.

    Raises:
        SourceError: as `open_file`, or with the reason `"corrupt-hdf5"`, `"unsafe-hdf5"` or `"wrong-shape"`.
    """
    import h5py

    place = regular_path(path)
    try:
        with h5py.File(place, "r") as file:
            dataset = _plain_dataset(path, file, name)
            _check(path, dataset, shape, kinds, max_bytes)
            _check_chunks(path, dataset, max_bytes)
            value: np.ndarray[Any, np.dtype[Any]] = dataset[()]
            return value
    except SourceError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zlib.error) as error:
        message = f"{path}: cannot be read as HDF5 ({error}); the file is damaged or truncated, download it again"
        raise SourceError(message, reason="corrupt-hdf5") from error


def list_names(path: Path) -> list[str]:
    """Names of everything at the root of a file, whatever it is.

    Raises:
        SourceError: as `open_file`, or `"corrupt-hdf5"`.
    """
    import h5py

    place = regular_path(path)
    try:
        with h5py.File(place, "r") as file:
            return [str(name) for name in file]
    except (OSError, RuntimeError, ValueError, UnicodeError) as error:
        message = f"{path}: cannot be read as HDF5 ({error}); the file is damaged or truncated, download it again"
        raise SourceError(message, reason="corrupt-hdf5") from error


def _plain_dataset(path: Path, file: Any, name: str) -> Any:
    import h5py

    link = file.get(name, getlink=True)
    if link is None:
        raise SourceError(
            f"{path}: no dataset '{name}', found {sorted(file)[:5]}", reason="wrong-shape"
        )
    if not isinstance(link, h5py.HardLink):
        raise SourceError(
            f"{path}: '{name}' is a {type(link).__name__} to elsewhere; refused",
            reason="unsafe-hdf5",
        )
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise SourceError(f"{path}: '{name}' is not a dataset", reason="wrong-shape")
    if dataset.is_virtual or dataset.external:
        raise SourceError(
            f"{path}: '{name}' takes its data from other files; refused", reason="unsafe-hdf5"
        )
    filters = _filters(dataset)
    if set(filters) - _BUILT_IN_FILTERS or len(set(filters)) < len(filters):
        raise SourceError(
            f"{path}: '{name}' needs the HDF5 filters {filters}; refused", reason="unsafe-hdf5"
        )
    return dataset


def _filters(dataset: Any) -> list[int]:
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def _check(
    path: Path, dataset: Any, shape: Sequence[int | None] | None, kinds: str, max_bytes: int
) -> None:
    found = tuple(dataset.shape or ())
    shape = (None,) * len(found) if shape is None else shape
    fits = len(found) == len(shape) and all(
        n >= 1 and e in (None, n) for n, e in zip(found, shape, strict=True)
    )
    if not fits:
        expected = tuple("n" if e is None else e for e in shape)
        raise SourceError(f"{path}: shape {found}, expected {expected}", reason="wrong-shape")
    if dataset.dtype.kind not in kinds:
        raise SourceError(
            f"{path}: type {dataset.dtype}, expected one of kind '{kinds}'", reason="wrong-shape"
        )
    size = int(np.prod(found, dtype=np.int64)) * int(dataset.dtype.itemsize)
    if size > max_bytes:
        raise SourceError(
            f"{path}: claims {size} bytes, more than the limit of {max_bytes}", reason="unsafe-hdf5"
        )


def _check_chunks(path: Path, dataset: Any, max_bytes: int) -> None:
    """HDF5 makes room for whole chunks, however small the array, and for whatever a chunk inflates to."""
    if dataset.chunks is None:
        return
    size = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
    count = dataset.id.get_num_chunks()
    if size > max_bytes or count > MAX_CHUNKS:
        raise SourceError(
            f"{path}: {count} chunks of {size} bytes, at most {MAX_CHUNKS} of {max_bytes}",
            reason="unsafe-hdf5",
        )
    filters = _filters(dataset)
    if _DEFLATE not in filters:
        return
    unused = 1 << filters.index(_DEFLATE)  # in a chunk that deflate could not make smaller
    large: list[tuple[int, ...]] = []

    def look(chunk: Any) -> None:
        if chunk.size * _INFLATED > max_bytes and not chunk.filter_mask & unused:
            large.append(chunk.chunk_offset)

    dataset.id.chunk_iter(look)
    for offset in large:
        if not _fits(dataset.id.read_direct_chunk(offset)[1], size):
            raise SourceError(
                f"{path}: a chunk of {size} bytes inflates to more", reason="unsafe-hdf5"
            )


def _fits(raw: bytes, size: int) -> bool:
    """Whether a deflated chunk inflates to at most `size` bytes and a checksum."""
    stream = zlib.decompressobj()
    left = size + 4
    while left >= 0 and not stream.eof and raw:
        left -= len(stream.decompress(raw, 1 << 20))
        raw = stream.unconsumed_tail
    return left >= 0
