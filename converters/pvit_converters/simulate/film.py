"""Makes a render look filmed: exposure, white balance, gamma, blur and noise; and encodes videos.

All nuisances scale with one number, `gap` (0 = a clean render). Compression itself comes from the video encoder.
"""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

Array = np.ndarray
Container = Literal["webm", "mp4", "avi"]


def _blur(image: Array, amount: float) -> Array:
    """A separable three-tap blur of (T,H,W,3); amount 0 leaves the image as it is."""
    side = amount / (1 + 2 * amount)
    for axis in (1, 2):
        padded = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        size = image.shape[axis]
        before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
        image = image * (1 - 2 * side) + (before + after) * side
    return image


def develop(
    radiance: Float[np.ndarray, "t h w 3"], rng: np.random.Generator, gap: float
) -> UInt8[np.ndarray, "t h w 3"]:
    """Linear radiance as the 8-bit frames of a camera whose flaws have strength `gap`."""
    balance = 1 + gap * rng.uniform(-0.15, 0.15, 3)
    gamma = 1 / (2.2 * (1 + gap * rng.uniform(-0.2, 0.2)))
    image = np.clip(radiance * (0.85 * balance).astype(np.float32), 0, 1) ** np.float32(gamma)
    if gap > 0:
        image = _blur(image, gap * rng.uniform(0.0, 0.8))
        image = image + rng.normal(0, 1, image.shape).astype(np.float32) * np.float32(
            gap * rng.uniform(0.01, 0.05)
        )
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255)).astype(np.uint8)


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
