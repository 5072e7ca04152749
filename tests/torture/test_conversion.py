"""R8 and R3: full disks and dying workers cost time, and not one byte.

The disk is a tmpfs of some kilobytes where we may mount one (root), else a limit on the size of files.
"""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pvit_cli.common import describe
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import PvitError

SECONDS = 0.05  # that a sample takes, so that a worker is hit at work
FULL = bool(os.environ.get("PVIT_TORTURE"))
SMALL = Settings(shard_bytes=6000)
TOYS = Path(__file__).parents[1] / "pvit_converters" / "toys"
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


def run(toy: Any, out: Path, seconds: float = 0) -> None:
    convert(Job(toy.ToyConverter, Path("."), str(out), toy.ToyOptions(seconds=seconds), SMALL, 1))


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


SCRIPT = """
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
    """The run survives, or ends and is resumed; what has its final name is complete."""
    run(toy, tmp_path / "whole", SECONDS)
    expected = fingerprint(tmp_path / "whole")
    rng, killed = random.Random(3), 0
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
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
        assert process.wait(timeout=120) in (0, 1)
        found = {n: d for n, d in fingerprint(out).items() if n.endswith(".tar")}
        assert found.items() <= expected.items()
        run(toy, out, SECONDS)
        assert fingerprint(out) == expected
    assert killed > 0
