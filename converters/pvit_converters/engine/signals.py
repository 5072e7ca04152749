"""Stopping on request: Ctrl-C and SIGTERM become an exception that leaves nothing half-done behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
