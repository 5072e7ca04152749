"""Reading one array from an HDF5 file that nobody vouches for.

HDF5 can point outside itself: external raw storage and external links read other local files, virtual datasets
assemble them. A hostile "raw" file could so leak local files into published shards, or claim a size that fills the
memory. This reader accepts one plain, hard-linked, numeric dataset of an expected shape, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pvit_data.errors import SourceError

MAX_BYTES = 256 << 20
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
        SourceError: with the reason `"missing-file"`, `"corrupt-hdf5"`, `"unsafe-hdf5"` or `"wrong-shape"`.
    """
    import h5py

    if not path.is_file():
        raise SourceError(f"{path}: no such file", reason="missing-file")
    try:
        with h5py.File(path, "r") as file:
            dataset = _plain_dataset(path, file, name)
            _check(path, dataset, shape, kinds, max_bytes)
            value: np.ndarray[Any, np.dtype[Any]] = dataset[()]
            return value
    except SourceError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        message = f"{path}: cannot be read as HDF5 ({error}); the file is damaged or truncated, download it again"
        raise SourceError(message, reason="corrupt-hdf5") from error


def list_names(path: Path) -> list[str]:
    """Names of everything at the root of a file, whatever it is.

    Raises:
        SourceError: `"missing-file"` or `"corrupt-hdf5"`.
    """
    import h5py

    if not path.is_file():
        raise SourceError(f"{path}: no such file", reason="missing-file")
    try:
        with h5py.File(path, "r") as file:
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
    plist = dataset.id.get_create_plist()
    filters = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if extra := filters - _BUILT_IN_FILTERS:
        raise SourceError(
            f"{path}: '{name}' needs the HDF5 filters {sorted(extra)}; refused",
            reason="unsafe-hdf5",
        )
    return dataset


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
