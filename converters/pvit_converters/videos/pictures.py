"""The pictures of a clip: a still, a whole video, or a part of one, exact to the frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from pvit_converters.raw.files import open_file, read_bytes
from pvit_converters.raw.images import read_still
from pvit_converters.raw.video import MAX_FILE, Clip, clip_of
from pvit_converters.videos.files import STILLS, ending
from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.sample import EncodedMedia

if TYPE_CHECKING:
    from pvit_data.codecs.video import VideoInfo
    from pvit_data.codecs.video.long import VideoFile

LONG = (
    1 << 26
)  # bytes: parts of larger files are sought in the file, those of smaller ones in memory
CUT_SHORT = "clip-ends-after-its-video"


def read_pictures(
    path: Path, start: float | None, end: float | None, unit: str, *, copy_video: bool = False
) -> Clip:
    """The pictures of a file, or of a part of it.

    Args:
        path: of the file.
        start, end: of the part, the end not in it: seconds (each the frame that begins nearest to it), or numbers of
            frames. None: from its start, to its end.
        unit: `"seconds"` or `"frames"`.
        copy_video: keep the bytes of a whole video, whatever its codec.

    Raises:
        SourceError: if it cannot be read, or has no such part.
    """
    is_part = start is not None or end is not None
    if ending(path.name) in STILLS:
        if is_part:
            raise SourceError(f"{path}: is a picture, of which no part is cut", reason="bad-times")
        rgb, height, width = read_still(path)
        return Clip(rgb, 1, 0.0, height, width)
    if not is_part:
        return clip_of(read_bytes(path, MAX_FILE), path, copy_video=copy_video)
    try:
        return _part(path, start or 0.0, end, unit)
    except FormatError as error:
        raise SourceError(
            f"{path}: not a playable video ({error}); if it is damaged, get it again",
            reason="corrupt-video",
        ) from error


def _part(path: Path, start: float, end: float | None, unit: str) -> Clip:
    from pvit_data.codecs.video.long import VideoFile

    with VideoFile(open_file(path)) as file:
        if len(file) > LONG and (clip := _part_of_long(file, path, start, end, unit)):
            return clip
    return _part_of_short(read_bytes(path, MAX_FILE), path, start, end, unit)


def _part_of_long(
    file: VideoFile, path: Path, start: float, end: float | None, unit: str
) -> Clip | None:
    """By seeking in the file; None for one that must, and may, be decoded from its start."""
    from pvit_data.codecs.video.long import copy_window, encode_window, frame_table

    try:
        table = frame_table(file)
    except FormatError:
        if len(file) <= MAX_FILE:
            return None
        raise
    frames, warnings = _frames(table.times, path, start, end, unit)
    if len(frames) == len(table):
        whole = clip_of(read_bytes(path, MAX_FILE), path)
        return replace(whole, warnings=(*whole.warnings, *warnings))
    if (copied := copy_window(file, table, frames)) is not None:
        return _copied(copied, file[:4], warnings)
    cut = encode_window(file, table, frames)
    if cut.damage:
        raise FormatError(cut.damage)
    return _encoded(cut.data, cut.info, warnings)


def _part_of_short(data: bytes, path: Path, start: float, end: float | None, unit: str) -> Clip:
    from pvit_data.codecs.video import copy_part, encode_part, frame_times, is_seekable, survey

    times = frame_times(data)
    frames, warnings = _frames(times, path, start, end, unit)
    if len(frames) == len(times):
        whole = clip_of(data, path)
        return replace(whole, warnings=(*whole.warnings, *warnings))
    if (copied := copy_part(data, frames)) is not None:
        return _copied(copied, data[:4], warnings)
    is_sought = is_seekable(data, frames)
    if not is_sought:
        survey(data)  # once for a video, whose other parts are sought then if it is sound
    return _encoded(*encode_part(data, frames, checked=is_sought), warnings)


def _frames(
    times: Float64[np.ndarray, "n"], path: Path, start: float, end: float | None, unit: str
) -> tuple[range, tuple[str, ...]]:
    """The frames of a part, and warnings."""
    places = np.arange(len(times), dtype=np.float64) if unit == "frames" else times
    frames = range(_nearest(places, start), len(times) if end is None else _nearest(places, end))
    if not frames:
        raise SourceError(
            f"{path}: the clip from {start:g} to {'its end' if end is None else f'{end:g}'} {unit} has no frame of "
            f"this video, which has {len(times)} in {times[-1]:.2f} seconds",
            reason="bad-times",
        )
    step = float(np.median(np.diff(places))) if len(places) > 1 else 0.0
    is_short = end is not None and end > places[-1] + 1.5 * step
    return frames, (CUT_SHORT,) if is_short else ()


def _copied(data: bytes, head: bytes, warnings: tuple[str, ...]) -> Clip:
    from pvit_data.codecs.video import probe_video

    info = probe_video(data)
    media = EncodedMedia(data, "webm" if data[:4] == head == b"\x1a\x45\xdf\xa3" else "mp4")
    return Clip(media, info.num_frames, info.fps, info.height, info.width, warnings)


def _encoded(data: bytes, info: VideoInfo, warnings: tuple[str, ...]) -> Clip:
    media = EncodedMedia(data, "mp4")
    return Clip(media, info.num_frames, info.fps, info.height, info.width, warnings)


def _nearest(times: Float64[np.ndarray, "n"], wanted: float) -> int:
    """The frame that begins nearest to a time; the number of frames for what lies behind the last one.

    Tables write times with two or three digits, so that what begins a frame often lies a little before it.
    """
    step = times[-1] - times[-2] if len(times) > 1 else 1.0
    begins = np.append(times, times[-1] + step)
    middles = (begins[1:] + begins[:-1]) / 2
    return int(np.searchsorted(middles, wanted, side="right"))
