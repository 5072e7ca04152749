"""Something-Something V2 in its layouts: labels by template, bytes copied, damage found."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_converters.engine.run import Job, convert
from pvit_converters.simulate import simulate
from pvit_converters.ssv2 import SSv2Converter, SSv2Options
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.sample import EncodedMedia, Sample

LABELS = {
    "Pulling something from left to right": "0",
    "Pulling something from right to left": "1",
    "Poking a hole into some substance": "2",
}


def row(video: str, template: str, thing: str) -> dict[str, Any]:
    label = template.lower().replace("[something]", thing).replace("[some substance]", thing)
    return {"id": video, "label": label, "template": template, "placeholders": [thing]}


ROWS = {
    "train": [
        row("7", "Pulling [something] from left to right", "a cup"),
        row("42", "Poking a hole into [some substance]", "sand"),
        row("99", "Pulling [something] from right to left", "a cup"),
    ],
    "validation": [row("8", "Pulling [something] from right to left", "a pen")],
    "test": [{"id": "9"}],
}


def make_video(path: Path, container: str, codec: str, frames: int = 6) -> None:
    with av.open(str(path), "w", format=container) as file:
        stream: Any = file.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for n in range(frames):
            picture = np.full((32, 48, 3), 5 * n + 20, np.uint8)
            picture[:, : 8 * (n % 6)] = 200
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a tree in the current or the older layout."""

    def make(old: bool = False) -> Path:
        root = tmp_path / ("old" if old else "new")
        videos = root / ("videos" if old else "20bn-something-something-v2")
        videos.mkdir(parents=True)
        labels, prefix = (root, "something-something-v2-") if old else (root / "labels", "")
        labels.mkdir(exist_ok=True)
        (labels / f"{prefix}labels.json").write_text(json.dumps(LABELS))
        for name, rows in ROWS.items():
            (labels / f"{prefix}{name}.json").write_text(json.dumps(rows))
        for number in (7, 42, 8, 9):
            make_video(videos / f"{number}.webm", "webm", "libvpx-vp9")
        return root

    return make


def load_all(root: Path, **options: Any) -> dict[str, Sample]:
    converter = SSv2Converter(root, SSv2Options(**options))
    return {item.key: converter.load(item) for item in converter.list_items().items}


def test_videos_of_both_folders_and_rows_that_come_again(make_tree: Callable[..., Path]) -> None:
    """Unpacking that was interrupted leaves a part in either folder; an empty file never hides a good one."""
    root = make_tree()
    videos = root / "20bn-something-something-v2"
    (root / "videos").mkdir()
    (videos / "42.webm").rename(root / "videos/42.webm")
    make_video(videos / "7.mp4", "mp4", "mpeg4")
    (videos / "7.webm").write_bytes(b"")
    (root / "videos/8.webm").write_bytes(b"")
    rows = ROWS["train"]
    (root / "labels/train.json").write_text(json.dumps([*rows, rows[0], ROWS["validation"][0]]))
    listing = SSv2Converter(root, SSv2Options()).list_items()
    assert [(i.split, i.ref["file"]) for i in listing.items] == [
        ("train", "20bn-something-something-v2/7.mp4"),
        ("train", "videos/42.webm"),
        ("val", "20bn-something-something-v2/8.webm"),
    ]
    assert listing.absent == {"video not present": 1}
    assert "2 rows repeat a video and are left out; what is tested on is not trained on" in listing.notes
    (root / "labels/train.json").write_text(json.dumps([*rows, row("7", "Poking a hole into [some substance]", "x")]))
    with pytest.raises(SourceError, match=r"train.json: video 7 is listed twice, as .*Pulling.* and as .*Poking"):
        SSv2Converter(root, SSv2Options()).list_items()


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_what_is_tested_on_is_not_trained_on(make_tree: Callable[..., Path], held_out: str) -> None:
    """Also where train alone is converted; and val stays as it is, whatever test lists."""
    root = make_tree()
    (root / f"labels/{held_out}.json").write_text(json.dumps([*ROWS[held_out], {**ROWS["train"][0], "id": "0007"}]))
    listing = SSv2Converter(root, SSv2Options(split="train")).list_items()
    assert [item.group for item in listing.items] == ["42"]
    assert "1 row repeat a video and are left out; what is tested on is not trained on" in listing.notes
    listing = SSv2Converter(root, SSv2Options(split="val")).list_items()
    assert [item.group for item in listing.items] == ["8", "7"][: 1 + (held_out == "validation")]
    assert "repeat" not in "".join(listing.notes)
    (root / "labels/test.json").write_text(json.dumps(ROWS["validation"]))
    assert "8" in {
        i.group for i in SSv2Converter(root, SSv2Options(split="all")).list_items().items if i.split == "val"
    }


def test_frames_stand_for_what_has_no_video(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    (root / "20bn-something-something-v2/42.webm").unlink()
    for video in ("7", "42", "99"):
        write_frames(root / "frames" / video, ["0001.jpg"])
    listing = SSv2Converter(root, SSv2Options(split="train")).list_items()
    assert [item.ref["file"] for item in listing.items] == [
        "20bn-something-something-v2/7.webm",
        "frames/42",
        "frames/99",
    ]
    assert "2 videos from extracted frames, where there is no other file" in listing.notes


@pytest.mark.parametrize("old", [False, True])
def test_both_layouts(make_tree: Callable[..., Path], old: bool) -> None:
    root = make_tree(old)
    converter = SSv2Converter(root, SSv2Options())
    listing = converter.list_items()
    assert [(i.key, i.group, i.split) for i in listing.items] == [
        ("ssv2-000007", "7", "train"),
        ("ssv2-000042", "42", "train"),
        ("ssv2-000008", "8", "val"),
    ]
    assert listing.absent == {"video not present": 1}
    space = converter.spaces()["action"]
    assert (space.name, space.classes) == ("ssv2", tuple(LABELS))
    assert space.pairs == ((0, 1),)
    sample = converter.load(listing.items[1])
    assert sample.action == 2
    assert isinstance(sample.rgb, EncodedMedia)
    assert sample.rgb.extension == "webm"
    assert sample.rgb.data == next(root.glob("*/42.webm")).read_bytes()
    assert (sample.num_frames, sample.height, sample.width, sample.fps) == (6, 32, 48, 12)
    assert sample.meta["placeholders"] == ["sand"]
    assert sample.meta["video_id"] == "42"
    assert sample.meta["warnings"] == []


def write_frames(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.fromarray(np.full((32, 48, 3), 20 + 30 * i, np.uint8)).save(folder / name, quality=95)


def test_extracted_frames(make_tree: Callable[..., Path]) -> None:
    """Both known forms; the first video is numbered with a gap, and 10 comes after 9."""
    root = make_tree()
    for path in (root / "20bn-something-something-v2").iterdir():
        path.unlink()  # the empty folder stays
    write_frames(root / "frames/7", [f"{n:04d}.jpg" for n in (1, 2, 4)])
    write_frames(root / "frames/42", [f"42_{n:06d}.jpg" for n in range(1, 7)])
    (root / "frames/8").mkdir()
    (root / "frames/8/notes.txt").write_text("x")
    samples = {}
    converter = SSv2Converter(root, SSv2Options())
    for item in converter.list_items().items[:2]:
        samples[item.key] = converter.load(item)
    first, second = samples["ssv2-000007"], samples["ssv2-000042"]
    assert [(s.fps, s.num_frames, s.height, s.width) for s in (first, second)] == [(12, 3, 32, 48), (30, 6, 32, 48)]
    assert first.meta["warnings"] == ["frame-numbers-have-gaps"]
    assert isinstance(second.rgb, np.ndarray)
    assert np.abs(second.rgb.mean((1, 2, 3)) - (20 + 30 * np.arange(6))).max() < 2
    with pytest.raises(SourceError, match=r"frames/8: no frame such as 0001.jpg, img_00001.jpg") as error:
        load_all(root)
    assert error.value.reason == "empty-folder"
    (root / "frames/7/0002.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(SourceError, match=r"frames/7/0002.jpg: cannot be read"):
        load_all(root, frame_rate=24.0)


def test_rows_with_nothing_in_them(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    rows = [{"id": "7", "template": "Pulling [something] from left to right", "label": None, "placeholders": None}]
    (root / "labels/train.json").write_text(json.dumps(rows))
    sample = load_all(root, split="train")["ssv2-000007"]
    assert (sample.action, sample.meta["label"], sample.meta["placeholders"]) == (0, "", [])


def test_the_report_says_which_list_counts(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tree()
    (told,) = SSv2Converter(root, SSv2Options()).list_items().notes
    assert told.startswith("official lists (2 train, 1 val here)")
    assert "24,777" in told
    for name in ("train", "val"):
        (tmp_path / f"empty_bbox_{name}.json").write_text("[42]")
    options = SSv2Options(val_list="no-empty-boxes", empty_boxes=tmp_path)
    (told,) = SSv2Converter(root, options).list_items().notes
    assert told.startswith("lists without the videos that have no boxes (1 train, 1 val here)")


def test_places_of_labels_and_leftovers(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    with pytest.raises(SourceError, match=r"no labels of SSv2.*give the folder above it.*Register at Qualcomm"):
        load_all(root / "20bn-something-something-v2")
    package = root / "20bn-something-something-download-package-labels"
    package.mkdir()
    (root / "labels").rename(package / "labels")
    assert len(load_all(root)) == 3
    videos = root / "20bn-something-something-v2"
    for path in videos.iterdir():
        path.unlink()
    (videos / "20bn-something-something-v2-03").write_bytes(b"part")
    with pytest.raises(SourceError, match=r"archives that are not unpacked lie there \(20bn-something-something-v2-03"):
        load_all(root)


def test_downloads_that_are_not_unzipped(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    for path in (root / "20bn-something-something-v2").iterdir():
        path.unlink()
    (root / "20bn-something-something-v2-00.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match=r"v2-00\.zip, 1 in all\): unzip them first, then: cat 20bn-"):
        load_all(root)


def test_test_split_only_when_asked(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    sample = load_all(root, split="test")["ssv2-000009"]
    assert sample.action is None
    (root / "labels/test-answers.csv").write_text("9;Poking a hole into some substance\n")
    assert load_all(root, split="all")["ssv2-000009"].action == 2


def test_lists_of_videos_without_boxes(make_tree: Callable[..., Path], tmp_path: Path) -> None:
    root = make_tree()
    with pytest.raises(UsageError, match="needs --empty-boxes"):
        load_all(root, val_list="no-empty-boxes")
    (tmp_path / "empty_bbox_train.json").write_text('["42"]')
    (tmp_path / "empty_bbox_val.json").write_text("[1]")
    assert set(load_all(root, val_list="no-empty-boxes", empty_boxes=tmp_path)) == {"ssv2-000007", "ssv2-000008"}


@pytest.mark.parametrize(
    ("name", "container", "codec", "kept"),
    [
        ("7.mp4", "mp4", "libx264", "mp4"),
        ("7.mp4", "mp4", "mpeg4", None),
        ("7.webm", "webm", "libvpx", "webm"),
        ("7.webm", "mp4", "libx264", "mp4"),  # named wrongly: the content counts
        ("7.webm", "matroska", "libx264", None),
        ("7.mp4", "avi", "mpeg4", None),
    ],
)
def test_only_common_videos_are_copied(
    make_tree: Callable[..., Path], name: str, container: str, codec: str, kept: str | None
) -> None:
    root = make_tree()
    path = root / "20bn-something-something-v2" / name
    path.with_suffix(".webm").unlink()
    make_video(path, container, codec)
    rgb = load_all(root)["ssv2-000007"].rgb
    if kept is None:
        assert isinstance(rgb, np.ndarray)
        assert rgb.shape == (6, 32, 48, 3)
    else:
        assert isinstance(rgb, EncodedMedia)
        assert (rgb.extension, rgb.data) == (kept, path.read_bytes())
    copied = load_all(root, copy_video=True)["ssv2-000007"].rgb
    assert isinstance(copied, EncodedMedia) is (container != "matroska")


def test_damaged_videos(make_tree: Callable[..., Path]) -> None:
    root = make_tree()
    path = root / "20bn-something-something-v2/7.webm"
    path.write_bytes(b"\x1a\x45\xdf\xa3 no video")
    with pytest.raises(SourceError, match=r"7\.webm.*not a playable video") as error:
        load_all(root)
    assert error.value.reason == "corrupt-video"
    make_video(path, "webm", "libvpx", frames=30)
    data = bytearray(path.read_bytes())
    cut = data[: int(len(data) * 0.6)]
    path.write_bytes(bytes(cut))
    sample = load_all(root)["ssv2-000007"]
    assert 0 < sample.num_frames < 30
    if isinstance(sample.rgb, np.ndarray):
        assert sample.meta["warnings"] == ["damaged-video-re-encoded"]
        assert len(sample.rgb) == sample.num_frames


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda root: shutil.rmtree(root / "20bn-something-something-v2"), r"not an SSv2 tree.*cat 20bn-"),
        (lambda root: shutil.rmtree(root / "labels"), "no labels of SSv2|no train.json"),
        (lambda root: (root / "labels/train.json").write_text("{"), r"train\.json: cannot be read as JSON"),
        (lambda root: (root / "labels/train.json").write_text('[{"id": "7"}]'), "video 7 has no template"),
        (
            lambda root: (root / "labels/train.json").write_text('[{"id": "7", "template": 5}]'),
            "video 7 has no template",
        ),
        (lambda root: (root / "labels/labels.json").write_text('{"a": "3"}'), r"labels\.json: its indices"),
        (lambda root: (root / "labels/labels.json").write_text('{"a": "0"}'), "is not in labels.json"),
        (lambda root: [p.unlink() for p in root.glob("20bn*v2/*")], r"none of the 4 listed.*cat 20bn-"),
    ],
)
def test_wrong_trees_are_explained(make_tree: Callable[..., Path], change: Callable[[Path], Any], part: str) -> None:
    root = make_tree()
    (root / "20bn-something-something-v2-00").write_bytes(b"part")
    change(root)
    with pytest.raises(SourceError, match=part):
        load_all(root)


def test_simulated_tree_converts(tmp_path: Path) -> None:
    simulate("ssv2", tmp_path / "raw", samples=14, seed=1, preset="tiny")
    report = convert(Job(SSv2Converter, tmp_path / "raw", str(tmp_path / "out"), SSv2Options()))
    assert report.failed == {}
    dataset = pvit_data.open(str(tmp_path / "out"))
    rows = {
        r["id"]: r for n in ("train", "validation") for r in json.loads((tmp_path / f"raw/labels/{n}.json").read_text())
    }
    table = json.loads((tmp_path / "raw/labels/labels.json").read_text())
    assert len(dataset) == len(rows)
    assert not dataset.sources["ssv2"].redistributable
    assert dataset.sources["ssv2"].role == "downstream"
    for sample in dataset:
        row = rows[sample.meta["video_id"]]
        assert sample.action == int(table[row["template"].replace("[", "").replace("]", "")])
        with av.open(str(next((tmp_path / "raw").glob(f"20bn*/{row['id']}.*")))) as file:
            frames = np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])
        assert np.array_equal(sample.rgb, frames)


@pytest.mark.parametrize(
    ("container", "layout", "rate"),
    [
        ("frames", "qualcomm", 12),
        ("frames-mmaction", "twentybn", 12),
        ("frames-pyslowfast", "qualcomm", 30),
        ("mp4", "twentybn", 12),
    ],
)
def test_simulated_trees_of_every_form(container: str, layout: str, rate: int, tmp_path: Path) -> None:
    """Each shows the same film as the video of the same seed; a mark such as DONE is no frame."""
    few = {"preset": "tiny", "train": 2, "validation": 1, "test": 1, "verbs": "sided", "gap": 0.0}
    simulate("ssv2", tmp_path / "webm", **few)
    simulate("ssv2", tmp_path / "other", container=container, layout=layout, **few)
    films, found = load_all(tmp_path / "webm"), load_all(tmp_path / "other")
    assert set(films) == set(found)
    for key, sample in found.items():
        film = clip_of(films[key])
        shown = film if rate == 12 else film[np.arange(20) * 12 // 30]
        assert (sample.fps, sample.num_frames, sample.action) == (rate, len(shown), films[key].action)
        assert np.abs(clip_of(sample).astype(float) - shown).mean() < 12
    converter = SSv2Converter(tmp_path / "other", SSv2Options(split="test"))
    labelled = [item.ref.get("action") is not None for item in converter.list_items().items]
    assert labelled == [layout == "qualcomm"]


def clip_of(sample: Sample) -> np.ndarray:
    if isinstance(sample.rgb, np.ndarray):
        return sample.rgb
    assert isinstance(sample.rgb, EncodedMedia)
    with av.open(io.BytesIO(sample.rgb.data)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_ids_and_names_as_they_occur(make_tree: Callable[..., Path]) -> None:
    """Zeros in front, whole numbers, a byte order mark, endings in capitals: all mean what they look like."""
    root = make_tree()
    videos = root / "20bn-something-something-v2"
    (videos / "7.webm").rename(videos / "000007.WEBM")
    (videos / "9.webm").rename(videos / "9.WebM")
    rows = [{**ROWS["train"][0], "id": 7}, {**ROWS["train"][1], "id": "0042"}]
    (root / "labels/train.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(rows).encode())
    (root / "labels/test.json").write_text('[{"id": "0009"}]')
    (root / "labels/test-answers.csv").write_bytes(b"\xef\xbb\xbf09;Poking a hole into some substance\r\n")
    samples = load_all(root, split="all")
    assert {key: s.action for key, s in samples.items()} == {
        "ssv2-000007": 0,
        "ssv2-000042": 2,
        "ssv2-000008": 1,
        "ssv2-000009": 2,
    }
