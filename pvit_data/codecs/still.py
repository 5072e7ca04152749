"""Stills: JPEG, quality 95 without chroma subsampling; JPEG files of a source are kept as they are.

Orientation tags are obeyed when reading, as `datasets` and browsers do.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError
from pvit_data.sample.limits import check_picture

QUALITY = 95
MAX_SCANS = 100  # cameras and web servers write 1 to 15
MAX_SCANNED = 1 << 31  # pixels of all scans together: each one goes over the whole picture
_ORIENTATION, _TRANSPOSED = 0x0112, (5, 6, 7, 8)  # Exif 2.3: values that swap the sides
_SEQUENTIAL, _END, _SCAN = 0xC0, 0xD9, 0xDA
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # of those that mean something between segments


@dataclass(frozen=True)
class StillInfo:
    """Size of a still as it is shown."""

    height: int
    width: int


def encode_still(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Encodes an sRGB picture as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def jpeg_of_png(data: bytes) -> bytes:
    """A PNG's picture as a JPEG, without its alpha.

    Raises:
        FormatError: if it is no complete PNG of a sane size.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
    except Exception as error:
        raise FormatError(f"not a PNG: {error}") from error
    check_picture("PNG", image.height, image.width)
    try:
        return encode_still(_array(image))
    except Exception as error:  # Pillow raises many types on damaged input
        raise FormatError(f"PNG cannot be decoded: {error}") from error


def probe_still(data: bytes) -> StillInfo:
    """Reads the size without decoding.

    Raises:
        FormatError: if the bytes are not a JPEG of a sane size and number of scans.
    """
    image = _open(data)
    height, width = image.height, image.width
    swapped = _orientation(image) in _TRANSPOSED
    return StillInfo(width, height) if swapped else StillInfo(height, width)


def decode_still(
    data: bytes, window: Window | None = None, size: tuple[int, int] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decodes to sRGB.

    Args:
        data: the file.
        window: the part wanted; its `shrink` is followed unless the picture is turned. Default: everything.
        size: (height, width) that the picture must have. Default: any.

    Raises:
        FormatError: if the bytes are not a complete JPEG, or of another size.
    """
    image = _open(data)
    orientation = _orientation(image)
    turned = orientation != 1
    shown = (
        (image.width, image.height) if orientation in _TRANSPOSED else (image.height, image.width)
    )
    if size is not None and shown != size:
        raise FormatError(f"JPEG is {shown}, expected {size}")
    if window is not None:
        window.check(*shown)
    try:
        if window is None:
            return _array(_upright(image, turned))
        if window.shrink > 1 and not turned:
            image.draft("RGB", (image.width // window.shrink, image.height // window.shrink))
        part = shown[0] // image.height if not turned else 1
        left, top = window.left // part, window.top // part
        box = (left, top, left + window.width // part, top + window.height // part)
        # Cutting before the conversion to an array: that one costs as much as decoding.
        return _array(_upright(image, turned).crop(box))
    except Exception as error:  # Pillow raises many types on damaged input
        raise FormatError(f"JPEG cannot be decoded: {error}") from error


def _upright(image: Image.Image, turned: bool) -> Image.Image:
    return ImageOps.exif_transpose(image) if turned else image


def _array(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=["JPEG"])
    except Exception as error:
        raise FormatError(f"not a JPEG: {error}") from error
    check_picture("JPEG", image.height, image.width)
    check_scans(data, image.height, image.width)
    return image


def check_scans(data: bytes, height: int, width: int) -> None:
    """Refuses a JPEG that takes minutes: a scan of 70 bytes may go over all pixels once more.

    Raises:
        FormatError: if it has more than `MAX_SCANS`, or more than its size allows.
    """
    limit = min(MAX_SCANS, MAX_SCANNED // max(1, height * width))
    components = scans = 0
    for kind, place in _segments(data):
        if kind == _SEQUENTIAL:
            components = data[place + 7]
        if kind == _SCAN:
            scans += 1
            if data[place + 2] == components:  # all there is: decoders read no further
                return
            if scans > limit:
                raise FormatError(f"JPEG of {height} x {width} pixels has more than {limit} scans")


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment up to the end of the picture (ITU-T T.81, annex B)."""
    place = 2
    while (marker := _MARKER.search(data, place)) and marker[0][1] != _END:
        place = marker.end()
        if place + 8 <= len(data):
            yield marker[0][1], place
        place += int.from_bytes(data[place : place + 2], "big")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged tag is the same as none
        return 1
