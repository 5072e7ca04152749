"""Members whose headers claim more than their bytes: refused before anything is made."""

from typing import Any

import numpy as np
import pytest

from pvit_data.codecs.npy import read_npy
from pvit_data.codecs.pictures import decode_pictures
from pvit_data.codecs.still import encode_still
from pvit_data.codecs.tiff import UINT16, TiffReader, write_tiff
from pvit_data.codecs.window import Asked
from pvit_data.errors import FormatError


@pytest.mark.parametrize("frames", [None, np.array([0, 5])])
def test_a_still_of_a_billion_frames_is_one(frames: Any) -> None:
    told = {"rgb_encoding": "jpg", "height": 2, "width": 2, "frames": 1_000_000_000}
    files = {"rgb.jpg": encode_still(np.zeros((2, 2, 3), np.uint8))}
    with pytest.raises(FormatError, match="is a still, the record says 1000000000 frames"):
        decode_pictures("rgb", told, files, Asked(frames))


def test_an_npy_of_a_billion_rows_is_not_made() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,), }".ljust(117) + b"\n"
    with pytest.raises(FormatError, match="needs 4000000000 bytes, found 4"):
        read_npy(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(4))


@pytest.mark.parametrize(("place", "value"), [(18, 1 << 24), (30, 1 << 24), (78, 1 << 31), (78, 8 + 138 * 10_000)])
def test_a_tiff_that_claims_more_is_not_made(place: int, value: int) -> None:
    """Width, height, and the offset of the first strip, from which the number of pages follows."""
    data = bytearray(write_tiff(np.zeros((1, 4, 4), np.uint16), UINT16))
    data[place : place + 4] = value.to_bytes(4, "little")
    with pytest.raises(FormatError, match="TIFF"):
        TiffReader(bytes(data))
