"""What threads must not do twice at once: each waits while another one is at the same thing, not for other things."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from weakref import WeakSet

_all: WeakSet[Turns]


class Turns:
    """One thread at a time for each key; keys that nobody is at take no memory."""

    def __init__(self) -> None:
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._guard = threading.Lock()
        self._taken: dict[Hashable, tuple[threading.Lock, int]] = {}  # with those at it or waiting

    @contextmanager
    def at(self, *keys: Hashable) -> Iterator[None]:
        """Waits for its turn at each of some keys. Keys that threads share are given in the same order by all."""
        with ExitStack() as stack:
            for key in keys:
                stack.enter_context(self._at(key))
            yield

    @contextmanager
    def _at(self, key: Hashable) -> Iterator[None]:
        with self._guard:
            lock, number = self._taken.get(key, (threading.Lock(), 0))
            self._taken[key] = lock, number + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                number = self._taken[key][1] - 1
                if number:
                    self._taken[key] = lock, number
                else:
                    del self._taken[key]


_all = WeakSet()


def _forget_all() -> None:
    """The threads that were at something when a process forked are not in the new one."""
    for turns in list(_all):
        turns._forget()


os.register_at_fork(after_in_child=_forget_all)
