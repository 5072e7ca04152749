"""The point of no return: in which frame of a clip an object's state changes, if it does (Ego4D)."""

from __future__ import annotations

import math
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target

NO_CHANGE = -1
FIRST, LAST = "parent_start", "parent_end"


def pnr(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Float64 (3,): number of the clip's frame nearest to the change, its time, and the length of the window.

    Without a change (an empty table of actions) the number is -1 and the time 0. Times are seconds by the official
    rate, frames per annotated second (`pvit_data.scoring.metrics.ego4d`), of windows whose metadata say them; so is the
    frame of the change the one of the metadata, whatever the rate of the video.
    """
    if sample.actions is None:
        return None
    steps, rate = _window(sample)
    if not len(sample.actions):
        return Target(np.array([NO_CHANGE, 0.0, steps / rate]), np.array(True))
    change = _change(sample, float(sample.actions.start[0]))
    nearest = int(np.argmin(np.abs(frames - change)))
    return Target(np.array([nearest, change / rate, steps / rate], np.float64), np.array(True))


def _change(sample: Sample, second: float) -> int:
    """The stored frame in which the state changes: as the metadata number it, else by its time."""
    about = About.of(sample.meta)
    if about.event is None or about.start is None:
        return round(second * sample.fps)
    return about.event - about.start


def _window(sample: Sample) -> tuple[int, float]:
    """Steps from frame to frame of a whole window, and its frames per second."""
    told = [sample.meta.get(f"{end}_{unit}") for unit in ("frame", "sec") for end in (FIRST, LAST)]
    numbers = [float(value) for value in told if _is_number(value)]
    if len(numbers) == len(told):
        first, last, start, end = numbers
        if last > first and end > start:
            return int(last - first), (last - first + 1) / (end - start)
    return max(sample.num_frames - 1, 1), sample.fps or 1.0


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def shapes(config: ClipConfig) -> Shapes:
    """(3,) and ()."""
    return (3,), ()


TARGET = TargetSpec(
    name="pnr",
    field="actions",
    build=pnr,
    shapes=shapes,
    dtype="float64",
    downstream_only=True,
)
