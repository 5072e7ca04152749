"""R12 to R15 and R17 at full size: runs stopped, killed and damaged over and over end as if nothing had happened.

Small sizes are in tests/pvit_model; here a few repetitions, or the full figures in `make torture` (PVIT_TORTURE=1).
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from pvit_model.runs import checkpoint
from pvit_model.runs.log import read_log
from tests.pvit_model import conftest as tiny
from tests.pvit_model.runs.test_checkpoint import WRITER, network, save
from tests.pvit_model.runs.test_checkpoint import train as train_a_little

FULL = bool(os.environ.get("PVIT_TORTURE"))
STOPS, RANK_KILLS, WRITER_KILLS, DAMAGES = (10, 5, 30, 300) if FULL else (1, 1, 1, 20)
STEPS = 100 if FULL else 24
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}

shards, tiny_recipe = tiny.shards, tiny.tiny_recipe


def command(out: Path, shards: list[str], recipe: str, *settings: str, restarts: int | None = None) -> list[str]:
    """`pvit train --resume` in one process, or under torchrun on two ranks where `restarts` is given."""
    folders = [word for url in shards for word in ("--shards", url)]
    common = (f"optim.steps={STEPS}", "run.checkpoint_every=3", "run.eval_every=1000", "run.log_every=1")
    common += ("run.predictions=0", "run.eval_clips=2", "run.timeout_s=15")
    changes = [word for text in (*common, *settings) for word in ("--set", text)]
    ranks = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts or 0)]
    program = [sys.executable, "-m", *([*ranks, "-m"] if restarts is not None else []), "pvit_cli.model"]
    return [*program, "train", "--recipe", recipe, "--out", str(out), *folders, *changes, "--resume"]


def whole_run(out: Path, words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[:4000]
    assert (out / "report.html").is_file()


def assert_same(a: Path, b: Path) -> None:
    """Bit-equal curves and weights."""
    one, two = ([(x["step"], x["loss"]) for x in read_log(p) if x["kind"] == "train"] for p in (a, b))
    assert one == two
    first, second = (load_file(p / f"checkpoints/step-{STEPS:08d}/model.safetensors") for p in (a, b))
    assert [k for k in first if not torch.equal(first[k], second[k])] == []


def steps_done(out: Path) -> int:
    """Steps in the log so far; -1 without one."""
    try:
        return max((x["step"] for x in read_log(out) if x["kind"] == "train"), default=0)
    except OSError:
        return -1


def wait_for(out: Path, step: int, process: subprocess.Popen[str], limit_s: float = 120) -> None:
    begun = time.monotonic()
    while steps_done(out) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < limit_s
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(shards: list[str], tiny_recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Undisturbed runs by their settings, each made once."""

    @functools.cache
    def made(*settings: str, restarts: int | None = None) -> Path:
        out = tmp_path_factory.mktemp("whole") / "run"
        whole_run(out, command(out, shards, tiny_recipe, *settings, restarts=restarts))
        return out

    return made


ONE, TWO = None, 0
"""`restarts` of a run without torchrun, and of one on two ranks."""
FP32, BF16 = ("run.precision=fp32",), ("run.precision=bf16",)
FOUR, EIGHT = (("mixture.batch_size=8", f"mixture.nodes={nodes}") for nodes in (4, 8))
"""Settings of runs: of a precision, and of canonical nodes."""
STOPPED = [(ONE, FP32, signal.SIGTERM)]
if FULL:
    STOPPED += [(ONE, FP32, signal.SIGKILL), (ONE, BF16, signal.SIGTERM), (ONE, BF16, signal.SIGKILL)]
    STOPPED += [(TWO, s, number) for s in (FP32, BF16, FOUR, EIGHT) for number in (signal.SIGTERM, signal.SIGKILL)]


@pytest.mark.parametrize(("restarts", "settings", "number"), STOPPED)
def test_stopped_again_and_again(
    restarts: int | None, settings: tuple[str, ...], number: signal.Signals, whole: Callable[..., Path],
    shards: list[str], tiny_recipe: str, tmp_path: Path,
) -> None:  # fmt: skip
    """R12: after SIGTERM the exit code is 75 (torchrun: 1); after each kind of stop --resume goes on exactly."""
    out, rng = tmp_path / "run", random.Random(int(number))
    words = command(out, shards, tiny_recipe, *settings, restarts=restarts)
    for _ in range(STOPS):
        stop = max(steps_done(out), 0) + rng.randrange(1, 5)  # beyond what earlier starts have logged
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
        wait_for(out, stop, process)
        family = psutil.Process(process.pid).children(recursive=True) if number == signal.SIGKILL else []
        process.send_signal(number)
        for child in family:  # as when a machine goes down: torchrun's ranks with it
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        said, _ = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 75 if restarts is None else 1), said
    whole_run(out, words)
    assert_same(whole(*settings, restarts=restarts), out)


@pytest.mark.full
def test_a_killed_loader_worker_ends_the_run(
    whole: Callable[..., Path], shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    """R17: one line that names the worker, well within the time limit; --resume goes on exactly."""
    out = tmp_path / "run"
    words = command(out, shards, tiny_recipe, "data.workers=1")
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT)
    wait_for(out, 4, process)
    begun = time.monotonic()
    for child in psutil.Process(process.pid).children(recursive=True):
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert time.monotonic() - begun < 15 + 10
    assert "worker" in said.splitlines()[-1]
    whole_run(out, command(out, shards, tiny_recipe))
    assert_same(whole(*FP32), out)


def ranks_of(torchrun: int) -> list[psutil.Process]:
    """Training processes below a torchrun, by rank."""
    found = [p for p in psutil.Process(torchrun).children() if "RANK" in p.environ()]
    return sorted(found, key=lambda p: int(p.environ()["RANK"]))


@pytest.mark.full
@pytest.mark.parametrize("settings", [FP32, FOUR, EIGHT])
def test_a_killed_rank_is_started_again(
    settings: tuple[str, ...], whole: Callable[..., Path], shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    """R13: torchrun starts all ranks again, and they go on from the last checkpoint, within three minutes."""
    rng = random.Random(0)
    for trial in range(RANK_KILLS):
        out, begun = tmp_path / f"run-{trial}", time.monotonic()
        words = command(out, shards, tiny_recipe, *settings, restarts=3)
        log = (tmp_path / f"log-{trial}").open("w")
        process = subprocess.Popen(words, stdout=log, stderr=log, text=True, env=ENVIRONMENT)
        wait_for(out, rng.randrange(1, STEPS - 2), process)
        ranks_of(process.pid)[rng.randrange(2)].kill()
        assert process.wait(timeout=180) == 0, (tmp_path / f"log-{trial}").read_text()[-4000:]
        log.close()
        assert time.monotonic() - begun < 180
        assert_same(whole(*settings, restarts=TWO), out)


def test_killed_writers(tmp_path: Path) -> None:
    """R14: whenever the writer dies, the newest checkpoint is whole."""
    rng = random.Random(0)
    tests = str(Path(tiny.__file__).parent / "runs")
    for trial in range(WRITER_KILLS):
        folder = tmp_path / str(trial)
        script = WRITER.format(tests=tests, folder=str(folder))
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert process.stdout is not None
        process.stdout.readline()
        while not checkpoint.checkpoints(folder):
            assert process.poll() is None
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.wait()
        process.stdout.close()
        found = checkpoint.newest(folder)
        assert found is not None
        assert checkpoint.read_state(found)["step"] == checkpoint.checkpoints(folder)[-1][0]


def test_damaged_checkpoints(tmp_path: Path) -> None:
    """R14: every damage to any file is found, and the one before is used."""
    from pvit_model.recipes.config import OptimConfig
    from pvit_model.training.optim import make_optimizer

    model = network()
    optimizer = make_optimizer(model, OptimConfig())
    train_a_little(model, optimizer, range(1))
    first, second = save(tmp_path, 1, model, optimizer), save(tmp_path, 2, model, optimizer)
    rng = np.random.default_rng(0)
    files = sorted(p for p in second.iterdir() if p.name != "manifest.json")
    for trial in range(DAMAGES):
        path = files[trial % len(files)]
        good = path.read_bytes()
        bad = bytearray(good)
        if trial % 3 == 0:
            bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        elif trial % 3 == 1:
            del bad[rng.integers(len(bad)) :]
        else:
            bad += rng.bytes(int(rng.integers(1, 100)))
        path.write_bytes(bad)
        with pytest.warns(UserWarning, match=f"is damaged .{path.name}"):
            assert checkpoint.newest(tmp_path) == first
        path.write_bytes(good)
    shutil.rmtree(first)
    assert checkpoint.newest(tmp_path) == second


POISON = """
import os, sys, torch
from pathlib import Path
from pvit_data.errors import PvitError
from pvit_model.recipes.plan import make_plan
from pvit_model.recipes.loading import load_recipe
from pvit_model.training.step import Stepper
from pvit_model.training.trainer import Trainer, run_plan
kind, rank = {kind!r}, int(os.environ["RANK"])
said = open({out!r} + ".rank" + str(rank), "w")  # two ranks' lines on one pipe may run into each other
clip = Stepper._clip
def clipped(self):
    if kind == "one rank's gradient" and rank == 1:  # after the ranks have shared theirs
        self.parameters[0].grad.fill_(float("nan"))
    return clip(self)
Stepper._clip = clipped
original = Trainer._step
def poisoned(self, batch, stop):
    if self.progress.step == 0 and kind == "gradient" and rank == 1:
        self.network.head.weight.register_hook(lambda g: g * float("nan"))
    if rank == 1 and kind == "target":
        for name in ("depth", "normal", "pose3d"):
            batch.targets[name].value.fill_(float("nan"))
    if rank == 1 and kind == "clip":
        batch.video[0, 0, 0, 0, 0] = float("inf")
    self.before = self.__dict__.get("before") or {{k: v.clone() for k, v in self.network.state_dict().items()}}
    try:
        return original(self, batch, stop)
    finally:
        assert all(torch.equal(v, self.before[k]) for k, v in self.network.state_dict().items())
        print("counted", self.progress.step, self.progress.bad_in_a_row, file=said, flush=True)
Trainer._step = poisoned
settings = ["run.max_nonfinite=3", "run.timeout_s=15", "run.log_every=1"]
try:
    run_plan(make_plan(load_recipe({recipe!r}, settings), {shards!r}), Path({out!r}))
except PvitError as error:
    print("stopped", error, file=said, flush=True)
"""


POISONS = {"target": "depth", "clip": "action", "gradient": "gradient", "one rank's gradient": "gradient"}


@pytest.mark.parametrize("kind", POISONS if FULL else ["one rank's gradient"])
def test_poison_on_one_rank(kind: str, shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """R15: no rank steps, all count alike, and all stop at the limit with the name of what was not finite."""
    script = tmp_path / "script.py"
    script.write_text(POISON.format(kind=kind, recipe=tiny_recipe, shards=shards, out=str(tmp_path / "run")))
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[:4000]
    for rank in (0, 1):
        *counted, stopped = (tmp_path / f"run.rank{rank}").read_text().splitlines()
        assert counted == ["counted 1 1", "counted 2 2", "counted 3 3"]
        assert stopped.startswith("stopped training stopped at step 3: 3 steps in a row had a non-finite loss")
        assert POISONS[kind] in stopped
