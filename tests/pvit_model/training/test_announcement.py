"""What the plan says before a run: samplers and their span, random starts, memory, versions with faults."""

from pathlib import Path

import numpy as np
import pytest
import torch

import pvit_data
from pvit_cli.model import main
from pvit_model.recipes.announcement import plan_lines
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training import engine, memory
from pvit_model.training.build import announcement, build_network

MOVES = pvit_data.LabelSpace("moves", ("a", "b"))
GIVEN = "pretrained=someone's weights"


def lines(recipe: str, shards: list[str], *settings: str) -> str:
    plan = make_plan(load_recipe(recipe, settings), shards)
    notes: list[str] = []
    return "\n".join(announcement(build_network(plan, notes.append), plan, Path("OUT"), notes))


def test_samplers_and_spans(shards: list[str], tiny_recipe: str) -> None:
    """Videos of 6 frames, 12 a second in the source that says so; 8 segments' middles are frames 0 to 4."""
    said = lines(tiny_recipe, shards, "clip.samplers={real: whole}")
    assert "sampler    real whole, 6 of 6 frames, 0.5 s; people fit" in said


def test_random_starts_are_loud(shards: list[str], tiny_recipe: str, run_folder: Path) -> None:
    assert "NONE GIVEN: starts from RANDOM weights, but the recipe means someone's weights" in lines(
        tiny_recipe, shards, GIVEN
    )
    assert "RANDOM" not in lines(tiny_recipe, shards, GIVEN, f"model.init_from={run_folder}")
    assert "RANDOM" not in lines(tiny_recipe, shards)
    assert "k400" in load_recipe("pvit-best").pretrained
    assert not load_recipe("demo").pretrained


def test_too_little_memory_is_said(shards: list[str], tiny_recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "MORE THAN" not in lines(tiny_recipe, shards)
    monkeypatch.setattr(memory, "machine_bytes", lambda device: 50 << 20)
    assert "MORE THAN THERE IS HERE (50 MiB)" in lines(tiny_recipe, shards)


@pytest.mark.parametrize(
    ("version", "cudnn", "precision", "expected"),
    [
        ("2.9.0+cu128", 91002, "bf16", ["PyTorch 2.9.0", "cuDNN 9.10"]),
        ("2.8.0", 90800, "bf16", ["cuDNN 9.8"]),
        ("2.9.1", 91100, "bf16", []),
        ("2.8.0", 90701, "bf16", []),
        ("2.9.0", 91002, "fp32", []),
        ("2.9.0", 0, "bf16", []),
    ],
)
def test_versions_with_faults(version: str, cudnn: int, precision: str, expected: list[str]) -> None:
    found = engine.known_faults(precision, version, cudnn)
    assert [text.partition(" computes")[0].partition(" gives")[0] for text in found] == expected


def test_faults_are_in_the_plan(shards: list[str], tiny_recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.9.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    assert lines(tiny_recipe, shards, "run.precision=bf16").count("WARNING") == 2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("clip.size=[50, 50]", "sides that are multiples of 4, not 8x50x50"),
        ("clip.num_frames=7", "an even number of frames"),
        ("run.precision=fp16", "needs an accelerator"),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(
    setting: str, said: str, shards: list[str], tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [word for url in shards for word in ("--shards", url)]
    command = ["train", *where, "--recipe", tiny_recipe, "--out", str(tmp_path / "run"), "--set", setting, "--dry-run"]
    assert main(command) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_refuses_a_folder_in_use(
    run_folder: Path, shards: list[str], tiny_recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [word for url in shards for word in ("--shards", url)]
    assert main(["train", *where, "--recipe", tiny_recipe, "--out", str(run_folder), "--dry-run"]) == 2
    assert "already holds a run" in capsys.readouterr().err


def test_a_dry_run_refuses_to_resume_what_the_run_would(
    run_folder: Path, shards: list[str], turned: list[str], tiny_recipe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data, and another setting; nothing is written either way."""

    def resume(folders: list[str], *more: str) -> int:
        where = [word for url in folders for word in ("--shards", url)]
        return main(
            ["train", *where, "--recipe", tiny_recipe, "--out", str(run_folder), "--resume", "--dry-run", *more]
        )

    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert resume(shards) == 0
    assert resume(turned) == 2
    assert "was changed since the run began" in capsys.readouterr().err
    assert resume(turned, "--allow-changed-data") == 0
    assert resume(shards, "--set", "optim.lr=0.5") == 2
    assert "--resume: optim.lr was" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before


def test_clips_lie_within_the_range_of_their_source(tiny_recipe: str, tmp_path: Path) -> None:
    """Frames 10 to 17 of 30: the middles of 8 segments of these 8 are 0 1 2 3 4 4 5 6."""
    spec = pvit_data.SourceSpec(
        name="dives", sampler="segment", clips_within="range", role="downstream", spaces={"action": MOVES}
    )
    rgb = np.zeros((30, 32, 32, 3), np.uint8)
    with pvit_data.ShardWriter(str(tmp_path), spec, split="train") as writer:
        for key in ("a", "b"):
            writer.write(pvit_data.Sample(key=key, rgb=rgb, fps=10.0, action=0, meta={"range": [10, 18]}))
    plan = make_plan(load_recipe(tiny_recipe, ["clip.num_frames=8", "clip.downstream=dives"]), [str(tmp_path)])
    said = "\n".join(plan_lines(plan, {}, Path("OUT")))
    assert "sampler    dives segment, 7 of 30 frames, within meta.range, 0.7 s" in said
