"""What a run validates on, and what it says where nothing is held out; frames from the whole clip by a recipe."""

from pathlib import Path

import pytest

from pvit_cli.data import main
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from tests.pvit_model.conftest import write_actions


def plan_of(recipe: str, folder: Path, *settings: str) -> Plan:
    return make_plan(load_recipe(recipe, settings), [str(folder)])


def test_the_split_is_an_option(tiny_recipe: str, tmp_path: Path) -> None:
    write_actions(tmp_path, "train", 6, 0)
    write_actions(tmp_path, "test", 3, 1)
    (note,) = [note for note in plan_of(tiny_recipe, tmp_path).notes if "not validated" in note]
    assert note.endswith("it has 3 samples in split test: --set data.eval_split=test")
    plan = plan_of(tiny_recipe, tmp_path, "data.eval_split=test")
    (source,) = plan.sources
    assert source.val is not None
    assert source.val.column("key").tolist() == ["test-000", "test-001", "test-002"]
    assert source.held_out == "test"
    assert not [note for note in plan.notes if "not validated" in note]


def test_the_way_out_leads_out(tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command that the note names, word for word, then the downstream that it names."""
    write_actions(tmp_path / "shards", "train", 40, 0)
    (note,) = [note for note in plan_of(tiny_recipe, tmp_path / "shards").notes if "not validated" in note]
    command = note.partition("'pvit-data ")[2].partition("'")[0].split()
    assert main(command) == 0, capsys.readouterr().err
    downstream = note.rpartition("--downstream ")[2]
    plan = plan_of(tiny_recipe, tmp_path / "shards", f"clip.downstream={downstream}")
    (source,) = plan.sources
    assert source.val is not None
    assert 1 <= len(source.val) < 20
    assert len(source.val) + len(source.train) == 40


def test_small_takes_frames_from_the_whole_clip(tmp_path: Path) -> None:
    write_actions(tmp_path, "train", 6, 0, source="mine")
    plan = plan_of("small", tmp_path)
    clip = plan.config.clip
    assert clip.sampler("mine") == "segment"
    assert clip.sampler("mine", "dense") == "dense"  # what a source declares counts
    assert load_recipe("demo").clip.sampler("mine") == "fit"
