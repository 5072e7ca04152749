"""Large arrays used again: filling fresh memory costs three times as much as filling memory that is already there."""

from __future__ import annotations

import sys

import numpy as np

MAX_KEPT = 3
_REFERENCES = 3
"""Of an array that nobody else holds: the list's, the loop's and `getrefcount`'s own."""


class Buffers:
    """Float arrays of one shape; one is handed out again as soon as nobody holds it, or any view or tensor of it."""

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []

    def take(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array with arbitrary contents."""
        self._kept = [array for array in self._kept if array.shape == shape]
        for array in self._kept:
            if sys.getrefcount(array) == _REFERENCES:
                return array
        fresh = np.empty(shape, np.float32)
        if len(self._kept) < MAX_KEPT:
            self._kept.append(fresh)
        return fresh
