"""Diving48 in its layouts: every dive by the numbers in its pictures, and clips that stay within its range."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_converters.diving48 import Diving48Converter, Diving48Options
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw.reencoding import Reencoding
from pvit_converters.simulate import simulate
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.loading.clip_reader import ClipReader
from tests import litter, numbered

NAMES = {
    0: "Back+15som+05Twis+FREE",
    1: "Back+15som+15Twis+FREE",
    17: "Forward+15som+1Twis+FREE",
    47: "Reverse+Dive+NoTwis+TUCK",
}
"""As the specification prints them."""
GOOD = ("fine", "late", "ends-after-video")
Dive = dict[str, Any]


class Converted:
    """A simulated tree, its truth, and what was made of it."""

    def __init__(self, folder: Path, layout: str, **options: Any) -> None:
        self.raw, self.out = folder / "raw", folder / "out"
        simulate("diving48", self.raw, preset="tiny", layout=layout, truth=folder / "truth")
        self.truth: list[Dive] = json.loads((folder / "truth/dives.json").read_text())
        litter.scatter(self.raw, copies=True)
        job = Job(Diving48Converter, self.raw, str(self.out), Diving48Options(**options), workers=1)
        self.report = convert(job)
        self.notes = "\n".join(self.report.notes)
        self.sets = {split: pvit_data.open(str(self.out), split=split) for split in ("train", "test")}

    def samples(self) -> dict[str, pvit_data.Sample]:
        return {ds[i].meta["vid_name"]: ds[i] for ds in self.sets.values() for i in range(len(ds))}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("rgb"), "rgb")


@pytest.fixture(scope="module", params=["rgb", "videos", "frames", "rawframes"])
def layout(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, videos: Converted) -> Converted:
    if request.param == "rgb":
        return videos
    return Converted(tmp_path_factory.mktemp(request.param), request.param)


def test_every_layout_becomes_its_truth(layout: Converted) -> None:
    samples = layout.samples()
    wanted = {dive["name"]: dive for dive in layout.truth if dive["fate"] in GOOD}
    assert samples.keys() == wanted.keys()
    are_videos = (layout.raw / "rgb").is_dir() or (layout.raw / "videos").is_dir()
    for name, dive in wanted.items():
        sample = samples[name]
        assert isinstance(sample.rgb, np.ndarray)
        assert numbered.read(sample.rgb) == [(n, dive["number"]) for n in range(dive["frames"])], "the whole file"
        assert sample.meta["range"] == [dive["start_frame"], min(dive["end_frame"], dive["frames"])]
        assert sample.meta["end_frame"] == dive["end_frame"]
        assert sample.meta["split"] == dive["split"]
        assert sample.action == dive["label"]
        assert sample.spaces["action"].classes[dive["label"]] == sample.meta["label"] == NAMES[dive["label"]]
        assert sample.meta["warnings"] == ["range-ends-after-video"] * (dive["fate"] == "ends-after-video")
        assert sample.meta["fps"] == pytest.approx(dive["fps"] if are_videos else 0.0, rel=1e-4)
    assert len(next(iter(samples.values())).spaces["action"].classes) == 48


def test_what_is_broken_absent_or_in_no_list_is_counted(layout: Converted) -> None:
    report = layout.report
    assert report.absent == {"video not present": 1, "annotated range of two frames or fewer": 1}
    assert sum(report.failed.values()) == 1
    assert "1 video that no label file names left out" in layout.notes
    late = sum(dive["fate"] == "late" for dive in layout.truth)
    assert f"{late} dives from a later frame of the video on" in layout.notes
    assert "licence of the videos is unknown" in layout.notes
    assert ("packed frames are known to be incomplete" in layout.notes) == ("frames" in str(layout.raw.parent.name))


def test_leftovers_and_keys(videos: Converted) -> None:
    assert "unpack Diving48_rgb.tar.gz first" in videos.notes
    keys = {name: sample.key for name, sample in videos.samples().items()}
    assert keys["-mmq0PT-u8k_00155"] == "diving48--mmq0pt-u8k_00155"
    assert keys["_8Vy3dlHg2w_00155"] == "diving48-_8vy3dlhg2w_00155"
    for name in ("AbCdEfGhIjK_00155", "aBcDeFgHiJk_00155"):
        assert keys[name] == f"diving48-abcdefghijk_00155-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def test_videos_are_copied_byte_for_byte(videos: Converted) -> None:
    tar = b"".join(path.read_bytes() for path in sorted(videos.out.rglob("*.tar")))
    for dive in videos.truth:
        if dive["fate"] in GOOD:
            assert (videos.raw / "rgb" / f"{dive['name']}.mp4").read_bytes() in tar


def segments(first: int, end: int, length: int) -> list[list[int]]:
    """The rule of SSv2 with N = end - first, moved by first: both ends of each segment."""
    ends = [round(i * (end - first - 1) / length) for i in range(length + 1)]
    return [[first + a, first + b] for a, b in pairwise(ends)]


def test_clips_lie_within_the_range(videos: Converted) -> None:
    """In testing the middle of each segment, in training any frame of it, by what the pictures show."""
    config = ClipConfig(size=(32, 32), num_frames=8)
    for ds in videos.sets.values():
        reader = ClipReader(ds, config, {"diving48": ("action",)})
        for row in range(0, len(ds), 2):
            first, end = ds[row].meta["range"]
            wanted = segments(first, end, 8)
            clip = reader.view(row)
            assert [n for n, _ in numbered.read(clip.rgb[clip.order])] == [sum(ends) // 2 for ends in wanted]
    assert videos.sets["test"].sources["diving48"].sampler == "segment"


def test_training_draws_from_the_range_alone(videos: Converted) -> None:
    ds = videos.sets["train"]
    config = ClipConfig(size=(32, 32), num_frames=8, jitter=(1, 1))
    reader = ClipReader(ds, config, {"diving48": ("action",)})
    row = next(i for i in range(len(ds)) if ds[i].meta["range"][0] > 0)
    first, end = ds[row].meta["range"]
    seen = set()
    for epoch in range(30):
        clip = reader.train(row, epoch)
        shown = [n for n, _ in numbered.read(clip.rgb[clip.order])]
        for n, (low, high) in zip(shown, segments(first, end, 8), strict=True):
            assert low <= n <= high
        seen |= set(shown)
    assert seen == set(range(first, end)), "every frame of the dive, and no other"


def test_the_dense_reading_stays_within_the_range_too(videos: Converted) -> None:
    """Ranges shorter than the span repeat their last frame, not the last one of the file."""
    ds = videos.sets["train"]
    config = ClipConfig(size=(32, 32), num_frames=16, rate=4, samplers={"diving48": "dense"})
    reader = ClipReader(ds, config, {"diving48": ("action",)})
    row = next(i for i in range(len(ds)) if ds[i].meta["range"][0] > 0)
    first, end = ds[row].meta["range"]
    clip = reader.view(row)
    shown = [n for n, _ in numbered.read(clip.rgb[clip.order])]
    assert shown[0] == first
    assert shown[-1] == end - 1 < ds[row].num_frames - 1


def test_a_division_of_the_training_dives_samples_as_they_do(videos: Converted, tmp_path: Path) -> None:
    arguments = ["split", str(videos.out), "--name", "two", "--holdout", "20", "--of", "train"]
    assert main([*arguments, "--out", str(tmp_path / "two")]) == 0
    ds = pvit_data.open(str(tmp_path / "two"), source="two", split="train", base=str(videos.out))
    reader = ClipReader(ds, ClipConfig(size=(32, 32), num_frames=8), {"two": ("action",)})
    row = next(i for i in range(len(ds)) if ds[i].meta["range"][0] > 0)
    clip = reader.view(row)
    wanted = [sum(ends) // 2 for ends in segments(*ds[row].meta["range"], 8)]
    assert [n for n, _ in numbered.read(clip.rgb[clip.order])] == wanted


def test_batches_hold_such_clips(videos: Converted) -> None:
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(videos.sets["train"])], batch_size=4, seed=0)
    batch = next(iter(pvit_data.loader(mixture, clip=ClipConfig(size=(32, 32), num_frames=8))))
    assert len(batch.keys) == 4


def test_a_range_outside_its_video_costs_the_sample(videos: Converted, tmp_path: Path) -> None:
    sample = videos.sets["test"][0]
    sample.meta["range"] = [0, 1000]
    spec = pvit_data.SourceSpec(name="dives", licence="x", clips_within="range", spaces=dict(sample.spaces))
    with pvit_data.ShardWriter(str(tmp_path / "out"), spec, split="train") as writer:
        writer.write(sample)
    reader = ClipReader(pvit_data.open(str(tmp_path / "out")), ClipConfig(size=(32, 32)), {"dives": ("action",)})
    with pytest.raises(FormatError, match=r"range in its metadata is \[0, 1000\], expected \[first, end\) within its"):
        reader.view(0)


def write_labels(root: Path, rows: Any, name: str = "Diving48_V2_train.json") -> Path:
    (root / "rgb").mkdir(parents=True, exist_ok=True)
    (root / "rgb/-mmq0PT-u8k_00155.mp4").write_bytes(b"x")
    (root / name).write_text(json.dumps(rows))
    return root


ROW = {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}


def listing(root: Path, **options: Any) -> Any:
    return Diving48Converter(root, Diving48Options(**options)).list_items()


def test_the_first_edition_is_refused_unless_asked_for(tmp_path: Path, videos: Converted) -> None:
    root = write_labels(tmp_path, [ROW], "Diving48_train.json")
    with pytest.raises(SourceError, match=r"Diving48_train.json: these are the labels of the first.*--labels v1"):
        listing(root)
    found = listing(root, labels="v1")
    assert len(found.items) == 1
    assert "first edition (V1)" in found.notes[0]
    first = {item.ref["vid_name"]: item.ref["action"] for item in listing(videos.raw, labels="v1").items}
    second = {item.ref["vid_name"]: item.ref["action"] for item in listing(videos.raw).items}
    assert first.keys() == second.keys()
    assert all(first[name] == (second[name] + 1) % 48 for name in first), "both lie there: the second counts"


def test_the_first_edition_under_another_name_is_told(tmp_path: Path) -> None:
    rows = [ROW, *({**ROW, "vid_name": f"-mmq0PT-u8k_{n:05d}"} for n in range(20000, 20000 + 2095))]
    root = write_labels(tmp_path, rows, "Diving48_V2_test.json")
    notes = "\n".join(listing(root).notes)
    assert "Diving48_V2_test.json has 2,096 rows, as many as the labels of the first edition" in notes
    assert "no Diving48_V2_train.json: no dive of train is converted" in notes


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{**ROW, "label": 48}], "row 0: label 48 and start_frame 0, expected 0 to 47"),
        ([{**ROW, "start_frame": -1}], "start_frame -1"),
        ([{**ROW, "label": "0"}], 'row 0: .* expected {"vid_name"'),
        ([{**ROW, "vid_name": "-mmq0PT-u8k"}], 'row 0: .* expected {"vid_name"'),
        ([{**ROW, "vid_name": "../../../etc/x_00155"}], 'row 0: .* expected {"vid_name"'),
        ([ROW, {**ROW, "label": 1}], "is listed twice, with the labels 0 and 1"),
        ({}, "expected a list of"),
        ([{**ROW, "vid_name": "-mmq0PT-u8k_00156"}], "none of the 1 listed dives is here"),
    ],
)
def test_a_label_file_that_is_none_is_refused(rows: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        listing(write_labels(tmp_path, rows))


def test_what_is_tested_on_is_not_trained_on(tmp_path: Path) -> None:
    write_labels(tmp_path, [ROW])
    found = listing(write_labels(tmp_path, [ROW], "Diving48_V2_test.json"))
    assert [item.split for item in found.items] == ["test"]
    assert "1 row repeat a dive and are left out; what is tested on is not trained on" in found.notes


def test_videos_of_both_folders(tmp_path: Path) -> None:
    """Unpacking that was interrupted leaves a part in either folder; frames stand for what has no video."""
    other = {**ROW, "vid_name": "-mmq0PT-u8k_00156"}
    root = write_labels(tmp_path, [ROW, other])
    (root / "videos").mkdir()
    for row in (ROW, other):
        (root / f"videos/{row['vid_name']}.mp4").write_bytes(b"xx")
    found = [item.ref["file"] for item in listing(root).items]
    assert found == ["rgb/-mmq0PT-u8k_00155.mp4", "videos/-mmq0PT-u8k_00156.mp4"]
    for row in (ROW, other):
        (root / f"frames/{row['vid_name']}").mkdir(parents=True)
    (root / f"videos/{other['vid_name']}.mp4").write_bytes(b"")
    mixed = listing(root)
    assert [i.ref["file"] for i in mixed.items] == ["rgb/-mmq0PT-u8k_00155.mp4", "frames/-mmq0PT-u8k_00156"]
    assert "1 dive from extracted frames, where there is no video" in "\n".join(mixed.notes)


def test_the_vocabulary_of_the_tree_counts(tmp_path: Path) -> None:
    root = write_labels(tmp_path, [ROW])
    assert listing(root).items[0].ref["label"] == NAMES[0]
    (root / "Diving48_vocab.json").write_text(json.dumps([["a", "b", "c", str(n)] for n in range(48)]))
    found = listing(root)
    assert found.items[0].ref["label"] == "a+b+c+0"
    assert "other classes, or another order" in "\n".join(found.notes)
    (root / "Diving48_vocab.json").write_text(json.dumps([["a", "b", "c", "d"]] * 47))
    with pytest.raises(SourceError, match="expected a list of 48 classes with 4 parts each"):
        listing(root)


def test_frames_with_gaps_are_refused(tmp_path: Path) -> None:
    simulate("diving48", tmp_path / "raw", preset="tiny", samples=2, layout="frames")
    (tmp_path / "raw/frames/-mmq0PT-u8k_00155/image_000003.jpg").unlink()
    report = convert(
        Job(Diving48Converter, tmp_path / "raw", str(tmp_path / "out"), Diving48Options(), workers=1, max_failed=100)
    )
    assert report.failed == {"frame-numbers-have-gaps": 1}
    assert "holds 19 frames of those from 1 to 20" in report.failures[0].message


def test_another_rate_would_move_the_range(videos: Converted, tmp_path: Path) -> None:
    settings = Settings(reencoding=Reencoding.parse("fps=15"))
    job = Job(Diving48Converter, videos.raw, str(tmp_path / "out"), Diving48Options(), settings, workers=1)
    with pytest.raises(UsageError, match="tells by numbers of frames where clips lie"):
        convert(job)
