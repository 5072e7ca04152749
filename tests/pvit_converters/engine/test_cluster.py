"""A Dask cluster is used over TLS with certificates of the user's own, and in no other way."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pvit_cli.data import main
from pvit_converters.engine.executors.cluster import Scheduler, _News, _Rounds
from pvit_converters.engine.plan import Settings, ShardPlan
from pvit_converters.engine.run import Job, convert
from pvit_converters.engine.task import Task
from pvit_data.errors import UsageError

Hashes = Callable[[Path], dict[str, str]]
SMALL = Settings(shard_bytes=6000)
TOYS = Path(__file__).parents[1] / "toys"
PAGE = (Path(__file__).parents[3] / "docs/converting.md").read_text(encoding="utf-8")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, made as the page says."""
    folder.mkdir()
    match = re.search(r"openssl req .*?cert\.pem", PAGE, re.DOTALL)
    assert match is not None
    subprocess.run(["bash", "-c", match[0]], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Path]]:
    """A scheduler and two workers, started as the page says: address, certificate, key."""
    folder = tmp_path_factory.mktemp("cluster") / "mine"
    cert, key = certificate(folder)
    where = folder / "scheduler.json"
    match = re.search(r'TLS="(.*)"\nexport (.*)', PAGE)
    assert match is not None
    flags = [*match[1].split(), "--dashboard-address", "127.0.0.1:0"]
    settings = dict(text.split("=") for text in match[2].split())
    settings |= {"DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": "[]", "DASK_TEMPORARY_DIRECTORY": str(folder)}
    toys = {"PYTHONPATH": str(TOYS), "PYTEST_CURRENT_TEST": "cluster"}
    scheduler = ["scheduler", "--host", "tls://127.0.0.1", "--port", "0", "--scheduler-file", str(where)]
    worker = ["worker", "--scheduler-file", str(where), "--protocol", "tls", "--nthreads", "1", "--nworkers", "2"]
    with ExitStack() as stack:
        for words in (scheduler, worker):
            with (folder / f"{words[0]}.log").open("w", encoding="utf-8") as log:
                command = [sys.executable, "-m", "dask", *words, *flags]
                process = subprocess.Popen(
                    command, cwd=folder, env=os.environ | settings | toys, stdout=log, stderr=log
                )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            until = time.monotonic() + 60
            while not (where.exists() and where.stat().st_size):
                assert time.monotonic() < until, (folder / f"{words[0]}.log").read_text(encoding="utf-8")
                time.sleep(0.1)
        yield json.loads(where.read_text(encoding="utf-8"))["address"], cert, key


def run(toy: Any, out: Path, scheduler: Scheduler | None, **options: Any) -> Any:
    return convert(Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(**options), SMALL, 1, scheduler=scheduler))


def test_the_bytes_are_those_of_one_process(
    toy: Any, tmp_path: Path, fingerprint: Hashes, cluster: tuple[str, Path, Path]
) -> None:
    address, cert, key = cluster
    run(toy, tmp_path / "here", None)
    ticks: list[int] = []
    scheduler = Scheduler(address, cert, cert, key)
    job = Job(toy.ToyConverter, Path("."), str(tmp_path / "there"), toy.ToyOptions(), SMALL, scheduler=scheduler)
    convert(job, lambda done, total: ticks.append(done))
    assert fingerprint(tmp_path / "there") == fingerprint(tmp_path / "here")
    assert len(ticks) > 3


def test_a_poison_sample_is_named(toy: Any, tmp_path: Path, cluster: tuple[str, Path, Path]) -> None:
    address, cert, key = cluster
    report = run(toy, tmp_path / "out", Scheduler(address, cert, cert, key), kill=("toy-2-1",))
    assert [(f.key, f.reason) for f in report.failures] == [("toy-2-1", "killed-worker")]
    assert report.converted == 17
    assert not list((tmp_path / "out").rglob("*.in-work"))


class FakeFuture:
    """Ends when the test says so."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        self.end = lambda: call(self)

    def exception(self) -> Exception | None:
        return self.error

    def result(self) -> str:
        return "done"


class FakeClient:
    """A cluster of as many threads as the test says."""

    def __init__(self, threads: int) -> None:
        self.threads, self.futures = threads, list[FakeFuture]()
        self.sent: list[Any] = []
        self.looks = 0

    def subscribe_topic(self, topic: str, heard: Any) -> None:
        self.heard = heard

    def nthreads(self) -> dict[str, int]:
        self.looks += 1
        return {"a": self.threads} if self.threads else {}

    def submit(self, function: Any, task: Any, topic: str, pure: bool) -> FakeFuture:
        self.sent.append(task)
        self.futures.append(FakeFuture())
        return self.futures[-1]


class KilledWorker(Exception):
    """Called as Dask's own."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("pvit_converters.engine.executors.cluster.time.monotonic", lambda: now[0])
    monkeypatch.setattr("pvit_converters.engine.executors.cluster.LOOK", 0.01)
    return now


def tasks_of(toy: Any, number: int) -> Iterator[Task]:
    for n in range(number):
        shard: Any = ShardPlan("train", n, ())
        yield Task(toy.ToyConverter, Path("."), toy.ToyOptions(), "out", None, shard, "")  # type: ignore[arg-type]


def test_the_window_grows_and_shrinks_with_the_cluster(toy: Any, clock: list[float]) -> None:
    """Two tasks per thread are under way, whatever this machine is; nobody waits for one to end to see new workers."""
    client = FakeClient(0)
    rounds = _Rounds(client, tasks_of(toy, 100), lambda _n: None)
    rounds._fill()
    assert len(client.sent) == 2  # for those who come
    client.threads = 8
    rounds._fill()
    assert (len(client.sent), client.looks) == (2, 1)  # it is not asked again at once
    clock[0] += 1
    rounds._fill()
    assert (len(client.sent), client.looks) == (16, 2)
    client.threads, clock[0] = 1, 2
    results = rounds.results()
    for future in client.futures[:15]:
        future.end()
    for _ in range(15):
        next(results)
    assert (len(client.sent), len(rounds.running)) == (16, 1)
    client.futures[15].end()
    next(results)
    assert (len(client.sent), len(rounds.running)) == (17, 1)  # for the thread that is left there were two
    assert len(list(rounds.tasks)) == 83


def test_a_death_makes_each_sample_count(toy: Any, clock: list[float]) -> None:
    """The first time the sample in work is known to a second, and blamed on nobody; then exactly."""
    client = FakeClient(1)
    rounds = _Rounds(client, tasks_of(toy, 1), lambda _n: None)
    results = rounds.results()
    client.subscribe_topic("", rounds._heard)
    rounds._fill()
    for death, key in enumerate(("early", "bad", "bad")):
        task = client.sent[-1]
        assert (task.is_watched, task.poison) == (death > 0, frozenset())
        client.heard((0.0, (task.shard.name, key, 1)))
        client.heard((0.0, (task.shard.name, "", 0)))
        client.futures[-1].error = KilledWorker("died")
        future, task = next(iter(rounds.running.items()))
        del rounds.running[future]
        assert rounds._result(future, task) is None
        rounds._fill()
    assert client.sent[-1].poison == {"bad"}
    client.futures[-1].end()
    assert [result for _, result in results] == ["done"]
    assert rounds.in_work == {}


def test_news_are_told_once_a_second(toy: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(_News, "_send", lambda self, key: told.append((key, self._finished)))
    monkeypatch.setattr("pvit_converters.engine.executors.cluster.LOOK", 1.0)
    for is_watched, expected in ((False, 11), (True, 1001)):
        news = _News(replace(next(tasks_of(toy, 1)), is_watched=is_watched), "topic")
        for n in range(1000):
            news.begin(f"k{n}")
            clock[0] += 0.01
            news.tick(1)
        news.tell("")
        assert abs(len(told) - expected) <= 1
        assert sum(number for _, number in told) == 1000
        assert told[0] == ("k0", 0)
        told.clear()


def test_strangers_are_refused(
    tmp_path: Path, cluster: tuple[str, Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another certificate, and none: neither the command nor a client of Dask itself gets in, nor runs anything."""
    from distributed import Client, Security

    address, cert, _ = cluster
    own, key = certificate(tmp_path / "stranger")
    raw, out = str(tmp_path / "raw"), tmp_path / "out"
    assert main(["simulate", "hypersim", raw, "--preset", "tiny", "--samples", "2"]) == 0
    command = ["convert", "hypersim", raw, str(out), "--scheduler", address]
    tls = ["--tls-ca", str(cert), "--tls-cert", str(own), "--tls-key", str(key)]
    capsys.readouterr()
    assert main([*command, *tls]) == 2
    error = capsys.readouterr().err
    assert f"--scheduler {address}: cannot be reached, or refuses this certificate" in error.replace("\n", " ")
    assert main(command) == 2
    assert "needs --tls-ca, --tls-cert and --tls-key" in capsys.readouterr().err.replace("\n", " ")
    assert not list(out.rglob("*.tar"))
    stranger = Security(
        require_encryption=True, tls_ca_file=str(cert), tls_client_cert=str(own), tls_client_key=str(key)
    )
    for security, at in ((stranger, address), (None, address.replace("tls://", "tcp://"))):
        with pytest.raises(OSError, match=r"(?s).*"), Client(at, security=security, timeout="2s") as client:
            client.submit(os.getpid).result(timeout=2)


def test_an_open_scheduler_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for address in ("tcp://node1:8786", "node1:8786", "ws://node1:80"):
        with pytest.raises(
            UsageError, match="whoever reaches the port of a scheduler without TLS runs code as the user"
        ):
            Scheduler(address)
    with pytest.raises(UsageError, match="--tls-cert, --tls-key missing; the three go together"):
        Scheduler("tls://node1:8786", ca=tmp_path)
    with pytest.raises(UsageError, match=r"--tls-key .*gone: no such file"):
        Scheduler("tls://node1:8786", Path(__file__), Path(__file__), tmp_path / "gone")
    assert main(["convert", "ssv2", ".", str(tmp_path / "out"), "--tls-ca", "x"]) == 2
    assert "--tls-ca: only of use with --scheduler" in capsys.readouterr().err


def test_files_that_are_no_certificates(toy: Any, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no certificate")
    with pytest.raises(UsageError, match="the certificates cannot be used"):
        run(toy, tmp_path / "out", Scheduler("tls://127.0.0.1:1", text, text, text))


def test_without_dask_the_extra_is_named(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"--scheduler needs Dask: pip install 'pvit-toolkit\[dask\]'"):
        run(toy, tmp_path / "out", Scheduler("tls://127.0.0.1:1"))
    assert run(toy, tmp_path / "out", None).converted == 18


def test_the_page_names_options_that_are_there() -> None:
    from pvit_cli.commands.data.convert import _engine_flags, _layer_flags, option_flags
    from pvit_converters.hypersim import HypersimConverter
    from pvit_converters.something_else import SomethingElseConverter

    own = [*option_flags(HypersimConverter), *option_flags(SomethingElseConverter)]
    found = [*_engine_flags(1.0), *_layer_flags(), *own]
    flags = {f"--{flag.name.replace('_', '-')}" for flag in found}
    commands = re.findall(r"^pvit-data convert (?:.*\\\n)*.*$", PAGE, re.MULTILINE)
    named = {word for text in commands for word in re.findall(r"--[a-z-]+", text)}
    assert len(named) > 5
    assert named <= flags
