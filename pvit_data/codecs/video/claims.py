"""What the tables of an MP4 claim, held against its bytes before FFmpeg makes room for them (ISO/IEC 14496-12).

FFmpeg takes some 70 bytes for each sample that is announced, and a few bytes can announce millions: one size or one
time step for all of them, a fragment without a row per sample, an edit list that shows everything again and again.
AVI and WebM have no such tables: every entry of their indices is a row in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pvit_data.codecs.video.file import VideoFile
from pvit_data.errors import FormatError

MAX_SAMPLES = 1 << 22  # of all tracks together: a day of sound has four million packets
MAX_SHOWN = (
    1 << 18
)  # samples that lists of several edits go over: an hour of video has a hundred thousand
_FEW_EDITS = 2  # a delay and the film
MAX_BOXES = 1 << 20  # a fragment of one second has about ten
MAX_MISSING = (
    1 << 26
)  # bytes by which a box in a header may reach beyond the end of a truncated file
_ANYWHERE = 1 << 62
_DEPTH = 12  # FFmpeg gives up at 10

_CONTAINERS = frozenset(
    {
        b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"mfra", b"tref", b"udta",
        b"wave", b"sinf", b"schi", b"ilst", b"iprp", b"ipco", b"gmhd", b"dinf", b"tapt",
    }
)  # fmt: skip
_TRACKS = (b"trak", b"traf")
_HIDDEN = (b"mvhd", b"cmov")  # FFmpeg reads a header in free space that begins so
_HEAD = struct.Struct(">I4s").unpack
_SPACE = frozenset({b"free", b"hoov", b"skip", b"wide"})
_ENTRY_HEADS = (
    8,
    28,
    44,
    64,
    78,
)  # bytes of sample entries before their boxes: others, sound, pictures
_ROWS = {
    b"stts": 8, b"ctts": 8, b"stsc": 12, b"stss": 4, b"stps": 4, b"stco": 4, b"co64": 8, b"elst": 12, b"keys": 8,
    b"iinf": 8,
}  # fmt: skip
"""Tables that begin with version, flags and the number of their rows: the least bytes of a row."""

Span = tuple[int, int]
"""Where the contents of a box begin and end."""


@dataclass
class _Track:
    """What was found in one track.

    Args:
        samples: of all its tables of sizes.
        same_size: bytes of each, where all are said to be alike; else 0.
        edits: rows of its edit lists.
        kinds: its handlers.
        chunks: rows of its chunk tables.
        most: samples in one chunk.
        steps: tables of time steps, as (rows, first step).
    """

    samples: int = 0
    same_size: int = 0
    edits: int = 0
    kinds: set[bytes] = field(default_factory=set)
    chunks: int = 0
    most: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many samples FFmpeg makes of it: plain sound is read in pieces of 1024."""
        if self.same_size and self.kinds == {b"soun"} and self.steps == [(1, 1)]:
            return self.chunks * (1 + (self.most >> 10))
        return self.samples


def check_claims(data: bytes | VideoFile) -> None:
    """Refuses an MP4 whose tables claim more than they hold, or more samples than any clip has.

    Raises:
        FormatError: naming the table or the count.
    """
    tracks = _Tables(data).read()
    samples = sum(track.entries for track in tracks)
    if samples > MAX_SAMPLES:
        raise FormatError(
            f"video claims {samples} samples in {len(data)} bytes, at most {MAX_SAMPLES}"
        )
    shown = sum(track.edits * track.entries for track in tracks if track.edits > _FEW_EDITS)
    if shown > MAX_SHOWN:
        raise FormatError(f"video's edit lists go over {shown} samples, at most {MAX_SHOWN}")


class _Tables:
    """One walk through all boxes of a file."""

    def __init__(self, data: bytes | VideoFile) -> None:
        self.data = data
        self.tracks = [_Track()]  # the first one for what stands in no track
        self.boxes = 0

    def read(self) -> list[_Track]:
        """All tracks, once every table was found to hold what it claims."""
        stack = [(0, _ANYWHERE, 0, self.tracks[0])]
        while stack:
            start, end, depth, track = stack.pop()
            for name, first, last in self._boxes(start, end, inside=depth > 0):
                if name in _TRACKS:
                    track = _Track()
                    self.tracks.append(track)
                if name in _CONTAINERS:
                    spans = [(first, last)]
                elif name in _READERS:
                    _READERS[name](self, name, first, last, track)
                    continue
                else:
                    spans = self._hidden(name, first, last)
                if depth < _DEPTH:
                    stack += [(a, b, depth + 1, track) for a, b in spans]
        return self.tracks

    def _boxes(self, place: int, end: int, *, inside: bool) -> Iterator[tuple[bytes, int, int]]:
        """Name and span of the boxes from `place` on; what reaches beyond the end of a short file keeps its length."""
        data, total = self.data, len(self.data)
        while place + 8 <= end and place + 8 <= total:
            size, name = _HEAD(data[place : place + 8])
            first = place + 8
            if size == 1:
                size, first = int.from_bytes(data[first : first + 8], "big"), first + 8
            stop = min(end, place + size if size else total)  # 0: up to the end of the file
            if stop < first:
                return
            if stop - total > MAX_MISSING and (inside or name in _READERS):
                raise FormatError(
                    f"video's '{_text(name)}' claims {stop - total} bytes behind its end"
                )
            self.boxes += 1
            if self.boxes > MAX_BOXES:
                raise FormatError(f"video has more than {MAX_BOXES} boxes")
            yield name, first, stop
            place = stop

    def _hidden(self, name: bytes, first: int, last: int) -> list[Span]:
        """Where boxes stand in a box that is no mere container; ends are as claimed."""
        data = self.data
        if name == b"stsd":
            entries = list(self._boxes(first + 8, last, inside=True))
            return [(a + head, b) for _, a, b in entries for head in _ENTRY_HEADS if a + head < b]
        if name == b"meta":  # with or without version and flags; FFmpeg goes by the handler
            stop = min(last, len(data), first + 64)
            found = (p for p in range(first, stop, 4) if data[p : p + 4] == b"hdlr")
            return [(place - 4, last) for place in found]
        if name in _SPACE and data[first + 4 : first + 8] in _HIDDEN:
            return [(first, last)]
        return []

    def _compressed(self, name: bytes, first: int, last: int, track: _Track) -> None:
        raise FormatError("video has a compressed header, which is not read")

    def _handler(self, name: bytes, first: int, last: int, track: _Track) -> None:
        track.kinds.add(self.data[first + 8 : first + 12])

    def _packed(self, name: bytes, first: int, last: int, track: _Track) -> None:
        count = self._number(first + 8)
        self._require(name, count * (self._number(first + 4) & 0xFF) // 8, last - first - 12)
        track.samples += count

    def _sizes(self, name: bytes, first: int, last: int, track: _Track) -> None:
        size, count = self._number(first + 4), self._number(first + 8)
        if size == 0:
            self._require(name, 4 * count, last - first - 12)
        elif b"vide" in track.kinds:
            self._require(name, size * count, len(self.data))
        track.samples += count
        track.same_size = size

    def _fragment(self, name: bytes, first: int, last: int, track: _Track) -> None:
        flags, count = self._number(first), self._number(first + 4)
        row = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
        self._require(name, row * count, last - first - 8)
        track.samples += count

    def _rows(self, name: bytes, first: int, last: int, track: _Track) -> None:
        count = self._number(first + 4)
        row = 20 if name == b"elst" and self.data[first : first + 1] == b"\x01" else _ROWS[name]
        if name == b"iinf" and self.data[first : first + 1] == b"\x00":
            count >>= 16  # two bytes in the first version
        self._require(name, row * count, last - first - 8)
        if name == b"elst":
            track.edits += count
        elif name in (b"stco", b"co64"):
            track.chunks += count
        elif name == b"stts":
            track.steps.append((count, self._number(first + 12)))
        elif name == b"stsc" and count:
            there = self.data[first + 8 : first + 8 + 12 * count]
            column = np.frombuffer(there[: len(there) // 12 * 12], ">u4")[1::3]
            track.most = max(track.most, int(column.max(initial=0)))

    def _require(self, name: bytes, claimed: int, there: int) -> None:
        if claimed > there:
            raise FormatError(
                f"video's table '{_text(name)}' claims {claimed} bytes, {max(there, 0)} are there"
            )

    def _number(self, place: int) -> int:
        return int.from_bytes(self.data[place : place + 4], "big")


_READERS: dict[bytes, Callable[[_Tables, bytes, int, int, _Track], None]] = {
    **dict.fromkeys(_ROWS, _Tables._rows),
    b"stsz": _Tables._sizes,
    b"stz2": _Tables._packed,
    b"trun": _Tables._fragment,
    b"hdlr": _Tables._handler,
    b"cmov": _Tables._compressed,
}


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
