"""Frames to H.264 in MP4. What we write is BT.601 and says so, so that readers which ignore the tag agree as well."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from pvit_data.sample.limits import check_picture

CRF = 18
SHORT_CLIP = 64  # frames; a clip of this length or shorter gets the shorter distance of key frames
GOP_SHORT, GOP_LONG = 16, 32
DEFAULT_RATE = 30.0  # played at, where the source tells no rate
SLOWEST, FASTEST = 1e-4, 1e5  # frames per second; FFmpeg writes no MP4 of rates far below
_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT
# ITU-T H.273: matrix SMPTE 170M, primaries BT.709, transfer sRGB, limited range
_BT601, _BT709, _SRGB, _LIMITED = 6, 1, 13, 1


def encode_video(
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: float,
    crf: int = CRF,
    gop: int | None = None,
    preset: str = "medium",
) -> bytes:
    """Encodes sRGB frames as H.264 (yuv420p, one thread, the same bytes every time with the same libraries).

    Args:
        frames: the clip.
        fps: frame rate; 0 is written as 30, others as the nearest that an MP4 can say.
        crf: quality; lower is better.
        gop: largest distance of key frames. Default: 16 up to 64 frames, else 32.
        preset: x264's speed preset.
    """
    height, width = frames.shape[1:3]
    return encode_pictures(frames, (height, width), fps, gop or usual_gop(len(frames)), crf, preset)


def usual_gop(num_frames: int) -> int:
    """The largest distance of key frames in a clip of this length, where nobody asks for another."""
    return GOP_SHORT if num_frames <= SHORT_CLIP else GOP_LONG


def encode_pictures(
    pictures: Iterable[UInt8[np.ndarray, "h w 3"]],
    size: tuple[int, int],
    fps: float,
    gop: int,
    crf: int = CRF,
    preset: str = "medium",
) -> bytes:
    """The same of pictures of one (height, width) that come one by one; no more are held than x264 needs."""
    height, width = size
    check_picture("video", height, width)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        rate = playing_rate(fps)
        stream: Any = container.add_stream("libx264", rate=rate, options=_options(crf, gop, preset))
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count, context.flags = 1, context.flags | _BITEXACT
        context.colorspace, context.color_primaries = _BT601, _BT709
        context.color_trc, context.color_range = _SRGB, _LIMITED
        for number, pixels in enumerate(pictures):
            even = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
            picture = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="itu601"
            )
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def playing_rate(fps: float) -> Fraction:
    """The fraction of small numbers next to a frame rate; never zero."""
    fps = min(max(fps or DEFAULT_RATE, SLOWEST), FASTEST)
    if fps < 1:
        return 1 / Fraction(1 / fps).limit_denominator(1001)
    return Fraction(fps).limit_denominator(1001)


def _options(crf: int, gop: int, preset: str) -> dict[str, str]:
    return {
        "crf": str(crf),
        "preset": preset,
        "tune": "fastdecode",
        "g": str(gop),
        # x264's macroblock tree gives other bytes from call to call at some sizes (96 and 240 pixels, for example).
        "x264-params": "mbtree=0",
    }
