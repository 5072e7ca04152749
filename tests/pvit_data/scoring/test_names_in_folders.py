"""Videos whose names are told apart by their folders alone: `run/000.mp4`, `walk/000.mp4`."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.scoring.doctor.lists import seen_in
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.protocols import find_protocol
from pvit_data.scoring.score import score
from tests.pvit_data.scoring.test_small_messages import refused

VIDEOS = [f"{folder}/{n:03d}.mp4" for folder, n in itertools.product(("run", "walk"), range(3))]
LABELS = [0, 0, 0, 1, 1, 1]
ANSWERS = [0, 1, 0, 1, 1, 0]  # 4 of 6


def listed(path: Path, videos: list[str] = VIDEOS, labels: list[int] = LABELS) -> Path:
    rows = zip(videos, labels, strict=True)
    path.write_text("".join(f"{video} {label}\n" for video, label in rows), encoding="utf-8")
    return path


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["score", *map(str, arguments), "--metric", "topk", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["{}", "/data/val/{}", "{stem}", "text", "views"])
def test_folders_tell_videos_apart(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In another order than the list's, so that only names can match them."""
    truth, logits = listed(tmp_path / "val.txt"), np.eye(2)[ANSWERS]
    order = np.random.default_rng(0).permutation(6)
    path = tmp_path / "p"
    if form in ("text", "views"):
        row = {"text": "/data/{} 0 {} {}\n", "views": "/data/{} [{}, {}] 0 0 0\n"}[form]
        path.write_text("".join(row.format(VIDEOS[n], *logits[n]) for n in order))
    else:
        names = [form.format(VIDEOS[n], stem=VIDEOS[n].removesuffix(".mp4")) for n in order]
        with path.open("wb") as file:
            np.savez(file, ids=names, logits=logits[order])
    result = scored(capsys, path, "--truth", truth)
    assert (result["top1"], result["list"]["n"]) == (4 / 6, 6)


def test_names_of_windows_and_of_macos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Backslashes between folders, letters whose accents stand beside them."""
    videos = [video.replace("run", "caf\u00e9") for video in VIDEOS]
    truth = listed(tmp_path / "val.txt", videos)
    names = ["C:\\data\\" + video.replace("/", "\\").replace("\u00e9", "e\u0301") for video in videos]
    np.savez(tmp_path / "p.npz", ids=names, logits=np.eye(2)[ANSWERS])
    assert scored(capsys, tmp_path / "p.npz", "--truth", truth)["top1"] == 4 / 6
    windows = listed(tmp_path / "windows.txt", names)
    np.savez(tmp_path / "p.npz", ids=videos, logits=np.eye(2)[ANSWERS])
    assert scored(capsys, tmp_path / "p.npz", "--truth", windows)["top1"] == 4 / 6


def test_a_part_of_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One folder, whose names alone are told apart within the predictions, not within the list."""
    truth = listed(tmp_path / "val.txt")
    (tmp_path / "p.txt").write_text("".join(f"{video} 1 0.1 0.9\n" for video in VIDEOS[3:]))
    assert scored(capsys, tmp_path / "p.txt", "--truth", truth, "--partial")["top1"] == 1


def test_a_training_list_with_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same name in another folder is another video; the same path is a leak."""
    np.savez(tmp_path / "p.npz", ids=VIDEOS[2:4], logits=np.eye(2))
    truth = listed(tmp_path / "val.txt", VIDEOS[2:4], [0, 1])  # names alone tell these apart
    for training, seen in ((["run/000.mp4", "walk/002.mp4", "jump/000.mp4"], 0), ([*VIDEOS[:3], "walk/001.mp4"], 1)):
        train = listed(tmp_path / "train.txt", training, [0] * len(training))
        result = scored(capsys, tmp_path / "p.npz", "--truth", truth, "--train-list", train, "--diagnose")
        leaks = [f["seen"] for f in result["findings"] if f["name"] == "leak"]
        assert len(leaks) == seen
    assert "1 of the 2 ids" in leaks[0]


@pytest.mark.parametrize(
    ("truth", "training", "seen"),
    [
        (["val/c/1.mp4", "val/d/2.mp4"], ["train/c/1.mp4", "train/d/2.mp4"], 0),  # numbered anew
        (["c/1.mp4", "d/1.mp4"], ["/data/x/c/1.mp4", "/data/x/d/1.mp4"], 2),
        (["/data/x/c/1.mp4", "/data/x/d/2.mp4"], ["./c/1.mp4", "e/2.mp4"], 1),
        (["c/1.mp4", "d/2.mp4"], ["/data/x/c/1.mp4", "/data/x/e/1.mp4"], 1),
        (["c/1.mp4", "d/2.mp4"], ["1", "3"], 1),  # all that the other list tells
        (["c/1.mp4", "d/1.mp4"], ["1", "3"], 0),  # which of the two?
        (["1.mp4", "2.mp4"], ["1.avi", "1.avi"], 1),  # shown twice to training
    ],
)
@pytest.mark.parametrize("metric", ["topk", "multilabel"])
def test_leaks_by_the_folders_that_both_lists_tell(
    truth: list[str], training: list[str], seen: int, metric: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "p.npz", ids=truth, logits=np.eye(2))
    options = ScoreOptions(
        protocol=find_protocol(metric, "plain"), truth=str(listed(tmp_path / "val.txt", truth, [0, 1])),
        train_list=tmp_path / "train.csv", diagnose=True,
    )  # fmt: skip
    rows = (f'{name},"0;1"\n' for name in training)  # its classes do not matter
    (tmp_path / "train.csv").write_text(f"id,label\n{''.join(rows)}")
    found = [f for f in score(tmp_path / "p.npz", metric, options).findings if f.name == "leak"]
    assert [f.seen.partition(" ")[0] for f in found] == [str(seen)] * bool(seen)


@pytest.mark.parametrize(
    ("truth", "training", "sure"),
    [
        ("c/1.mp4", "c/1.mp4", "by their paths, if both lists begin in the same folder"),  # val/ and train/, each
        ("c/1.mp4", "/d/train/c/1.mp4", "by as many folders as both lists have, if these begin in the same one"),
        ("/d/c/1.mp4", "/d/c/1.webm", "certain"),
        ("abc", "abc.mp4", "certain"),
    ],
)
def test_only_whole_paths_and_names_are_sure_leaks(truth: str, training: str, sure: str) -> None:
    assert seen_in([truth], [training]) == ([True], sure)


def test_videos_that_are_listed_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=VIDEOS, logits=np.eye(6))
    truth = listed(tmp_path / "val.txt", [*VIDEOS, VIDEOS[1]], [*LABELS, 0])
    command = (tmp_path / "p.npz", "--metric", "topk", "--truth", truth)
    error = refused(capsys, *command)
    assert "val.txt: row 7 ('run/001.mp4') is listed in row 2 already" in error
    assert "padding" not in error
    listed(truth)
    error = refused(capsys, *command, "--protocol", "kinetics400")
    assert "row 4 ('walk/000.mp4') is the same video as row 1 ('run/000.mp4') to this protocol" in error


@pytest.mark.parametrize("text", ['a,"2;3"\nb,1\n', "a,2 3\nb,1\n", "a,2\nb,1\na,3\n", "a,x|y\nb,x\nc,y\n"])
def test_several_classes_per_video(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2, 4))
    (tmp_path / "t.csv").write_text(f"id,label\n{text}")
    for more in ([], ["--submit", tmp_path / "s.csv"]):
        error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv", *more)
        assert "('a') has several classes, " in error
        assert "--metric multilabel counts those" in error
    assert not (tmp_path / "s.csv").exists()
