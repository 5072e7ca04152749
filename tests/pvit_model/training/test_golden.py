"""R18: the first 50 steps of the demo's recipe, against a curve kept as text: what changes no result changes no digit.

`golden/demo-50-steps.txt` holds the loss of every step as a hex float, and the machine class it was computed on. On
that class it must come out bit-equal; elsewhere (other kernels, another order of adding) within `TOLERANCE`. Shards
are simulated and converted on the spot, so that a changed pixel shows too.

After an intended change: PVIT_GOLDEN=write python -m pytest tests/pvit_model/training/test_golden.py
"""

import os
import platform
import re
from pathlib import Path

import pytest
import torch

from pvit_cli.data import main
from pvit_converters.simulate import simulate
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.trainer import run_plan

FILE = Path(__file__).parent / "golden/demo-50-steps.txt"
STEPS = 50
TOLERANCE = ((10, 1e-4), (STEPS, 3e-2))
"""Up to step n, relative: training amplifies the last bit, so later steps may differ more."""
SETTINGS = (
    f"optim.steps={STEPS}", "mixture.batch_size=8", "data.workers=0", "run.log_every=1", "run.eval_every=50",
    "run.eval_clips=1", "run.predictions=0", "run.watchdog_s=0",
)  # fmt: skip


def machine_class() -> str:
    """What decides the digits: kernels chosen by version, instruction set and processor."""
    version = ".".join(torch.__version__.split("+")[0].split(".")[:2])
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    return f"torch {version} {torch.backends.cpu.get_cpu_capability()} {names[0] if names else platform.machine()}"


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    root = tmp_path_factory.mktemp("golden")
    simulate("hypersim", root / "raw/hypersim", samples=60, preset="tiny")
    simulate("ssv2", root / "raw/ssv2", preset="tiny", train=24, validation=4, test=1)
    for name in ("hypersim", "ssv2"):
        assert main(["convert", name, str(root / "raw" / name), str(root / "shards" / name), "--workers", "1"]) == 0
    shards = [str(root / "shards" / name) for name in ("hypersim", "ssv2")]
    run_plan(make_plan(load_recipe("demo", SETTINGS), shards), root / "run")
    return [x["loss"] for x in read_log(root / "run") if x["kind"] == "train"]


def test_the_first_50_losses_are_the_kept_ones(curve: list[float]) -> None:
    if os.environ.get("PVIT_GOLDEN") == "write":
        lines = [f"# {machine_class()}", *(f"{i + 1:>3} {x.hex()}  {x:.6f}" for i, x in enumerate(curve))]
        FILE.write_text("\n".join(lines) + "\n")
    first, *rows = FILE.read_text().splitlines()
    kept = [float.fromhex(row.split()[1]) for row in rows]
    assert len(curve) == len(kept) == STEPS
    if first == f"# {machine_class()}":
        assert curve == kept
    begin = 0
    for end, relative in TOLERANCE:
        assert curve[begin:end] == pytest.approx(kept[begin:end], rel=relative), f"steps {begin + 1} to {end}"
        begin = end
    assert sum(kept[-5:]) < sum(kept[:5])
