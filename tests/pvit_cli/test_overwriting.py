"""What a command reads is never written over: weights, runs, shards, recipes."""

import os
from pathlib import Path

import pytest

from pvit_cli import data, model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, weights, a recipe and a data set, of which only the names are looked at."""
    for name in (
        "w.pyth", "run/config.yaml", "run/model/config.json", "run/model/model.safetensors", "recipe.yaml",
        "data/manifest.json", "data/README.md", "data/ssv2/val-00000.tar", "data/ssv2/index/val.parquet",
        "data/ssv2/plan.json", "lay/layers/x/val-00000.tar", "data/result.json",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "link.json").symlink_to("w.pyth")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WEIGHTS = "eval --weights w.pyth --model-name mvitv2_s --protocol ssv2 --shards data"
RUN = "eval --model run --shards data --layer ssv2=lay#x"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{WEIGHTS} --out w.pyth", "--out w.pyth: is the file of --weights"),
        (f"{WEIGHTS} --dump link.json", "--dump link.json: is the file of --weights"),
        (f"{WEIGHTS} --out a/../w.pyth", "is the file of --weights"),
        (f"{WEIGHTS} --out new.json --dump new.json", "--dump new.json: is the file of --out, too"),
        (f"{RUN} --dump data/ssv2/val-00000.tar", "is a file of the shards"),
        (f"{RUN} --dump data/ssv2/index/val.parquet", "is a file of the shards"),
        (f"{RUN} --out data/manifest.json", "is a file of the shards"),
        (f"{RUN} --out lay/layers/x/val-00000.tar", "is a file of the layer"),
        (f"{RUN} --out run/model/model.safetensors", "is a file of the model"),
        (f"{RUN} --out run/config.yaml", "is a file of the model"),
        (f"{RUN} --out run", "--out run: is a folder"),
        (f"{RUN} --out pipe", "--out pipe: is a pipe or a device"),
        ("mix recipe.yaml --shards data --figure recipe.yaml", "--figure recipe.yaml: is the recipe"),
        ("show data --out data/ssv2/plan.json", "is a file of the data set"),
        ("gallery data --out data/README.md", "is a file of the data set"),
    ],
)
def test_inputs_are_not_written_over(command: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    main = model.main if command.startswith("eval") else data.main
    assert main(command.split()) == 2
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("out", ["data/result.json", "run/result.json", "data/ssv2/new.json"])
def test_a_result_beside_them_may_be_written_again(out: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the weights that are refused then: there are none."""
    (place / "w.pyth").unlink()
    assert model.main([*WEIGHTS.split(), "--out", out]) != 0
    assert "would be overwritten" not in capsys.readouterr().err
