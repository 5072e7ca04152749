"""Worker processes over pipes: nobody else reaches them, they outlive nothing, and what they raise is raised here."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from pvit_converters.engine.executors.deaths import MAX_DEATHS, Deaths
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.engine.signals import STOPPING, interruptible
from pvit_data.errors import CorruptShardError, Interrupted, PvitError, SourceError
from tests import sockets

Hashes = Callable[[Path], dict[str, str]]
SMALL = Settings(shard_bytes=6000)
TOYS = Path(__file__).parents[1] / "toys"
CONVERT = """
import sys
sys.path.insert(0, {toys!r})
from pathlib import Path
from toy_converter import ToyConverter, ToyOptions
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import Interrupted
if __name__ == "__main__":
    try:
        convert(Job(ToyConverter, Path("."), sys.argv[1], ToyOptions(seconds={seconds}), Settings(shard_bytes=6000), 2))
    except Interrupted:
        sys.exit(75)
"""


def run(toy: Any, out: Path, workers: int = 2, **options: Any) -> Any:
    return convert(Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(**options), SMALL, workers))


def start(tmp_path: Path, out: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A conversion in a session of its own, as in a terminal's job."""
    script = tmp_path / "script.py"
    script.write_text(CONVERT.format(toys=str(TOYS), seconds=seconds))
    return subprocess.Popen([sys.executable, str(script), str(out)], start_new_session=True, stderr=subprocess.PIPE)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_sockets_are_found() -> None:
    """The instrument of the next test sees a port, a datagram socket, a name and an abstract name."""
    code = (
        "import socket, sys; a = socket.create_server(('127.0.0.1', 0)); b = socket.socket(type=socket.SOCK_DGRAM); "
        "b.bind(('127.0.0.1', 0)); c = socket.socket(socket.AF_UNIX); c.bind('\\0pvit-test'); c.listen(); "
        "d = socket.create_server(('::1', 0), family=socket.AF_INET6) if sys.argv[1] == 'True' else 0; "
        "print(flush=True); input()"
    )
    words = [sys.executable, "-c", code, str(socket.has_ipv6)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = sockets.listeners(child.pid)
        child.communicate(b"\n")
    kinds = sorted(text.split()[0] for text in found)
    assert kinds == ["tcp", "tcp6", "udp", "unix"] if socket.has_ipv6 else ["tcp", "udp", "unix"]
    assert "unix @pvit-test" in found


def test_a_conversion_listens_nowhere(tmp_path: Path) -> None:
    """Neither the command nor a process below it has a port or a socket that could be reached."""
    words = [sys.executable, "-c", "import sys; from pvit_cli.data import main; sys.exit(main())"]
    raw, out = str(tmp_path / "raw"), tmp_path / "out"
    subprocess.run([*words, "simulate", "hypersim", raw, "--preset", "tiny", "--samples", "24"], check=True)
    command = [*words, "convert", "hypersim", raw, str(out), "--workers", "2", "--shard-size", "40K", "--json"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        seen, found = sockets.watch(process.pid, 0.05)
        assert process.wait() == 0
    # Of the command's own children: what a worker starts has the worker's name until it has one of its own.
    assert len([text for parent, text in seen.values() if parent == process.pid and "spawn_main" in text]) == 2
    assert found == set()
    assert len(list(out.rglob("*.tar"))) > 2


LEAVING = """
import atexit, os, signal, sys
from multiprocessing import Pipe
from pvit_converters.engine.executors.worker import serve
atexit.register(os.kill, os.getpid(), signal.SIGTERM)
tasks, parent = Pipe(duplex=False)
if sys.argv[1] == "closed":
    parent.close()
if sys.argv[1] == "asked":
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
mine, words = Pipe(duplex=False)
if sys.argv[1] == "unheard":
    mine.close()
serve(tasks, words)
"""


@pytest.mark.parametrize(("how", "code"), [("closed", 0), ("asked", 1), ("unheard", 1)])
def test_a_worker_that_leaves_is_asked_again(how: str, code: int) -> None:
    """The command closes the pipe and asks; a worker that is on its way out says nothing of it."""
    done = subprocess.run([sys.executable, "-c", LEAVING, how], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_stopped_on_request(
    toy: Any, tmp_path: Path, fingerprint: Hashes, number: signal.Signals, to_all: bool
) -> None:
    """One signal, to the whole job as from a terminal or to the one process: exit 75, nobody and nothing is left."""
    out = tmp_path / "out"
    process = start(tmp_path, out, 0.1)
    wait_for(lambda: len(list(out.rglob("receipts/train-*.json"))) > 0)
    below = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, number) if to_all else process.send_signal(number)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 75
    assert text == b""
    wait_for(lambda: not any(p.is_running() for p in below), 5)
    assert not [p for p in out.rglob("*") if ".part-" in p.name or "in-work" in p.name]
    shards = [out / "toy" / f"{path.stem}.tar" for path in out.rglob("receipts/train-*.json")]
    kept = {path: path.stat().st_mtime_ns for path in shards}
    run(toy, out, seconds=0.1)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    run(toy, tmp_path / "whole", 1, seconds=0.1)
    assert fingerprint(out) == fingerprint(tmp_path / "whole")


def test_nothing_outlives_a_killed_parent(tmp_path: Path) -> None:
    """The workers leave within the sample that they are at, and take their temporary files along."""
    out = tmp_path / "out"
    process = start(tmp_path, out, 0.3)
    wait_for(lambda: len(list(out.rglob("*.part-*"))) == 2)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    wait_for(lambda: not any(p.is_running() for p in below), 5)
    assert not list(out.rglob("*.part-*"))


@pytest.mark.parametrize("moment", ["starting", "idle", "working"])
def test_killed_at_any_stage(toy: Any, tmp_path: Path, fingerprint: Hashes, moment: str) -> None:
    """A worker that is killed while it imports, while it waits for the last other one, or at a sample."""
    out = tmp_path / "out"
    run(toy, tmp_path / "whole", 1, seconds=0.05)
    process = start(tmp_path, out, 0.05)
    ready = {
        "starting": lambda: len(workers(process.pid)) == 2,
        "idle": lambda: len(list(out.rglob("*.tar"))) == 2,
        "working": lambda: len(list(out.rglob("*.part-*"))) == 2,
    }
    wait_for(ready[moment])
    for worker in workers(process.pid):
        worker.kill()
    _, text = process.communicate(timeout=60)
    assert (process.returncode, text) == (0, b"")
    assert fingerprint(out) == fingerprint(tmp_path / "whole")


def workers(pid: int) -> list[psutil.Process]:
    below = psutil.Process(pid).children(recursive=True)
    return [p for p in below if "spawn_main" in " ".join(p.cmdline())]


def test_progress_takes_back_what_a_death_undid(toy: Any, tmp_path: Path) -> None:
    seen: list[int] = []
    options = toy.ToyOptions(kill_once=tmp_path / "died", kill=("toy-2-1",))
    job = Job(toy.ToyConverter, Path("."), str(tmp_path / "out"), options, SMALL, 2)
    convert(job, lambda done, total: seen.append(done))
    assert seen[0] == 0
    assert seen[-1] == 18
    assert [a for a, b in pairwise(seen) if b < a]
    assert max(seen[:-2]) < 18


def test_what_a_worker_raises_is_raised_here(toy: Any, tmp_path: Path) -> None:
    """Not of a sample, but of the converter as a whole; its type is kept where it can be sent."""
    with pytest.raises(ZeroDivisionError, match="by zero") as unexpected:
        run(toy, tmp_path / "one", broken="ZeroDivisionError")
    assert "raise _error(self.opts.broken)" in unexpected.value.__notes__[0]
    with pytest.raises(SourceError, match="broken") as caught:
        run(toy, tmp_path / "two", broken="SourceError")
    assert caught.value.reason == "odd"
    with pytest.raises(RuntimeError, match="AwkwardError: one"):
        run(toy, tmp_path / "three", broken="AwkwardError")
    assert not [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def test_a_sample_that_ends_its_process_is_named(toy: Any, tmp_path: Path) -> None:
    report = run(toy, tmp_path / "out", exit=("toy-1-0",))
    assert [(f.key, f.reason) for f in report.failures] == [("toy-1-0", "killed-worker")]
    assert report.converted == 17


def test_a_converter_of_a_session_without_a_file(tmp_path: Path) -> None:
    """Defined where no other process can import it from, as in a notebook."""
    definitions = f"exec(open({str(TOYS / 'toy_converter.py')!r}, encoding='utf-8').read())\n"
    code = CONVERT.replace("from toy_converter import ToyConverter, ToyOptions\n", definitions)
    code = code.format(toys="", seconds=0)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "out").rglob("*.tar"))) == 3


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    text = CONVERT.format(toys=str(TOYS), seconds=0)
    script.write_text(text.replace('if __name__ == "__main__":', "if True:"))
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "worker processes cannot start (exit code 1)" in last
    assert '`if __name__ == "__main__":`' in last


def test_a_shard_whose_worker_always_dies_is_given_up(toy: Any) -> None:
    from pvit_converters.engine.plan import ShardPlan
    from pvit_converters.engine.task import Task

    shard = ShardPlan(split="train", number=0, items=())
    task: Any = Task(toy.ToyConverter, Path("."), toy.ToyOptions(), "out", None, shard, "")
    deaths = Deaths()
    for number in range(MAX_DEATHS - 1):
        assert deaths.after(task, f"toy-{number}") == task
    end = deaths.after(task, "toy-99")
    assert isinstance(end, PvitError)
    assert "train-00000: its worker died 20 times, last at 'toy-99'; given up" in str(end)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [Exception, BaseException])
def test_a_signal_is_no_fault_of_what_is_read(number: signal.Signals, kind: type[BaseException]) -> None:
    """Whoever takes every exception for a damaged file does not go on after a signal; an import cut short may lie."""

    def read() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        except kind as error:
            raise CorruptShardError("damaged") from error

    with pytest.raises(Interrupted, match="stopped"), interruptible("stopped"):
        read()
    before = [signal.getsignal(each) for each in STOPPING]
    with pytest.raises(CorruptShardError, match="damaged"), interruptible("stopped"):
        raise CorruptShardError("damaged")
    assert [signal.getsignal(each) for each in STOPPING] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_an_object_is_freed_stops_all_the_same(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python drops what is raised there, after words of its own."""

    class Freed:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    def work() -> None:
        Freed()
        for _ in range(100):
            time.sleep(0.1)

    with pytest.raises(Interrupted, match="stopped"), interruptible("stopped"):
        work()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_decoder_costs_no_sample(
    toy: Any, tmp_path: Path, number: signal.Signals, monkeypatch: Any
) -> None:
    """Stopped while a sample is read: it is not written down as one that failed, and the next run has it."""
    load, job = toy.ToyConverter.load, Job(toy.ToyConverter, Path("."), str(tmp_path), toy.ToyOptions(), SMALL, 1)

    def stopped(self: Any, item: Any) -> Any:
        try:
            os.kill(os.getpid(), number)
            time.sleep(1)
        except Exception as error:
            raise SourceError("damaged", reason="damaged") from error
        return load(self, item)

    monkeypatch.setattr(toy.ToyConverter, "load", stopped)
    with pytest.raises(Interrupted):
        convert(job)
    assert not list(tmp_path.rglob("*.tar"))
    monkeypatch.setattr(toy.ToyConverter, "load", load)
    assert convert(job).num_failed == 0
