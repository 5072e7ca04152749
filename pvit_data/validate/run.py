"""Where units are checked: one after the other in this process, or on worker processes that a hostile file may kill."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing import resource_tracker
from typing import NamedTuple

from pvit_data.validate.problems import Findings, Problem
from pvit_data.validate.state import State
from pvit_data.validate.units import Task, Unit

AHEAD = 4  # tasks per worker that are handed out at a time
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Job(NamedTuple):
    """A task and its place: number of the unit, and which of its tasks it is."""

    unit: int
    place: int
    task: Task


Results = Generator[tuple[Job, list[Problem]], None, None]


def check_units(
    units: Sequence[Unit],
    workers: int,
    state: State | None = None,
    tick: Callable[[int, int], None] | None = None,
) -> Findings:
    """The findings of all units, in their order.

    Args:
        units: to check.
        workers: processes; at most 1: this one.
        state: where what was found before is, and what is found now is kept.
        tick: called with (units done, samples done) whenever there are more of them.
    """
    total = Findings()
    waiting: dict[int, Findings] = {}  # a unit may be done before those in front of it are
    following = 0
    results = _verdicts(units, workers, state, tick or (lambda units, samples: None))
    with closing(results):
        for number, found in results:
            waiting[number] = found
            while following in waiting:
                total.join(waiting.pop(following))
                following += 1
    return total


def _verdicts(
    units: Sequence[Unit], workers: int, state: State | None, tick: Callable[[int, int], None]
) -> Generator[tuple[int, Findings], None, None]:
    """Number and findings of each unit, as they come."""
    todo, units_done, samples = [], 0, 0
    for number, unit in enumerate(units):
        if state is not None and (known := state.find(unit)) is not None:
            units_done, samples = units_done + 1, samples + unit.samples
            yield number, known
            tick(units_done, samples)
        else:
            todo.append(number)
    begun: dict[int, str] = {}
    open_units: dict[int, list[list[Problem] | None]] = {}

    def jobs() -> Iterator[Job]:
        for number in todo:
            begun[number] = "" if state is None else state.key(units[number])
            tasks = units[number].tasks()
            open_units[number] = [None] * len(tasks)
            yield from (Job(number, place, task) for place, task in enumerate(tasks))

    results = run_here(jobs()) if workers <= 1 else run_workers(jobs(), workers)
    with closing(results):  # wherever it is interrupted, no worker goes on
        for job, problems in results:
            parts = open_units[job.unit]
            parts[job.place] = problems
            samples += job.task.samples
            if None not in parts:
                found = _together([part for part in parts if part is not None])
                if state is not None:
                    state.save(units[job.unit], begun[job.unit], found)
                del open_units[job.unit]
                units_done += 1
                yield job.unit, found
            tick(units_done, samples)


def _together(parts: Iterable[list[Problem]]) -> Findings:
    """The findings of a unit from those of its tasks, each of which may have met a shard that cannot be read."""
    found = Findings()
    for problem in (problem for part in parts for problem in part):
        if problem.kind != "shard-missing" or not found.counts["shard-missing"]:
            found.add([problem])
    return found


def run_here(jobs: Iterable[Job]) -> Results:
    """Each job with its findings, in order."""
    for job in jobs:
        yield job, job.task.run()


def run_workers(jobs: Iterable[Job], workers: int) -> Results:
    """Each job with its findings, as they finish. Those that a worker's death took along run again, each alone."""
    left = iter(jobs)
    while lost := (yield from _run_pool(left, workers)):
        for job in lost:
            yield job, _alone(job.task)


def _run_pool(
    jobs: Iterator[Job], workers: int
) -> Generator[tuple[Job, list[Problem]], None, list[Job]]:
    """Runs jobs until there are no more, or a worker dies; then it gives those whose findings are lost."""
    flying: dict[Future[list[Problem]], Job] = {}
    lost: list[Job] = []
    with _pool(workers) as pool:
        while not lost:
            for job in islice(jobs, AHEAD * workers - len(flying)):
                try:
                    flying[_submit(pool, job.task)] = job
                except BrokenProcessPool:
                    lost.append(job)
                    break
            if not flying:
                break
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                job = flying.pop(future)
                try:
                    problems = future.result()
                except BrokenProcessPool:
                    lost.append(job)
                else:
                    yield job, problems
    return sorted([*lost, *flying.values()], key=lambda job: (job.unit, job.place))


def _alone(task: Task) -> list[Problem]:
    """The findings of a task in a process of its own, if need be split until the one that kills it is found."""
    with _pool(1) as pool:
        try:
            return _submit(pool, task).result()
        except BrokenProcessPool:
            pass
    halves = task.halves()
    return [problem for half in halves for problem in _alone(half)] if halves else [task.crash()]


def _run(task: Task) -> list[Problem]:
    return task.run()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, which leave signals to this one and end at once where it is interrupted."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _leave_signals) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - others:
                child.kill()  # it only reads, and would hold a milder signal until it has started
                child.join()
            raise


def _submit(pool: ProcessPoolExecutor, task: Task) -> Future[list[Problem]]:
    """Hands a task to a worker. A process that this starts is born with signals held, until it says what it does."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return pool.submit(_run, task)
    resource_tracker.ensure_running()  # starting it later would let signals through
    held = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        return pool.submit(_run, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _leave_signals() -> None:
    """Ctrl-C goes to every process of a terminal's job; the one that leads answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
