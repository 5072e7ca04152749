"""Recipes start: two steps through the command line, at a size for tests. Those of tables: `test_composed_rows`."""

import json
from pathlib import Path

import pytest

from pvit_cli.model import main
from pvit_model.recipes.loading import load_recipe, recipe_names, row_names, variant_names
from pvit_model.runs.log import read_log

SMALL = (
    "model.name=mvitv2_xxs", "clip.num_frames=4", "clip.size=[32, 32]", "mixture.batch_size=4", "data.workers=0",
    "data.crops=1", "run.threads=1", "run.predictions=1", "run.watchdog_s=0",
)  # fmt: skip


WHOLE = [*sorted({*recipe_names()} - {*variant_names(), *row_names()}), "pvit", "real-boxes"]


def start(name: str, out: Path, shards: list[str], *settings: str) -> int:
    folders = [word for url in shards for word in ("--shards", url)]
    changes = [word for text in (*SMALL, *settings) for word in ("--set", text)]
    downstream = ["--downstream", "real"] if load_recipe(name).clip.downstream else []
    return main(["train", "--recipe", name, "--out", str(out), *folders, *downstream, *changes, "--fast-dev-run"])


@pytest.mark.parametrize("name", WHOLE)
def test_a_recipe_starts(name: str, shards: list[str], tmp_path: Path) -> None:
    assert start(name, tmp_path / "run", shards) == 0
    assert [x["step"] for x in read_log(tmp_path / "run") if x["kind"] == "train"][-1] == 2
    assert (tmp_path / "run/report.html").is_file()
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    recipe = load_recipe(name)
    if recipe.model.tasks is not None:
        assert tuple(config["tasks"]) == recipe.model.tasks


def test_pretrain_then_finetune(shards: list[str], tmp_path: Path) -> None:
    """The second half starts from the first one's backbone; only its action head, of another size, is fresh."""
    assert start("pretrain", tmp_path / "first", shards) == 0
    assert start("finetune", tmp_path / "second", shards, f"model.init_from={tmp_path}/first") == 0
    said = (tmp_path / "second/plan.txt").read_text()
    assert "2 fresh (head.weight (1, 128) -> (3, 128), head.bias (1,) -> (3,))" in said
    losses = [x["losses"] for x in read_log(tmp_path / "second") if x["kind"] == "train"]
    assert all(set(x) == {"action"} for x in losses)
