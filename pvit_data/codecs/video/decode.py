"""Bytes to frames: the asked ones, all, or those before the first damage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import av.error
import numpy as np
from jaxtyping import Integer, UInt8

from pvit_data.codecs.video.container import Listing, list_frames, open_video, reported
from pvit_data.codecs.video.cut import cut_off
from pvit_data.codecs.video.picture import PartReader, orientation
from pvit_data.codecs.video.seeking import by_seeking, front_to_back
from pvit_data.codecs.video.survey import VideoInfo, first_look, missing_frames, ordered_frames
from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES, check_decoded

__all__ = ["VideoInfo", "decode_sound", "decode_video", "frame_rate", "probe_video"]


def probe_video(data: bytes) -> VideoInfo:
    """Length, rate and size as the container lists them; only the first frame is decoded (`survey` decodes all).

    The frames of AVI files, and of those that begin in the middle of a group, are counted: not all listed ones decode.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec, or too large.
    """
    with reported("read"), open_video(data) as container:
        listing = list_frames(container)
        total = len(listing.pts)
        if not total:
            raise FormatError(f"video has 0 frames, expected 1 to {MAX_FRAMES}")
        first = next(front_to_back(data), None)
        if first is None:
            raise FormatError("video has no frame that can be decoded")
        if not (listing.exact and listing.is_key[0] and first.pts == listing.pts[0]):
            total = _count(data)
        rate = float(container.streams.video[0].average_rate or 0)
        return VideoInfo(total, rate, *orientation(first).size(first.height, first.width))


def frame_rate(data: bytes) -> float:
    """Frames per second as the container says, 0 where it does not; no frame is decoded.

    Raises:
        FormatError: if the bytes are not a video of an allowed container and codec.
    """
    with reported("read"), open_video(data) as container:
        return float(container.streams.video[0].average_rate or 0)


def _count(data: bytes) -> int:
    count = 0
    with suppress(av.error.FFmpegError):
        for _ in front_to_back(data):
            count += 1
    return count


def decode_video(
    data: bytes,
    frames: Integer[np.ndarray, "n"] | range | None = None,
    size: tuple[int, int] | None = None,
    window: Window | None = None,
    *,
    checked: bool = False,
) -> UInt8[np.ndarray, "n h w 3"]:
    """Decodes exactly the asked frames to sRGB, seeking to key frames where that saves decoding.

    Args:
        data: the file.
        frames: frame numbers in any order, repeats allowed. Default: all that the decoder gives.
        size: (height, width) to cut padded pictures to. Default: as decoded.
        window: the part of each picture wanted, at full resolution. Default: everything.
        checked: the file is known to be sound (`survey`), as those in shards are. Others are decoded from the start
            up to the last asked frame, until that has shown how far their times can be trusted.

    Raises:
        FormatError: if the file is damaged, not allowed, too large, or has no such frame.
    """
    with reported("decoded"), open_video(data) as container:
        listing = list_frames(container, closed=not checked)
        total = len(listing.pts)
        context = container.streams.video[0].codec_context
        count = total if frames is None else len(frames)
        check_decoded("video", 3 * count * context.height * context.width)
        if frames is None:
            return _stack(front_to_back(data), total, PartReader(size, window))
        picks = [int(f) for f in frames]
        if picks and (min(picks) < 0 or (listing.exact and max(picks) >= total)):
            raise FormatError(f"video has {total} frames, asked for {min(picks)} to {max(picks)}")
        if not picks:
            sides = (window.height, window.width) if window else size
            return np.empty((0, *(sides or (context.height, context.width)), 3), np.uint8)
        pictures = numbered_pictures(data, container, listing, sorted(set(picks)), checked)
        return _collect(pictures, picks, PartReader(size, window))


def decode_sound(data: bytes) -> tuple[UInt8[np.ndarray, "n h w 3"], str]:
    """The frames before the first that the decoder marks as damaged, and what is wrong; "" if all are there and sound.

    Raises:
        FormatError: if there are none, or the pictures change their size.
    """
    damage: list[str] = []

    def pictures() -> Iterator[Any]:
        number = 0
        try:
            for number, picture in enumerate(front_to_back(data, careful=True)):
                if picture.is_corrupt:
                    damage.append(f"frame {number} is damaged")
                    return
                yield picture
        except av.error.FFmpegError as error:
            damage.append(f"a frame after frame {number} does not decode: {error}")

    with reported("decoded"), open_video(data) as container:
        listing = list_frames(container)
        frames = _stack(pictures(), len(listing.pts), PartReader(None, None))
    return frames, "".join(damage) or cut_off(data) or missing_frames(listing, len(frames))


def numbered_pictures(
    data: bytes, container: Any, listing: Listing, numbers: list[int], checked: bool
) -> Iterator[tuple[int, Any]]:
    """Pictures with their numbers, in this order; those that are not there do not come.

    By seeking where that is known to be right, and from the start before a frame is said to be missing.

    Args:
        data: the file.
        container, listing: of it.
        numbers: of frames, ascending.
        checked: see `decode_video`.
    """
    missing = set(numbers)
    known = len(listing.pts) if checked else ordered_frames(data)
    if listing.exact and known is not None and numbers[-1] < known:
        with suppress(av.error.FFmpegError):
            for number, picture in by_seeking(container, listing, numbers):
                missing.discard(number)
                yield number, picture
    if not missing:
        return
    last = max(missing)
    if listing.exact and known != 0 and not checked:
        pictures: Iterable[tuple[int, Any]] = first_look(data, container, listing, last)
    else:
        pictures = enumerate(islice(front_to_back(data), last + 1))
    for number, picture in pictures:
        if number in missing:
            yield number, picture


def _collect(
    pictures: Iterable[tuple[int, Any]], picks: list[int], part: PartReader
) -> UInt8[np.ndarray, "n h w 3"]:
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(picks):
        places.setdefault(frame, []).append(place)
    out: UInt8[np.ndarray, "n h w 3"] | None = None
    for number, picture in pictures:
        rgb = part.read(picture)
        if out is None:
            out = np.empty((len(picks), *rgb.shape), np.uint8)
        _check_size(out, rgb, number)
        out[places.pop(number)] = rgb
    if places or out is None:
        raise FormatError(f"video has no frame {min(places)}: it decodes, and ends before that")
    return out


def _stack(pictures: Iterable[Any], listed: int, part: PartReader) -> UInt8[np.ndarray, "n h w 3"]:
    """All pictures; room is made for as many as are listed, and for more if they come."""
    out: UInt8[np.ndarray, "n h w 3"] | None = None
    count = 0
    for number, picture in enumerate(pictures):
        rgb = part.read(picture)
        if out is None:
            check_decoded("video", listed * rgb.nbytes)
            out = np.empty((max(listed, 1), *rgb.shape), np.uint8)
        if number == len(out):
            check_decoded("video", 2 * out.nbytes)
            out = np.concatenate([out, np.empty_like(out)])
        _check_size(out, rgb, number)
        out[number], count = rgb, number + 1
    if out is None:
        raise FormatError("no frame of it can be decoded")
    return out[:count]


def _check_size(
    out: UInt8[np.ndarray, "n h w 3"], rgb: UInt8[np.ndarray, "h w 3"], number: int
) -> None:
    if rgb.shape != out.shape[1:]:
        sizes = f"from {out.shape[1:3]} to {rgb.shape[:2]}"
        raise FormatError(f"video changes its size {sizes} at frame {number}")
