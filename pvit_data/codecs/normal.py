"""Normal maps as TIFF pages: three bytes per pixel (default), or octahedral with two 16-bit numbers.

`xyz8`: q = 128 + round(127 n); axis-aligned normals exact, at most 0.39 degrees off. (0, 0, 0) = invalid: no unit
vector maps there. `octahedral` (Cigolle et al. 2014, "A Survey of Efficient Representations for Independent Unit
Vectors"): at most 0.004 degrees off; each page holds u above v, (2h, w), so that it is an ordinary 16-bit picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8, UInt16

from pvit_data.codecs import tiff
from pvit_data.codecs.window import Frames, Told
from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import check_decoded

NAMES = ("xyz8", "octahedral")
UNIT_TOLERANCE = 1e-2
XYZ8_TOLERANCE = 0.02  # 1 % that the schema allows, and 0.5 * sqrt(3) / 127 of rounding
_HALF = 32768
_STEPS = 32767
_CHUNK = 1 << 16

# By squared length of q - 128. (0, 0, 0) has 3 * 128^2, a value that no other pixel reaches: its vector becomes zero.
_INVERSE_LENGTH = np.zeros(3 * 128**2 + 1, np.float32)
_INVERSE_LENGTH[1:-1] = 1 / np.sqrt(np.arange(1, 3 * 128**2))


def check_encoding(text: str) -> None:
    """Refuses an unknown encoding.

    Raises:
        FormatError: naming the known ones.
    """
    if text not in NAMES:
        raise FormatError(f"normal encoding {text!r}: expected one of {', '.join(NAMES)}")


def to_member(
    normal: Float32[np.ndarray, "n h w 3"], chosen: str, space: LabelSpace | None
) -> tuple[bytes, dict[str, Any]]:
    """See `Dense.encode`."""
    return encode_normal(normal, chosen), {"normal_encoding": chosen}


def from_member(data: bytes, told: Told, *picks: Frames | None) -> Float32[np.ndarray, "k r s 3"]:
    """See `Dense.decode`."""
    return decode_normal(data, told["normal_encoding"], *picks)


def extent(data: bytes, told: Told) -> tuple[int, int, int]:
    """See `Dense.extent`; an octahedral page is twice as high as its map."""
    pages, height, width = tiff.extent(data, told)
    return pages, height // 2 if told["normal_encoding"] == "octahedral" else height, width


def problem(data: bytes, told: Told, pages: Frames, space: LabelSpace | None) -> str:
    """See `Dense.problem`; lengths as stored for `xyz8`, which the decoder would renormalise."""
    octahedral = told["normal_encoding"] != "xyz8"
    from_member(data, told, pages if octahedral else pages[:1])
    if octahedral:  # of unit length by construction
        return ""
    stored: UInt8[np.ndarray, "k h w 3"] = tiff.TiffReader(data).read(pages)
    vector = (stored.astype(np.float32) - 128) / 127
    length = np.sqrt(np.einsum("nhwc,nhwc->nhw", vector, vector))
    bad = (np.abs(length - 1) > XYZ8_TOLERANCE) & stored.any(-1)
    if not bad.any():
        return ""
    return (
        f"normal holds a vector of length {length[bad][0]:.3f} ({int(bad.sum())} such pixels), "
        "expected 1, or (0, 0, 0) where invalid"
    )


def encode_normal(normal: Float32[np.ndarray, "n h w 3"], encoding: str = "xyz8") -> bytes:
    """Encodes unit vectors; the zero vector = invalid.

    Raises:
        FormatError: if a vector is neither zero nor of unit length (within 1 %), or the encoding is unknown.
    """
    check_encoding(encoding)
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
    return tiff.write_tiff(_fold(normal, valid), tiff.UINT16_DELTA)


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
    check_encoding(encoding)
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
