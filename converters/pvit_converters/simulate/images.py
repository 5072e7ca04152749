"""Small encoders that the raw writers share: HDF5 datasets, JPEG and PNG bytes, tone mapping, boxes of masks."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

Array = np.ndarray


def srgb(
    radiance: Float[np.ndarray, "*s"], exposure: float | Array = 1.0
) -> UInt8[np.ndarray, "*s"]:
    """Linear radiance as 8-bit values with gamma 2.2."""
    return np.asarray(np.clip(radiance * exposure, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


def tonemap(
    radiance: Float[np.ndarray, "h w 3"], entity: Int[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Hypersim's released operator: the 90th percentile of brightness is mapped to 0.8 (spec hypersim, section 6)."""
    brightness = radiance @ np.array([0.3, 0.59, 0.11])
    valid = brightness[entity != -1]
    scale = 1.0
    if valid.size:
        bright = float(np.percentile(valid, 90))
        scale = 0.0 if bright < 1e-4 else 0.8**2.2 / bright
    out: Array = np.clip(np.maximum(scale * radiance, 0) ** (1 / 2.2), 0, 1) * 255
    return out.astype(np.uint8)


def jpeg(image: UInt8[np.ndarray, "h w 3"], quality: int = 95) -> bytes:
    """JPEG bytes of an RGB image, 4:4:4."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def png(image: Array) -> bytes:
    """PNG bytes of an 8-bit RGB or grey, or a 16-bit grey image."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=3)
    return out.getvalue()


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


def savemat(path: Path, variables: dict[str, Any]) -> None:
    """A compressed MATLAB v5 file whose header carries no date."""
    from scipy.io import savemat as write

    out = io.BytesIO()
    write(out, variables, do_compression=True)
    header = b"MATLAB 5.0 MAT-file".ljust(116)
    path.write_bytes(header + out.getvalue()[116:])


def boxes_of(ids: Int[np.ndarray, "h w"]) -> dict[int, tuple[int, int, int, int]]:
    """Half-open pixel box (x0, y0, x1, y1) of the pixels of every id >= 0."""
    out = {}
    for i in np.unique(ids[ids >= 0]):
        rows, columns = np.nonzero(ids == i)
        out[int(i)] = (
            int(columns.min()),
            int(rows.min()),
            int(columns.max()) + 1,
            int(rows.max()) + 1,
        )
    return out
