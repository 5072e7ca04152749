"""Predictions on any video: what is written, how the clip is made, and clear errors for what is no video."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pvit_data import open as open_shards
from pvit_data.codecs.video import decode_video, encode_video
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.loading.loader import eval_loader
from pvit_model.network.inference import Inference
from pvit_model.using.export import export_model
from pvit_model.using.loading import find_model, load_model
from pvit_model.using.predict import make_views, normalised, predict, read_video
from tests.pvit_data import odd_videos as odd


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reddish video of 20 frames, wider than high."""
    frames = np.random.default_rng(0).integers(0, 90, (20, 48, 80, 3)).astype(np.uint8)
    frames[..., 0] += 120
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    path.write_bytes(encode_video(frames, fps=10))
    return str(path)


def test_everything_is_written(run_folder: Path, video: str, tmp_path: Path) -> None:
    prediction = predict(video, str(run_folder), tmp_path / "out", top=2)
    said = json.loads((tmp_path / "out/predictions.json").read_text())
    assert [a["name"] for a in said["actions"]] == [a.name for a in prediction.actions]
    assert len(said["actions"]) == 2
    assert said["actions"][0]["probability"] >= said["actions"][1]["probability"]
    assert said["info"] == {"num_frames": 20, "fps": 10.0, "height": 48, "width": 80}
    assert said["outputs"] == {
        "depth": [4, 8, 8], "normal": [4, 8, 8, 3], "segm/things": [4, 8, 8], "pose3d": [4, 25, 3], "boxes": [4, 4, 4],
    }  # fmt: skip
    overlay = decode_video((tmp_path / "out/overlay.mp4").read_bytes())
    sheet = np.asarray(Image.open(tmp_path / "out/overlay.png"))
    assert overlay.shape[0] == 4
    assert sheet.shape == (4 * overlay.shape[1], overlay.shape[2], 3)
    assert sheet.shape[1] >= 6 * 224  # the input and five outputs side by side


def test_classes_are_named_by_the_models_own_table(run_folder: Path, video: str, tmp_path: Path) -> None:
    """Whatever order the classes stand in anywhere else: the table that was saved with the weights counts."""
    model, inference = load_model(str(run_folder))
    views = make_views(*read_video(video), inference).pixels
    with torch.no_grad():
        logits = torch.stack([model(normalised(view[None], inference)).logits[0] for view in views])
    share = logits.softmax(-1).mean(0)
    assert inference.action is not None
    expected = [inference.action.classes[i] for i in share.argsort(descending=True).tolist()]
    assert [a.name for a in predict(video, str(run_folder), top=9).actions] == expected
    turned = tmp_path / "turned"
    shutil.copytree(find_model(str(run_folder)), turned)
    text = json.loads((turned / "inference.json").read_text())
    text["action"]["classes"].reverse()  # another table: other names for the same outputs
    (turned / "inference.json").write_text(json.dumps(text))
    names = dict(zip(inference.action.classes, reversed(inference.action.classes), strict=True))
    assert [a.name for a in predict(video, str(turned), top=9).actions] == [names[name] for name in expected]


def test_a_hold_out_clip_is_seen_as_in_evaluation(run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    """The same stored file through `predict` and through the loader gives the same pixels and logits."""
    model, inference = load_model(str(run_folder))
    ds = open_shards(shards[0], source="real", split="val")
    batch = next(iter(eval_loader(ds, inference.clip, batch_size=1)))
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_video(ds[0].rgb, fps=12))
    data, info = read_video(str(path))
    views = make_views(data, info, inference).pixels
    seen = normalised(views[len(views) // 2][None], inference)
    # Encoding a second time costs a little; wrong frames, crops or colours would cost a hundred times as much.
    assert float((seen - batch.video).abs().mean()) < 0.1
    with torch.no_grad():
        assert torch.allclose(model(seen).logits, model(batch.video).logits, atol=0.1)


@pytest.mark.parametrize("name", odd.odd_videos())
def test_clips_of_odd_videos_hold_the_frames_they_name(run_folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(odd.odd_videos()[name])
    inference = load_model(str(run_folder))[1]
    data, info = read_video(str(path))
    assert (info.num_frames, info.height, info.width) == (odd.COUNT, odd.HEIGHT, odd.WIDTH)
    made = make_views(data, info, inference)
    for view in made.pixels:
        assert odd.numbers(view) == made.frames
    assert odd.numbers(made.shown) == made.frames[:: inference.clip.stride]


def test_mirrored_videos_are_predicted_as_they_are_shown(run_folder: Path, tmp_path: Path) -> None:
    inference = load_model(str(run_folder))[1]
    columns, _ = odd.MIRRORS["left-right"]
    sound = odd.encode("mp4", "libx264", odd.SHARP, odd.noise(20))
    found = []
    for data in (sound, odd.with_matrix(sound, columns)):
        (tmp_path / "x.mp4").write_bytes(data)
        found.append(make_views(*read_video(str(tmp_path / "x.mp4")), inference).pixels)
    middle = len(found[0]) // 2
    assert np.abs(found[0][middle].astype(int) - found[1][middle][:, :, ::-1]).max() <= 1


def test_files_that_conversion_cuts_are_predicted_and_those_it_refuses_are_not(
    run_folder: Path, tmp_path: Path
) -> None:
    inference = load_model(str(run_folder))[1]
    open_gop = odd.odd_videos()["open_gop.mp4"]
    keys = [place for place, packet in enumerate(odd.packets(open_gop)) if packet.is_keyframe]
    path = tmp_path / "cut.mkv"
    path.write_bytes(odd.remuxed(open_gop, "matroska", skip=keys[1]))
    data, info = read_video(str(path))
    made = make_views(data, info, inference)
    assert odd.numbers(made.pixels[0]) == [odd.COUNT - info.num_frames + n for n in made.frames]
    path.write_bytes(odd.changing_size())
    with pytest.raises(SourceError, match=r"from \(96, 64\) to \(64, 96\) at frame 20"):
        read_video(str(path))


def test_a_damaged_video_is_predicted_up_to_there_and_says_so(run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    sound = odd.encode("mp4", "libx264", {**odd.SHARP, "g": "12"}, odd.noise(24))
    path.write_bytes(sound)
    assert predict(str(path), str(run_folder)).warnings == ()
    path.write_bytes(odd.flipped(sound, 10, 6))
    found = predict(str(path), str(run_folder))
    (warning,) = found.warnings
    assert warning.startswith("the video is damaged: frame ")
    assert max(found.frames) < found.info.num_frames < 24


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory; expected a video file"),
        (b"", "the file is empty"),
        (b"this is a text, not a video" * 50, "expected a video .* that FFmpeg can decode"),
    ],
)
def test_what_is_no_video(content: bytes | None, message: str, run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        predict(str(path), str(run_folder))
    assert str(path) in str(caught.value)


def test_a_truncated_video_is_named(video: str, run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    data = Path(video).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"short\.mp4"):
        predict(str(path), str(run_folder))


def test_models_are_found_by_run_checkpoint_and_export(run_folder: Path, video: str, tmp_path: Path) -> None:
    whole = predict(video, str(run_folder))
    checkpoint = run_folder / "checkpoints/step-00000006"
    assert find_model(str(checkpoint)) == checkpoint
    size = export_model(str(run_folder), tmp_path / "bare", drop_heads=True)
    assert size < (run_folder / "model/model.safetensors").stat().st_size
    bare = predict(video, str(tmp_path / "bare"), tmp_path / "out")
    assert bare.outputs == {}
    assert bare.actions == whole.actions  # prompts are kept: the answer does not change by a digit
    with pytest.raises(
        UsageError, match="is not empty; give OUT, the folder that is written, another name: pvit export OUT"
    ):
        export_model(str(run_folder), tmp_path / "bare")


def test_what_is_no_model(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no model in .* expected a run of `pvit train`"):
        find_model(str(tmp_path))
    with pytest.raises(UsageError, match=r"no model in '\./nothing'"):
        find_model("./nothing")
    (tmp_path / "inference.json").write_text("{}")
    with pytest.raises(FormatError, match=r"inference.json: 'clip': field required"):
        Inference.load(tmp_path)
    with pytest.raises(FormatError, match="expected a folder written by `pvit train`"):
        Inference.load(tmp_path / "none")
    assert Inference.load(run_folder / "model").targets_of("scenes") == ("depth", "normal", "segm/things")


@pytest.mark.parametrize("kind", ["pipe", "zeros", "folder"])
def test_only_regular_files_are_videos(kind: str, tmp_path: Path) -> None:
    """The others would be waited for, or fill the memory."""
    path = tmp_path / "a.mp4"
    {"pipe": lambda: os.mkfifo(path), "zeros": lambda: path.symlink_to("/dev/zero"), "folder": path.mkdir}[kind]()
    with pytest.raises(SourceError, match=r"a\.mp4: (not a regular file|Is a directory); expected a video file"):
        read_video(str(path))
