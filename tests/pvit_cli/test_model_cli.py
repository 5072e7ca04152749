"""The command `pvit`: what it prints, its exit codes, and one line per error."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.codecs.video import encode_video
from pvit_model.using.loading import progress_of, unfinished

RECIPE = """
about: small
clip: {downstream: real, num_frames: 8, size: [32, 32]}
mixture: {batch_size: 4}
model: {name: mvitv2_xxs, options: {dense_width: 8, depth: 2, stages: [1], dense_layers: [0, 1], embed_dim: 8}}
optim: {steps: 2, lr_batch: 128}
data: {crops: 1, workers: 0}
run: {predictions: 1, watchdog_s: 0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards, a recipe and a finished run."""
    root = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    space = LabelSpace("colours", ("reddish", "greenish"))
    for split in ("train", "val"):
        with ShardWriter(root / "shards", "real", split, spaces={"action": space}, role="downstream") as writer:
            for i in range(6):
                clip = rng.integers(0, 255, (8, 32, 32, 3)).astype(np.uint8)
                writer.write(Sample(key=f"{split}-{i}", rgb=clip, action=i % 2))
        with ShardWriter(root / "shards", "rooms", split, tasks=("depth",)) as writer:
            for i in range(6):
                clip = rng.integers(0, 255, (8, 32, 32, 3)).astype(np.uint8)
                writer.write(Sample(key=f"{split}-d{i}", rgb=clip, depth=np.full((8, 32, 32), 2.0, np.float32)))
    (root / "small.yaml").write_text(RECIPE)
    arguments = ["--shards", str(root / "shards"), "--recipe", str(root / "small.yaml"), "--out", str(root / "run")]
    assert main(["train", *arguments]) == 0
    return root


def arguments(place: Path, *more: str) -> list[str]:
    return ["--shards", str(place / "shards"), "--recipe", str(place / "small.yaml"), *more]


def test_recipes_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("pvit", "pvit-best", "baseline", "mt", "np", "vpt", "demo"))
    assert main(["recipes", "pvit"]) == 0
    assert "lr: 7.0e-05" in capsys.readouterr().out
    assert main(["recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pvit"]


def test_the_plan_comes_first(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *arguments(place, "--out", str(tmp_path / "run"), "--dry-run")]) == 0
    plan = capsys.readouterr().out
    assert "source     real         downstream         6 train      6 val  2 per batch      action" in plan
    assert "source     rooms        auxiliary          6 train      6 val  2 per batch      depth" in plan
    assert "schedule   2 steps = 0.6667 epochs of 3 steps" in plan
    assert "tasks depth, 2 classes" in plan
    assert "note       the learning rate 7e-05 belongs to a batch of 128, this run has 4" in plan
    assert str(tmp_path / "run") in plan
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("warmup", "warned"), [(1, False), (2, True), (50, True)])
def test_the_plan_warns_of_a_warm_up_that_fills_the_run(
    warmup: int, warned: bool, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--out", str(tmp_path / "run"), "--dry-run", "--set", f"optim.warmup_steps={warmup}")
    assert main(["train", *arguments(place, *more)]) == 0
    plan = capsys.readouterr().out
    assert f"epochs of 3 steps, warm-up {warmup} steps" in plan
    assert (f"the warm-up takes {warmup} steps, the run has 2" in plan) is warned
    assert ("--set optim.warmup_steps=0, or train longer" in plan) is warned


def test_eval_as_table_and_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["eval", "--model", str(place / "run"), "--shards", str(place / "shards")]
    assert main([*command, "--json", "--out", str(place / "eval.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((place / "eval.json").read_text()) == printed
    reports = {r["source"]: r for r in printed["reports"]}
    assert reports["real"]["metrics"]["action"]["videos"] == 6
    assert reports["rooms"]["constant"]["depth"]["rmse"] == pytest.approx(0, abs=0.01)
    assert main([*command, "--source", "rooms"]) == 0
    table = capsys.readouterr().out
    assert "rooms val, 6 clips" in table
    assert "real" not in table


def test_predict_info_export(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(encode_video(np.full((9, 40, 60, 3), 90, np.uint8), fps=10))
    assert main(["predict", str(video), "--model", str(place / "run"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "%  reddish" in said
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "predictions.json", "predictions.npz", "scores.parquet", "overlay.mp4", "overlay.png",
    }  # fmt: skip
    assert main(["info", "--model", str(place / "run"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["backbone"], facts["tasks"], facts["classes"]) == ("mvitv2_xxs", ["depth"], 2)
    assert main(["info", "--model", str(place / "run")]) == 0
    assert main(["export", str(tmp_path / "model"), "--model", str(place / "run"), "--drop-heads"]) == 0
    assert {p.name for p in (tmp_path / "model").iterdir()} == {"config.json", "inference.json", "model.safetensors"}


def model_of(document: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document)["reports"][0]["passport"]["model"]
    return found


def test_a_run_that_is_not_finished_says_so(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, video = tmp_path / "stopped", tmp_path / "v.mp4"
    shutil.copytree(place / "run", run)
    video.write_bytes(encode_video(np.full((9, 40, 60, 3), 90, np.uint8), fps=10))
    predict = ["predict", str(video), "--out", str(tmp_path / "out"), "--no-overlay", "--json", "--model"]
    evaluate = ["eval", "--shards", str(place / "shards"), "--source", "real", "--limit", "1", "--json", "--model"]
    assert main([*predict, str(run)]) == 0
    assert not capsys.readouterr().err
    assert main([*evaluate, str(run)]) == 0
    assert "unfinished" not in model_of(capsys.readouterr().out)
    (run / "report.html").unlink()
    said = f"the run '{run}' is not finished: it is at step 2 of 2"
    assert main([*predict, str(run)]) == 0
    printed = capsys.readouterr()
    assert said in printed.err
    assert json.loads(printed.out)["actions"]
    assert main([*evaluate, str(run)]) == 0
    shown = capsys.readouterr().out
    assert said in json.loads(shown)["notes"]
    assert model_of(shown)["unfinished"] == "step 2 of 2"
    state = run / "checkpoints/step-00000002/state.json"
    shutil.copy(place / "run/report.html", run)
    state.write_text(state.read_text().replace('"num_steps": 2', '"num_steps": 9'))
    assert progress_of(str(state.parent)) == "step 2 of 9"  # the middle of a run that is finished
    assert unfinished(str(state.parent)).startswith("the checkpoint '")
    assert unfinished(str(run)) == unfinished(str(run / "model")) == unfinished(str(place / "run/model")) == ""
    (run / "report.html").unlink()
    state.unlink()  # damaged: not this one's step
    assert main([*evaluate, str(run)]) == 0
    assert not json.loads(capsys.readouterr().out)["notes"]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["train", "--recipe", "pvitt"], 2, "unknown recipe 'pvitt'; did you mean 'pvit'"),
        (["train", "--set", "optim.lrr=1"], 2, "unknown key 'optim.lrr'; did you mean 'optim.lr'"),
        (["train", "--downstream", "reel"], 2, "downstream source 'reel' is not in the shards, which hold real, rooms"),
        (["train", "--resum"], 2, "--resum"),
        (
            ["export", "--model", "RUN", "--out", "model"],
            2,
            "no option '--out': OUT is given without it. See 'pvit export",
        ),
        (["train", "--set", "mixture.quotas.depth=4"], 2, "quota"),
        (["eval", "--model", "RUN", "--source", "rael"], 2, "no source 'rael' in the shards"),
        (["eval", "--model", "nowhere/at/all"], 2, "no model in 'nowhere/at/all'"),
        (["predict", "none.mp4", "--model", "RUN"], 1, "none.mp4: No such file"),
        (["predict", "none.mp4", "--model", "RUN", "--device", "tpu9"], 2, "--device 'tpu9' cannot be used"),
        (["info", "--model", "/"], 2, "no model in '/'"),
    ],
)
def test_mistakes_are_one_line(
    command: list[str], code: int, message: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = [str(place / "run") if a == "RUN" else a for a in command]
    if command[0] == "train" and "--recipe" not in full:
        full += ["--recipe", str(place / "small.yaml")]
    if command[0] in ("train", "eval"):
        full += ["--shards", str(place / "shards")]
    if command[0] in ("train", "predict"):
        full += ["--out", str(tmp_path / "out")]
    assert main(full) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_no_shards_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["train", "--shards", str(tmp_path), "--recipe", "demo", "--out", str(tmp_path / "o")])
    error = capsys.readouterr().err
    assert code in (1, 2)
    assert str(tmp_path) in error
    assert error.count("\n") == 1


def test_help_needs_no_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from pvit_cli.model import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out: assert main(['train', '--help']) == 0\n"
        "assert 'torch' not in sys.modules\n"
        "assert '--resume' in out.getvalue()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
