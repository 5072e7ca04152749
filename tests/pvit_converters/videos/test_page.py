"""docs/your-own-data.md: all of its blocks about shards run, in order, on a folder as the page shows it."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from tests.pages import DOCS
from tests.pvit_data.odd_videos import B_FRAMES, encode, frames, numbers

PAGE = (DOCS / "your-own-data.md").read_text(encoding="utf-8")
CLASSES = ("jump", "run", "turn left", "turn right")


def blocks() -> list[tuple[str, str]]:
    """Language and text of the blocks of code up to the section about training, if there is one."""
    return re.findall(r"```(\w+)\n(.*?)```", PAGE.partition("\n## Train")[0], re.DOTALL)


def write_videos(folder: Path) -> None:
    data = encode("mp4", "libx264", B_FRAMES, frames(12), 20)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(1, 6):
            (folder / name / f"clip {number}.mp4").write_bytes(data)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_videos(tmp_path / "videos")
    for split, number in (("train", 1), ("val", 2)):
        lines = [f"{name}/clip {number}.mp4 {label}\n" for label, name in enumerate(CLASSES)]
        (tmp_path / f"{split}.csv").write_text("".join(lines))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    scope: dict[str, object] = {}
    for language, text in blocks():
        if language == "csv":
            (tmp_path / "clips.csv").write_text(text)
        elif language == "python":
            exec(compile(text, "your-own-data.md", "exec"), scope)
        for line in text.splitlines() if language == "bash" else ():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "pvit-data"
            assert main([*arguments]) == 0, line
    printed = capsys.readouterr().out
    assert "mine: 20 samples converted (16 train, 4 val)" in printed
    assert "re-encoded: 20 samples" in printed
    assert "(8, 48, 64, 3) 1.5\n5 1\n" in printed
    assert (tmp_path / "gallery.html").exists()
    parts = {s.key: s for s in pvit_data.open("shards", source="parts")}
    assert {key: (s.split, s.group, s.num_frames) for key, s in parts.items()} == {
        "parts-run-clip-1": ("train", "anna", 12),
        "parts-run-clip-2-s100-e400": ("train", "ben", 6),
        "parts-run-clip-2-s400": ("train", "ben", 4),
        "parts-jump-clip-3": ("val", "carla", 12),
    }
    assert numbers(np.asarray(parts["parts-run-clip-2-s100-e400"].rgb)) == [2, 3, 4, 5, 6, 7]
    listed = pvit_data.open("shards", source="listed")
    assert sorted((s.split, s.action) for s in listed) == [(s, n) for s in ("train", "val") for n in range(4)]
    small = pvit_data.open("small", source="mine")[0]
    assert (small.height, small.width, small.fps, small.num_frames) == (48, 72, 10.0, 6)


def test_the_page_names_every_option() -> None:
    from pvit_converters.videos import VideosOptions

    rare = {"copy_video", "test"}
    columns = {"split_column", "group_column", "start_column", "end_column"}
    flags = {f"--{name.replace('_', '-')}" for name in set(VideosOptions.model_fields) - rare - columns}
    assert {flag for flag in flags if flag not in PAGE} == set()
