"""R1 to R3, R8 and R9: kills, exceptions, full disks, dying workers and vanishing files cost time, and not one byte.

The disk is a tmpfs of some kilobytes where we may mount one (root), else a limit on the size of files.
"""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pvit_cli.common import describe
from pvit_converters.engine import plan_file
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.hypersim import HypersimConverter, HypersimOptions
from pvit_converters.simulate import simulate
from pvit_data.errors import Interrupted, PvitError, SourceError
from pvit_data.validate import validate
from tests.torture.makers import write_base

SECONDS = 0.05  # that a sample takes, so that a worker is hit at work
FULL = bool(os.environ.get("PVIT_TORTURE"))
SMALL = Settings(shard_bytes=6000)
TOYS = Path(__file__).parents[1] / "pvit_converters" / "toys"
STARTED = Path(__file__).parent / "makers.py"
Hashes = Callable[[Path], dict[str, str]]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_converter

    return toy_converter


def fingerprint(folder: Path) -> dict[str, str]:
    """sha256 of what two runs must have in common: all but the report of the run itself."""
    import hashlib

    files = (p for p in folder.rglob("*") if p.is_file() and p.name != "report.json")
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def run(toy: Any, out: Path, seconds: float = 0, workers: int = 1) -> None:
    convert(Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(seconds=seconds), SMALL, workers))


@contextmanager
def starter(maker: str, pause: float, most: int) -> Iterator[Callable[[Path], tuple[int, Callable[[], int]]]]:
    """Starts a maker in a process of its own for a folder: gives its number, and what waits for its exit code."""
    words = [sys.executable, str(STARTED), str(TOYS), maker, str(pause), str(most)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, said = process.stdin, process.stdout

        def start(out: Path) -> tuple[int, Callable[[], int]]:
            told.write(f"{out}\n")
            return int(said.readline()), lambda: int(said.readline())

        yield start
        told.close()


@pytest.mark.parametrize("most", [plan_file.MOST_IN_ONE_FILE, 0], ids=["one file", "parts"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_r1_r2_killed_at_random_moments(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, most: int
) -> None:
    """Whatever has its final name is complete at every moment; resumed, the result is that of an undisturbed run."""
    kills, pause = 200 if FULL else 4, 0.01
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", most)
    run(toy, tmp_path / "whole", pause)
    expected = fingerprint(tmp_path / "whole")
    rng, hit, out = random.Random(number), 0, tmp_path / "out"
    with starter("source", pause, most) as start:
        while hit < kills:
            pid, exit_code = start(out)
            time.sleep(rng.uniform(0, 0.3))
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            code = exit_code()
            assert code in {0, -number, 75}  # a signal may come before or after the conversion
            hit += code != 0
            found = fingerprint(out)
            assert {n: d for n, d in found.items() if n.endswith(".tar")}.items() <= expected.items()
            if code == 0:  # finished after however many kills, and no temporary file is left; the next hit a new run
                assert found == expected
                shutil.rmtree(out)
    run(toy, out, pause)
    assert fingerprint(out) == expected


def of_base(folder: Path) -> dict[str, str]:
    """Hash and time of writing of every file of the base."""
    times = {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    return {name: f"{digest} {times[name]}" for name, digest in fingerprint(folder).items() if "clips/" in name}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_base(folder)
    return folder


@pytest.mark.parametrize("maker", ["layer", "splits", "writer"] if FULL else ["layer"])
def test_r1_r2_layers_killed_at_random_moments(base: Path, tmp_path: Path, maker: str) -> None:
    """As sources: never a wrong shard, the bytes of an undisturbed run, and the base is what it was."""
    out, rng, seconds = tmp_path / "out", random.Random(maker), 9.0
    with starter(maker, 0.01, plan_file.MOST_IN_ONE_FILE) as start:

        def make() -> None:
            assert start(out)[1]() == 0

        for _ in range(3):
            restore(base, out)
            began = time.monotonic()
            make()
            seconds, expected = min(seconds, time.monotonic() - began), fingerprint(out)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            untouched, hit = restore(base, out), 0
            kills = (200 if number == signal.SIGKILL else 100) if FULL else 2
            while hit < kills:
                pid, exit_code = start(out)
                time.sleep(rng.uniform(0, seconds))
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                code = exit_code()
                assert code in {0, -number, 75}
                hit += code != 0
                found = fingerprint(out)
                assert of_base(out) == untouched
                assert {n: d for n, d in found.items() if n.endswith(".tar")}.items() <= expected.items()
                if code == 0:
                    assert without_leftovers(found, maker) == expected
                    untouched = restore(base, out)
            make()
            assert without_leftovers(fingerprint(out), maker) == expected
            assert of_base(out) == untouched


def restore(base: Path, out: Path) -> dict[str, str]:
    """The base alone; what it is then."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(base, out)
    return of_base(out)


def without_leftovers(found: dict[str, str], maker: str) -> dict[str, str]:
    """Of a `ShardWriter` that was killed temporary files stay, which nobody reads; commands remove them."""
    return {n: d for n, d in found.items() if maker != "writer" or ".part-" not in n}


def test_r2_exceptions_at_random_samples(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that raises what nobody expects: nothing half-written stays, and the next run continues."""
    run(toy, tmp_path / "whole")
    expected, load = fingerprint(tmp_path / "whole"), toy.ToyConverter.load
    rng, out = random.Random(2), tmp_path / "out"
    for _ in range(200 if FULL else 8):
        left = [rng.randrange(18), rng.choice([RuntimeError, KeyboardInterrupt, SystemExit, Interrupted])]

        def broken(self: Any, item: Any, left: list[Any] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise left[1]("stopped")
            return load(self, item)

        monkeypatch.setattr(toy.ToyConverter, "load", broken)
        with suppress(RuntimeError, KeyboardInterrupt, SystemExit, Interrupted):
            run(toy, out)
            shutil.rmtree(out)  # finished before the exception was due
            continue
        found = fingerprint(out)
        assert not [name for name in found if ".part-" in name]
        assert {n: d for n, d in found.items() if n.endswith(".tar")}.items() <= expected.items()
    monkeypatch.setattr(toy.ToyConverter, "load", load)
    run(toy, out)
    assert fingerprint(out) == expected


@pytest.mark.parametrize("workers", [1, 2, 4] if FULL else [1, 2])
def test_r3_workers_and_listings(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Two machines list files in different orders, and have different numbers of cores."""
    run(toy, tmp_path / "whole")
    whole, rng = toy.ToyConverter.list_items, random.Random(workers)

    def shuffled(self: Any) -> Any:
        listing = whole(self)
        rng.shuffle(listing.items)
        return listing

    monkeypatch.setattr(toy.ToyConverter, "list_items", shuffled)
    for trial in range(20 if FULL and workers == 1 else 1):
        run(toy, tmp_path / f"out{trial}", workers=workers)
        assert fingerprint(tmp_path / f"out{trial}") == fingerprint(tmp_path / "whole")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[], None]]:
    """A disk that fills up; the function given makes it large."""
    folder.mkdir()
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
        try:
            yield lambda: subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True) and None
        finally:
            subprocess.run(["umount", str(folder)], check=True)
        return
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 100, before[1]))
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_r8_full_disk(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space is there when the conversion looks, and gone when it writes."""
    run(toy, tmp_path / "whole")
    expected = fingerprint(tmp_path / "whole")
    needed = sum(-(-p.stat().st_size // 4096) * 4 for p in (tmp_path / "whole").rglob("*") if p.is_file())
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1 << 40})())
    rng, failures = random.Random(8), 0
    trials = 50 if FULL else 4
    for trial in range(trials):
        size = 4 * rng.randint(3, needed // 4 - 2)
        with small_disk(tmp_path / f"disk{trial}", size) as enlarge:
            out = tmp_path / f"disk{trial}" / "out"
            try:
                run(toy, out)
                message = ""
            except PvitError as error:
                message = str(error)
            failures += bool(message)
            assert not message or re.fullmatch(r".*(disk is full|File too large).*", message), message
            found = fingerprint(out)
            assert not [name for name in found if ".part-" in name]
            assert {name: digest for name, digest in found.items() if name.endswith(".tar")}.items() <= expected.items()
            enlarge()
            run(toy, out)
            assert fingerprint(out) == expected
    assert failures >= trials // 2


def test_r9_read_only_target(toy: Any, tmp_path: Path) -> None:
    """Nothing is half written, and the error names the folder on one line."""
    with small_disk(tmp_path / "disk", 1000):
        out = tmp_path / "disk" / "out"
        if os.geteuid() == 0:
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        else:
            (tmp_path / "disk").chmod(0o500)
        with pytest.raises((PvitError, OSError)) as caught:
            run(toy, out)
        message, code = describe(caught.value)
        assert code == 1
        assert "Read-only" in message or "read-only" in message or "ermission denied" in message
        assert list((tmp_path / "disk").iterdir()) == []


def test_r9_raw_files_that_vanish_or_change_midway(tmp_path: Path) -> None:
    """The samples that are hit are skipped and named; all others are there, and what is there is sound."""
    simulate("hypersim", tmp_path / "raw", samples=12, seed=4, preset="tiny", traps=False)
    rng = random.Random(9)
    for trial in range(40 if FULL else 3):
        raw, out = Path(shutil.copytree(tmp_path / "raw", tmp_path / f"raw{trial}")), tmp_path / f"out{trial}"
        victims = rng.sample(sorted(raw.rglob("*.depth_meters.hdf5")), 3)
        moment = rng.randrange(11)

        whole = (tmp_path / "raw" / victims[2].relative_to(raw)).read_bytes()

        def spoil(done: int, _: int, victims: list[Path] = victims, moment: int = moment, whole: bytes = whole) -> None:
            if done == moment:
                victims[0].unlink(missing_ok=True)
                victims[1].write_bytes(b"")
                victims[2].write_bytes(whole[:700])

        job = Job(HypersimConverter, raw, str(out), HypersimOptions(), workers=1, max_failed=1)
        report = convert(job, spoil)
        assert report.converted + report.num_failed == 12
        assert report.num_failed <= 3
        assert all(any(v.name in f.message for v in victims) for f in report.failures)
        assert set(report.failed) <= {"missing-file", "corrupt-hdf5"}
        assert validate(out, deep=True).problems == []
        shutil.rmtree(raw)
        with pytest.raises(SourceError, match="no such folder"):
            convert(replace(job, overwrite=True))
        assert validate(out).problems == []  # nothing was lost


TWO_WORKERS = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from toy_converter import ToyConverter, ToyOptions
from pvit_converters.engine.run import Job, convert
from pvit_converters.engine.plan import Settings
if __name__ == "__main__":
    options = ToyOptions(seconds=float(sys.argv[3]))
    convert(Job(ToyConverter, Path("."), sys.argv[2], options, Settings(shard_bytes=6000), 2))
"""


def kill_one_worker(pid: int, rng: random.Random) -> bool:
    """Kills a spawned process below this one, if there is one."""
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(pid).children(recursive=True)
        workers = [p for p in below if any("spawn_main" in text for text in p.cmdline())]
        if workers:
            rng.choice(workers).kill()
            return True
    return False


def test_workers_killed_at_random_moments(toy: Any, tmp_path: Path) -> None:
    """The run survives every one of them, and gives the bytes of an undisturbed one."""
    run(toy, tmp_path / "whole", SECONDS)
    expected = fingerprint(tmp_path / "whole")
    rng, killed = random.Random(3), 0
    script = tmp_path / "script.py"
    script.write_text(TWO_WORKERS)
    for trial in range(20 if FULL else 1):
        out = tmp_path / f"out{trial}"
        process = subprocess.Popen(
            [sys.executable, str(script), str(TOYS), str(out), str(SECONDS)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not list(out.rglob("*train-0*")):
            time.sleep(0.02)  # until a shard is begun
        time.sleep(rng.uniform(0, 0.5))
        killed += kill_one_worker(process.pid, rng)
        assert process.wait(timeout=120) == 0
        assert fingerprint(out) == expected
    assert killed >= (12 if FULL else 1)
