"""Long videos with known frames, quickly: packets of a dark group are repeated, and only some spans are drawn.

A drawn frame shows its own number: sixteen cells, four by four, of which the bright ones are the number's bits.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

SIDE, _CELL, _BITS = 64, 16, 16  # pixels
_DARK, _BRIGHT = 40, 215
_DELAY = 2  # frames that are decoded before the first one is shown
_FILLER = 24  # frames, all zero
_OPTIONS = {
    "crf": "20",
    "preset": "veryfast",
    "bf": "2",
    "x264-params": "keyint=48:scenecut=0:b-adapt=0",
}


def numbered(number: int) -> UInt8[np.ndarray, "64 64 3"]:
    """The picture of a number below 65,536."""
    bits = (number >> np.arange(_BITS).reshape(4, 4)) & 1
    cells = np.where(bits == 1, _BRIGHT, _DARK).astype(np.uint8)
    return np.repeat(cells.repeat(_CELL, 0).repeat(_CELL, 1)[..., None], 3, 2)


Draw = Callable[[int], UInt8[np.ndarray, "64 64 3"]]


def number_of(picture: UInt8[np.ndarray, "h w 3"]) -> int:
    """The number that a picture shows, at whatever size."""
    height, width = picture.shape[:2]
    cells = picture[: height // 4 * 4, : width // 4 * 4].reshape(4, height // 4, 4, width // 4, 3)
    bits = cells.mean((1, 3, 4)).ravel() > (_DARK + _BRIGHT) / 2
    return int((bits * (1 << np.arange(_BITS))).sum())


def write_long_video(
    path: Path,
    frames: int,
    rate: Fraction,
    spans: Sequence[range],
    *,
    late: int = 0,
    draw: Draw = numbered,
) -> None:
    """Writes a video (MP4, or Matroska by the path's ending) whose frames show their numbers within the spans, else 0.

    Args:
        path: of the file.
        frames: in all.
        rate: frames per second.
        spans: ascending, apart.
        late: frames by which the stream starts after 0.
        draw: the picture of a frame within the spans, by its number.
    """
    container = "matroska" if path.suffix == ".mkv" else "mp4"
    dark = _segment([0] * _FILLER, rate, numbered)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        av.open(io.BytesIO(dark)) as template,
        av.open(str(path), "w", format=container, options={"fflags": "+bitexact"}) as out,
    ):
        stream: Any = out.add_stream_from_template(template.streams.video[0])
        stream.time_base = 1 / rate
        for start, packets in _pieces(frames, rate, spans, _packets(dark, rate), draw):
            for payload, pts, dts, is_key in packets:
                packet = av.Packet(payload)
                packet.pts, packet.dts = start + pts + late, start + dts + late
                packet.time_base, packet.stream, packet.is_keyframe = 1 / rate, stream, is_key
                out.mux(packet)


_Packet = tuple[bytes, int, int, bool]
"""Bytes, place of being shown and of being decoded, and whether it is a key frame."""


def _pieces(
    frames: int, rate: Fraction, spans: Sequence[range], dark: list[_Packet], draw: Draw
) -> Iterator[tuple[int, list[_Packet]]]:
    """Segments with the number of their first frame. Before a span they are as long as there is room."""
    place = 0
    for span in [*spans, range(frames, frames)]:
        while place < span.start:
            count = min(_FILLER, span.start - place)
            short = (
                _packets(_segment([0] * count, rate, numbered), rate) if count < _FILLER else dark
            )
            yield place, short
            place += count
        if span:
            yield place, _packets(_segment(list(span), rate, draw), rate)
            place = span.stop


def _segment(numbers: list[int], rate: Fraction, draw: Draw) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream: Any = out.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.height = stream.width = SIDE
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for number in numbers:
            picture = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def _packets(segment: bytes, rate: Fraction) -> list[_Packet]:
    opened: Any = av.open(io.BytesIO(segment))
    with opened as source:
        stream: Any = source.streams.video[0]
        step = 1 / (rate * Fraction(stream.time_base))
        return [
            (bytes(packet), round(packet.pts / step), place - _DELAY, packet.is_keyframe)
            for place, packet in enumerate(p for p in source.demux(stream) if p.size)
        ]
