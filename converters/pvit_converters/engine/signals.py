"""Stopping on request: Ctrl-C and SIGTERM become an exception that leaves nothing half-done behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from pvit_data.errors import Interrupted


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into `Interrupted`; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(_number: int, _frame: Any) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(message)

    for number in previous:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Processes and threads started in the block never get SIGINT; this thread gets it after the block.

    Ctrl-C goes to every process of a terminal's job; only the one that leads should answer.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Starting this helper process unblocks SIGINT in the thread that does it; so it must be running before.
    resource_tracker.ensure_running()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
