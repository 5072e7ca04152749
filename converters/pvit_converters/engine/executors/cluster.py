"""A Dask cluster behind an address, over TLS only: whoever may talk to a scheduler runs code on its workers.

Scheduler, workers and this client prove to each other that they hold a certificate of the user's own authority.
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pvit_converters.engine.executors.deaths import Deaths
from pvit_converters.engine.executors.here import Executor, Result
from pvit_converters.engine.task import Outcome, Task, Tick, run_task
from pvit_data.errors import PvitError, UsageError
from pvit_data.words import plain_url

_KILLED = {"KilledWorker", "CancelledError", "FutureCancelledError"}


@dataclass(frozen=True)
class Scheduler:
    """Where a cluster's scheduler listens, and how the two sides know each other.

    Args:
        address: `tls://HOST:PORT`.
        ca: certificate of the authority, PEM.
        cert: certificate of this client, signed by it, PEM.
        key: of that certificate, PEM. Without all three, Dask's own configuration (`distributed.comm.tls`) has them.

    Raises:
        UsageError: for an address without TLS, some files without the others, or files that are not there.
    """

    address: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if not self.address.startswith("tls://"):
            raise UsageError(
                f"{self}: expected tls://HOST:PORT; whoever reaches the port of a scheduler without TLS runs code as "
                "the user of its workers. Start scheduler and workers with --tls-ca-file, --tls-cert and --tls-key"
            )
        files = {"--tls-ca": self.ca, "--tls-cert": self.cert, "--tls-key": self.key}
        missing = [name for name, path in files.items() if path is None]
        if 0 < len(missing) < len(files):
            raise UsageError(f"{self}: {', '.join(missing)} missing; the three go together")
        for name, path in files.items():
            if path is not None and not path.is_file():
                raise UsageError(f"{name} {path}: no such file")

    def __str__(self) -> str:
        return f"--scheduler {plain_url(self.address)}"


def on_cluster(scheduler: Scheduler) -> Executor:
    """An executor on a Dask cluster.

    Raises:
        UsageError: (on execution) if Dask is not installed, certificates are missing or refused, or nobody answers.
    """

    def execute(tasks: Sequence[Task], tick: Tick) -> Generator[Result]:
        with _client(scheduler) as client:
            yield from _Rounds(client, list(tasks), tick).results()

    return execute


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise UsageError("--scheduler needs Dask: pip install 'pvit-toolkit[dask]'") from error


@contextmanager
def _client(scheduler: Scheduler) -> Iterator[Any]:
    distributed = _distributed()
    security = _security(distributed, scheduler)
    try:
        client = distributed.Client(scheduler.address, security=security, timeout="20s")
    except (OSError, ValueError, TimeoutError) as error:
        detail = " ".join(str(error).split())
        raise UsageError(
            f"{scheduler}: cannot be reached, or refuses this certificate ({detail})"
        ) from error
    with client:
        yield client


def _security(distributed: Any, scheduler: Scheduler) -> Any:
    files = {
        "tls_ca_file": scheduler.ca,
        "tls_client_cert": scheduler.cert,
        "tls_client_key": scheduler.key,
    }
    given = {name: str(path) for name, path in files.items() if path is not None}
    security = distributed.Security(require_encryption=True, **given)
    try:
        context = security.get_connection_args("client")["ssl_context"]
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"{scheduler}: the certificates cannot be used ({error}); expected PEM files, the key that of --tls-cert"
        ) from error
    if context is None:
        raise UsageError(
            f"{scheduler}: needs --tls-ca, --tls-cert and --tls-key (or Dask's distributed.comm.tls): "
            "the cluster and this client must know each other"
        )
    return security


class _Rounds:
    """Keeps the cluster in work and decides what a worker's death means."""

    def __init__(self, client: Any, tasks: list[Task], tick: Tick) -> None:
        self.client = client
        self.tick = tick
        self.waiting = tasks[::-1]
        self.running: dict[Any, Task] = {}
        self.in_work: dict[str, str] = {}
        self.deaths = Deaths()
        self.topic = f"pvit-{uuid.uuid4().hex}"

    def results(self) -> Iterator[Result]:
        """Each task with its end."""
        self.client.subscribe_topic(self.topic, self._heard)
        completed = _distributed().as_completed([])
        self._fill(completed)
        while self.running:
            future = next(completed)
            task = self.running.pop(future)
            result = self._result(future, task)
            if result is not None:
                yield task, result
            self._fill(completed)

    def _heard(self, event: tuple[float, tuple[str, str | int]]) -> None:
        """In Dask's thread: a worker begins a sample, or has finished some."""
        shard, news = event[1]
        if isinstance(news, str):
            self.in_work[shard] = news
        else:
            self.tick(news)

    def _fill(self, completed: Any) -> None:
        window = 2 * max(1, sum(self.client.nthreads().values()))
        while self.waiting and len(self.running) < window:
            task = self.waiting.pop()
            future = self.client.submit(_on_worker, task, self.topic, pure=False)
            self.running[future] = task
            completed.add(future)

    def _result(self, future: Any, task: Task) -> Outcome | PvitError | None:
        """The outcome, or None if the task was put back because its worker died."""
        error = future.exception()
        if error is None:
            outcome: Outcome | PvitError = future.result()
            return outcome
        if type(error).__name__ not in _KILLED:
            raise error
        after = self.deaths.after(task, self.in_work.pop(task.shard.name, ""))
        if isinstance(after, PvitError):
            return after
        self.waiting.append(after)
        return None


def _on_worker(task: Task, topic: str) -> Outcome | PvitError:
    distributed = _distributed()
    worker = distributed.get_worker()

    def begin(key: str) -> None:  # the scheduler has it before the sample can kill
        news = (task.shard.name, key)
        distributed.sync(worker.loop, worker.scheduler.log_event, topic=topic, msg=news)

    try:
        return run_task(task, lambda n: worker.log_event(topic, (task.shard.name, n)), begin)
    except PvitError as error:
        return error
