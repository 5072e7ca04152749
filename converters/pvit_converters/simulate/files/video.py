"""Video files, encoded in one thread and without time stamps of the day."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

Container = Literal["webm", "mp4", "avi"]


def encode(
    frames: UInt8[np.ndarray, "t h w 3"], fps: float, container: Container, gap: float = 0.0
) -> bytes:
    """A video file: VP9 in webm, H.264 in mp4, motion JPEG in avi; one thread, no time stamps of the day.

    x264's macroblock tree reads memory that it did not set (different bytes from one call to the next, measured with
    several presets), so it is switched off.

    Args:
        frames: sRGB.
        fps: frame rate.
        container: file type.
        gap: compression grows with it.
    """
    import av

    codec, pixels, options = {
        "webm": (
            "libvpx-vp9",
            "yuv420p",
            {"deadline": "realtime", "cpu-used": "8", "crf": str(int(20 + 20 * gap)), "b": "0"},
        ),
        "mp4": (
            "libx264",
            "yuv420p",
            {"preset": "veryfast", "crf": str(int(18 + 12 * gap)), "x264-params": "mbtree=0"},
        ),
        "avi": ("mjpeg", "yuvj420p", {"qscale": "3"}),
    }[container]
    out = io.BytesIO()
    flags = {"fflags": "+bitexact"}
    with av.open(out, "w", format=container, options=flags) as file:
        stream: Any = file.add_stream(
            codec, rate=Fraction(fps).limit_denominator(1001), options=options
        )
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixels
        stream.codec_context.thread_count = 1
        for frame in frames:
            file.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                )
            )
        file.mux(stream.encode())
    return out.getvalue()
