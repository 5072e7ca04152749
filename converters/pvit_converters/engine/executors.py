"""Where tasks run: in this process, or on Dask workers that may die without taking the conversion with them.

An executor takes tasks and yields each with its outcome or the error that ended it. Dask restarts dead workers; a task
whose worker dies twice at the same sample is tried again without that sample, so one poison video costs one video.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

from pvit_converters.engine.signals import without_interrupts
from pvit_converters.engine.task import Outcome, Task, Tick, run_task
from pvit_data.errors import PvitError, SourceError, UsageError

Result = tuple[Task, Outcome | PvitError]
Executor = Callable[[Sequence[Task], Tick], Iterator[Result]]

MAX_DEATHS = 20  # of workers on one shard, with a different sample in work each time
GIVEN_UP = "killed-worker"  # reason of the error that ends such a shard
_TOPIC = "pvit-progress"


def run_here(tasks: Sequence[Task], tick: Tick) -> Iterator[Result]:
    """One task after the other in this process."""
    for task in tasks:
        yield task, _attempt(task, tick)


def _attempt(task: Task, tick: Tick) -> Outcome | PvitError:
    try:
        return run_task(task, tick)
    except PvitError as error:
        return error


def on_dask(workers: int, scheduler: str | None = None) -> Executor:
    """An executor on Dask: a local cluster of processes, or the cluster behind an address.

    Args:
        workers: processes of the local cluster.
        scheduler: address of a running scheduler, for example `tcp://node1:8786`.
    """

    def execute(tasks: Sequence[Task], tick: Tick) -> Iterator[Result]:
        with _client(workers, scheduler) as client:
            client.subscribe_topic(_TOPIC, lambda event: tick(int(event[1])))
            yield from _Rounds(client, list(tasks), 2 * max(workers, 1)).results()

    return execute


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import logging

    import dask

    distributed: Any = import_module("distributed")
    with ExitStack() as stack:
        # Death is handled here, task by task, with the culprit's name; and the scheduler need not comment on it.
        quiet = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.scheduler.http.routes": [],
        }
        stack.enter_context(dask.config.set(quiet))
        if scheduler is None:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="pvit-dask-", ignore_cleanup_errors=True)
            )
            with without_interrupts():
                cluster = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                    memory_limit=None,
                    local_directory=folder,
                    silence_logs=logging.CRITICAL + 1,
                )
            address: Any = stack.enter_context(cluster)
        else:
            address = scheduler
        try:
            client = stack.enter_context(distributed.Client(address, timeout="20s"))
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(f"--scheduler {scheduler}: cannot be reached ({error})") from error
        yield client


class _Rounds:
    """Keeps a window of tasks on the cluster and decides what a worker's death means."""

    def __init__(self, client: Any, tasks: list[Task], window: int) -> None:
        self.client = client
        self.waiting = tasks[::-1]
        self.window = window
        self.running: dict[Any, Task] = {}
        self.deaths: dict[str, list[str]] = {}

    def results(self) -> Iterator[Result]:
        completed = import_module("distributed").as_completed([])
        self._fill(completed)
        while self.running:
            future = next(completed)
            task = self.running.pop(future)
            result = self._result(future, task)
            if result is not None:
                yield task, result
            self._fill(completed)

    def _fill(self, completed: Any) -> None:
        while self.waiting and len(self.running) < self.window:
            task = self.waiting.pop()
            future = self.client.submit(_on_worker, task, pure=False)
            self.running[future] = task
            completed.add(future)

    def _result(self, future: Any, task: Task) -> Outcome | PvitError | None:
        """The outcome, or None if the task was put back because its worker died."""
        error = future.exception()
        if error is None:
            outcome: Outcome | PvitError = future.result()
            return outcome
        if type(error).__name__ not in {"KilledWorker", "CancelledError", "FutureCancelledError"}:
            raise error
        deaths = self.deaths.setdefault(task.shard.name, [])
        deaths.append(_key_in_work(task))
        if len(deaths) >= MAX_DEATHS or (task.marker is None and len(deaths) > 3):
            message = f"{task.shard.name}: its worker died {len(deaths)} times, last at '{deaths[-1]}'; given up"
            return SourceError(message, reason=GIVEN_UP)
        if deaths[-1] and deaths.count(deaths[-1]) > 1:
            task = replace(task, poison=task.poison | {deaths[-1]})
        self.waiting.append(task)
        return None


def _key_in_work(task: Task) -> str:
    """What the dead worker was at; taken away, so that it is not counted again for a death before the next sample."""
    with suppress(OSError):
        if task.marker is not None:
            key = task.marker.read_text(encoding="utf-8")
            task.marker.unlink()
            return key
    return ""


def _on_worker(task: Task) -> Outcome | PvitError:
    worker = import_module("distributed").get_worker()
    return _attempt(task, lambda n: worker.log_event(_TOPIC, n))
