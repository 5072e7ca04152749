"""Many videos at once: what places mean, the same answers as one by one and as an evaluation, and what is written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import pvit_data
from pvit_cli.model import main
from pvit_data.codecs.still import encode_still
from pvit_data.codecs.video import encode_video
from pvit_data.errors import SourceError
from pvit_model.using import predict as predicting
from pvit_model.using.predict import predict, predict_many
from pvit_model.using.videos import find_videos

COLOURS = ["reddish", "greenish", "bluish"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos, a photo, a broken file and a text."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("a.mp4", "b.mp4", "day1/a.mp4", "day1/a.MOV")):
        frames = rng.integers(0, 90, (12 + number, 48, 80, 3)).astype(np.uint8)
        frames[..., number % 3] += 120
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(encode_video(frames, fps=10))
    Image.new("RGB", (80, 48), (200, 40, 40)).save(root / "day1/photo.jpg")
    (root / "broken.avi").write_bytes(b"RIFF, but no more")
    (root / "notes.txt").write_text("no video")
    return root


def test_what_places_mean(folder: Path, shards: list[str]) -> None:
    everything = find_videos([str(folder)])
    assert [video.name for video in everything] == ["a", "b", "broken", "day1/a", "day1/a-2", "day1/photo"]
    found = find_videos([f"{folder}/*.mp4", str(folder / "a.mp4"), f"{folder}/**/a.mp4"])
    assert [video.where for video in found] == [f"{folder}/a.mp4", f"{folder}/b.mp4", f"{folder}/day1/a.mp4"]
    assert [video.name for video in found] == ["a", "b", "a-2"]
    keys = pvit_data.open(shards[0], split="val").column("key").tolist()
    assert [video.where for video in find_videos([shards[0]], split="val")] == keys
    (folder / "none").mkdir()
    with pytest.raises(SourceError, match=r"no video in '.*/none'"):
        find_videos([str(folder / "none")])
    with pytest.raises(SourceError, match=r"no video in '.*\*\.webm'"):
        find_videos([f"{folder}/*.webm"])


def test_many_answer_as_one_by_one(
    run_folder: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = predicting.load_model
    monkeypatch.setattr(predicting, "load_model", lambda *given: loads.append("once") or load(*given))
    skipped: list[tuple[str, str]] = []
    monkeypatch.setattr(predicting, "BATCH", 2)
    found = list(
        predict_many([str(folder)], str(run_folder), tmp_path, top=2, skip=lambda *given: skipped.append(given))
    )
    assert loads == ["once"]
    assert [p.name for p in found] == ["a", "b", "day1/a", "day1/a-2", "day1/photo"]
    ((where, why),) = skipped
    assert where == str(folder / "broken.avi")
    assert "expected a video" in why
    for many in found:
        one = predict(many.video, str(run_folder), top=2, overlay=False)
        assert [a.name for a in one.actions] == [a.name for a in many.actions]
        np.testing.assert_allclose(one.scores, many.scores, atol=1e-5)
        for name, value in one.outputs.items():
            if np.issubdtype(value.dtype, np.floating):
                np.testing.assert_allclose(value, many.outputs[name], atol=1e-4)
        said = json.loads((tmp_path / many.name / "predictions.json").read_text())
        assert said["video"] == many.video
        assert sorted(p.name for p in (tmp_path / many.name).glob("*.*")) == ["predictions.json", "predictions.npz"]
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.column_names == ["video", *COLOURS]
    assert table["video"].to_pylist() == [p.video for p in found]
    for row, prediction in zip(table.to_pylist(), found, strict=True):
        assert [row[name] for name in COLOURS] == pytest.approx(prediction.scores.tolist())
        assert sum(row[name] for name in COLOURS) == pytest.approx(1, abs=1e-5)


def test_arrays_say_what_they_are(run_folder: Path, folder: Path, tmp_path: Path) -> None:
    found = predict(str(folder / "a.mp4"), str(run_folder), tmp_path, overlay=False)
    said = json.loads((tmp_path / "predictions.json").read_text())
    with np.load(tmp_path / "predictions.npz") as arrays:
        assert set(arrays.files) == set(said["arrays"]) == {*found.outputs, "output_frames", "scores"}
        for name, about in said["arrays"].items():
            assert list(arrays[name].shape) == about["shape"]
            assert arrays[name].dtype.name == about["dtype"]
            assert len(about["axes"]) == arrays[name].ndim
            assert about["unit"]
        np.testing.assert_array_equal(arrays["depth"], found.outputs["depth"])
        assert len(arrays["output_frames"]) == len(arrays["depth"])
        assert arrays["output_frames"].tolist() == said["frames"][:: found.stride] != said["frames"]
    # The centre of 48 x 80 pixels, as high as it: what a square network sees.
    assert said["crop"] == pytest.approx([16, 0, 64, 48], abs=1)


def test_samples_of_shards_answer_as_in_an_evaluation(run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    dump = tmp_path / "dump.parquet"
    command = ["eval", "--model", str(run_folder), "--shards", shards[0], "--dump", str(dump), "--reference-split", ""]
    assert main(command) == 0
    rows = {row["key"]: np.array(row["logits"]) for row in pq.read_table(dump).to_pylist()}
    found = list(predict_many([shards[0]], str(run_folder), split="val"))
    assert {p.video for p in found} == set(rows)
    for prediction in found:
        weights = np.exp(rows[prediction.video] - rows[prediction.video].max())
        np.testing.assert_allclose(prediction.scores, weights / weights.sum(), atol=1e-5)


def test_the_command(run_folder: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "predict",
        str(folder / "a.mp4"),
        f"{folder}/b*",
        "--model",
        str(run_folder),
        "--out",
        str(tmp_path / "o"),
    ]
    assert main([*command, "--no-overlay", "--topk", "1"]) == 0
    said = capsys.readouterr().out
    assert f"skipped    {folder}/broken.avi: " in said
    assert "2 predicted, 1 skipped" in said
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["a", "b", "scores.parquet"]
    assert main([*command, "--no-overlay", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [len(p["actions"]) for p in document["predictions"]] == [3, 3]
    assert document["skipped"][0]["video"] == f"{folder}/broken.avi"
    bad = tmp_path / "bad"
    bad.mkdir()
    shutil.copy(folder / "broken.avi", bad)
    assert main(["predict", str(bad), "--model", str(run_folder), "--out", str(tmp_path / "p")]) == 1
    assert "none of 1 videos can be read" in capsys.readouterr().err


def test_what_was_written_is_what_is_told(
    run_folder: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Into a folder with an earlier answer: its overlay would be of another video."""
    out = tmp_path / "o"
    command = ["predict", "--model", str(run_folder), "--out", str(out)]
    assert main([*command, str(folder / "a.mp4")]) == 0
    assert "overlay.mp4" in capsys.readouterr().out
    (out / "mine.txt").write_text("a note")
    assert main([*command, str(folder / "b.mp4"), "--no-overlay"]) == 0
    told = capsys.readouterr().out.partition("wrote")[2]
    names = ["predictions.json", "predictions.npz", "scores.parquet"]
    assert [Path(path.strip()).name for path in told.split(",")] == names
    assert sorted(path.name for path in out.iterdir()) == ["mine.txt", *names]


def test_a_png_is_a_photo(run_folder: Path, tmp_path: Path) -> None:
    """With the answer that the same picture has as the JPEG which a conversion would make of it."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 4), np.uint8).repeat(4, 0).repeat(4, 1)
    Image.fromarray(pixels).save(tmp_path / "photo.PNG")
    (tmp_path / "same.jpg").write_bytes(encode_still(pixels[..., :3]))
    first, second = predict_many([str(tmp_path)], str(run_folder))
    assert first.scores is not None
    np.testing.assert_array_equal(first.scores, second.scores)
    (tmp_path / "half.png").write_bytes((tmp_path / "photo.PNG").read_bytes()[:500])
    with pytest.raises(SourceError, match=r"half\.png: PNG cannot be decoded"):
        predict(str(tmp_path / "half.png"), str(run_folder))


def test_an_error_names_the_video_where_nobody_is_told(run_folder: Path, folder: Path) -> None:
    with pytest.raises(SourceError, match=r"broken\.avi"):
        list(predict_many([str(folder)], str(run_folder)))


def test_a_pipe_among_the_files_is_skipped(run_folder: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "a.mp4", tmp_path)
    os.mkfifo(tmp_path / "b.mp4")
    skipped: list[str] = []
    found = list(predict_many([str(tmp_path)], str(run_folder), skip=lambda video, why: skipped.append(why)))
    assert len(found) == 1
    assert "not a regular file" in skipped[0]
