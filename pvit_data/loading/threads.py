"""`Threads`: a few that work for the one that builds batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

MOST = 4
"""That work side by side: they take turns at Python itself, and more of them gain nothing."""
Thing = TypeVar("Thing")
Made = TypeVar("Made")


class Threads:
    """Threads that keep no process from ending, whatever they still wait for.

    Args:
        most: how many; each begins when there is something to do for it.
        name: of each of them.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name, self._begun = most, name, 0
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()

    def submit(self, action: Callable[[], Thing]) -> Future[Thing]:
        """What an action will give, or raise."""
        future: Future[Thing] = Future()
        self._tasks.put((future, action))
        if self._begun < self._most:
            self._begun += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def close(self) -> None:
        """Ends each thread after what it is at."""
        for _ in range(self._begun):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            future, action = task
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(action())
                except BaseException as error:
                    future.set_exception(error)
            del task, future, action  # a thread that waits holds no bytes


def threads(useful: int) -> int:
    """How many to work with: as many as PyTorch computes with in this process, up to `MOST`.

    Args:
        useful: no more than so many.
    """
    import torch

    return max(1, min(MOST, useful, torch.get_num_threads()))


def side_by_side(
    make: Callable[[Thing], Made], things: Iterable[Thing], threads: int
) -> Iterator[Callable[[], Made]]:
    """For each thing, in order, what gives the thing made of it, or raises what making it did.

    Args:
        make: is called once for each thing, at the latest when the result is asked for.
        things: as many as may be made before the first is taken.
        threads: that make them; 1: the calling one does, when it asks.
    """
    if threads < 2:
        yield from (partial(make, thing) for thing in things)
        return
    pool = Threads(threads, "pvit-build")
    coming = deque(pool.submit(partial(make, thing)) for thing in things)
    try:
        while coming:
            yield coming.popleft().result
    finally:
        for future in coming:
            future.cancel()
        pool.close()
