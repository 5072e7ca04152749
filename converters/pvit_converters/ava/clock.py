"""AVA's clock: which frames of a movie stand at the places of a stream of 30 frames per second that starts at 900 s.

The published preparation cuts a movie at 900 s and resamples it to 30 frames per second. So place 0 is the first frame
shown at or after 900 s from the start of the stream, and place k the frame nearest to k/30 s after that one, the later
of two. Whole numbers throughout: times in seconds would decide ties by their rounding.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Int64

RATE = 30
START = 900  # seconds
FIRST, LAST = 902, 1798  # annotated seconds


def places_around(second: int, context: int) -> Int64[np.ndarray, "p"]:
    """The places of a second's clip, the second itself at the middle one; none before the start."""
    centre = (second - START) * RATE
    places = np.arange(centre - context // 2, centre + context // 2)
    from_start: Int64[np.ndarray, "p"] = np.maximum(places, 0)
    return from_start


def first_frame(pts: Int64[np.ndarray, "n"], unit: Fraction, start: int) -> int:
    """The first frame shown at or after so many seconds from the first one; the number of frames if there is none."""
    shown = (pts - pts[0]) * unit.numerator
    return int(np.searchsorted(shown, start * unit.denominator))


def frames_at(
    pts: Int64[np.ndarray, "n"], unit: Fraction, first: int, places: Int64[np.ndarray, "p"]
) -> Int64[np.ndarray, "p"]:
    """The frames at some places of the clock that starts with frame `first`.

    >>> frames_at(np.arange(24), Fraction(1, 24), 0, np.arange(9)).tolist()
    [0, 1, 2, 2, 3, 4, 5, 6, 6]
    """
    shown = (pts[first:] - pts[first]) * (RATE * unit.numerator)
    middles = shown[1:] + shown[:-1]
    frames: Int64[np.ndarray, "p"] = first + np.searchsorted(
        middles, 2 * places * unit.denominator, side="right"
    )
    return frames
