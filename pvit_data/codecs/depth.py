"""Depth maps as TIFF pages: float16 bits (default), integers times a scale, or float32.

float16 keeps 11 significant bits: relative error at most 2^-11, 4 mm at 8-16 m. Integer sources (millimetres) are
stored exactly with their own step. 0 is invalid in all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer

from pvit_data.codecs import tiff
from pvit_data.codecs.window import Frames, Told
from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import check_decoded

MAX_FLOAT16 = 65504.0
NAMES = ("float16", "uint16", "float32")

# By the bits of a float16: twice as fast as converting.
_FROM_FLOAT16 = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)


@dataclass(frozen=True)
class DepthEncoding:
    """How depth is stored.

    Args:
        name: `"float16"`, `"uint16"` or `"float32"`.
        scale: metres per step of `"uint16"`; 0 for the others.
    """

    name: str = "float16"
    scale: float = 0.0

    @classmethod
    def parse(cls, text: str) -> DepthEncoding:
        """Reads the option: `"float16"`, `"float32"` or `"uint16:SCALE"`, for example `"uint16:0.001"`.

        Raises:
            FormatError: for anything else.
        """
        name, _, scale = text.partition(":")
        try:
            encoding = cls(name, float(scale or 0))
        except ValueError:
            encoding = cls("")
        if encoding.name not in NAMES or (encoding.name == "uint16") != (
            0 < encoding.scale < np.inf
        ):
            raise FormatError(
                f"depth encoding {text!r}: expected float16, float32 or uint16:METRES_PER_STEP"
            )
        return encoding


def to_member(
    depth: Float32[np.ndarray, "n h w"], chosen: str, space: LabelSpace | None
) -> tuple[bytes, dict[str, Any]]:
    """See `Dense.encode`."""
    encoding = DepthEncoding.parse(chosen)
    told = {"depth_encoding": encoding.name, "depth_scale": encoding.scale}
    return encode_depth(depth, encoding), told


def from_member(data: bytes, told: Told, *picks: Frames | None) -> Float32[np.ndarray, "k r s"]:
    """See `Dense.decode`."""
    encoding = DepthEncoding(told["depth_encoding"], told["depth_scale"])
    return decode_depth(data, encoding, *picks)


def problem(data: bytes, told: Told, pages: Frames, space: LabelSpace | None) -> str:
    """See `Dense.problem`."""
    depth = from_member(data, told, pages)
    bad = ~np.isfinite(depth) | (depth < 0)
    if not bad.any():
        return ""
    return (
        f"depth holds {depth[bad][0]} ({int(bad.sum())} such pixels), "
        "expected finite metres, 0 where invalid"
    )


def encode_depth(depth: Float32[np.ndarray, "n h w"], encoding: DepthEncoding) -> bytes:
    """Encodes planar depth in metres; 0 = invalid.

    Raises:
        FormatError: if a value is negative, not finite, above what the encoding holds, or (for `uint16`) not a
            multiple of the scale.
    """
    if not np.isfinite(depth).all() or depth.min(initial=0) < 0:
        raise FormatError("depth holds negative or non-finite values: use 0 for invalid pixels")
    depth = depth + np.float32(0)  # no negative zero
    if encoding.name == "float32":
        return tiff.write_tiff(depth.astype("<f4"), tiff.FLOAT32)
    if encoding.name == "uint16":
        return tiff.write_tiff(_steps(depth, encoding.scale), tiff.UINT16_DELTA)
    if depth.max(initial=0) > MAX_FLOAT16:
        raise FormatError(
            f"depth reaches {depth.max()} m, float16 holds {MAX_FLOAT16}: store it with depth=float32"
        )
    return tiff.write_tiff(depth.astype("<f2").view("<u2"), tiff.UINT16_DELTA)


def decode_depth(
    data: bytes | memoryview,
    encoding: DepthEncoding,
    pages: Integer[np.ndarray, "k"] | None = None,
    rows: Integer[np.ndarray, "r"] | None = None,
    columns: Integer[np.ndarray, "s"] | None = None,
) -> Float32[np.ndarray, "k r s"]:
    """Decodes to metres; `pages`, `rows` and `columns` as in `TiffReader.read`.

    Raises:
        FormatError: if the file is not a depth map of this encoding.
    """
    if encoding.name not in NAMES:
        raise FormatError(f"depth encoding {encoding.name!r}: expected one of {NAMES}")
    reader = tiff.TiffReader(data)
    expected = tiff.FLOAT32 if encoding.name == "float32" else tiff.UINT16_DELTA
    if reader.kind != expected:
        raise FormatError(
            f"depth.tif holds {reader.kind.dtype} pages, not those of encoding {encoding.name}"
        )
    count = reader.num_pages if pages is None else len(pages)
    check_decoded(
        "depth",
        4 * count * (reader.height * reader.width if rows is None else len(rows) * reader.width),
    )
    raw = reader.read(pages, rows, columns)
    if encoding.name == "float32":
        return raw
    if encoding.name == "float16":
        return _FROM_FLOAT16.take(raw)
    return (raw * encoding.scale).astype(np.float32)


def _steps(depth: Float32[np.ndarray, "n h w"], scale: float) -> Integer[np.ndarray, "n h w"]:
    steps = np.rint(depth / scale)
    if steps.max(initial=0) > 65535:
        raise FormatError(
            f"depth reaches {depth.max()} m, uint16 steps of {scale} m hold {65535 * scale}"
        )
    stored = steps.astype("<u2")
    if not np.array_equal((stored * scale).astype(np.float32), depth):
        raise FormatError(
            f"depth is not a multiple of {scale} m: store it with depth=float16 or depth=float32"
        )
    return stored
