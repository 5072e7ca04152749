"""A Dask cluster behind an address, over TLS only: whoever may talk to a scheduler runs code on its workers.

Scheduler, workers and this client prove to each other that they hold a certificate of the user's own authority.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pvit_converters.engine.executors.deaths import Deaths
from pvit_converters.engine.executors.here import Executor, Result
from pvit_converters.engine.task import Outcome, Task, Tick, run_task
from pvit_data.errors import PvitError, UsageError
from pvit_data.words import plain_url

LOOK = 1.0  # seconds between looks at the cluster's size, and between a worker's news
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

    def execute(tasks: Iterable[Task], tick: Tick) -> Generator[Result]:
        with _client(scheduler) as client:
            yield from _Rounds(client, tasks, tick).results()

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
    """Keeps the cluster in work, whatever its size is at the moment, and decides what a worker's death means."""

    def __init__(self, client: Any, tasks: Iterable[Task], tick: Tick) -> None:
        self.client = client
        self.tick = tick
        self.tasks = iter(tasks)
        self.again: list[Task] = []
        self.running: dict[Any, Task] = {}
        self.ended: SimpleQueue[Any] = SimpleQueue()
        self.in_work: dict[str, str] = {}
        self.deaths = Deaths()
        self.topic = f"pvit-{uuid.uuid4().hex}"
        self._window = 0
        self._looked = -LOOK

    def results(self) -> Iterator[Result]:
        """Each task with its end."""
        self.client.subscribe_topic(self.topic, self._heard)
        self._fill()
        while self.running:
            with suppress(Empty):
                future = self.ended.get(timeout=LOOK)
                task = self.running.pop(future)
                result = self._result(future, task)
                if result is not None:
                    yield task, result
            self._fill()

    def _heard(self, event: tuple[float, tuple[str, str, int]]) -> None:
        """In Dask's thread: a worker begins a sample, or has finished some."""
        shard, key, number = event[1]
        if key:
            self.in_work[shard] = key
        self.tick(number)

    def _fill(self) -> None:
        if time.monotonic() - self._looked >= LOOK:
            self._window = 2 * max(1, sum(self.client.nthreads().values()))
            self._looked = time.monotonic()
        while len(self.running) < self._window:
            task = self.again.pop() if self.again else next(self.tasks, None)
            if task is None:
                return
            future = self.client.submit(_on_worker, task, self.topic, pure=False)
            self.running[future] = task
            future.add_done_callback(self.ended.put)

    def _result(self, future: Any, task: Task) -> Outcome | PvitError | None:
        """The outcome, or None if the task is to be done again because its worker died."""
        error = future.exception()
        key = self.in_work.pop(task.shard.name, "")
        if error is None:
            outcome: Outcome | PvitError = future.result()
            return outcome
        if type(error).__name__ not in _KILLED:
            raise error
        # The first time the sample in work is known to a second only: it is nobody's fault, and the next time exact.
        after = self.deaths.after(task, key if task.is_watched else "")
        if isinstance(after, PvitError):
            return after
        self.again.append(replace(after, is_watched=True))
        return None


def _on_worker(task: Task, topic: str) -> Outcome | PvitError:
    news = _News(task, topic)
    try:
        return run_task(task, news.tick, news.begin)
    except PvitError as error:
        return error
    finally:
        news.tell("")


class _News:
    """What a worker tells of a task: once a second, so that the scheduler of a large cluster has time for its work.

    Of a task whose worker died before each sample counts, and the scheduler has it before the sample can kill.
    """

    def __init__(self, task: Task, topic: str) -> None:
        self._task, self._topic = task, topic
        self._told = -LOOK
        self._finished = 0

    def tick(self, number: int) -> None:
        """Some samples are finished."""
        self._finished += number

    def begin(self, key: str) -> None:
        """A sample begins."""
        if self._task.is_watched or time.monotonic() - self._told >= LOOK:
            self.tell(key)

    def tell(self, key: str) -> None:
        """Tells what is new, and returns when the scheduler has it."""
        self._send(key)
        self._told, self._finished = time.monotonic(), 0

    def _send(self, key: str) -> None:
        distributed = _distributed()
        worker = distributed.get_worker()
        news = (self._task.shard.name, key, self._finished)
        distributed.sync(worker.loop, worker.scheduler.log_event, topic=self._topic, msg=news)
