"""Which part of a frame a clip shows: a random crop in training, the published ones in evaluation."""

from __future__ import annotations

import math

import numpy as np

from pvit_data.clips.config import ClipConfig
from pvit_data.clips.geometry import Geometry, whole_frame
from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_PIXELS


def training_crop(
    source: tuple[int, int], config: ClipConfig, flip: float, rng: np.random.Generator
) -> Geometry:
    """A random training view: a crop of a randomly scaled frame, mirrored with probability `flip`."""
    window = _resized_crop(source, config, rng) if config.area else _jittered(source, config, rng)
    shrink = _shrink(source, window, config.size)
    rows, columns = (part - part % shrink for part in window)
    top, left = (
        int(rng.integers(0, (full - part) // shrink, endpoint=True)) * shrink
        for full, part in zip(source, (rows, columns), strict=True)
    )
    mirrored = bool(rng.random() < flip)
    return Geometry(
        source, (top, left), (rows, columns), config.size, (0, 0), config.size, mirrored, shrink
    )


def _shrink(source: tuple[int, int], window: tuple[int, int], size: tuple[int, int]) -> int:
    """The strongest whole-number shrinking (of JPEG decoders: 2, 4, 8) that still leaves more pixels than needed."""
    fits = (s for s in (8, 4, 2) if all(n % s == 0 for n in source))
    return next(
        (s for s in fits if all(part // s >= out for part, out in zip(window, size, strict=True))),
        1,
    )


def evaluation_crop(
    source: tuple[int, int], config: ClipConfig, index: int = 0, views: int = 1
) -> Geometry:
    """The published evaluation view: the frame resized to a short side, then crop `index` of `views` along the long.

    One view is the centre; of three, 0 is left (top), 1 centre, 2 right (bottom): offsets 0, ceil((L - S) / 2), L - S
    (PySlowFast slowfast/datasets/transform.py, uniform_crop).
    """
    scale = (
        max(out / full for out, full in zip(config.size, source, strict=True)) * config.eval_scale
    )
    # Floor of the exact product, so that the long side is floor(long / short * size) as published.
    resized = tuple(
        max(int(full * scale + 1e-6), out) for full, out in zip(source, config.size, strict=True)
    )
    slack = [full - out for full, out in zip(resized, config.size, strict=True)]
    offset = [math.ceil(s / 2) for s in slack]
    if views > 1:
        longer = 0 if slack[0] > slack[1] else 1
        offset[longer] = (slack[longer] * index + views - 2) // (views - 1)
    return Geometry(
        source, (0, 0), source, (resized[0], resized[1]), (offset[0], offset[1]), config.size
    )


def uncropped(source: tuple[int, int], config: ClipConfig, step: int) -> Geometry:
    """The whole frame, its short side as long as a clip is high, its long side as its shape wants it.

    Args:
        step: sides are multiples of it; the long side is the largest one that keeps the shape.

    Raises:
        FormatError: if that makes too large a clip.
    """
    short = config.size[0]
    long = max(int(max(source) / min(source) * short + 1e-6) // step * step, short)
    if config.num_frames * short * long > MAX_PIXELS:
        raise FormatError(
            f"frames of {source[1]} x {source[0]} pixels, {config.num_frames} of them {short} pixels high and whole: a "
            f"clip has at most {MAX_PIXELS:,} pixels; evaluate it with crops"
        )
    return whole_frame(source, (long, short) if source[0] > source[1] else (short, long))


def _jittered(
    source: tuple[int, int], config: ClipConfig, rng: np.random.Generator
) -> tuple[int, int]:
    low, high = config.jitter
    share = rng.uniform(1 / high, 1 / low)
    unit = min(full / out for full, out in zip(source, config.size, strict=True))
    # A jitter below 1 would need pixels outside the frame: the window then is as large as the frame allows.
    window = [max(round(min(share, 1.0) * unit * out), 1) for out in config.size]
    return min(window[0], source[0]), min(window[1], source[1])


def _resized_crop(
    source: tuple[int, int], config: ClipConfig, rng: np.random.Generator
) -> tuple[int, int]:
    assert config.area is not None
    for _ in range(10):
        area = rng.uniform(*config.area) * source[0] * source[1]
        aspect = math.exp(rng.uniform(*np.log(config.aspect)))
        window = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < window[0] <= source[0] and 0 < window[1] <= source[1]:
            return window
    side = min(source)
    return side, side
