"""The reference of recipe keys: the page is what the command prints, complete, and itself a recipe."""

import json
import sys

import pytest
import yaml

from pvit_cli.model import main
from pvit_model.recipes.config import TrainConfig, known_paths, load_mapping
from pvit_model.recipes.keys import keys
from tests.pages import block


def printed(capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main(["recipes", "--keys", *more]) == 0
    return capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="loader processes begin otherwise there")
def test_the_page_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """If not: put what `pvit recipes --keys` prints into the block of docs/recipes.md."""
    assert block("recipes.md", "yaml") == printed(capsys)


def test_it_is_the_recipe_of_all_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert load_mapping(yaml.safe_load(printed(capsys))) == TrainConfig()


def test_every_key_is_explained_with_its_type_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    found = {key.path: key for key in keys()}
    assert set(found) == set(known_paths())
    assert [path for path, key in found.items() if not key.about] == []
    told = json.loads(printed(capsys, "--json"))
    assert told["optim.lr"]["default"] == 7e-5
    assert told["optim.lr"]["kind"] == "number, above 0"
    assert told["run.precision"]["kind"] == "fp32 or bf16 or fp16"
    assert told["clip.rate"]["about"].startswith("frame step of fit, dense and keyframe; in a run the backbone's")
    assert told["clip.per_source"]["kind"].startswith("for each name: keys rate, jitter")
    assert "optim" not in told


def test_keys_are_not_of_one_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "pvit", "--keys"]) == 2
    assert "leave out 'pvit'" in capsys.readouterr().err
