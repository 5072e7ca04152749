"""How far a conversion is, counted from whichever process and thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Told how many samples are done, of how many."""


class Ticks:
    """Adds up ticks, from whichever thread, and passes the sum on."""

    def __init__(self, progress: Progress, done: int, total: int) -> None:
        self._progress, self._done, self._total = progress, done, total
        self._lock = threading.Lock()
        progress(done, total)

    def __call__(self, count: int) -> None:
        with self._lock:
            self._done = min(self._done + count, self._total)
            self._progress(self._done, self._total)

    def complete(self) -> None:
        """Messages of a cluster's workers may come late or, after a death, twice."""
        self._progress(self._total, self._total)
