"""Persons of simulated AVA who show what they do: the colour of each is an action, a mark on it another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from pvit_converters.simulate.long_video import SIDE
from pvit_converters.simulate.tree import rng_of

POSES = {
    1: (205, 50, 50), 8: (50, 190, 60), 10: (60, 80, 215), 11: (210, 200, 50), 12: (190, 60, 200), 14: (60, 200, 205),
}  # fmt: skip
"""Colour by action; everybody has one of them."""
MARKS = {17: (250, 250, 250), 59: (8, 8, 8), 66: (250, 130, 20)}
"""Colour of the mark by action; one in two persons has one of them."""
STREAMS = 1000  # of random numbers, for each movie
SECONDS = tuple(range(902, 1799, 14))
"""In which somebody acts; nobody does in between."""
_SLOT, _MARK = 21, 8  # pixels


@dataclass(frozen=True)
class Actor:
    """A person in a second.

    Args:
        left, top, right, bottom: in pixels, the last ones not in it.
        acts: its actions.
    """

    left: int
    top: int
    right: int
    bottom: int
    acts: tuple[int, ...]

    def corners(self, shift: float = 0.0) -> str:
        """As AVA writes them, moved to the right by some pixels."""
        places = (self.left + shift, self.top, self.right + shift, self.bottom)
        return ",".join(f"{min(max(place / SIDE, 0), 1):.3f}" for place in places)


def actors(seed: int, movie: int, second: int) -> list[Actor]:
    """Who acts in a second of a movie, from left to right: one to three persons."""
    rng = rng_of(seed, STREAMS * movie + second)
    found = []
    for slot in sorted(rng.permutation(SIDE // _SLOT)[: int(rng.integers(1, 4))].tolist()):
        left, width = slot * _SLOT + int(rng.integers(0, 4)), int(rng.integers(15, 18))
        top, bottom = int(rng.integers(4, 14)), int(rng.integers(52, 62))
        acts = [int(rng.choice(list(POSES)))]
        if rng.random() < 0.5:
            acts.append(int(rng.choice(list(MARKS))))
        found.append(Actor(left, top, left + width, bottom, tuple(acts)))
    return found


def drawn(people: list[Actor], frame: int) -> UInt8[np.ndarray, "64 64 3"]:
    """A frame, 30 per second: they sway by a pixel, and stand where their boxes are at full seconds."""
    ground = np.linspace(50, 90, SIDE).astype(np.uint8)
    picture = np.tile(ground[:, None, None], (1, SIDE, 3))
    sway = round(float(np.sin(2 * np.pi * frame / 30)))
    for actor in people:
        left, right = actor.left + sway, actor.right + sway
        picture[actor.top : actor.bottom, max(left, 0) : right] = POSES[actor.acts[0]]
        for act in actor.acts[1:]:
            y, x = (actor.top + actor.bottom - _MARK) // 2, (left + right - _MARK) // 2
            picture[y : y + _MARK, x : x + _MARK] = MARKS[act]
    return picture


def rows(name: str, seed: int, movie: int) -> Iterator[str]:
    """Ground truth of a movie."""
    for second in SECONDS:
        for person, actor in enumerate(actors(seed, movie, second)):
            box = f"{name},{second:04d},{actor.corners()}"
            yield from (f"{box},{act},{person}" for act in actor.acts)


def detections(name: str, seed: int, movie: int) -> Iterator[str]:
    """Of a detector that is a pixel off, and now and then sees somebody who is not there, or is not sure."""
    for number, second in enumerate(SECONDS):
        people = actors(seed, movie, second)
        for place, actor in enumerate(people):
            shift = (number + place) % 3 - 1
            yield f"{name},{second:04d},{actor.corners(shift)},,{0.99 - 0.05 * place:.3f}"
        if number % 8 == 0:
            yield f"{name},{second:04d},0.010,0.020,0.160,0.120,,0.850"
        if number % 5 == 0:
            yield f"{name},{second:04d},0.500,0.020,0.660,0.220,,0.600"
