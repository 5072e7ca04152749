"""Ego4D from its simulated download to official numbers, by the commands of a user: changes are found, and when.

About three minutes on one core, most of it training.
"""

import json
from pathlib import Path

import pytest

from pvit_cli.data import main as data
from pvit_cli.model import main as model
from pvit_converters.simulate import simulate

pytestmark = pytest.mark.full

SMALL = (
    "clip.num_frames=16", "mixture.batch_size=16", "optim.steps=400", "data.workers=0", "run.precision=fp32",
    "run.eval_every=400", "run.predictions=0", "run.watchdog_s=0",
)  # fmt: skip
"""Beside what `demo` says."""


def test_changes_are_found_and_when(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, shards, run = (tmp_path / name for name in ("raw", "shards", "run"))
    simulate("ego4d", raw, samples=186, seed=3)
    assert data(["convert", "ego4d", str(raw), str(shards), "--workers", "1"]) == 0
    train = ["train", "--shards", str(shards), "--recipe", "ego4d/baseline+demo", "--downstream", "ego4d"]
    assert model([*train, "--out", str(run), *(word for change in SMALL for word in ("--set", change))]) == 0
    capsys.readouterr()
    assert model(["eval", "--model", str(run), "--shards", str(shards), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    state, time = report["metrics"]["action"], report["metrics"]["pnr"]
    assert state["videos"] >= 120
    assert state["top1"] >= state["majority"] + 4 * state["majority_se"]
    assert time["clips"] >= 60
    assert time["pnr_error_sec"] < time["always_8"]
