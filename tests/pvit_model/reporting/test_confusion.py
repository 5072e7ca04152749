"""Results by class: tables that say what the evaluation counted, and a picture that shows it."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pvit_cli.model import main
from pvit_model.reporting.confusion import GROUND, class_results, confusion_picture, matrix, write_class_tables
from pvit_model.using.source_report import SourceReport

FOUND = {
    "names": ["open", "close, slowly", "never", "=wave"],
    "accuracy": [0.75, 0.5, float("nan"), 0.0],
    "videos": [4, 2, 0, 1],
    "confusion": [[0, 0, 3], [0, 1, 1], [1, 1, 1], [1, 0, 1], [3, 1, 1]],
}


def test_tables(tmp_path: Path) -> None:
    report = SourceReport("mine", "val", 7, {}, classes={"action": FOUND})
    (folder,) = write_class_tables(report, tmp_path)
    assert folder == tmp_path / "mine/action"
    rows = list(csv.DictReader((folder / "classes.csv").open(encoding="utf-8")))
    assert [row["class"] for row in rows] == ["open", "close, slowly", "=wave"]  # one class has no videos
    assert [float(row["accuracy"]) for row in rows] == [0.75, 0.5, 0.0]
    assert [row["most confused with"] for row in rows] == ["close, slowly", "open", "close, slowly"]
    table = list(csv.reader((folder / "confusion.csv").open(encoding="utf-8")))
    assert table[0][1:] == [row[0] for row in table[1:]] == FOUND["names"]
    assert np.array_equal(np.array([row[1:] for row in table[1:]], int), matrix(FOUND))
    assert Image.open(folder / "confusion.png").size[0] > 100


@pytest.mark.parametrize("number", [1, 4, 40, 400])
def test_the_picture_is_dark_where_videos_are(number: int) -> None:
    """A perfect network: the diagonal is dark, all else is the ground."""
    names = [f"class number {i}" for i in range(number)]
    picture = confusion_picture(names, np.eye(number, dtype=np.int64), "perfect")
    dark = picture.astype(int).sum(2) < 300
    dark &= picture[..., 2] > picture[..., 0] + 60  # shades, not letters
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert picture.shape[1] < 1400
    assert picture.shape[0] < 1400
    assert len(rows) >= number  # each class has a cell of its own
    assert len(columns) >= number
    turned = confusion_picture(names, np.roll(np.eye(number, dtype=np.int64), 1, 1), "all wrong")
    assert turned.shape == picture.shape
    assert number == 1 or not np.array_equal(turned, picture)
    assert tuple(picture[-1, 0]) == GROUND


def test_classes_by_id() -> None:
    first, *_ = class_results(FOUND)
    assert (first.class_id, first.name, first.videos, first.confused) == (0, "open", 4, 1)


def test_the_command_says_and_writes_them(
    run_folder: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "--model", str(run_folder), "--shards", shards[0], "--reference-split", ""]
    assert main([*command, "--per-class", str(tmp_path / "classes")]) == 0
    said = capsys.readouterr().out
    assert "real val, action by class" in said
    assert all(name in said for name in ("reddish", "greenish", "bluish"))
    folder = tmp_path / "classes/real/action"
    assert f"wrote {folder}" in said
    rows = list(csv.DictReader((folder / "classes.csv").open(encoding="utf-8")))
    assert sum(int(row["videos"]) for row in rows) == 9
