"""`pvit info` of a backbone by name."""

import json

import pytest

from pvit_cli.model import main


def test_the_papers_backbone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "mvitv2_s"]) == 0
    said = capsys.readouterr().out
    assert "train 34.54 M" in said
    assert "test 64.5" in said
    assert "14-15       768  8x7x7            393" in said
    assert "70.6 is the figure of MViTv1-B" in said


def test_as_json_with_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "mvitv2_xxs", "--tasks", "depth,pose3d", "--classes", "8", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["train_parameters"] > facts["test_parameters"]
    assert facts["stages"][0] == {"layers": [0, 0], "width": 32, "grid": [8, 16, 16], "tokens": 2051}


def test_nothing_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 2
    assert "pvit info needs a model: a run's folder, or one of" in capsys.readouterr().err
