"""Normal maps as TIFF pages: three bytes per pixel (default), or octahedral with two 16-bit numbers.

`xyz8`: q = 128 + round(127 n); axis-aligned normals exact, at most 0.39 degrees off. (0, 0, 0) = invalid: no unit
vector maps there. `octahedral` (Cigolle et al. 2014, "A Survey of Efficient Representations for Independent Unit
Vectors"): at most 0.004 degrees off; each page holds u above v, (2h, w), so that it is an ordinary 16-bit picture.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8, UInt16

from pvit_data.codecs import tiff
from pvit_data.errors import FormatError
from pvit_data.sample.limits import check_decoded

NAMES = ("xyz8", "octahedral")
UNIT_TOLERANCE = 1e-2
_HALF = 32768
_STEPS = 32767
_CHUNK = 1 << 16

# By squared length of q - 128. (0, 0, 0) has 3 * 128^2, a value that no other pixel reaches: its vector becomes zero.
_INVERSE_LENGTH = np.zeros(3 * 128**2 + 1, np.float32)
_INVERSE_LENGTH[1:-1] = 1 / np.sqrt(np.arange(1, 3 * 128**2))


def encode_normal(normal: Float32[np.ndarray, "n h w 3"], encoding: str = "xyz8") -> bytes:
    """Encodes unit vectors; the zero vector = invalid.

    Raises:
        FormatError: if a vector is neither zero nor of unit length (within 1 %), or the encoding is unknown.
    """
    length = np.sqrt(np.einsum("nhwc,nhwc->nhw", normal, normal))
    valid = length > 0
    if not (np.abs(length - valid) <= UNIT_TOLERANCE).all():
        worst = length.flat[int(np.nan_to_num(np.abs(length - valid), nan=np.inf).argmax())]
        raise FormatError(
            f"normal holds a vector of length {worst}, expected 1, or 0 for invalid pixels"
        )
    if encoding == "xyz8":
        stored = (128 + np.rint(127 * normal)).clip(1, 255).astype(np.uint8)
        stored[~valid] = 0
        return tiff.write_tiff(stored, tiff.UINT8X3_DELTA)
    if encoding == "octahedral":
        return tiff.write_tiff(_fold(normal, valid), tiff.UINT16_DELTA)
    raise FormatError(f"normal encoding {encoding!r}: expected one of {NAMES}")


def decode_normal(
    data: bytes | memoryview,
    encoding: str = "xyz8",
    pages: Integer[np.ndarray, "k"] | None = None,
    rows: Integer[np.ndarray, "r"] | None = None,
    columns: Integer[np.ndarray, "s"] | None = None,
) -> Float32[np.ndarray, "k r s 3"]:
    """Decodes to unit vectors, zero = invalid; `pages`, `rows` and `columns` as in `TiffReader.read`.

    Raises:
        FormatError: if the file is not a normal map of this encoding.
    """
    if encoding not in NAMES:
        raise FormatError(f"normal encoding {encoding!r}: expected one of {NAMES}")
    reader = tiff.TiffReader(data)
    octahedral = encoding == "octahedral"
    if reader.kind != (tiff.UINT16_DELTA if octahedral else tiff.UINT8X3_DELTA) or (
        octahedral and reader.height % 2
    ):
        raise FormatError(
            f"normal.tif holds {reader.kind.channels} x {reader.kind.dtype}, not the pages of {encoding}"
        )
    height = reader.height // 2 if octahedral else reader.height
    count = reader.num_pages if pages is None else len(pages)
    check_decoded("normal", 12 * count * reader.width * (height if rows is None else len(rows)))
    if not octahedral:
        return from_bytes(reader.read(pages, rows, columns))
    both = None if rows is None else np.concatenate([rows, rows + height])
    return _unfold(*np.split(reader.read(pages, both, columns), 2, axis=1))


def from_bytes(stored: UInt8[np.ndarray, "*shape 3"]) -> Float32[np.ndarray, "*shape 3"]:
    """Unit vectors of `xyz8` pixels; works on planes of a few pixels at a time, which stay in the processor's cache."""
    out = np.empty(stored.shape, np.float32)
    pixels, vectors = stored.reshape(-1, 3), out.reshape(-1, 3)
    for start in range(0, len(pixels), _CHUNK):
        part = slice(start, start + _CHUNK)
        x, y, z = np.subtract(pixels[part].T, np.float32(128), dtype=np.float32, order="C")
        scale = _INVERSE_LENGTH.take((x * x + y * y + z * z).astype(np.int32))
        for axis, values in enumerate((x, y, z)):
            np.multiply(values, scale, out=vectors[part, axis])
    return out


def _fold(
    normal: Float32[np.ndarray, "n h w 3"], valid: Bool[np.ndarray, "n h w"]
) -> UInt16[np.ndarray, "n 2h w"]:
    size = np.abs(normal).sum(-1, keepdims=True)
    flat = np.divide(normal, size, out=np.zeros_like(normal), where=size > 0)
    xy = flat[..., :2]
    wrapped = (1 - np.abs(xy[..., ::-1])) * np.where(xy >= 0, 1, -1)
    xy = np.where(flat[..., 2:] < 0, wrapped, xy)
    stored = (_HALF + np.rint(_STEPS * xy)).astype("<u2")
    stored[~valid] = 0
    return np.concatenate([stored[..., 0], stored[..., 1]], axis=1)


def _unfold(
    u: UInt16[np.ndarray, "k r s"], v: UInt16[np.ndarray, "k r s"]
) -> Float32[np.ndarray, "k r s 3"]:
    xy = (np.stack([u, v], -1).astype(np.float32) - _HALF) / _STEPS
    z = 1 - np.abs(xy).sum(-1, keepdims=True)
    fold = np.maximum(-z, 0)
    xy += np.where(xy >= 0, -fold, fold)
    vector = np.concatenate([xy, z], -1)
    vector /= np.sqrt(np.einsum("...c,...c->...", vector, vector))[..., None]
    vector[(u == 0) | (v == 0)] = 0
    return vector
