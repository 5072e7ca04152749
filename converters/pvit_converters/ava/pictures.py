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
from pvit_converters.raw.frame_folders import numbered_files
from pvit_converters.raw.images import read_image
from pvit_converters.raw.windows import opened_video
from pvit_data.errors import SourceError

if TYPE_CHECKING:
    from pvit_data.codecs.video import VideoInfo

_FASTEST = 31.0  # frames per second: above it the published preparation itself lags
CUT = 901  # seconds of a movie that published commands cut, from 900 s on
_ABOUT_A_CUT = 10  # seconds by which cuts differ at most
_CLAMPED = 1  # second that may be missing at the end: its last frame stands for it, as published loaders do
LAGS, DAMAGED = "rate-above-30-published-frames-lag", "window-ends-at-damage"
KEY_AFTER_END, ENDS_EARLY = "video-ends-before-key-frame", "video-ends-before-window"


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
        SourceError: if it cannot be read, ends before that second (`"too-short"`), or is no cut (`"not-a-cut"`).
    """
    from pvit_data.codecs.video.long import encode_window

    with opened_video(path) as (file, table):
        if is_cut:
            _require_cut(path, float(table.times[-1]), "s long")
        first = first_frame(table.pts, table.unit, 0 if is_cut else START)
        places = places_around(second, context)
        if first >= len(table):
            raise _too_short(path, second, float(table.times[-1]), is_cut)
        picked = frames_at(table.pts, table.unit, first, places)
        if table.times[-1] - table.times[first] < second - START - _CLAMPED:
            raise _too_short(path, second, float(table.times[-1]), is_cut)
        frames, grid = np.unique(picked, return_inverse=True)
        rate = min(table.rate, RATE) if table.rate > _FASTEST else table.rate
        cut = encode_window(file, replace(table, rate=rate), frames.tolist(), short_side=short_side)
    end = (float(table.times[-1] - table.times[first]) + 0.5 / max(table.rate, 1)) * RATE
    warnings = ((LAGS,) if table.rate > _FASTEST else ()) + ((DAMAGED,) if cut.damage else ())
    warnings += _ends(places, end)
    if cut.info.num_frames <= grid[context // 2]:
        raise SourceError(
            f"{path}: second {second} is damaged ({cut.damage})", reason="corrupt-video"
        )
    stored = cut.info.num_frames
    return Window(cut.data, cut.info, np.minimum(grid, stored - 1), frames[:stored], warnings)


def read_folder(folder: Path, second: int, context: int, *, short_side: int) -> Window:
    """From a folder of frames, 30 per second, the first one at 900 s.

    Raises:
        SourceError: if frames are missing, there twice, damaged or of several sizes.
    """
    from pvit_data.codecs.video import VideoInfo
    from pvit_data.codecs.video.encode import encode_pictures, usual_gop
    from pvit_data.codecs.video.part import shrunk

    name = rf"(?:(?:{re.escape(folder.name)}|img|image|frame)_)?(?P<number>\d{{4,6}})\.jpe?g\Z"
    numbered = numbered_files(
        folder, re.compile(name, re.IGNORECASE | re.ASCII), "ID_000001.jpg or img_00001.jpg"
    )
    start = min(1, *numbered)  # some programs count from 0
    files = {number - start: path for number, path in numbered.items()}
    last = max(files)
    _require_cut(folder, last / RATE, f"s long ({last + 1} frames)")
    around = places_around(second, context)
    places = np.minimum(around, last)
    if last < (second - START - _CLAMPED) * RATE:
        raise _too_short(folder, second, last / RATE, is_cut=True)
    frames, grid = np.unique(places, return_inverse=True)
    if missing := [number for number in frames.tolist() if number not in files]:
        raise SourceError(
            f"{folder}: frame {missing[0] + start} is missing among its neighbours",
            reason="missing-file",
        )
    first = _rgb(files[int(frames[0])])

    def pictures() -> Iterator[UInt8[np.ndarray, "h w 3"]]:
        for number in frames.tolist():
            picture = _rgb(files[number])
            if picture.shape != first.shape:
                raise SourceError(
                    f"{files[number]}: {picture.shape}, the first of this window is {first.shape}",
                    reason="size-mismatch",
                )
            yield shrunk(picture, short_side)

    height, width = shrunk(first, short_side).shape[:2]
    data = encode_pictures(pictures(), (height, width), float(RATE), usual_gop(len(frames)))
    info = VideoInfo(len(frames), float(RATE), height, width)
    return Window(data, info, grid, frames, _ends(around, last))


def _ends(places: Int64[np.ndarray, "p"], end: float) -> tuple[str, ...]:
    """A warning if the last frame stands for some of the places, or for the second itself."""
    if places[len(places) // 2] > end:
        return (KEY_AFTER_END,)
    return (ENDS_EARLY,) if places[-1] > end else ()


def _rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    picture = read_image(path)
    if picture.dtype != np.uint8:
        raise SourceError(f"{path}: has 16 bits, expected a photograph", reason="corrupt-image")
    colour = picture[..., :3] if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    return np.ascontiguousarray(colour)


def _require_cut(path: Path, seconds: float, long: str) -> None:
    if seconds > CUT + _ABOUT_A_CUT:
        raise SourceError(
            f"{path}: is {seconds:.0f} {long}, and a cut of AVA has {CUT} s from second {START} on; whole movies "
            "belong into videos/",
            reason="not-a-cut",
        )


def _too_short(path: Path, second: int, seconds: float, is_cut: bool) -> SourceError:
    like_cut = not is_cut and abs(seconds - CUT) <= _ABOUT_A_CUT
    remedy = (
        f"one of {CUT} s is a cut from second {START} on, and belongs into videos_15min/"
        if like_cut
        else "get it again"
    )
    return SourceError(
        f"{path}: is {seconds:.0f} s long, and has no second {second}; {remedy}", reason="too-short"
    )
