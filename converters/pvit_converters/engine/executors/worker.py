"""A worker process of `processes`: takes tasks from one pipe, tells on another what it does.

It leaves Ctrl-C to its parent. Told to end, or left behind by a parent that was killed, it leaves the sample it is at
and removes the temporary file of its shard.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from enum import Enum
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from pvit_converters.engine.signals import asked_again, release_signals
from pvit_converters.engine.task import run_task

GRACE = 5.0  # seconds for leaving; long calls into decoders hear of signals only when they return


class Word(Enum):
    """What a worker tells, each with a value."""

    READY = 0  # it waits for its first task; None
    BEGIN = 1  # the key of the sample that it begins
    TICK = 2  # the number of samples that it finished
    DONE = 3  # the outcome of the task; it waits for the next
    RAISED = 4  # the error that ended the task, pickled, and as text; it waits for the next


def serve(tasks: Connection, words: Connection) -> None:
    """The worker's life: one task after the other, until the parent closes the pipe.

    Args:
        tasks: gives pickled tasks.
        words: takes pairs of a `Word` and its value.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_when_asked()
    release_signals()
    threading.Thread(target=_outlive_no_parent, daemon=True).start()
    try:
        with asked_again(SystemExit, _leave_when_asked):
            _tell(words, Word.READY, None)
            while True:
                try:
                    packed = tasks.recv_bytes()
                except EOFError:
                    return
                _work(packed, words)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it leaves already, for whatever reason


def _work(packed: bytes, words: Connection) -> None:
    try:
        outcome = run_task(
            pickle.loads(packed),
            tick=lambda number: _tell(words, Word.TICK, number),
            begin=lambda key: _tell(words, Word.BEGIN, key),
        )
    except Exception as error:
        error.add_note(traceback.format_exc())  # the other side sees nothing of this one
        _tell(words, Word.RAISED, (_packed(error), f"{type(error).__name__}: {error}"))
    else:
        _tell(words, Word.DONE, outcome)


def _tell(words: Connection, word: Word, value: Any) -> None:
    try:
        words.send((word, value))
    except BrokenPipeError:
        raise SystemExit(1) from None  # nobody listens any more


def _packed(error: Exception) -> bytes:
    try:
        return pickle.dumps(error)
    except Exception:  # of whatever an exception of whatever library holds
        return b""


def unpacked(packed: bytes, text: str) -> Exception:
    """The error that a worker raised, or its text where it cannot be sent."""
    try:
        error: Exception = pickle.loads(packed)
    except Exception:
        return RuntimeError(text)
    return error


def _leave_when_asked() -> int:
    signal.signal(signal.SIGTERM, _leave)
    return signal.SIGTERM


def _leave(_number: int, _frame: Any) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # asked twice, it would stumble while it leaves
    raise SystemExit(1)


def _outlive_no_parent() -> None:
    parent = parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)
