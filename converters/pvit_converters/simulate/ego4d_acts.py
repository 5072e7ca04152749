"""Windows of simulated Ego4D that show what happens in them: a thing takes another colour, or keeps the one it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from pvit_converters.simulate.long_video import SIDE
from pvit_converters.simulate.tree import rng_of

STATES = ((225, 120, 30), (40, 90, 220))
"""Colour of the thing in either state."""
STREAMS = 1000  # of random numbers, for each video


@dataclass(frozen=True)
class Event:
    """What a window shows.

    Args:
        left, top, side: of the thing, in pixels.
        state: that it is in first.
        change: frame of the video with which it is in the other one; None: it never is.
    """

    left: int
    top: int
    side: int
    state: int
    change: int | None


def event(seed: int, video: int, window: range, change: int | None) -> Event:
    """The event of a window: which state comes first says nothing of whether there is another one."""
    rng = rng_of(seed, STREAMS * video + window.start)
    side = int(rng.integers(28, 37))
    left, top = (int(place) for place in rng.integers(2, SIDE - side - 2, 2))
    return Event(left, top, side, int(rng.integers(2)), change)


def drawn(what: Event, frame: int) -> UInt8[np.ndarray, "64 64 3"]:
    """A frame: the thing sways by two pixels, before a ground that grows brighter downwards."""
    ground = np.linspace(60, 120, SIDE).astype(np.uint8)
    picture = np.tile(ground[:, None, None], (1, SIDE, 3))
    left = what.left + round(2 * float(np.sin(2 * np.pi * frame / 45)))
    changed = what.change is not None and frame >= what.change
    colour = STATES[what.state ^ int(changed)]
    picture[what.top : what.top + what.side, left : left + what.side] = colour
    return picture
