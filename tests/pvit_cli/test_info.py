"""`pvit info BACKBONE` and `pvit info --table`."""

import json

import pytest

from pvit_cli.model import main
from pvit_model import backbone_names
from pvit_model.reporting import compare

SMALL = ("mvitv2_xxs", "swin3d_t")


def test_a_backbone_tells_its_clips_and_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "swin3d_t"]) == 0
    said = capsys.readouterr().out
    assert "input        32x224x224, frame step 2; RGB in [0, 1], mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in said
    assert "dense maps   16x56x56, frame step 2, of layers 3, 9, 11" in said
    assert "weights      swin3d_t-7615ae03.pth" in said
    assert "Kinetics-400 77.7; clips 32x224x224, frame step 2; BSD 3-Clause (torchvision)" in said
    assert "https://download.pytorch.org/models/swin3d_t-7615ae03.pth" in said
    assert "16x56x56       50176" in said  # no class token
    assert main(["info", "swin3d_b"]) == 0
    said = capsys.readouterr().out
    assert "swin_base_patch244_window1677_sthv2.pth, with window=[16, 7, 7]" in said
    assert "SSv2 69.6; clips 32x224x224, frames spread over the video; Apache 2.0" in said
    assert main(["info", "mvitv2_xxs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rate"], found["published"]) == (4, [])
    assert main(["info", "mvitv2_xxs"]) == 0
    assert "weights      none are published" in capsys.readouterr().out


def test_an_unknown_name_gets_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["info", "timesformer"], ["info", "--table", "timesformer"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "did you mean 'timesformer_b'?" in said
        assert all(name in said for name in backbone_names())


def test_the_table_shows_all_beside_the_papers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = {"mvitv2_s": 2.0, "mvitv2_xxs": 0.5, "swin3d_t": 3.0}
    monkeypatch.setattr(compare, "step_seconds", lambda info, classes: seconds[info.name])
    assert main(["info", "--table", ",".join(SMALL)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["backbone", "mvitv2_s", *SMALL]
    assert "28.16 M" in lines[-1]
    assert "88.1" in lines[-1]
    assert lines[-1].split()[-1] == "1.50"
    assert main(["info", "--table", "mvitv2_xxs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["relative"]) for row in rows] == [("mvitv2_s", 1.0), ("mvitv2_xxs", 0.25)]


def test_a_step_is_timed() -> None:
    from pvit_model.config import make_config
    from pvit_model.network.info import describe

    assert compare.step_seconds(describe(make_config(backbone="mvitv2_xxs", num_classes=3)), 3) > 0
