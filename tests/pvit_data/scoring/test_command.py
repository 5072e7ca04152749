"""`pvit score` as people use it: lines, exit codes, no torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.model import main
from tests.pvit_data.scoring import made


def permuted(root: Path) -> list[str]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 30, 400)
    logits = made.network(labels, 30, 0.7, rng)[:, :, rng.permutation(30)]
    made.diagnose_classes(root, logits, labels, 30)
    return ["score", str(root / "p.npz"), "--metric", "topk", "--truth", str(root / "truth.csv")]


def test_strict_exits_with_1_on_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = permuted(tmp_path)
    assert main(command) == 0
    assert "doctor: not asked (--diagnose)" in capsys.readouterr().out
    assert main([*command, "--diagnose"]) == 0
    assert "FINDING: permuted classes: with the classes renamed, top-1 is" in capsys.readouterr().out
    assert main([*command, "--strict", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [f["name"] for f in findings if f["is_finding"]] == ["permuted classes"]


def test_lines_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*permuted(tmp_path), "--out", str(tmp_path / "r.json"), "--strict"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("topk, protocol plain: softmax, summed over views\n  top-1: ")
    assert "list truth.csv, N = 400, sha256 " in out
    assert "simple predictions: majority " in out
    assert json.loads((tmp_path / "r.json").read_text())["passport"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "top1"], "no metric 'top1'; did you mean 'topk'"),
        (["--metric", "topk", "--protocol", "ego4d"], "metric 'topk' has no protocol 'ego4d'"),
        (["--metric", "ava", "--protocol", "pyslowfst"], "did you mean 'pyslowfast'"),
        (["--metric", "ava"], "--metric ava needs --truth"),
        (["--metric", "pnr"], "--metric pnr needs --truth"),
        (["--metric", "topk", "--truth", "nowhere.csv"], "nowhere.csv: cannot be read: No such file"),
        (["--metric", "topk"], "carries no labels; give --truth"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2))
    assert main(["score", str(tmp_path / "p.npz"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    truth = made.movies()
    made.diagnose_boxes(tmp_path, truth, made.detections(truth))
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    code = (
        "import sys, contextlib, io\n"
        "from pvit_cli.model import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert main(['score', {str(tmp_path / 'p.npz')!r}, '--metric', 'topk', '--diagnose']) == 0\n"
        f"    assert main(['score', {str(tmp_path / 'found.csv')!r}, '--metric', 'ava', '--diagnose',\n"
        f"                 '--no-excluded', '--truth', {str(tmp_path / 'ava_val_v2.2.csv')!r}]) == 0\n"
        "assert not [m for m in sys.modules if m.partition('.')[0] in ('torch', 'pvit_model', 'pvit_converters')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_label_maps_by_name_and_by_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = made.movies()
    rows = made.detections(truth, classes=range(1, 81))
    made.diagnose_boxes(tmp_path, truth, rows)
    base = [
        "score",
        str(tmp_path / "found.csv"),
        "--metric",
        "ava",
        "--truth",
        str(tmp_path / "ava_val_v2.2.csv"),
        "--no-excluded",
    ]

    def value(*more: str) -> dict:
        assert main([*base, *more, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    plain = value()
    assert plain["classes"]["number"] == 60
    eighty = value("--label-map", "ava80", "--diagnose")
    assert eighty["classes"]["number"] == 80
    assert not [f for f in eighty["findings"] if f["is_finding"]]
    text = "".join(f'item {{\n  name: "c"\n  id: {n}\n}}\n' for n in range(1, 81))
    (tmp_path / "map.pbtxt").write_text(text)
    assert main([*base, "--label-map", str(tmp_path / "map.pbtxt")]) == 2
    assert "80 classes: 20 more (2, 16, 18, 19, 21, 23, ...) than the 60 that count" in capsys.readouterr().err
    assert value("--label-map", str(tmp_path / "map.pbtxt"), "--diagnose")["mAP"] == eighty["mAP"]


def test_ava_csv_of_a_dump_scores_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Boxes of our dump become AVA's CSV and back, within its decimals."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    truth = made.movies()
    made.diagnose_boxes(tmp_path, truth, made.detections(truth))
    rng = np.random.default_rng(0)
    people = sorted({(r.video, r.second, r.box) for r in truth})
    logits = rng.normal(size=(len(people), 80)).astype(np.float32)
    columns = {"id": [f"{v},{s:04d}" for v, s, _ in people], "logits": list(logits)}
    columns |= {name: [box[k] for *_, box in people] for k, name in enumerate(("x1", "y1", "x2", "y2"))}
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    base = ["--metric", "ava", "--truth", str(tmp_path / "ava_val_v2.2.csv"), "--no-excluded", "--json"]
    assert main(["score", str(tmp_path / "d.parquet"), *base]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["score", str(tmp_path / "d.parquet"), *base, "--submit", str(tmp_path / "s.csv")]) == 0
    capsys.readouterr()
    assert main(["score", str(tmp_path / "s.csv"), *base]) == 0
    second = json.loads(capsys.readouterr().out)
    assert second["mAP"] == pytest.approx(first["mAP"], abs=1e-6)
    assert second["detections"]["sha256"] == first["detections"]["sha256"]
