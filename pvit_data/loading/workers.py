"""Worker processes of a loader: how they meet signals, how their deaths are noticed and told, how they end.

PyTorch reports a dead worker by raising from a SIGCHLD handler, wherever the program happens to be: in the middle of a
training step, in an except block, in a destructor. Here that happens only while a batch is being waited for; a death at
any other time is noticed when the next batch is asked for.
"""

from __future__ import annotations

import atexit
import ctypes
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any
from weakref import WeakSet

from pvit_data.errors import PvitError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h
GRACE = 2.0  # seconds that workers get to end by themselves
_live: WeakSet[BaseProcess] = WeakSet()
_waiting = 0
_pytorchs_handler: Any = None


def start_worker(worker: int) -> None:
    """In a worker: ignore Ctrl-C and the first SIGTERM, and keep memory for the next batch.

    Stopping is the trainer's decision; a signal to the whole process group must not take its data away.
    """
    _keep_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _first_sigterm)


def _keep_memory() -> None:
    # The C library of Linux gives every large array back to the system and takes fresh pages for the next one:
    # without this a tenth of a worker's time goes into page faults.
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def _first_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def watch(batches: Any) -> None:
    """Takes the workers of a DataLoader's iterator under watch."""
    global _pytorchs_handler
    _live.update(processes(batches))
    current = signal.getsignal(signal.SIGCHLD)
    if (
        threading.current_thread() is threading.main_thread()
        and current is not _child_ended
        and processes(batches)
    ):
        _pytorchs_handler = current
        signal.signal(signal.SIGCHLD, _child_ended)


def _child_ended(number: int, frame: FrameType | None) -> None:
    if callable(_pytorchs_handler) and (_waiting or not any(p.exitcode for p in list(_live))):
        _pytorchs_handler(number, frame)


def next_batch(batches: Any) -> Any:
    """The next item of a DataLoader's iterator, with deaths of workers reported in here and nowhere else.

    Raises:
        RuntimeError: if a worker died or is silent for longer than the timeout. Also OSError, EOFError.
    """
    global _waiting
    _waiting += 1
    try:
        if dead := [p for p in processes(batches) if p.exitcode]:
            raise RuntimeError(f"worker process {dead[0].pid} ended since the last batch")
        return next(batches)
    finally:
        _waiting -= 1


def failure(batches: Any, error: Exception, step: int, keys: list[str]) -> PvitError:
    """What went wrong with the workers, in one line, after ending them all.

    Args:
        batches: the DataLoader's iterator.
        error: what it raised.
        step: the batch that was waited for.
        keys: the sample that each worker began last.
    """
    time.sleep(0.2)  # a broken pipe can be seen before the death that broke it
    workers = processes(batches)
    dead = [f"worker {i} ({_ending(p.exitcode)})" for i, p in enumerate(workers) if p.exitcode]
    kill(workers)
    who = " and ".join(dead) or "no worker died, one is stuck"
    last = ", ".join(f"worker {i}: '{key}'" for i, key in enumerate(keys))
    detail = str(error).splitlines()[0] if str(error) else "no message"
    return PvitError(
        f"loading batch {step} failed: {who}; last sample of {last}; a restart resumes at this batch "
        f"({type(error).__name__}: {detail})"
    )


def _ending(exitcode: int) -> str:
    if -exitcode == signal.SIGBUS:  # writing to shared memory that the system has not got
        return "killed by SIGBUS: /dev/shm is full; give the container more (--ipc=host) or use fewer workers"
    if -exitcode == signal.SIGKILL:
        return "killed by SIGKILL, as the system does when memory runs out"
    return (
        f"killed by {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"
    )


def kill(workers: list[BaseProcess]) -> None:
    """Ends worker processes at once; they hold nothing that could be lost."""
    for process in workers:
        with suppress(
            ValueError, AssertionError
        ):  # already closed, or inherited by a fork and not ours to end
            process.kill()
            process.join(1)


@atexit.register
def _kill_leftovers() -> None:
    # Workers of iterators that nobody closed: multiprocessing would send the one SIGTERM they ignore, then wait.
    kill(list(_live))


def close(batches: Any) -> None:
    """Ends a DataLoader's iterator in good order, now and not when the garbage collector finds it.

    A worker that is in the middle of a batch, for which it may wait long, is ended after `GRACE`: it holds nothing that
    could be lost, and PyTorch would wait ten seconds for each of them.
    """
    shutdown = getattr(batches, "_shutdown_workers", None)
    if shutdown is None:
        return
    late = None
    if threading and not sys.is_finalizing():  # the names of a module go before the last generator
        late = threading.Timer(GRACE, _end, [processes(batches)])
        late.daemon = True
        late.start()
    try:
        shutdown()
    finally:
        if late is not None:
            late.cancel()


def _end(workers: list[BaseProcess]) -> None:
    for process in workers:
        with suppress(ValueError, AssertionError):
            process.kill()


def processes(batches: Any) -> list[BaseProcess]:
    """The worker processes of a DataLoader's iterator; none without workers."""
    return list(getattr(batches, "_workers", []))
