"""Worker processes below this one, reached over anonymous pipes: nobody else can give them work or read their answers.

Each worker has one task at a time and tells which sample it begins, so a death is blamed on the right one. Dead workers
are replaced.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import wait
from typing import Any

import cloudpickle

from pvit_converters.engine.executors.deaths import Deaths
from pvit_converters.engine.executors.here import Executor, Result
from pvit_converters.engine.executors.worker import GRACE, Word, serve, unpacked
from pvit_converters.engine.signals import signals_held
from pvit_converters.engine.task import Task, Tick
from pvit_data.errors import PvitError

MAX_STARTS = 3  # processes in a row that end before they are ready
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What tells NumPy's libraries how many threads to use: in workers one, unless the user said otherwise."""
POLL = 1.0  # seconds between looks at processes whose pipe stays open beyond their death, in a child of their own


def on_processes(number: int) -> Executor:
    """An executor on `number` worker processes.

    Example:
        >>> list(on_processes(2)([], lambda done: None))
        []
    """

    def execute(tasks: Iterable[Task], tick: Tick) -> Generator[Result]:
        pool = _Pool(number, tasks, tick)
        try:
            yield from pool.results()
        finally:
            pool.stop()

    return execute


class _Worker:
    """One process, what it is at, and the two pipes to it."""

    def __init__(self) -> None:
        context = get_context("spawn")
        its_tasks, self._tasks = context.Pipe(duplex=False)
        self.words, its_words = context.Pipe(duplex=False)
        self.process = context.Process(target=serve, args=(its_tasks, its_words), daemon=True)
        with _one_thread():
            self.process.start()
        its_tasks.close()  # with the process's own ends alone, its death is an end of file
        its_words.close()
        self.is_ready = False
        self.task: Task | None = None
        self.key = ""
        self.ticks = 0

    def give(self, task: Task) -> None:
        """Starts a task. That the process has died meanwhile is heard later."""
        self.task, self.key, self.ticks = task, "", 0
        with suppress(BrokenPipeError):
            # By value where need be: a class of a notebook can be imported nowhere else.
            self._tasks.send_bytes(cloudpickle.dumps(task))

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a task."""
        return self.is_ready and self.task is None

    def finished(self) -> Task:
        """The task that has come to its end."""
        task, self.task = self.task, None
        assert task is not None
        return task

    def said(self) -> Iterator[tuple[Word, Any]]:
        """What it said and was not read yet; ends with `EOFError` once it is dead."""
        # Asked first, so that what it said before its death is read below.
        is_dead = self.process.exitcode is not None
        while self.words.poll():
            try:
                word: tuple[Word, Any] = self.words.recv()
            except OSError as error:  # it died in the middle of a word
                raise EOFError from error
            yield word
        if is_dead:
            raise EOFError

    def close(self) -> None:
        """Ends the process, if it is not dead yet, and forgets it."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self._tasks.close()
        self.words.close()


class _Pool:
    """The workers, and the tasks that wait for one."""

    def __init__(self, number: int, tasks: Iterable[Task], tick: Tick) -> None:
        self.number = number
        self.tasks = iter(tasks)
        self.waiting: deque[Task] = deque()
        self.tick = tick
        self.workers: list[_Worker] = []
        self.deaths = Deaths()
        self.failed_starts = 0

    def results(self) -> Iterator[Result]:
        """Each task with its end."""
        looked = time.monotonic()
        while left := self._left():
            while len(self.workers) < min(self.number, left):
                with signals_held():
                    self.workers.append(_Worker())
            for worker in self.workers:
                if worker.is_idle and self.waiting:
                    worker.give(self.waiting.popleft())
            heard = set(wait([worker.words for worker in self.workers], timeout=POLL))
            is_due = time.monotonic() - looked >= POLL
            looked = time.monotonic() if is_due else looked
            for worker in list(self.workers):
                if is_due or worker.words in heard:
                    yield from self._news(worker)

    def _left(self) -> int:
        """Tasks in work, and those that wait, of which as many are kept ready as there may be workers."""
        self.waiting.extend(islice(self.tasks, max(0, self.number - len(self.waiting))))
        return len(self.waiting) + sum(worker.task is not None for worker in self.workers)

    def _news(self, worker: _Worker) -> Iterator[Result]:
        try:
            for word, value in worker.said():
                if word in (Word.DONE, Word.RAISED):
                    yield worker.finished(), value if word == Word.DONE else _expected(*value)
                else:
                    self._note(worker, word, value)
        except EOFError:
            yield from self._bury(worker)

    def _note(self, worker: _Worker, word: Word, value: Any) -> None:
        if word == Word.READY:
            worker.is_ready, self.failed_starts = True, 0
        elif word == Word.BEGIN:
            worker.key = value
        else:
            worker.ticks += value
            self.tick(value)

    def _bury(self, worker: _Worker) -> Iterator[Result]:
        """Takes a dead worker out; its task waits again, or is given up."""
        self.workers.remove(worker)
        worker.process.join(GRACE)
        code = worker.process.exitcode
        worker.close()
        if worker.task is not None:
            self.tick(-worker.ticks)
            after = self.deaths.after(worker.task, worker.key)
            if isinstance(after, Task):
                self.waiting.appendleft(after)
            else:
                yield worker.task, after
        elif not worker.is_ready:
            self.failed_starts += 1
            if self.failed_starts >= MAX_STARTS:
                raise PvitError(
                    f"worker processes cannot start (exit code {code}): a script converts below "
                    '`if __name__ == "__main__":`; --workers 1 needs no further process'
                )

    def stop(self) -> None:
        """Ends all processes: the idle ones at once, the others when they have left their sample."""
        for worker in self.workers:
            worker.process.terminate() if worker.task else worker.process.kill()
        until = time.monotonic() + GRACE
        for worker in self.workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start in the block compute in one thread each."""
    unset = [name for name in ONE_THREAD if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _expected(packed: bytes, text: str) -> PvitError:
    """An error that is a task's end; any other is raised here, as it would be in this process."""
    error = unpacked(packed, text)
    if not isinstance(error, PvitError):
        raise error
    return error
