"""Whole runs on two ranks (gloo, under torchrun): shards of weights, ranks that are killed, the exit code of a stop."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pvit_data.errors import ConfigError
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.sharded import check_sharding
from pvit_model.training.trainer import run_plan

RANKS = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
QUIET = ("run.log_every=1", "run.predictions=0", "run.timeout_s=20")


def torchrun(out: Path, shards: list[str], recipe: str, *settings: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command line of a run on two ranks."""
    folders = [word for url in shards for word in ("--shards", url)]
    changes = [word for text in (*QUIET, *settings) for word in ("--set", text)]
    options = ["--recipe", recipe, "--out", str(out), *folders, *changes, *flags]
    return [*RANKS, "--standalone", "-m", "pvit_cli.model", "train", *options]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, env=environment)


def weights(out: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoints" / f"step-{step:08d}" / "model.safetensors")


def losses(out: Path) -> list[tuple[int, float]]:
    return [(x["step"], x["loss"]) for x in read_log(out) if x["kind"] == "train"]


def test_shards_train_like_one_process(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """FSDP2 on two ranks gives the curve and the weights of one process, and leaves checkpoints that one process
    resumes. Dropout is off: each rank draws its own."""
    same = ("optim.steps=4", "optim.name=sgd", "optim.lr=0.01", "optim.clip_norm=1", "run.checkpoint_every=2")
    same += ("model.options.dense_dropout=0", "model.options.dropout=0", "optim.layer_decay=0.7")
    one, two = tmp_path / "one", tmp_path / "two"
    run_plan(make_plan(load_recipe(tiny_recipe, [*QUIET, *same]), shards), one)
    more = ("run.strategy=fsdp", "run.checkpoint_activations=true")
    done = run(torchrun(two, shards, tiny_recipe, *same, *more))
    assert done.returncode == 0, done.stderr[:6000]
    assert "memory     about" in (two / "plan.txt").read_text()
    assert_close(one, two, 4)
    shutil.rmtree(two / "checkpoints/step-00000004")
    run_plan(make_plan(load_recipe(tiny_recipe, [*QUIET, *same]), shards), two, resume=True)
    assert_close(one, two, 4)


def assert_close(one: Path, two: Path, step: int) -> None:
    """Equal curves and weights, to what another order of adding float32 numbers changes."""
    assert [x for _, x in losses(one)] == pytest.approx([x for _, x in losses(two)], rel=1e-5)
    a, b = weights(one, step), weights(two, step)
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.allclose(value, b[name], rtol=1e-4, atol=1e-6), name


def test_fsdp_refuses_what_it_cannot(tiny_recipe: str) -> None:
    for setting in ("optim.ema=0.9", "losses.learned=true", "run.compile=true", "run.precision=fp16"):
        with pytest.raises(ConfigError, match=f"run.strategy=fsdp does not work with {setting.partition('=')[0]}"):
            check_sharding(load_recipe(tiny_recipe, [setting]))


MEETING = """
import os, signal, sys, time
from datetime import timedelta
import torch.distributed as dist
from pvit_model.training.engine import join_ranks

rank, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
if restarts and rank == restarts % 2:
    time.sleep(2)
join_ranks(timedelta(seconds=20))
dist.barrier()
print(f"met {restarts}", flush=True)
if restarts < 2:
    if rank == restarts % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
dist.destroy_process_group()
"""


def test_restarted_ranks_do_not_meet_the_dead(tmp_path: Path) -> None:
    """torchrun's own store still holds a killed rank's address when the others come up first; each restart must meet
    at the first try, whichever rank is late."""
    script = tmp_path / "meeting.py"
    script.write_text(MEETING)
    done = run([*RANKS, "--standalone", "--max-restarts", "2", str(script)])
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("met 2") == 2
