"""What FFmpeg may decode holds while it opens a file already: it looks into all streams before anybody can ask."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from pvit_data.codecs.video import probe_video
from pvit_data.errors import FormatError
from tests.bombs import deflated, require_cheap

SIDE = 8192  # of the JPEG; the PNG costs nothing to make


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def listed(name: bytes, body: bytes) -> bytes:
    return chunk(b"LIST", name + body)


def avi(picture: bytes, fourcc: bytes, streams: int, side: int = 64) -> bytes:
    """One picture in each stream."""
    header = struct.pack("<IHHIIIIIIII4H", 0, 0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0, side, side)
    layout = struct.pack("<IiiHH4sIiiII", 40, side, side, 1, 24, fourcc, 0, 0, 0, 0, 0)
    track = listed(b"strl", chunk(b"strh", b"vids" + fourcc + header) + chunk(b"strf", layout))
    main = chunk(b"avih", struct.pack("<14I", 40_000, 0, 0, 16, 1, 0, streams, 0, side, side, 0, 0, 0, 0))
    pictures = b"".join(chunk(b"%02ddc" % number, picture) for number in range(streams))
    body = b"AVI " + listed(b"hdrl", main + track * streams) + listed(b"movi", pictures)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png(side: int) -> bytes:
    def part(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = deflated((side * (1 + 3 * side) >> 20) + 1)
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", rows) + part(b"IEND", b"")


CODE = "from pvit_data.codecs.video import probe_video\nprobe_video(Path(sys.argv[1]).read_bytes())"


def test_streams_of_png_are_not_decoded_to_look_at_them(tmp_path: Path) -> None:
    path = tmp_path / "png.avi"
    path.write_bytes(avi(png(16_000), b"MPNG", 20))
    assert "video codec png is not one of" in require_cheap(CODE, path)


def test_pictures_larger_than_their_header_says_are_not_decoded(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(buffer, "JPEG", quality=10)
    path = tmp_path / "jpeg.avi"
    path.write_bytes(avi(buffer.getvalue(), b"MJPG", 20))
    assert "FormatError" in require_cheap(CODE, path)


def test_streams_are_counted_before_they_are_made() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    assert probe_video(avi(buffer.getvalue(), b"MJPG", 9)).height == 64
    with pytest.raises(FormatError, match="video cannot be read"):
        probe_video(avi(buffer.getvalue(), b"MJPG", 80))
