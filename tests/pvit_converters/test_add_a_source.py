"""docs/add-a-source.md: its code, and nothing else, converts an invented dataset through the entry point."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_converters import registry
from pvit_converters.simulate.files.video import encode
from tests.pages import block, entry_points, install

PAGE = "add-a-source.md"
DEPTH = np.arange(3 * 24 * 32).reshape(3, 24, 32).astype(np.uint16)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", "pantry", block(PAGE, "python"), entry_points(PAGE), monkeypatch)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three labelled clips, of which one is not there and one has no depth."""
    root = tmp_path / "raw"
    (root / "clips").mkdir(parents=True)
    (root / "labels.csv").write_text("clip,action\nopen_jar,open\npour_milk,pour\nshut_door,close\n")
    for name, brightness in (("open_jar", 60), ("pour_milk", 160)):
        frames = np.full((3, 24, 32, 3), brightness, np.uint8)
        (root / f"clips/{name}.mp4").write_bytes(encode(frames, 10, "mp4"))
    (root / "depth/open_jar").mkdir(parents=True)
    for i, depth in enumerate(DEPTH):
        Image.fromarray(depth).save(root / f"depth/open_jar/{i:05d}.png")
    return root


@pytest.mark.usefixtures("installed")
def test_the_page_converts_its_dataset(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pantry" in registry.names()
    assert main(["sources", "pantry"]) == 0
    assert "--depth-scale" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main(["convert", "pantry", str(raw), str(out), "--dry-run"]) == 0
    assert not out.exists()
    assert main(["convert", "pantry", str(raw), str(out), "--no-holdout"]) == 0
    assert "not present: 1 x video not present" in capsys.readouterr().out
    samples = {sample.key: sample for sample in pvit_data.open(str(out))}
    assert samples.keys() == {"pantry-open_jar", "pantry-pour_milk"}
    jar, milk = samples["pantry-open_jar"], samples["pantry-pour_milk"]
    assert (jar.action, milk.action, jar.split, jar.fps) == (0, 2, "train", 10.0)
    np.testing.assert_allclose(jar.depth, DEPTH / 1000, rtol=1e-3)
    assert milk.depth is None
    assert abs(int(milk.rgb.mean()) - 160) < 5
    assert jar.spaces["action"].classes == ("open", "close", "pour")


@pytest.mark.usefixtures("installed")
def test_the_page_fails_with_a_sentence(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["convert", "pantry", str(tmp_path / "empty"), str(tmp_path / "out")]) == 1
    assert "no labels.csv" in capsys.readouterr().err
    path = raw / "depth/open_jar/00001.png"
    path.write_bytes(path.read_bytes()[:40])
    assert main(["convert", "pantry", str(raw), str(tmp_path / "out"), "--max-failed", "60"]) == 0
    assert "00001.png: cannot be read as PNG or JPEG" in capsys.readouterr().out


def test_the_converter_is_short_enough_to_read() -> None:
    assert len(block(PAGE, "python").splitlines()) < 80
