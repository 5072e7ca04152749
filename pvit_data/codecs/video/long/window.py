"""Frames of a long video by their numbers: from the key frame before them on, and no further than they reach.

A key frame that is known to need nothing before it is a place to start at. Of others that is not known (open groups of
H.264 and HEVC), so that decoding begins one key frame earlier.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from pvit_data.codecs.video.container import open_video, reported
from pvit_data.codecs.video.encode import encode_pictures, usual_gop
from pvit_data.codecs.video.file import VideoFile
from pvit_data.codecs.video.key_frames import is_closed
from pvit_data.codecs.video.long.table import FrameTable
from pvit_data.codecs.video.part import muxer_of, shrunk
from pvit_data.codecs.video.picture import PartReader, orientation
from pvit_data.codecs.video.survey import VideoInfo, survey
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_MEMBER_BYTES


@dataclass(frozen=True)
class Cut:
    """Frames of a video as a file of their own.

    Args:
        data: H.264 in MP4.
        info: what it holds.
        damage: why it has fewer frames than were asked for; "": it has all.
    """

    data: bytes
    info: VideoInfo
    damage: str = ""


def pictures_at(
    file: VideoFile, table: FrameTable, numbers: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Pictures with their numbers, in this order.

    Args:
        file: a video.
        table: of it.
        numbers: of frames, ascending, each once.

    Raises:
        FormatError: at the first that is not in the table, does not decode, or is damaged.
    """
    if numbers and not 0 <= numbers[0] <= numbers[-1] < len(table):
        raise FormatError(f"video has {len(table)} frames, asked for {numbers[0]} to {numbers[-1]}")
    place = 0
    with reported("decoded"), open_video(file) as container:
        while place < len(numbers):
            for number, picture in _decoded_from(container, table, numbers[place]):
                if number < numbers[place]:
                    continue
                if number > numbers[place] or picture.is_corrupt:
                    raise FormatError(f"frame {numbers[place]} of the video is damaged")
                yield number, picture
                place += 1
                if place == len(numbers) or _is_far(table, number, numbers[place]):
                    break
            else:
                raise FormatError(f"the video ends before its frame {numbers[place]} decodes")


def _is_far(table: FrameTable, number: int, following: int) -> bool:
    """Whether two key frames lie ahead: a jump to the next one would cost as much as decoding on."""
    return int(np.count_nonzero(table.is_key[number + 1 : following + 1])) > 1


def _decoded_from(container: Any, table: FrameTable, number: int) -> Iterator[tuple[int, Any]]:
    """Pictures from some frame before `number` on, with their numbers."""
    first, packets = _sought(container, table, number)
    for packet in chain([first], packets):
        for picture in packet.decode():
            found = table.number_of(picture.pts)
            if found is not None:
                yield found, picture


def _sought(container: Any, table: FrameTable, number: int) -> tuple[Any, Iterator[Any]]:
    """The first packet that has to be decoded for a frame, and those that follow."""
    stream = container.streams.video[0]
    passed = 0
    for key in table.keys_before(number):
        container.seek(int(table.pts[key]), stream=stream, backward=True)
        packets = container.demux(stream)
        first = next(packets)
        if first.pts is None or first.pts > table.pts[key]:
            continue
        passed += 1
        if key == 0 or passed > 1 or is_closed(first, stream.codec_context):
            return first, packets
    raise FormatError(f"the video cannot be sought before frame {number}")


def encode_window(
    file: VideoFile, table: FrameTable, numbers: Sequence[int], *, short_side: int = 0, gop: int = 0
) -> Cut:
    """Some frames of a video as H.264 in MP4, up to the first that is damaged; held one by one.

    Args:
        file: a video.
        table: of it.
        numbers: of frames, ascending, each once.
        short_side: of the pictures in pixels, if they are larger; 0: as they are.
        gop: largest distance of key frames; 0: as `encode_video`.

    Raises:
        FormatError: if the first frame is not there, or pictures change their size.
    """
    frames = _Frames(file, table, numbers, short_side)
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise FormatError(frames.damage or "no frame of the video was asked for")
    size = first.shape[0], first.shape[1]
    data = encode_pictures(
        chain([first], pictures), size, table.rate, gop or usual_gop(len(numbers))
    )
    return Cut(data, VideoInfo(frames.count, table.rate, *size), frames.damage)


class _Frames:
    """Pictures of one size as arrays, up to the first that is damaged; `count` and `damage` tell how it went."""

    def __init__(
        self, file: VideoFile, table: FrameTable, numbers: Sequence[int], short_side: int
    ) -> None:
        self._asked = file, table, numbers
        self._short_side = short_side
        self.count, self.damage = 0, ""

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        part, size = PartReader(None, None), None
        pictures = pictures_at(*self._asked)
        while True:
            try:
                found = next(pictures, None)
            except FormatError as error:
                self.damage = f"at frame {self._asked[2][self.count]}: {error}"
                return
            if found is None:
                return
            rgb = shrunk(part.read(found[1]), self._short_side)
            if size not in (None, rgb.shape):
                raise FormatError(f"video changes its size from {size} to {rgb.shape}")
            size, self.count = rgb.shape, self.count + 1
            yield rgb


def copy_window(file: VideoFile, table: FrameTable, frames: range) -> bytes | None:
    """These frames' packets in a file of their own; None where they do not stand for themselves (see `copy_part`).

    Raises:
        FormatError: if the packets cannot be read, or take more than a sample may have.
    """
    ends = [n for n in (frames.start, frames.stop) if n < len(table)]
    with reported("cut"), open_video(file) as source:
        muxer = muxer_of(source)
        first = next(source.decode(source.streams.video[0]), None)
        if muxer is None or first is None or not orientation(first).is_upright:
            return None
        if not all(_begins(source, table, number) for number in ends):
            return None
        part = _remuxed(source, muxer, table, frames)
    found = survey(part)
    return part if found.problem is None and found.info.num_frames == len(frames) else None


def _begins(container: Any, table: FrameTable, number: int) -> bool:
    """Whether a key frame that needs nothing before it is found where a frame is sought."""
    stream, pts = container.streams.video[0], int(table.pts[number])
    container.seek(pts, stream=stream, backward=True)
    packet = next(container.demux(stream))
    return packet.pts == pts and is_closed(packet, stream.codec_context)


def _remuxed(source: Any, muxer: str, table: FrameTable, frames: range) -> bytes:
    stream, start, held = source.streams.video[0], int(table.pts[frames.start]), 0
    end = int(table.pts[frames.stop]) if frames.stop < len(table) else None
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=muxer, options={"fflags": "+bitexact"}) as target:
        copied: Any = target.add_stream_from_template(stream)
        source.seek(start, stream=stream, backward=True)
        for packet in source.demux(stream):
            if packet.size == 0 or packet.pts == end:
                break
            held += packet.size
            if held > MAX_MEMBER_BYTES:
                raise FormatError(f"the part takes more than {MAX_MEMBER_BYTES:,} bytes")
            packet.pts -= start
            packet.dts = None if packet.dts is None else packet.dts - start
            packet.stream = copied
            target.mux(packet)
    return buffer.getvalue()
