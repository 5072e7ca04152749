"""Each source of real video from its simulated raw tree to a trained and evaluated network, by the commands of a user.

What persons of AVA do: `test_persons`.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pvit_cli.data import main as data
from pvit_cli.model import main as model
from pvit_converters.simulate import simulate
from pvit_model.runs.log import read_log

pytestmark = pytest.mark.full

RECIPE = """
about: three steps
clip: {num_frames: 8, size: [32, 32], normal_axes: camera}
mixture: {batch_size: 2}
model: {name: mvitv2_xxs, options: {dense_width: 8, depth: 2, stages: [1], dense_layers: [0, 1], embed_dim: 8}}
optim: {name: adamw, lr: 0.003, steps: 3}
data: {crops: 1, workers: 0}
run: {log_every: 1, eval_every: 3, checkpoint_every: 3, eval_clips: 4, predictions: 0, threads: 1, watchdog_s: 0}
"""


def convert(*words: object) -> None:
    assert data(["convert", *map(str, words), "--workers", "1", "--max-failed", "50"]) == 0


def metrics(found: dict[str, Any]) -> dict[str, Any]:
    """Of the one source, by task."""
    (report,) = found["reports"]
    return dict(report["metrics"])


def trial(
    folder: Path, downstream: str, split: str, capsys: pytest.CaptureFixture[str], *shards: Path, more: str = ""
) -> tuple[str, dict[str, Any]]:
    """Trains three steps, then evaluates; what was printed in training, and the metrics."""
    (folder / "three.yaml").write_text(RECIPE)
    run = folder / f"run-{downstream}"
    where = [word for url in shards for word in ("--shards", str(url))]
    settings = [word for text in (f"data.eval_split={split}", *more.split()) for word in ("--set", text)]
    capsys.readouterr()
    command = ["train", *where, "--downstream", downstream, "--recipe", str(folder / "three.yaml"), *settings]
    assert model([*command, "--out", str(run)]) == 0
    said = capsys.readouterr()
    losses = [row["loss"] for row in read_log(run) if row["kind"] == "train"]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))
    assert model(["eval", "--model", str(run), *where, "--source", downstream, "--split", split, "--json"]) == 0
    return said.out + said.err, json.loads(capsys.readouterr().out)


def test_something_else_with_its_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, shards = tmp_path / "raw", tmp_path / "shards"
    simulate("something-else", raw, preset="tiny")
    convert("ssv2", raw / "ssv2", shards)
    convert("something-else", raw, shards, "--base", shards)
    convert("something-else-boxes", raw, shards, "--base", shards)
    said, found = trial(tmp_path, "something-else-compositional", "val", capsys, shards)
    assert "action, boxes" in said
    assert "from something-else-boxes" in said
    assert "something-else-compositional segment, " in said
    assert {"action", "boxes"} <= set(metrics(found))


@pytest.mark.parametrize(
    ("source", "split", "sampler"),
    [
        ("kinetics400", "val", "kinetics400 dense, "),
        ("diving48", "test", "within meta.range"),
        ("ego4d", "val", "ego4d ego4d-grid, "),
    ],
)
def test_a_source_of_actions(
    source: str, split: str, sampler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(source, tmp_path / "raw", preset="tiny")
    convert(source, tmp_path / "raw", tmp_path / "shards")
    said, found = trial(tmp_path, source, split, capsys, tmp_path / "shards")
    assert sampler in said
    assert "action" in metrics(found)


def test_ava_beside_another_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its clips and boxes go through loader and network; as long as its actions have no head it is no downstream."""
    simulate("ava", tmp_path / "raw", preset="tiny")
    simulate("ssv2", tmp_path / "ssv2", preset="tiny", samples=12)
    shards, other = tmp_path / "shards", tmp_path / "other"
    convert("ava", tmp_path / "raw", shards, "--split", "train")
    convert("ava-train", tmp_path / "raw", shards, "--base", shards)
    convert("ssv2", tmp_path / "ssv2", other)
    said, found = trial(tmp_path, "ssv2", "val", capsys, other, shards, more="clip.tasks={ava:[boxes]}")
    assert "ava keyframe, " in said
    assert "action" in metrics(found)
    command = ["train", "--shards", str(shards), "--downstream", "ava", "--recipe", str(tmp_path / "three.yaml")]
    assert model([*command, "--out", str(tmp_path / "refused")]) == 2
    assert "none of its" in capsys.readouterr().err
