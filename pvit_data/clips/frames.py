"""Which frames of a video become the T frames of a clip: one function per published rule.

Every function returns T frame indices, ascending, repeated where the video is shorter: a still is its one frame T
times. Training draws from `rng`; evaluation passes None and gets the published deterministic clip.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.about import About
from pvit_data.errors import ConfigError

Sampler = Literal["segment", "dense", "fit", "whole", "keyframe", "ego4d-grid"]
NUMBERED = frozenset({"keyframe", "ego4d-grid"})
"""Samplers that go by numbers of frames in a sample's record."""
WindowStart = Literal["intended", "published"]

BY_SOURCE: dict[str, Sampler] = {
    "ssv2": "segment",  # PySlowFast slowfast/datasets/ssv2.py, whatever its SAMPLING_RATE says
    "something-else": "segment",
    "diving48": "segment",
    "kinetics400": "dense",
    "ava": "keyframe",
    "ego4d": "ego4d-grid",
}
"""The published rule of the downstream datasets, for manifests that declare no sampler."""


def published(source: str, declared: str = "", other: Sampler = "fit") -> Sampler:
    """The sampler of a source: what its manifest declares, else the published rule of its name, else another."""
    return cast(Sampler, declared) if declared else BY_SOURCE.get(source, other)


def segment(
    num_frames: int, length: int, rng: np.random.Generator | None = None
) -> Int64[np.ndarray, "t"]:
    """One frame from each of `length` equal segments of the whole video: random in training, else the middle one.

    Segment ends are rounded half to even and both belong to the segment (PySlowFast slowfast/datasets/ssv2.py).
    """
    ends = np.round(np.arange(length + 1) * ((num_frames - 1) / length)).astype(np.int64)
    start, stop = ends[:-1], ends[1:]
    if rng is None:
        middle: Int64[np.ndarray, "t"] = (start + stop) // 2
        return middle
    return rng.integers(start, stop, endpoint=True)


def dense(
    num_frames: int,
    length: int,
    rng: np.random.Generator | None = None,
    *,
    rate: float = 4,
    fps: float = 0.0,
    target_fps: float = 30.0,
    view: tuple[int, int] = (0, 1),
) -> Int64[np.ndarray, "t"]:
    """A span of `rate * length` frames at `target_fps`, cut at a random place, or at place i of n for `view=(i, n)`.

    The indices are linspace(start, start + span - 1), truncated and clamped, so that short videos repeat their last
    frame (PySlowFast slowfast/datasets/decoder.py with USE_OFFSET_SAMPLING).

    Args:
        fps: native frame rate; 0 (unknown) counts as `target_fps`.
    """
    span = max(1.0, rate * length / target_fps * (fps or target_fps))
    last = max(num_frames - span, 0.0)
    index, views = view
    if rng is not None:
        start = float(rng.uniform(0, last))
    else:
        start = float(last // 2 if views == 1 else index * (last // (views - 1)))
    places = np.linspace(start, start + span - 1, length)
    return np.clip(places, 0, num_frames - 1).astype(np.int64)


def fit(
    num_frames: int, length: int, rng: np.random.Generator | None = None, *, rate: float = 4
) -> Int64[np.ndarray, "t"]:
    """As `dense` at the native frame rate, but a video shorter than the span gets a lower rate, not a frozen end."""
    return dense(num_frames, length, rng, rate=min(rate, num_frames / length))


def whole(num_frames: int, length: int) -> Int64[np.ndarray, "t"]:
    """Frames spread evenly from the first to the last."""
    return np.round(np.linspace(0, num_frames - 1, length)).astype(np.int64)


def keyframe(num_frames: int, length: int, centre: int, *, rate: int = 4) -> Int64[np.ndarray, "t"]:
    """Every `rate`-th frame with `centre` at position `length // 2`, clamped (AVA; PySlowFast utils.get_sequence)."""
    return np.clip(centre + rate * (np.arange(length) - length // 2), 0, num_frames - 1).astype(
        np.int64
    )


def _around_key(num_frames: int, length: int, about: About, rate: int) -> Int64[np.ndarray, "t"]:
    if about.grid:  # places of a stream of another rate, the key frame in their middle
        kept = len(about.grid)
        places = kept // 2 + rate * (np.arange(length) - length // 2)
        if (
            places[0] < 0 or places[-1] >= kept
        ):  # where a movie ends, the grid itself repeats a frame
            raise ConfigError(
                f"clips of {length} frames at rate {rate} need {rate * length} places around a key frame, and "
                f"{kept} were kept; AVA converted with --context 96 has 96, else take fewer "
                "(clip.num_frames, clip.rate)"
            )
        stored: Int64[np.ndarray, "t"] = np.array(about.grid, np.int64)[places]
        return _inside(stored, num_frames)
    centre = num_frames // 2 if about.key_frame is None else about.key_frame
    return keyframe(num_frames, length, centre, rate=rate)


def ego4d_grid(start: int, end: int, length: int = 16) -> Int64[np.ndarray, "t"]:
    """Numbers, in the full video, of the frames of a window: multiples of a step (EGO4D/hands-and-objects).

    The step is the larger one of the two whole numbers next to `(end - start) / length` where that gives frames enough.

    Args:
        start, end: frames of the full video, the end not in it.
    """
    count = max(end - start, 1)
    for step in (-(-count // length), max(count // length, 1)):
        first = -(-start // step) * step
        found = np.arange(first, max(end, first + 1), step, dtype=np.int64)[:length]
        if len(found) == length:
            return found
    return np.pad(found, (0, length - len(found)), mode="edge")


def ego4d_window(
    start_sec: float,
    end_sec: float,
    event: int | None,
    rng: np.random.Generator,
    window_start: WindowStart = "intended",
) -> tuple[int, int]:
    """A training window of 5 to 8 s inside a row's, as frames at 30 per second; the state change is always in it.

    Source: EGO4D/hands-and-objects. Its code draws the start between 8 - L and 1 s (`"published"`), L being the length,
    where anything from 0 to 8 - L is meant (`"intended"`).
    """
    longest = min(8.0, end_sec - start_sec)
    duration = rng.uniform(min(5.0, longest), longest)
    left_over = longest - duration
    earliest = min(1.0, left_over) if window_start == "published" else 0.0
    latest = max(1.0, left_over) if window_start == "published" else left_over
    begin = start_sec + rng.uniform(earliest, latest)
    end = min(begin + duration, end_sec)
    first, last = int(begin * 30), int(end * 30)
    if event is not None and event < first:
        first = int(start_sec * 30)
    if event is not None and event > last:
        last = int(end_sec * 30)
    return first, last


def _of_window(
    num_frames: int,
    length: int,
    rng: np.random.Generator | None,
    about: About,
    window_start: WindowStart,
) -> Int64[np.ndarray, "t"]:
    if about.start is None or about.end is None:
        return whole(num_frames, length)
    start, end = about.start, about.end
    if rng is not None:
        seconds = about.seconds or (start / 30, end / 30)
        start, end = ego4d_window(*seconds, about.event, rng, window_start)
    stored: Int64[np.ndarray, "t"] = ego4d_grid(start, end, length) - about.start
    return _inside(stored, num_frames)


def _inside(frames: Int64[np.ndarray, "t"], num_frames: int) -> Int64[np.ndarray, "t"]:
    inside: Int64[np.ndarray, "t"] = np.clip(frames, 0, num_frames - 1)
    return inside


def choose(
    sampler: Sampler,
    num_frames: int,
    length: int,
    rng: np.random.Generator | None = None,
    *,
    rate: int = 4,
    fps: float = 0.0,
    view: tuple[int, int] = (0, 1),
    about: About | None = None,
    window_start: WindowStart = "intended",
) -> Int64[np.ndarray, "t"]:
    """The frames of a clip by the name of the rule.

    Args:
        view: temporal view i of n in evaluation; only `dense` has different ones.
        about: what the sample itself says of its place; default: nothing.
        window_start: see `ego4d_window`.

    Raises:
        ConfigError: if the rule is unknown, the video has no frame, or fewer places around its key frame were kept
            than the clip needs.
    """
    if num_frames < 1:
        raise ConfigError(f"cannot sample a clip of {length} frames from a video of {num_frames}")
    if sampler == "segment":
        return segment(num_frames, length, rng)
    if sampler == "dense":
        return dense(num_frames, length, rng, rate=rate, fps=fps, view=view)
    if sampler == "fit":
        return fit(num_frames, length, rng, rate=rate)
    if sampler == "whole":
        return whole(num_frames, length)
    if sampler == "keyframe":
        return _around_key(num_frames, length, about or About(), rate)
    if sampler == "ego4d-grid":
        return _of_window(num_frames, length, rng, about or About(), window_start)
    raise ConfigError(
        f"unknown clip sampler '{sampler}': expected segment, dense, fit, whole, keyframe or "
        "ego4d-grid"
    )
