"""The frames around one second: those that the clip's places need, each once, at the movie's own rate and size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64, UInt8

from pvit_converters.ava.clock import RATE, START, first_frame, frames_at, places_around
from pvit_converters.raw.images import read_image
from pvit_converters.raw.listing import list_files
from pvit_converters.raw.windows import opened_video
from pvit_data.errors import SourceError

if TYPE_CHECKING:
    from pvit_data.codecs.video import VideoInfo

_FRAME = re.compile(r"(?:.*_)?(\d{4,6})\.jpe?g\Z", re.IGNORECASE)
_FASTEST = 31.0  # frames per second: above it the published preparation itself lags
_CLAMPED = 1  # second that may be missing at the end: its last frame stands for it, as published loaders do
LAGS, DAMAGED = "rate-above-30-published-frames-lag", "window-ends-at-damage"


@dataclass(frozen=True)
class Window:
    """A clip around a second.

    Args:
        data: H.264 in MP4.
        info: what it holds.
        grid: the stored frame of each place.
        frames: number of each stored frame in the movie, or in the folder from 0.
        warnings: what was wrong with the movie.
    """

    data: bytes
    info: VideoInfo
    grid: Int64[np.ndarray, "p"]
    frames: Int64[np.ndarray, "n"]
    warnings: tuple[str, ...] = ()


def read_movie(path: Path, second: int, context: int, *, is_cut: bool, short_side: int) -> Window:
    """From a whole movie, or from one that was cut at 900 s.

    Raises:
        SourceError: if it cannot be read, or ends before that second (`"too-short"`).
    """
    from pvit_data.codecs.video.long import encode_window

    with opened_video(path) as (file, table):
        first = first_frame(table.pts, table.unit, 0 if is_cut else START)
        places = places_around(second, context)
        if first >= len(table):
            raise _too_short(path, second, f"{table.times[-1]:.0f} s long")
        picked = frames_at(table.pts, table.unit, first, places)
        if table.times[-1] - table.times[first] < second - START - _CLAMPED:
            raise _too_short(path, second, f"{table.times[-1]:.0f} s long")
        frames, grid = np.unique(picked, return_inverse=True)
        rate = min(table.rate, RATE) if table.rate > _FASTEST else table.rate
        cut = encode_window(file, replace(table, rate=rate), frames.tolist(), short_side=short_side)
    warnings = ((LAGS,) if table.rate > _FASTEST else ()) + ((DAMAGED,) if cut.damage else ())
    if cut.info.num_frames <= grid[context // 2]:
        raise SourceError(
            f"{path}: second {second} is damaged ({cut.damage})", reason="corrupt-video"
        )
    stored = cut.info.num_frames
    return Window(cut.data, cut.info, np.minimum(grid, stored - 1), frames[:stored], warnings)


def read_folder(folder: Path, second: int, context: int, *, short_side: int) -> Window:
    """From a folder of frames, 30 per second, the first one at 900 s.

    Raises:
        SourceError: if frames are missing, damaged or of several sizes.
    """
    from pvit_data.codecs.video import VideoInfo
    from pvit_data.codecs.video.encode import encode_pictures, usual_gop
    from pvit_data.codecs.video.part import shrunk

    names = {int(m[1]) - 1: n for n in list_files(folder) if (m := _FRAME.match(n))}
    if not names:
        raise SourceError(f"{folder}: no frame such as ID_000001.jpg in it", reason="empty-folder")
    places = np.minimum(places_around(second, context), max(names))
    if max(names) < (second - START - _CLAMPED) * RATE:
        raise _too_short(folder, second, f"of {max(names) + 1} frames")
    frames, grid = np.unique(places, return_inverse=True)
    if missing := [number for number in frames.tolist() if number not in names]:
        raise SourceError(
            f"{folder}: frame {missing[0] + 1} is missing among its neighbours",
            reason="missing-file",
        )
    first = _rgb(folder / names[int(frames[0])])

    def pictures() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for number in frames.tolist():
            picture = _rgb(folder / names[number])
            if picture.shape != first.shape:
                raise SourceError(
                    f"{folder / names[number]}: {picture.shape}, the first of this window is {first.shape}",
                    reason="size-mismatch",
                )
            yield shrunk(picture, short_side)

    height, width = shrunk(first, short_side).shape[:2]
    data = encode_pictures(pictures(), (height, width), float(RATE), usual_gop(len(frames)))
    return Window(data, VideoInfo(len(frames), float(RATE), height, width), grid, frames)


def _rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    picture = read_image(path)
    if picture.dtype != np.uint8:
        raise SourceError(f"{path}: has 16 bits, expected a photograph", reason="corrupt-image")
    colour = picture[..., :3] if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    return np.ascontiguousarray(colour)


def _too_short(path: Path, second: int, length: str) -> SourceError:
    return SourceError(
        f"{path}: is {length}, and has no second {second}; get it again, or check that it is the whole movie",
        reason="too-short",
    )
