"""Is a file shorter than its container says? Streams that were written without a length say nothing."""

from __future__ import annotations

from pvit_data.codecs.video.container import container_format

_MEDIA = (b"moov", b"mdat", b"moof")
_SEGMENT = b"\x18\x53\x80\x67"
_UNKNOWN = 0xFFFFFFFF
_CARELESS = 8  # bytes that writers of AVI add to a length, since they count its header as well


def cut_off(data: bytes) -> str:
    """What is missing at the end of a file, in words; "" if nothing is known to be.

    Raises:
        FormatError: if it is no MP4, WebM or AVI.
    """
    end = {"mp4": _mp4_end, "matroska": _matroska_end, "avi": _avi_end}[container_format(data)](
        data
    )
    return (
        f"the file is cut off: {len(data):,} of {end:,} bytes are there" if end > len(data) else ""
    )


def _mp4_end(data: bytes) -> int:
    """Where the last box of media ends (ISO/IEC 14496-12, section 4.2); 0 for one without a length."""
    place = end = 0
    while place + 8 <= len(data):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if size == 1:
            size = int.from_bytes(data[place + 8 : place + 16], "big")
        if size < 8:
            break
        place += size
        end = place if kind in _MEDIA else end
    return end


def _matroska_end(data: bytes) -> int:
    """Where the segment ends (RFC 8794, section 6); 0 for one without a length."""
    length, header = _vint(data, 4)
    place = header + length
    if data[place : place + 4] != _SEGMENT:
        return 0
    width = 9 - data[place + 4].bit_length() if place + 4 < len(data) else 9
    length, place = _vint(data, place + 4)
    return 0 if width > 8 or length == (1 << 7 * width) - 1 else place + length


def _vint(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and the place behind it."""
    width = 9 - data[place].bit_length() if place < len(data) else 9
    number = int.from_bytes(data[place : place + width], "big")
    return number & ((1 << 7 * width) - 1), place + width


def _avi_end(data: bytes) -> int:
    """Where the last of its RIFF parts ends; 0 for one without a length."""
    place = end = 0
    while data[place : place + 4] == b"RIFF":
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if size in (0, _UNKNOWN):
            return 0
        end = place + 8 + size
        place = end + size % 2
    return end if end > len(data) + _CARELESS else 0
