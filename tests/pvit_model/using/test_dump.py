"""Predictions of an evaluation: the dump gives `pvit score` the same digits; two ranks give one's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import pvit_data
from pvit_cli.model import main
from pvit_data.scoring.files.dump import read_dump
from pvit_model.using.diagnose import changes, diagnose_pixels

RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.leaving"]


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_scoring_a_dump_gives_the_same_digits(
    three_views: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "p.parquet"
    document = evaluated(capsys, "eval", "--model", three_views, "--shards", shards[0], "--dump", dump)
    (report,) = document["reports"]
    metrics, passport = report["metrics"]["action"], report["passport"]
    for truth in ([], ["--truth", shards[0]]):
        result = evaluated(capsys, "score", dump, "--metric", "topk", *truth)
        assert "top5" not in metrics.keys() | result.keys()  # of three classes
        for name in ("top1", "mean_class_accuracy"):
            assert result[name] == metrics[name] == passport[name]
        assert result["baselines"]["majority"] == metrics["majority"]
        assert result["list"]["sha256"] == passport["list"]["sha256"]
        assert result["views"] == passport["views"] == {"frames": 8, "clips": 1, "crops": 3, "number": 3}
        assert result["classes"] == passport["classes"]
        assert result["model"] == passport["model"]
        assert result["details"]["per_class"] == report["classes"]["action"]["accuracy"]
    (tmp_path / "eval.json").write_text(json.dumps(document))
    (tmp_path / "score.json").write_text(json.dumps(result))
    assert main(["compare", str(tmp_path / "eval.json"), str(tmp_path / "score.json")]) == 0
    assert "comparable" in capsys.readouterr().out


def test_what_a_dump_holds(
    three_views: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every clip in three views, in order, with label, key and the names of the classes."""
    dump = tmp_path / "p.parquet"
    evaluated(capsys, "eval", "--model", three_views, "--shards", shards[0], "--dump", dump)
    table = pq.read_table(dump)
    ds = pvit_data.open(shards[0], split="val")
    keys = ds.column("key").tolist()
    assert table.column_names == ["key", "id", "view", "label", "logits"]
    assert table["key"].to_pylist() == [key for key in keys for _ in range(3)]
    assert table["view"].to_pylist() == [0, 1, 2] * len(keys)
    assert table["label"].to_pylist() == np.repeat(ds.column("action"), 3).tolist()
    scores = read_dump(dump)
    assert scores.classes == ("reddish", "greenish", "bluish")
    assert scores.about["split"] == "val"
    assert len(scores.about["model"]["weights"]) == 64


def test_confusions_of_an_evaluation(
    run_folder: Path, shards: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dump = tmp_path / "p.parquet"
    document = evaluated(capsys, "eval", "--model", run_folder, "--shards", shards[0], "--dump", dump)
    found = document["reports"][0]["classes"]["action"]
    scores = read_dump(dump)
    counts: dict[tuple[int, int], int] = {}
    for label, best in zip(scores.labels.tolist(), scores.logits[:, 0].argmax(axis=1).tolist(), strict=True):
        counts[label, best] = counts.get((label, best), 0) + 1
    assert {(a, b): n for a, b, n in found["confusion"]} == counts
    assert found["names"] == ["reddish", "greenish", "bluish"]
    assert found["videos"] == [3, 3, 3]


def test_two_ranks_give_one_result(
    three_views: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nine clips over two ranks: no clip twice, none missing, the same JSON."""
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    command = ["eval", "--model", str(three_views), "--shards", shards[0], "--reference-split", ""]
    first = evaluated(capsys, *command, "--dump", one)
    options = [*command, "--dump", str(two), "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([*RANKS, *options], capture_output=True, text=True, timeout=150, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout) == first
    a, b = pq.read_table(one), pq.read_table(two)
    assert a.schema.metadata == b.schema.metadata
    for name in ("key", "id", "view", "label"):
        assert a[name].to_pylist() == b[name].to_pylist()
    np.testing.assert_allclose(np.array(a["logits"].to_pylist()), np.array(b["logits"].to_pylist()), atol=1e-5)


def test_one_source_per_dump(
    run_folder: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--model", str(run_folder), "--shards", shards[1], "--dump", str(tmp_path / "p.parquet")]
    assert main(command) == 2
    assert "none of the sources has actions" in capsys.readouterr().err
    assert not (tmp_path / "p.parquet").exists()


class Wants:
    """A network that knows the classes of colours by the order BGR."""

    def __init__(self, blind: bool) -> None:
        self.blind = blind

    def __call__(self, video: torch.Tensor) -> object:
        from types import SimpleNamespace

        mean = video.mean(dim=(2, 3, 4))
        return SimpleNamespace(logits=40 * (mean * 0 if self.blind else mean.flip(1)))


@pytest.mark.parametrize("blind", [False, True])
def test_pixels_that_a_network_wants(blind: bool, run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    from pvit_model.using import loading
    from tests.pvit_model.conftest import write_actions

    write_actions(tmp_path, "val", 64, 7)
    inference = loading.load_model(str(run_folder))[1]
    model = loading.Loaded(Wants(blind), inference, "any", run_folder)
    found = diagnose_pixels(model, [str(tmp_path)], None, "val")
    if blind:
        assert found is None
    else:
        assert found is not None
        assert "channels in the order BGR" in found.seen
    assert set(changes(inference.clip)) >= {"channels in the order BGR", "no normalisation (pixels in 0..1)"}


def test_diagnosis_of_an_evaluation(run_folder: Path, shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    document = evaluated(capsys, "eval", "--model", run_folder, "--shards", shards[0], "--diagnose")
    assert document["findings"] == []
