"""What a resumed run compares: settings that are newer than the run, weights of losses that it does not train."""

import copy
import json
from pathlib import Path

import pytest

from pvit_data.errors import UsageError
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.folder import check_same, identity


def test_a_run_from_before_a_setting_existed_is_the_same_run(shards: list[str], tiny_recipe: str) -> None:
    """Its identity lacks the setting, and names the weight of every task there was, trained or not."""
    plan = make_plan(load_recipe(tiny_recipe, ["model.tasks=[depth, boxes]"]), shards)
    old = identity(plan)
    del old["model"]["allow_partial"]
    old["losses"]["weights"] = {
        "action": 1.0, "depth": 0.5, "normal": 0.5, "segm": 0.1, "pose3d": 3.0, "boxes": 0.1,
    }  # fmt: skip
    check_same(plan, {"identity": old, "progress": {}})
    for section, key, value in (("losses", "weights", {"depth": 4.0}), ("model", "allow_partial", True)):
        other = copy.deepcopy(old)
        other[section][key] = value
        with pytest.raises(UsageError, match=rf"--resume: {section}\.{key}.* undo that change"):
            check_same(plan, {"identity": other, "progress": {}})


def test_what_is_stored_is_complete(run_folder: Path) -> None:
    """The weights of all trained losses, whether the recipe states them or not."""
    state = json.loads((run_folder / "checkpoints/step-00000006/state.json").read_text())
    assert set(state["identity"]["losses"]["weights"]) == {"action", "depth", "normal", "segm", "pose3d", "boxes"}
