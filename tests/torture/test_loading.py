"""R10, R11, R17 and R19: exact resume at every step, elastic ranks and workers, dying workers, steady memory.

A few steps in `make test`, the full figures in `make torture` (PVIT_TORTURE=1).
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import pvit_data
from pvit_data.clips.config import ClipConfig
from pvit_data.loading.batch import Batch
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import MixtureSource
from pvit_data.testing import assert_exact_resume
from tests.pvit_data.memory_set import real, still, synthetic

FULL = bool(os.environ.get("PVIT_TORTURE"))
CLIP = ClipConfig(num_frames=4, size=(16, 16), map_size=(4, 4), flip=0.5, colour=0.3, normal_axes="camera")
TASKS = {"synth": ("depth", "normal", "segm", "pose3d", "boxes"), "stills": ("depth",), "real": ("action",)}
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of three sources with different annotations."""
    out = tmp_path_factory.mktemp("mixture")
    count = 100 if FULL else 12
    for source, make, number in (
        ("real", real, count),
        ("synth", synthetic, count // 3),
        ("stills", still, count // 4),
    ):
        samples = [make(f"{source}-{i}", source=source) for i in range(number)]
        spaces = dict(samples[0].spaces)
        with pvit_data.ShardWriter(out, source, tasks=TASKS[source], spaces=spaces, shard_bytes=200_000) as writer:
            for sample in samples:
                writer.write(sample)
    return out


def mixture(folder: Path, nodes: int = 1) -> Mixture:
    sources = [pvit_data.open(folder, source=name, split="train") for name in ("real", "synth", "stills")]
    roles = ("downstream", "auxiliary", "auxiliary")
    mixed = [MixtureSource(ds, role) for ds, role in zip(sources, roles, strict=True)]  # type: ignore[arg-type]
    return Mixture(mixed, 4 if nodes == 1 else 8, seed=3, block=2, window=16, nodes=nodes)


@pytest.mark.parametrize(("workers", "nodes"), [(0, 1), (2, 1), (2, 4), (0, 8)])
def test_r10_exact_resume_at_every_step(folder: Path, workers: int, nodes: int) -> None:
    steps = 200 if FULL else 6
    resume_at = None if FULL else [1, 5]
    mixed = mixture(folder, nodes)
    assert_exact_resume(lambda start: pvit_data.loader(mixed, workers, start_step=start, clip=CLIP), steps, resume_at)


@pytest.mark.parametrize(
    ("world_size", "workers", "nodes"),
    [*((w, n, 1) for w in (1, 2, 4) for n in (0, 1, 3)), (1, 0, 4), (4, 1, 4), (2, 3, 8)],
)
def test_r11_global_batches_are_the_same_on_any_ranks_and_workers(
    folder: Path, world_size: int, workers: int, nodes: int
) -> None:
    mixed = mixture(folder, nodes)
    steps = 2 * mixed.steps_per_epoch + 3 if FULL else 3
    first = 0 if FULL else mixed.steps_per_epoch - 1  # over an epoch boundary
    expected = {step: [_key(mixed, *draw) for draw in mixed.plan(step)] for step in range(first, first + steps)}
    starts = [first, *random.Random(f"{world_size}x{workers}").sample(range(first, first + steps), 10 if FULL else 1)]
    for start in starts:
        number = steps if start == first else 2
        got: dict[int, list[str]] = {}
        for rank in range(world_size):
            loader = pvit_data.loader(mixed, workers, rank, world_size, start, number, CLIP)
            for batch in loader:
                got.setdefault(batch.step, []).extend(batch.keys)
        assert all(keys == expected[step] for step, keys in got.items() if step in expected)
        assert list(got) == list(range(start, start + number))


def _key(mixed: Mixture, source: int, row: int) -> str:
    return str(mixed.sources[source].ds.column("key")[row])


SCRIPT = """
import os, signal, sys, time, itertools
import pvit_data
from pvit_data.loading import clip_reader
from tests.torture.test_loading import CLIP, mixture
from pathlib import Path
folder, what, start = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
read = clip_reader.ClipReader.train
def fail(self, row, *rest):
    if self.key(row) == VICTIM:
        {"kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
         "stuck": lambda: time.sleep(600), "error": lambda: 1 / 0, "none": lambda: None}[what]()
    return read(self, row, *rest)
clip_reader.ClipReader.train = fail
mixed = mixture(folder)
VICTIM = str(mixed.sources[0].ds.column("key")[mixed.plan(3)[0][1]])
for batch in itertools.islice(pvit_data.loader(mixed, 1, start_step=start, clip=CLIP, timeout=4), 6):
    print(batch.step, *batch.keys, f"{float(batch.video.double().sum()):.17g}", flush=True)
"""


def run(folder: Path, what: str, start: int = 0) -> tuple[int, list[str], str, float]:
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), what, str(start)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr, time.monotonic() - begin


def test_r17_a_dying_worker_ends_the_run_in_time_and_a_restart_resumes_exactly(folder: Path) -> None:
    code, truth, error, undisturbed = run(folder, "none")
    assert code == 0, error
    mixed = mixture(folder)
    victim = _key(mixed, *next(draw for draw in mixed.plan(3) if draw[0] == 0))
    for what in ("kill", "segv", "error", "stuck") if FULL else ("kill",):
        code, lines, error, seconds = run(folder, what)
        assert code != 0
        assert seconds < undisturbed + 4 + 10
        last = error.strip().splitlines()[-1] if what != "error" else error
        assert "worker 0" in last
        assert f"'{victim}'" in last
        assert lines == truth[: len(lines)]
        _, again, _, _ = run(folder, "none", start=len(lines))
        assert lines + again[: 6 - len(lines)] == truth


def read(batches: Iterator[Batch], number: int) -> None:
    for _ in itertools.islice(batches, number):
        pass


def test_many_batches_can_be_held_although_each_tensor_of_a_worker_holds_a_file(folder: Path) -> None:
    kept = list(pvit_data.loader(mixture(folder), 1, num_steps=100, clip=CLIP))
    assert psutil.Process().num_fds() < 400
    assert [batch.step for batch in kept] == list(range(100))


@pytest.mark.parametrize("workers", [0, 1])
def test_r19_memory_and_open_files_stay_constant(folder: Path, workers: int) -> None:
    batches = iter(pvit_data.loader(mixture(folder), workers, clip=CLIP))
    process = psutil.Process()
    read(batches, 100 if FULL else 30)
    family = [process, *process.children(recursive=True)]
    memory, files = sum(p.memory_info().rss for p in family), [p.num_fds() for p in family]
    read(batches, 2000 if FULL else 60)
    grown = sum(p.memory_info().rss for p in family) - memory
    assert grown < 50e6, f"grew by {grown / 1e6:.0f} MB"
    # Tensors on their way from a worker hold a descriptor each: as many as two batches have, at most.
    assert all(abs(p.num_fds() - before) < 60 for p, before in zip(family, files, strict=True))
