"""What the bytes of packets say about key frames: whether anything before them is needed to decode what follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ALWAYS_CLOSED = frozenset({"vp9", "av1", "libdav1d"})
_SLICES, _IDR = (1, 5), 5
_PARAMETERS = frozenset({7, 8, 13, 15})  # sets that later pictures refer to by a number


class KeyFrames:
    """Collects the key frames of a file, packet by packet.

    Args:
        context: of the decoder, with the file's header.

    Attributes:
        closed: times of those after which nothing before them is needed.
    """

    def __init__(self, context: Any) -> None:
        self.closed: set[int] = set()
        self._alone: set[int] = set()
        self._name, self._length = context.name, size_length(context)
        self._header_only = True

    def take(self, packet: Any, pts: int, is_key: bool) -> None:
        """The next packet, in the order of the file, with its time and what the container calls it."""
        if self._name == "h264" and self._length:
            kinds = list(unit_kinds(memoryview(packet), self._length))
            self._header_only &= _PARAMETERS.isdisjoint(kinds)
            is_alone = is_key = is_key and begins_anew(kinds)
        elif is_key:
            is_key = self._name in _ALWAYS_CLOSED
            is_alone = is_key and self._name == "vp9" and _is_vp9_key(bytes(packet)[:1])
        if is_key:
            self.closed.add(pts)
            if is_alone:
                self._alone.add(pts)

    @property
    def alone(self) -> set[int]:
        """Those of the closed ones that need nothing but the header: no packet holds what others refer to."""
        return self._alone if self._header_only else set()


def is_closed(packet: Any, context: Any) -> bool:
    """Whether nothing before a key frame is ever needed after it, and all of its frames are wholly written.

    So it is for VP9 and AV1, and for the IDR pictures of H.264. Other key frames of H.264 and HEVC may be followed by
    frames that still refer to what came before; and FFmpeg's decoders of VP8, HEVC and MJPEG say nothing when data end
    too early, and leave in the rest of a picture what was in memory.
    """
    if context.name != "h264":
        return context.name in _ALWAYS_CLOSED
    return begins_anew(unit_kinds(bytes(packet), size_length(context)))


def size_length(context: Any) -> int:
    """Bytes of the size before each unit of H.264; 0: units stand behind start codes, which are not looked for."""
    header = context.extradata or b""
    return (header[4] & 3) + 1 if len(header) > 4 and header[0] == 1 else 0


def unit_kinds(packet: bytes | memoryview, length: int) -> Iterator[int]:
    """The kind of each unit of an H.264 packet (ITU-T H.264, table 7-1), as far as their sizes lead.

    Args:
        packet: its units, each behind its size.
        length: bytes of these sizes; 0 gives none.
    """
    place, end = 0, len(packet)
    while length and place + length < end:
        yield packet[place + length] & 31
        place += length + int.from_bytes(packet[place : place + length], "big")


def begins_anew(kinds: Any) -> bool:
    """Whether the first slice belongs to an IDR picture."""
    return next((kind for kind in kinds if kind in _SLICES), 0) == _IDR


def _is_vp9_key(first: bytes) -> bool:
    """Whether a frame of VP9 is a key frame by its header (VP9 specification, section 6.2): no repeated frame."""
    if not first or first[0] >> 6 != 0b10:
        return False
    shift = 1 if first[0] & 0b00110000 == 0b00110000 else 2  # the third profile has one bit more
    return first[0] >> shift & 0b11 == 0
