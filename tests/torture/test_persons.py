"""AVA from its simulated raw tree to official numbers, by the commands of a user: what persons do is learned.

About eleven minutes on one core: most of it converts the 2,691 seconds that are held out, and trains.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.data import main as data
from pvit_cli.model import main as model
from pvit_converters.simulate import simulate
from pvit_data.scoring.files.ava import Videos, read_detections
from pvit_data.scoring.files.shards import Seconds, read_seconds
from pvit_data.scoring.metrics.ava import EVALUATED, BoxTable
from pvit_model.tasks.persons.measuring import MAIN, VARIANTS, precisions

pytestmark = pytest.mark.full

RECIPE = """
about: persons
clip:
  {downstream: ava, num_frames: 16, size: [64, 64], rate: 4, jitter: [1.0, 1.15], flip: 0.5, tasks: {ava: [persons]}}
mixture: {batch_size: 16, portion: 0}
model: {name: mvitv2_xxs, variant: baseline}
optim: {name: adamw, lr: 0.002, steps: 300, warmup_steps: 20}
data: {crops: 1, workers: 0}
run: {log_every: 20, eval_every: 150, checkpoint_every: 150, eval_clips: 100, predictions: 0, threads: 1, watchdog_s: 0}
"""


def guesses(truth: Seconds, found: BoxTable, trained: BoxTable) -> dict[str, BoxTable]:
    """What says nothing of a person: random scores, how often each class is, and the scores of somebody else."""
    rng = np.random.default_rng(0)
    share = np.bincount(trained.class_id, minlength=81) / len(trained)
    boxes = len(found) // 80
    other = found.score.reshape(boxes, 80)[rng.permutation(boxes)].reshape(-1)
    scores = {"random": rng.random(len(found)), "frequencies": share[found.class_id], "permuted": other}
    return {name: BoxTable(found.image, found.xyxy, found.class_id, score) for name, score in scores.items()}


def compared(dump: Path, shards: Path, train: Path) -> dict[str, dict[str, float]]:
    """mAP in all variants of the network's scores and of guesses."""
    videos = Videos()
    truth = read_seconds(str(shards), "ava", "val", videos)
    found = read_detections(dump, videos)
    trained = read_seconds(str(train), "ava", "train", Videos()).truth
    tables = {"network": found, **guesses(truth, found, trained)}
    return {name: precisions(truth, table, EVALUATED) for name, table in tables.items()}


def test_what_persons_do_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, shards, run, dump = (tmp_path / name for name in ("raw", "shards", "run", "boxes.parquet"))
    simulate("ava", raw, preset="small", samples=12, seed=3)
    for source in ("ava", "ava-train", "ava-detections"):
        base = [] if source == "ava" else ["--base", str(shards)]
        assert data(["convert", source, str(raw), str(shards), *base, "--workers", "1"]) == 0
    (tmp_path / "persons.yaml").write_text(RECIPE)
    train = ["train", "--shards", str(shards), "--recipe", str(tmp_path / "persons.yaml"), "--out", str(run)]
    assert model([*train, "--set", "data.layers={ava: [ava-train, ava-detections]}"]) == 0
    capsys.readouterr()
    evaluated = ["eval", "--model", str(run), "--shards", str(shards), "--layer", "ava=ava-detections"]
    assert model([*evaluated, "--dump", str(dump), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)["reports"]
    found = report["metrics"]["persons"]
    mine = compared(dump, shards, shards)
    for variant in (MAIN, *VARIANTS):
        assert found[variant] == mine["network"][variant]
        for guess in ("random", "frequencies", "permuted"):
            assert found[variant] > 2 * mine[guess][variant], (variant, guess)
    assert found[MAIN] >= 0.3 * found["oracle"]
