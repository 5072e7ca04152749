"""Where checks run: one after the other in this process, or on worker processes that a hostile file may kill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context

from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem
from pvit_data.validate.shard import ShardFacts, check_file, check_samples

CHUNK = 64  # samples per task


@dataclass(frozen=True)
class Task:
    """A part of the work: a whole file, or some of its samples.

    Args:
        storage: the dataset.
        facts: the shard, with all rows for a whole file, else with those to check.
        whole: check the file and no sample.
        deep: decode everything.
    """

    storage: Storage
    facts: ShardFacts
    whole: bool
    deep: bool

    @property
    def samples(self) -> int:
        """Samples that are done when it is."""
        return 0 if self.whole else len(self.facts)


def tasks_of(storage: Storage, shards: Sequence[ShardFacts], deep: bool) -> list[Task]:
    """All tasks, shard by shard."""
    tasks = []
    for facts in shards:
        tasks.append(Task(storage, facts, True, deep))
        for start in range(0, len(facts), CHUNK):
            tasks.append(Task(storage, facts.part(start, start + CHUNK), False, deep))
    return tasks


def run_task(task: Task) -> list[Problem]:
    """The findings of one task."""
    if task.whole:
        return check_file(task.storage, task.facts)
    return [
        problem for found in check_samples(task.storage, task.facts, task.deep) for problem in found
    ]


def run_here(tasks: Sequence[Task]) -> Iterator[tuple[Task, list[Problem]]]:
    """Each task with its findings, in order."""
    for task in tasks:
        yield task, run_task(task)


def run_workers(tasks: Sequence[Task], workers: int) -> Iterator[tuple[Task, list[Problem]]]:
    """Each task with its findings, as they finish. A task that kills its worker is tried again sample by sample."""
    lost: list[Task] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures: dict[Future[list[Problem]], Task] = {
            pool.submit(run_task, task): task for task in tasks
        }
        try:
            for future in as_completed(futures):
                try:
                    yield futures[future], future.result()
                except BrokenProcessPool:
                    lost.append(futures[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for task in lost:
        yield task, _alone(task)


def _alone(task: Task) -> list[Problem]:
    """The findings of a task in a process of its own, if need be split until the one that kills it is found."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(run_task, task).result()
        except BrokenProcessPool:
            pass
    if task.whole or len(task.facts) == 1:
        key = "" if task.whole else str(task.facts.rows["key"][0])
        return [Problem("crash", task.facts.name, key, "the process that checked it died")]
    middle = len(task.facts) // 2
    halves = [task.facts.part(0, middle), task.facts.part(middle, len(task.facts))]
    return [problem for half in halves for problem in _alone(replace(task, facts=half))]
