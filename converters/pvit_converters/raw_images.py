"""Reading a PNG or JPEG file as the integers it stores, size and kind checked before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16

from pvit_converters.raw_files import read_bytes
from pvit_data.errors import SourceError

MAX_FILE = 1 << 28
MAX_PIXELS = 1 << 26
_DIRECT = {"L", "RGB", "RGBA"}
_SIXTEEN = {"I;16", "I;16B", "I;16L", "I"}

Pixels = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w c"] | UInt16[np.ndarray, "h w"]


def read_image(path: Path) -> Pixels:
    """The pixels of an image file: grey of 8 or 16 bits `(h, w)`, or colour `(h, w, 3)`, with alpha `(h, w, 4)`.

    Raises:
        SourceError: if the file is missing (`"missing-file"`) or not a complete PNG or JPEG (`"corrupt-image"`).
    """
    return decode_image(read_bytes(path, MAX_FILE), path)


def decode_image(data: bytes, where: Path | str) -> Pixels:
    """As `read_image`, from the bytes of a file; `where` names it in messages."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS}")
            if image.mode in _SIXTEEN:
                return _sixteen(np.asarray(image))
            return np.asarray(image if image.mode in _DIRECT else image.convert("RGB"))
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        message = f"{where}: cannot be read as PNG or JPEG ({error}); the file is damaged or truncated, get it again"
        raise SourceError(message, reason="corrupt-image") from error


def _sixteen(values: np.ndarray) -> UInt16[np.ndarray, "h w"]:
    if values.size and (values.min() < 0 or values.max() > 65535):
        raise ValueError(f"grey values from {values.min()} to {values.max()}, expected 0 to 65535")
    return values.astype(np.uint16)
