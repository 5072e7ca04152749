"""Stopping on request: Ctrl-C and SIGTERM become an exception that leaves nothing half-done behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from pvit_data.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM)
PAUSE = 0.01  # seconds


class _Stopped(BaseException):
    """The signal came. No `Exception`: whoever takes those for faults of a file, or of a sample, lets it pass."""


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into `Interrupted`; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOPPING}
    came = 0

    def stop(number: int, _frame: Any) -> None:
        nonlocal came
        came = number
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        raise _Stopped

    def begin() -> None:
        for number in previous:
            signal.signal(number, stop)

    def again() -> int:
        begin()
        return came

    try:
        begin()
        try:
            with asked_again(_Stopped, again):
                yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    except (_Stopped, Exception) as error:
        # A library that is stopped in the middle of something, an import for one, may fail in its own words.
        if came:
            raise Interrupted(message) from error
        raise


@contextmanager
def asked_again(stop: type[BaseException], ready: Callable[[], int]) -> Iterator[None]:
    """Sends a signal once more whose exception was lost: Python drops what is raised while an object is freed.

    Args:
        stop: what the signal's handler raises.
        ready: lets the handler answer again, and gives the signal's number.
    """
    usual = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if not issubclass(unraisable.exc_type, stop):
            usual(unraisable)
            return
        later = threading.Timer(PAUSE, os.kill, (os.getpid(), ready()))
        later.daemon = True
        later.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


@contextmanager
def signals_held() -> Iterator[None]:
    """Signals wait until the end of the block, so that a process that it starts is never lost from sight.

    Ctrl-C goes to every process of a terminal's job, and only the one that leads should answer: a process that starts
    with signals held says itself, with `release_signals`, when it is ready for them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Starting this helper process unblocks the signals in the thread that does it; so it must be running before.
    resource_tracker.ensure_running()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def release_signals() -> None:
    """Lets signals through that were held when this process was started."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
