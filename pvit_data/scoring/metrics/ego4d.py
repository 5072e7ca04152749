"""Ego4D's hands and objects: when the state changes (PNR, in seconds) and whether it does (OSCC).

Official formulas of EGO4D/hands-and-objects (state-change-localization-classification, i3d-resnet50/evaluation/
metrics.py), averaged over samples. A prediction is mapped to the left edge of its bin while the network saw frames of
another grid: so even a perfect classifier keeps an error, which the honest variant has not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int64

BINS = 16
ALWAYS = 8  # the bin of the simplest prediction


@dataclass(frozen=True)
class Windows:
    """Clips of videos, as the annotations say.

    Args:
        start, end: absolute numbers of their first and last frames.
        start_sec, end_sec: the same in seconds.
        change: absolute number of the frame in which the state changes; -1: it does not, or nobody says.
    """

    start: Int64[np.ndarray, "n"]
    end: Int64[np.ndarray, "n"]
    start_sec: Float[np.ndarray, "n"]
    end_sec: Float[np.ndarray, "n"]
    change: Int64[np.ndarray, "n"]

    def keep(self, rows: Bool[np.ndarray, "n"] | Int64[np.ndarray, "m"]) -> Windows:
        """Some of the rows."""
        return Windows(
            self.start[rows], self.end[rows], self.start_sec[rows], self.end_sec[rows],
            self.change[rows],
        )  # fmt: skip

    @property
    def length(self) -> Int64[np.ndarray, "n"]:
        """Number of steps from frame to frame."""
        return np.asarray(self.end - self.start)

    @property
    def rate(self) -> Float[np.ndarray, "n"]:
        """Frames per second, as the official formula has it (30.1 rather than 30)."""
        return np.asarray((self.length + 1) / (self.end_sec - self.start_sec))


def predicted_frame(
    bins: Int[np.ndarray, "n"], windows: Windows, number: int = BINS
) -> Float[np.ndarray, "n"]:
    """What a bin of so many stands for: frames from the start of the clip."""
    return np.asarray(windows.length / number * bins)


def errors(frames: Float[np.ndarray, "n"], windows: Windows) -> Float[np.ndarray, "n"]:
    """Distance of predictions from the change of state, in seconds.

    Args:
        frames: predictions, from the start of each clip.
        windows: of clips in which the state changes.
    """
    return np.asarray(np.abs(frames - (windows.change - windows.start)) / windows.rate)


def always(windows: Windows) -> float:
    """The mean error of the middle bin, predicted for every clip."""
    middle = np.full(len(windows.start), ALWAYS)
    return mean(errors(predicted_frame(middle, windows), windows))


def sampled_frames(start: int, end: int, number: int = BINS) -> Int64[np.ndarray, "t"]:
    """The frames that the official loader shows of a clip, 16: multiples of a step, of absolute numbers.

    >>> sampled_frames(74, 314)[[0, 1, 15]]
    array([ 75,  90, 300])
    """
    length = end - start
    numbers = np.arange(start, end)
    low, high = max(1, length // number), max(1, -(-length // number))
    upper = numbers[numbers % high == 0]
    chosen = numbers[numbers % low == 0] if len(upper) < number else upper
    return np.asarray(chosen[:number], np.int64)


def shown_frame(
    bins: Int[np.ndarray, "n"], windows: Windows, number: int = BINS
) -> Float[np.ndarray, "n"]:
    """The frame that stood in a bin, from the start of the clip: the honest reading of a prediction."""
    found = np.full(len(bins), math.nan)
    rows = zip(bins.tolist(), windows.start.tolist(), windows.end.tolist(), strict=True)
    for row, (place, start, end) in enumerate(rows):
        frames = sampled_frames(start, end, number)
        if place < len(frames):
            found[row] = frames[place] - start
    return found


def bins_of(
    frames: Float[np.ndarray, "n"], windows: Windows, tolerance: float = 1e-2
) -> Int64[np.ndarray, "n"] | None:
    """The bins that predictions stand for; None where they are no edges of bins."""
    exact = frames * BINS / windows.length
    bins = np.rint(exact)
    is_edge = np.abs(exact - bins) <= tolerance
    if not (is_edge & (bins >= 0) & (bins < BINS)).all():
        return None
    return np.asarray(bins, np.int64)


def mean(values: Float[np.ndarray, "n"]) -> float:
    """Over samples; nan without any."""
    return float(values.mean()) if len(values) else math.nan
