"""Whole runs on two ranks (gloo, under torchrun): shards of weights, ranks that are killed, the exit code of a stop."""

import os
import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed import TCPStore

from pvit_data.errors import ConfigError
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.engine import own_address, store_at
from pvit_model.training.sharded import check_sharding
from pvit_model.training.trainer import run_plan
from tests.sockets import listeners

RANKS = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
QUIET = ("run.log_every=1", "run.predictions=0", "run.timeout_s=20")


def torchrun(out: Path, shards: list[str], recipe: str, *settings: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command line of a run on two ranks."""
    folders = [word for url in shards for word in ("--shards", url)]
    changes = [word for text in (*QUIET, *settings) for word in ("--set", text)]
    options = ["--recipe", recipe, "--out", str(out), *folders, *changes, *flags]
    return [*RANKS, "--standalone", "-m", "tests.leaving", "train", *options]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
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


@pytest.mark.full
def test_clips_are_mixed_across_ranks(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    """A rank's last clip takes in the first one of the next rank, so that losses are those of one process."""
    same = ("optim.steps=3", "optim.name=sgd", "optim.lr=0.01", "run.checkpoint_every=3", "run.eval_clips=2")
    same += ("model.options.dense_dropout=0", "model.options.dropout=0", "mixture.mixup=0.8", "mixture.cutmix=1")
    one, two = tmp_path / "one", tmp_path / "two"
    run_plan(make_plan(load_recipe(tiny_recipe, [*QUIET, *same]), shards), one)
    done = run(torchrun(two, shards, tiny_recipe, *same))
    assert done.returncode == 0, done.stderr[:6000]
    assert_close(one, two, 3)
    plain = tmp_path / "plain"
    run_plan(make_plan(load_recipe(tiny_recipe, [*QUIET, *same[:-2]]), shards), plain)
    ours, theirs = ([x for _, x in losses(out)] for out in (plain, one))
    assert ours != pytest.approx(theirs, rel=1e-3), "mixing changes the loss"


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


LISTENING = """
import os
from datetime import timedelta
import torch
import torch.distributed as dist
from pvit_model.training.engine import join_ranks
from tests.sockets import listeners

os.environ["MASTER_ADDR"] = os.environ.get("ADDRESS", os.environ["MASTER_ADDR"])
join_ranks(timedelta(seconds=60))
dist.all_reduce(torch.ones(3))
print(*(f"listens {text}\\n" for text in listeners(os.getpid())), sep="", flush=True)
dist.barrier()
dist.destroy_process_group()
"""


def test_ranks_of_one_machine_listen_at_its_loopback_address(tmp_path: Path) -> None:
    """The kernel's word: whatever name torchrun calls the machine, no other one reaches the ranks' store."""
    script = tmp_path / "listening.py"
    script.write_text(LISTENING)
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    for more in ({}, {"ADDRESS": network_address()}):
        command = [*RANKS, "--standalone", str(script)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=150, check=False, env=os.environ | environment | more
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found = [line.split() for line in done.stdout.splitlines() if line.startswith("listens")]
        assert len(found) >= 2
        assert all(kind == "tcp" and where.startswith("0100007F:") for _, kind, where in found), found


def network_address() -> str:
    """An address of this machine that others can reach; its loopback address where it has none."""
    with socket.socket(type=socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(way.getsockname()[0])


def test_ranks_of_several_machines_listen_at_one_address() -> None:
    """At the one from which rank 0 reaches torchrun's store; a loopback address would be of no use to the others."""
    with socket.create_server(("127.0.0.1", 0)) as agents:
        assert own_address("127.0.0.1", agents.getsockname()[1]) == network_address()
    store = store_at(network_address(), timedelta(seconds=5))
    client = TCPStore(store.host, store.port, is_master=False, timeout=timedelta(seconds=5))
    client.set("key", "value")
    assert store.get("key") == b"value"
    packed = "".join(f"{int(part):02X}" for part in reversed(network_address().split(".")))
    assert f"tcp {packed}:{store.port:04X}" in listeners(os.getpid())
