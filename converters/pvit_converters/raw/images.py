"""Reading a PNG or JPEG file as the integers it stores, size and kind checked before anything is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16

from pvit_converters.raw.files import read_bytes
from pvit_data.codecs.still import check_scans
from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.sample import EncodedMedia

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
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(
                    f"{image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS}"
                )
            if image.format == "JPEG":
                check_scans(data, image.height, image.width)
            if image.mode in _SIXTEEN:
                return _sixteen(np.asarray(image))
            return np.asarray(image if image.mode in _DIRECT else image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise SourceError(
            f"{where}: cannot be read as PNG or JPEG (it is neither); get it again",
            reason="corrupt-image",
        ) from error
    except (
        FormatError,
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


def read_still(path: Path) -> tuple[EncodedMedia | UInt8[np.ndarray, "1 h w 3"], int, int]:
    """A picture ready for `Sample.rgb`: the bytes of a plain RGB JPEG as they are, else its pixels; height and width.

    Raises:
        SourceError: as `read_image`; the whole picture is decoded, so that damage is found here.
    """
    from PIL import Image

    data = read_bytes(path, MAX_FILE)
    pixels = decode_image(data, path)
    height, width = pixels.shape[:2]
    if pixels.dtype != np.uint8:
        raise SourceError(
            f"{path}: a 16-bit grey image, expected a photograph", reason="corrupt-image"
        )
    if data[:2] == b"\xff\xd8":
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.mode == "RGB":
                return EncodedMedia(data, "jpg"), height, width
    colour = pixels[..., :3] if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, -1)
    return np.ascontiguousarray(colour)[None], height, width
