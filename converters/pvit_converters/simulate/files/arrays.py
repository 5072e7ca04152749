"""Arrays in HDF5 and MATLAB files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray


def write_hdf5(path: Path, array: Array, compressed: bool) -> None:
    """One HDF5 file with the one dataset `dataset`; images gzip level 9 in chunks, tables plain, as in the release."""
    import h5py

    options: dict[str, Any] = {}
    if compressed:
        height, width = array.shape[:2]
        chunk = (min(96, height), min(128, width)) + (1,) * (array.ndim - 2)
        options = {"compression": "gzip", "compression_opts": 9, "chunks": chunk}
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=array, **options)


def write_mat(path: Path, variables: dict[str, Any]) -> None:
    """A compressed MATLAB v5 file whose header carries no date."""
    from scipy.io import savemat

    out = io.BytesIO()
    savemat(out, variables, do_compression=True)
    header = b"MATLAB 5.0 MAT-file".ljust(116)
    path.write_bytes(header + out.getvalue()[116:])
