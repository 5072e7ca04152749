"""A part of a video as a file of its own: copied packet by packet where that gives these frames, else encoded anew.

Pictures go through one by one, so that the length of a part costs no memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import av
import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from pvit_data.codecs.video.container import list_frames, open_video, reported
from pvit_data.codecs.video.decode import numbered_pictures
from pvit_data.codecs.video.encode import encode_pictures, usual_gop
from pvit_data.codecs.video.picture import PartReader, orientation
from pvit_data.codecs.video.seeking import front_to_back
from pvit_data.codecs.video.survey import VideoInfo, survey
from pvit_data.errors import FormatError

_ORDER_SHOWS = 32  # frames: no encoder holds more back
_OF_WEBM = frozenset({"vp8", "vp9", "av1", "libdav1d"})


def decoded_bytes(data: bytes) -> int:
    """What all frames that the container lists would take as pictures; none is decoded.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec.
    """
    with reported("read"), open_video(data) as container:
        context = container.streams.video[0].codec_context
        return 3 * len(list_frames(container).pts) * int(context.height * context.width)


def frame_times(data: bytes) -> Float64[np.ndarray, "n"]:
    """When each frame is shown, in seconds from the first one; no frame is decoded.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec, it has no frame, or tells neither
            times nor rate.
    """
    with reported("read"), open_video(data) as container:
        stream = container.streams.video[0]
        listing = list_frames(container)
        if not listing.pts:
            raise FormatError("video has no frame")
        if listing.exact:
            pts = np.array(listing.pts, np.int64)
            times: Float64[np.ndarray, "n"] = (pts - pts[0]) * float(stream.time_base)
            return times
        if not stream.average_rate:
            raise FormatError("video tells neither times of its frames nor a rate")
        return np.arange(len(listing.pts)) / float(stream.average_rate)


def is_seekable(data: bytes, frames: range) -> bool:
    """Whether frames can be sought without a look at all that comes before them.

    So it is if the key frame before them needs nothing that comes earlier, and the first frames of the file come in the
    order of their times: files whose times were made up show that at once. For others `survey` finds it out.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec.
    """
    with reported("read"), open_video(data) as container:
        listing = list_frames(container, closed=True)
        if not listing.exact or frames.start >= len(listing.pts):
            return False
        keys = [n for n in range(frames.start + 1) if listing.is_key[n]]
        if not keys or listing.pts[keys[-1]] not in listing.closed:
            return False
        came = [picture.pts for picture in islice(front_to_back(data), _ORDER_SHOWS)]
        return came == listing.pts[: len(came)]


def copy_part(data: bytes, frames: range) -> bytes | None:
    """These frames' packets in a file of their own; None where they do not stand for themselves.

    They do between key frames that need nothing before them: the first one is such, and so is what follows the last.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec.
    """
    with reported("read"), open_video(data) as container:
        muxer = muxer_of(container)
        if muxer is None:
            return None
        listing = list_frames(container, closed=True)
        total = len(listing.pts)
        ends = [n for n in (frames.start, frames.stop) if n < total]
        if not listing.exact or any(listing.pts[n] not in listing.closed for n in ends):
            return None
        first = next(front_to_back(data), None)
        if first is None or not orientation(first).is_upright:
            return None
    part = _remuxed(data, muxer, {listing.pts[n] for n in frames})
    found = survey(part)
    return part if found.problem is None and found.info.num_frames == len(frames) else None


def muxer_of(container: Any) -> str | None:
    """FFmpeg's name of what writes a part of a video; None where its packets are not copied."""
    if "mp4" in container.format.name:
        return "mp4"
    codec = container.streams.video[0].codec_context.name
    return "webm" if "webm" in container.format.name and codec in _OF_WEBM else None


def _remuxed(data: bytes, muxer: str, wanted: set[int]) -> bytes:
    buffer, start = io.BytesIO(), min(wanted)
    with (
        reported("cut"),
        open_video(data) as source,
        av.open(buffer, "w", format=muxer, options={"fflags": "+bitexact"}) as target,
    ):
        stream: Any = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size and packet.pts in wanted:
                packet.pts -= start
                packet.dts = None if packet.dts is None else packet.dts - start
                packet.stream = copied
                target.mux(packet)
    return buffer.getvalue()


def encode_part(
    data: bytes,
    frames: range,
    *,
    short_side: int = 0,
    gop: int = 0,
    fps: float = 0.0,
    checked: bool = True,
) -> tuple[bytes, VideoInfo]:
    """Some frames of a video as H.264 in MP4.

    Args:
        data: the file.
        frames: numbers of the frames, ascending.
        short_side: of the pictures in pixels, if they are larger; 0: as they are.
        gop: largest distance of key frames; 0: as `encode_video`.
        fps: rate, if the file has a higher one; frames are left out, and none is made. 0: as it is.
        checked: its times are trusted, so that frames are sought; see `decode_video`.

    Returns:
        The file, and what it holds.

    Raises:
        FormatError: if a frame is not there or does not decode, or pictures change their size.
    """
    with reported("decoded"), open_video(data) as container:
        rate = float(container.streams.video[0].average_rate or 0)
    picks, rate = thinned(frames, rate, fps)
    pictures = _pictures(data, picks, short_side, checked)
    first = next(pictures, None)
    if first is None:
        raise FormatError("video has none of the wanted frames")
    size = first.shape[0], first.shape[1]
    counted = _Counted(chain([first], pictures), size)
    encoded = encode_pictures(counted, size, rate, gop or usual_gop(len(picks)))
    if counted.count != len(picks):
        raise FormatError(f"video has {counted.count} of {len(picks)} wanted frames: it ends early")
    return encoded, VideoInfo(len(picks), rate, *size)


class _Counted:
    """Pictures of one size; `count` says how many have come."""

    def __init__(
        self, pictures: Iterable[UInt8[np.ndarray, "h w 3"]], size: tuple[int, int]
    ) -> None:
        self._pictures, self._size, self.count = pictures, size, 0

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for picture in self._pictures:
            self.count += 1
            if picture.shape[:2] != self._size:
                raise FormatError(
                    f"video changes its size from {self._size} to {picture.shape[:2]}"
                )
            yield picture


def thinned(frames: range, rate: float, wanted: float) -> tuple[list[int], float]:
    """Frames for a lower rate, each the nearest one in time, and the rate that they have.

    >>> thinned(range(10, 16), 30.0, 15.0), thinned(range(3), 12.0, 24.0)
    (([10, 12, 14], 15.0), ([0, 1, 2], 12.0))
    """
    if not 0 < wanted < rate:
        return list(frames), rate
    steps = np.floor(np.arange(len(frames)) * rate / wanted + 0.5).astype(np.int64)
    return [frames[n] for n in steps[steps < len(frames)].tolist()], wanted


def _pictures(
    data: bytes, picks: list[int], short_side: int, checked: bool
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    part = PartReader(None, None)
    with reported("decoded"), open_video(data) as container:
        listing = list_frames(container, closed=not checked)
        for _, picture in numbered_pictures(data, container, listing, picks, checked):
            yield shrunk(part.read(picture), short_side)


def shrunk(picture: UInt8[np.ndarray, "h w 3"], short_side: int) -> UInt8[np.ndarray, "H W 3"]:
    """A picture whose shorter side is at most this long; the other one becomes even. 0: as it is."""
    height, width = picture.shape[:2]
    if not 0 < short_side < min(height, width):
        return picture
    factor = short_side / min(height, width)
    sides = [
        short_side if side == min(height, width) else 2 * round(side * factor / 2)
        for side in (height, width)
    ]
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((sides[1], sides[0]), Image.Resampling.BICUBIC))
