"""The page about training on one's own data: every block runs, in order, with a smaller network and fewer steps."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.codecs.video import encode_video
from pvit_model.recipes.config import known_paths
from tests.pages import DOCS
from tests.pvit_model.conftest import TINY, clip, write_actions

PAGE = (DOCS / "your-own-data.md").read_text(encoding="utf-8").partition("\n## Train")[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for split, number in (("train", 12), ("val", 6)):
        write_actions(tmp_path / "shards", split, number, 0, source="mine")
    (tmp_path / "new_videos").mkdir()
    for colour, name in enumerate(("one", "two")):
        data = encode_video(clip(np.random.default_rng(colour), colour), fps=12)
        (tmp_path / f"new_videos/{name}.mp4").write_bytes(data)
    model = next(line for line in TINY.splitlines() if line.startswith("model:"))
    text = f"base: small\n{model}\nclip: {{num_frames: 4, size: [32, 32]}}\noptim: {{epochs: 2}}\n"
    text += "mixture: {batch_size: 6}\n"
    (tmp_path / "tiny.yaml").write_text(text + "data: {workers: 0}\nrun: {predictions: 1, threads: 1, watchdog_s: 0}\n")
    return tmp_path


def test_every_block_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for language, block in re.findall(r"```(python|bash)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            exec(compile(block, "docs/your-own-data.md", "exec"), {})
            continue
        for line in block.replace("--recipe small", "--recipe tiny.yaml").replace("epochs=60", "epochs=3").splitlines():
            program, *words = shlex.split(line)
            assert program == "pvit"
            assert main(words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "augmented  1 random operations of magnitude 5; erasing 10 %; mixup 0.2" in said
    assert "the finished run of 4 steps grows to 6" in said
    assert re.search(r"new_videos/one\.mp4: \w+ish \d+%, frames \d to \d", said)
    assert "2 ['video', 'reddish', 'greenish', 'bluish']" in said
    assert (place / "classes/mine/action/confusion.png").is_file()
    assert (place / "answers/one/predictions.npz").is_file()
    assert (place / "classifier/model.pt2").is_file()


def test_settings_exist() -> None:
    known = set(known_paths())
    for text in re.findall(r"--set\s+([a-z_.]+)=", PAGE):
        assert text in known, text
