"""The frame table of a video: when each frame is shown, and which are key frames. It is made once for a file.

MP4 keeps these numbers in its header, so that no picture is read: FFmpeg gives the order and the times of decoding, the
header's table of composition offsets (ISO/IEC 14496-12, section 8.6.1.3) what lies between these and the times shown.
Packets at the start, in the middle and at the end are compared with the result. Other containers, and MP4 in fragments,
are gone through once, packet by packet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Any

import av.error
import numpy as np
from jaxtyping import Bool, Float64, Int64

from pvit_data.codecs.video.container import container_format, list_frames, open_video, reported
from pvit_data.codecs.video.file import VideoFile
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES

KEPT = 16  # tables; that of two hours takes 2 MB
_COMPARED = 64  # packets at each of three places
_ORDER_SHOWS = 32  # frames: no encoder holds more back
_AVI = (
    ", as AVI does not keep them; make another file of it: ffmpeg -i FILE -c copy FILE.mkv, or without -c copy where "
    "that fails"
)


@dataclass(frozen=True)
class FrameTable:
    """The shown frames in the order of their times; the place in this order is a frame's number.

    Args:
        pts: presentation times in units of `unit`, ascending.
        is_key: which of them the container calls key frames.
        unit: seconds.
        rate: average frames per second; 0: unknown.
        height, width: as stored.
    """

    pts: Int64[np.ndarray, "n"]
    is_key: Bool[np.ndarray, "n"]
    unit: Fraction
    rate: float
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def times(self) -> Float64[np.ndarray, "n"]:
        """When each frame is shown, in seconds from the first one."""
        seconds: Float64[np.ndarray, "n"] = (self.pts - self.pts[0]) * float(self.unit)
        return seconds

    def number_of(self, pts: int | None) -> int | None:
        """The frame that is shown at a time; None if there is none."""
        if pts is None:
            return None
        number = int(np.searchsorted(self.pts, pts))
        return number if number < len(self.pts) and self.pts[number] == pts else None

    def keys_before(self, number: int) -> Iterator[int]:
        """Key frames from the last one that is not behind a frame, backwards; the first frame of all at the end."""
        yield from np.flatnonzero(self.is_key[: number + 1])[::-1].tolist()
        if not self.is_key[0]:
            yield 0


_tables: OrderedDict[tuple[int, ...], FrameTable] = OrderedDict()


def frame_table(file: VideoFile) -> FrameTable:
    """The table of a file; the last ones are kept, so that the windows of a video share one.

    Raises:
        FormatError: if the file is not a video of an allowed container and codec, has no frame or too many, or its
            frames do not come in the order of their times.
    """
    if (known := known_table(file)) is not None:
        return known
    with reported("read"):
        table = _from_first_picture(file, _read(file))
    remember(file, table)
    return table


def known_table(file: VideoFile) -> FrameTable | None:
    """The table of a file, if this process has made or read it lately."""
    if (known := _tables.get(file.identity)) is not None:
        _tables.move_to_end(file.identity)
    return known


def remember(file: VideoFile, table: FrameTable) -> None:
    """Keeps the table of a file in memory, for its next window."""
    _tables[file.identity] = table
    if len(_tables) > KEPT:
        _tables.popitem(last=False)


def _read(file: VideoFile) -> FrameTable:
    with open_video(file) as container:
        found = _from_header(file, container) if container_format(file) == "mp4" else None
    with open_video(file) as container:
        if found is None:
            listing = list_frames(container)
            if not listing.exact:
                hint = _AVI if container_format(file) == "avi" else ""
                raise FormatError(f"not every frame of the video has a time of its own{hint}")
            found = np.array(listing.pts, np.int64), np.array(listing.is_key, bool)
        stream = container.streams.video[0]
        context = stream.codec_context
        if not len(found[0]):
            raise FormatError("video has no frame")
        rate = float(stream.average_rate or 0)
        unit = Fraction(stream.time_base)
        return FrameTable(*found, unit, rate, int(context.height), int(context.width))


def _from_first_picture(file: VideoFile, table: FrameTable) -> FrameTable:
    """The table without what does not decode at the start of a file that begins in the middle of a group.

    Raises:
        FormatError: if its times were made up, which its first frames show.
    """
    came: list[int] = []
    with reported("read"), open_video(file) as container, suppress(av.error.FFmpegError):
        pictures = islice(container.decode(container.streams.video[0]), _ORDER_SHOWS)
        came.extend(
            picture.pts for picture in pictures
        )  # up to damage, which is for whoever meets it
    first = table.number_of(came[0]) if came else 0
    if first is None or came != table.pts[first : first + len(came)].tolist():
        raise FormatError("the video's frames do not come in the order of their times")
    return replace(table, pts=table.pts[first:], is_key=table.is_key[first:])


_Listed = tuple[Int64[np.ndarray, "n"], Bool[np.ndarray, "n"]]


def _from_header(file: VideoFile, container: Any) -> _Listed | None:
    """Times and key frames without the packets; None where the header alone does not tell them."""
    stream = container.streams.video[0]
    entries = stream.index_entries
    count = len(entries)
    if not 0 < count <= MAX_FRAMES:
        return None
    decoded = np.fromiter((entry.timestamp for entry in entries), np.int64, count)
    is_key = np.fromiter((entry.is_keyframe for entry in entries), bool, count)
    if np.any(np.diff(decoded) <= 0) or any(entry.is_discard for entry in entries):
        return None
    offsets = _composition_offsets(file, count)
    first = next(container.demux(stream))
    if offsets is None or first.pts is None:
        return None
    shown = decoded + offsets
    shown += first.pts - shown[0]
    if len(np.unique(shown)) != count or not _agrees(container, decoded, shown, is_key):
        return None
    order = np.argsort(shown, kind="stable")
    return shown[order], is_key[order]


def _agrees(
    container: Any,
    decoded: Int64[np.ndarray, "n"],
    shown: Int64[np.ndarray, "n"],
    is_key: Bool[np.ndarray, "n"],
) -> bool:
    """Whether packets at three places are what is said of them."""
    stream = container.streams.video[0]
    for place in (0, len(decoded) // 2, len(decoded) - 1):
        container.seek(int(decoded[place]), stream=stream, backward=True)
        for packet in islice(container.demux(stream), _COMPARED):
            if packet.size == 0:
                break
            if packet.dts is None:
                return False
            row = int(np.searchsorted(decoded, packet.dts))
            if row == len(decoded) or decoded[row] != packet.dts:
                return False
            if packet.pts != shown[row] or packet.is_keyframe != is_key[row] or packet.is_discard:
                return False
    return True


def _composition_offsets(file: VideoFile, count: int) -> Int64[np.ndarray, "n"] | None:
    """How much later than it is decoded each sample of the first video track is shown; None where that is not told."""
    for start, end in _inside(file, [(0, len(file))], b"moov", b"trak"):
        media = list(_inside(file, [(start, end)], b"mdia"))
        handlers = [file[a + 8 : a + 12] for a, _ in _inside(file, media, b"hdlr")]
        if handlers != [b"vide"]:
            continue
        tables = list(_inside(file, media, b"minf", b"stbl", b"ctts"))
        if not tables:
            return np.zeros(count, np.int64)
        return _runs(file[tables[0][0] : tables[0][1]], count)
    return None


def _runs(table: bytes, count: int) -> Int64[np.ndarray, "n"] | None:
    """The rows (samples, offset) of a composition table, written out; None if they are not for so many samples."""
    rows = np.frombuffer(table[8 : 8 + len(table[8:]) // 8 * 8], ">i4").reshape(-1, 2)
    rows = rows[: int.from_bytes(table[4:8], "big")].astype(np.int64)
    if np.any(rows[:, 0] < 0) or rows[:, 0].sum() != count:
        return None
    return np.repeat(rows[:, 1], rows[:, 0])


def _inside(
    file: VideoFile, spans: list[tuple[int, int]], *names: bytes
) -> Iterator[tuple[int, int]]:
    """Where the contents of boxes lie that are reached by these names; `check_claims` has walked through them."""
    for start, end in spans:
        found = [(a, b) for name, a, b in _boxes(file, start, end) if name == names[0]]
        yield from found if len(names) == 1 else _inside(file, found, *names[1:])


def _boxes(file: VideoFile, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while place + 8 <= end:
        head = file[place : place + 16]
        size, first = int.from_bytes(head[:4], "big"), place + 8
        if size == 1:
            size, first = int.from_bytes(head[8:16], "big"), place + 16
        stop = min(end, place + size if size else end)
        if stop < first:
            return
        yield head[4:8], first, stop
        place = stop
