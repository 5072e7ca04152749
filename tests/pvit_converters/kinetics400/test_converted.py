"""Kinetics-400 in its layouts: every video by the numbers in its pictures, what is missing or too much by name."""

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.run import Job, convert
from pvit_converters.kinetics400 import Kinetics400Converter, Kinetics400Options
from pvit_converters.simulate import simulate
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import SourceError
from pvit_data.loading.clip_reader import ClipReader
from pvit_data.scoring.files.class_truth import read_class_truth
from pvit_data.scoring.files.shards import read_shards
from pvit_data.scoring.protocols import PROTOCOLS
from tests import litter, numbered

IDS = {
    "abseiling": 0,
    "air drumming": 1,
    "hurling (sport)": 161,
    "massaging person's head": 196,
    "skiing (not slalom or crosscountry)": 308,
    "tai chi": 346,
    "wrapping present": 394,
    "zumba": 399,
}
SPLITS = ("train", "val", "test")
Clip = dict[str, Any]


class Converted:
    """A simulated tree, its truth, and what was made of it."""

    def __init__(self, folder: Path, layout: str, **options: Any) -> None:
        self.raw, self.out = folder / "raw", folder / "out"
        simulate("kinetics400", self.raw, preset="tiny", layout=layout, truth=folder / "truth")
        self.truth: list[Clip] = json.loads((folder / "truth/clips.json").read_text())
        litter.scatter(self.raw, copies=True)
        self.report = convert(
            Job(Kinetics400Converter, self.raw, str(self.out), Kinetics400Options(split="all", **options), workers=1)
        )
        self.notes = "\n".join(self.report.notes)

    def fate(self, *fates: str) -> list[Clip]:
        return [clip for clip in self.truth if clip["fate"] in fates]

    def samples(self) -> dict[str, pvit_data.Sample]:
        found = {}
        for split in SPLITS:
            if (self.out / f"kinetics400/index/{split}.parquet").exists():
                ds = pvit_data.open(str(self.out), split=split)
                found |= {ds[i].meta["youtube_id"]: ds[i] for i in range(len(ds))}
        return found


@pytest.fixture(scope="module")
def cvdf(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("cvdf"), "cvdf")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("folders"), "class-folders")


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("lists"), "lists")


def require_truth(made: Converted, fates: tuple[str, ...], unlabelled: tuple[str, ...] = ()) -> None:
    """Every video of these fates is there with all its pictures, class, times and rate, and no other one is."""
    samples = made.samples()
    wanted = {clip["youtube_id"]: clip for clip in made.fate(*fates)}
    assert samples.keys() == wanted.keys()
    for video, clip in wanted.items():
        sample = samples[video]
        assert isinstance(sample.rgb, np.ndarray)
        assert numbered.read(sample.rgb) == [(n, clip["number"]) for n in range(clip["frames"])]
        assert sample.rgb.shape[1:3] == (clip["height"], clip["width"])
        assert sample.fps == pytest.approx(clip["fps"], rel=1e-4)
        assert sample.meta["split"] == clip["split"]
        assert (sample.meta["time_start"], sample.meta["time_end"]) == (clip["time_start"], clip["time_end"])
        assert sample.meta["warnings"] == []
        if clip["split"] in unlabelled:
            assert sample.action is None
            assert "label" not in sample.meta
        else:
            assert sample.action == IDS[clip["label"]]
            assert sample.spaces["action"].classes[sample.action] == sample.meta["label"] == clip["label"]


def test_the_download_becomes_its_truth(cvdf: Converted) -> None:
    """Quoted labels, a test list without labels, replacements of a corrupted and of a missing video."""
    require_truth(cvdf, ("fine", "replaced", "missing"), unlabelled=("test",))
    samples = cvdf.samples()
    replaced = {video for video, sample in samples.items() if sample.meta["replaced"]}
    assert replaced == {clip["youtube_id"] for clip in cvdf.fate("replaced", "missing")}
    assert len(replaced) == 2
    assert len(samples[next(iter(replaced))].spaces["action"].classes) == 400


def test_videos_are_copied_byte_for_byte(cvdf: Converted) -> None:
    tar = b"".join(path.read_bytes() for path in sorted(cvdf.out.rglob("*.tar")))
    for clip in cvdf.fate("fine"):
        assert (cvdf.raw / f"k400/{clip['split']}/{clip['name']}.mp4").read_bytes() in tar


def test_keys_tell_ids_apart_that_differ_in_case(cvdf: Converted) -> None:
    keys = {sample.meta["youtube_id"]: sample.key for sample in cvdf.samples().values()}
    assert keys["-mmq0PT-u8k"] == "kinetics400--mmq0pt-u8k_000417_000427"
    assert keys["a_000417_b-"] == "kinetics400-a_000417_b-_000417_000427"
    for video in ("AbCdEfGhIjK", "aBcDeFgHiJk"):
        digest = hashlib.sha256(f"{video}_000417_000427".encode()).hexdigest()[:8]
        assert keys[video] == f"kinetics400-abcdefghijk_000417_000427-{digest}"


def test_what_is_missing_damaged_or_in_no_list_is_counted(cvdf: Converted) -> None:
    assert cvdf.report.absent == {"video not present": len(cvdf.fate("absent"))}
    assert cvdf.report.failed == {"corrupt-video": 2}
    texts = " ".join(failure.message for failure in cvdf.report.failures)
    assert "is empty" in texts
    assert "no video stream" in texts
    count = Counter(c["split"] for c in cvdf.truth if c["fate"] not in ("absent", "stray"))
    for split in ("train", "val"):
        told = f"{split}: {count[split]} of {count[split] + 1} listed videos are here; 1 further video there"
        assert told in cvdf.notes
    assert f"results on val count {count['val']} videos" in cvdf.notes
    assert "2 videos taken from the replacements" in cvdf.notes
    assert "k400_targz/val/part_0.tar.gz, 1 in all" in cvdf.notes


def test_class_folders_need_no_list(folders: Converted) -> None:
    """With blanks and with underscores; ids do not depend on which classes are there."""
    require_truth(folders, ("fine",))
    assert (folders.raw / "videos_train/wrapping_present").is_dir()
    assert any(" " in path.name for path in (folders.raw / "videos_val").iterdir())


def test_lists_of_paths_and_numbers(lists: Converted) -> None:
    """Paths with blanks, of another machine; the test list is a copy of the validation list and adds nothing."""
    assert any(" " in line.rpartition(" ")[0] for line in (lists.raw / "val.csv").read_text().splitlines())
    require_truth(lists, ("fine",))
    assert {sample.meta["split"] for sample in lists.samples().values()} == {"train", "val"}
    assert "test: 0 of 0 listed videos are here; 6 rows repeat" in lists.notes


def test_predictions_are_scored_by_the_same_ids_and_classes(cvdf: Converted) -> None:
    """What is scored against the shards, or against val.csv, is the same."""
    clean = PROTOCOLS["kinetics400"].clean
    shards = read_shards(str(cvdf.out), "kinetics400", "val")
    listed = read_class_truth(cvdf.raw / "k400/annotations/val.csv", "kinetics400", clean)
    classes = dict(zip(listed.ids, (listed.classes[i] for i in listed.labels), strict=True))
    assert len(shards.ids) == len([c for c in cvdf.fate("fine") if c["split"] == "val"])
    for video, label in zip(shards.ids, shards.labels, strict=True):
        assert shards.classes[label] == classes[video]


def test_either_folder_is_the_root(cvdf: Converted) -> None:
    above = {item.key for item in items(cvdf.raw, split="all")}
    assert above == {item.key for item in items(cvdf.raw / "k400", split="all")}


def items(root: Path, **options: Any) -> list[Any]:
    return Kinetics400Converter(root, Kinetics400Options(**options)).list_items().items


def notes(root: Path, **options: Any) -> str:
    return "\n".join(Kinetics400Converter(root, Kinetics400Options(**options)).list_items().notes)


VIDEO = "0wR5jVB-WPk_000417_000427.mp4"


def tree(root: Path, rows: str, name: str = "annotations/train.csv", video: str = f"train/{VIDEO}") -> Path:
    for place, text in ((name, rows), (video, "x")):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text, encoding="utf-8")
    return root


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    header = "\ufeffis_cc,split,time_end,youtube_id,time_start,label\r\n"
    rows = header + "1,train,427,0wR5jVB-WPk,417,wrapping present\r\n\r\n"
    (item,) = items(tree(tmp_path, rows))
    assert item.ref["action"] == 394
    assert (item.ref["time_start"], item.ref["time_end"], item.ref["is_cc"]) == (417, 427, "1")


HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (HEADER + "adult swim,0wR5jVB-WPk,417,427,train,0\n", "line 2: 'adult swim' is none of the 400.*-600 and -700"),
        (HEADER + "abseilin,0wR5jVB-WPk,417,427,train,0\n", "did you mean 'abseiling'"),
        (HEADER + "abseiling,#NAME?,417,427,train,0\n", "line 2: youtube_id is '#NAME.', expected 11"),
        (HEADER + "abseiling,0wR5jVB-WPk,417,427,val,0\n", "split is val, but this should be the list of train"),
        (HEADER + "abseiling,0wR5jVB-WPk,427,417,train,0\n", "goes from '427' to '417', expected seconds"),
        (HEADER + "abseiling,0wR5jVB-WPk,417\n", "line 2: has 3 cells, its header 6"),
        (HEADER + "abseiling,0wR5jVB-WPk,1,2,,0\nzumba,0wR5jVB-WPk,1,2,,0\n", "another class than in .*line 2"),
        (f"train/zumba/{VIDEO} 400\n", "class 400, expected 0 to 399; this is no list of Kinetics-400"),
        (f"train/weaving basket/{VIDEO} 0\n", "in an order of its own; --classes FILE"),
        ("what is this\n", "line 1: 'what is this': expected a header with the column youtube_id"),
        ("\n", "is empty"),
    ],
)
def test_a_list_that_is_none_is_refused(rows: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        items(tree(tmp_path, rows))


def test_lists_in_an_order_of_their_own(tmp_path: Path) -> None:
    """As a published probe counts: 0 weaving basket, 1 playing drums."""
    tree(tmp_path / "raw", f"train/weaving basket/{VIDEO} 0\n", video=f"train/weaving basket/{VIDEO}")
    (tmp_path / "order.txt").write_text("weaving basket\nplaying drums\n")
    (item,) = items(tmp_path / "raw", classes=tmp_path / "order.txt")
    converter = Kinetics400Converter(tmp_path, Kinetics400Options(classes=tmp_path / "order.txt"))
    assert converter.identity() == {"classes": ["weaving basket", "playing drums"]}
    names = Kinetics400Converter(tmp_path, Kinetics400Options()).spaces()["action"].classes
    assert names[item.ref["action"]] == item.ref["label"] == "weaving basket"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label\nabseiling\nzumba\n", "name 1 of 3: 'label' is none of the 400"),
        ("tai chi\nzumba\ntai_chi\n", "name 3 of 3: 'tai_chi' is the same class as name 1"),
    ],
)
def test_names_of_classes_are_compared_with_the_400(text: str, said: str, tmp_path: Path) -> None:
    """Before a number is read by them: a line too many would move every label."""
    (tmp_path / "order.txt").write_text(text)
    root = tree(tmp_path / "raw", f"train/{VIDEO} 2\n")
    with pytest.raises(SourceError, match=f"order.txt, {said}"):
        items(root, classes=tmp_path / "order.txt")


def test_fewer_than_400_names_are_told(tmp_path: Path) -> None:
    root = tree(tmp_path / "raw", f"train/{VIDEO} 1\n")
    (tmp_path / "order.txt").write_text("abseiling\nzumba\n")
    assert "order.txt: names 2 of the 400 classes" in notes(root, classes=tmp_path / "order.txt")
    assert "of the 400 classes" not in notes(root)


def test_a_folder_of_another_class_than_the_list_says_is_told(tmp_path: Path) -> None:
    rows = HEADER + "zumba,0wR5jVB-WPk,417,427,train,0\n"
    root = tree(tmp_path, rows, video=f"train/tai chi/{VIDEO}")
    (item,) = items(root)
    assert (item.ref["label"], item.ref["time_start"]) == ("zumba", 417)
    assert "1 video in a folder of another class than the list says" in notes(root)
    shutil.copytree(root / "train/tai chi", root / "train/zumba")
    assert "1 further file of listed videos left out: copies, or other seconds" in notes(root)


def test_other_seconds_are_another_clip(tmp_path: Path) -> None:
    """As copies of Kinetics-600 and -700 have them: other pictures, to which the label does not belong."""
    rows = HEADER + "zumba,0wR5jVB-WPk,418,428,train,0\nzumba,AwR5jVB-WPk,1,11,train,0\n"
    root = tree(tmp_path, rows)
    with pytest.raises(SourceError, match="none of the 2 listed videos is here; of 1 there are files whose names tell"):
        items(root)
    (root / "train/AwR5jVB-WPk.mp4").write_bytes(b"x")  # which says nothing of its seconds
    listing = Kinetics400Converter(root, Kinetics400Options()).list_items()
    assert [item.ref["file"] for item in listing.items] == ["train/AwR5jVB-WPk.mp4"]
    assert listing.absent == {"only other seconds of the video present": 1}
    assert "train: 1 of 2 listed videos are here" in listing.notes
    assert "1 further file of listed videos left out: copies, or other seconds than listed" in listing.notes


def test_clips_of_one_video_are_those_that_the_list_has(tmp_path: Path) -> None:
    rows = HEADER + "".join(
        f"{label},0wR5jVB-WPk,{n},{n + 10},train,0\n" for label, n in (("zumba", 7), ("tai chi", 207), ("zumba", 407))
    )
    root = tree(tmp_path, rows, video="train/0wR5jVB-WPk_000007_000017.mp4")
    for seconds in ("000207_000217", "000407_000417", "000607_000617"):
        (root / f"train/0wR5jVB-WPk_{seconds}.mp4").write_bytes(b"x")
    assert {(i.key[-13:], i.ref["label"], i.ref["time_start"]) for i in items(root)} == {
        ("000007_000017", "zumba", 7),
        ("000207_000217", "tai chi", 207),
        ("000407_000417", "zumba", 407),
    }
    assert "train: 3 of 3 listed videos are here" in notes(root)
    tree(root, rows + "abseiling,0wR5jVB-WPk,207,217,train,0\n", video="train/x")
    with pytest.raises(SourceError, match=r"line 5: 0wR5jVB-WPk has another class than in .*line 3"):
        items(root)


@pytest.mark.parametrize("where", ["train", "val", "both", ""])
def test_what_is_tested_on_is_not_trained_on(where: str, tmp_path: Path) -> None:
    """Whatever is converted, and in which folder the file lies: val's list has it."""
    again = "zumba,0wR5jVB-WPk,417,427,,0\n"
    root = tree(tmp_path, HEADER + again + "zumba,AwR5jVB-WPk,1,11,,0\n", video="train/AwR5jVB-WPk_1_11.mp4")
    for folder in ("train", "val") if where == "both" else (where,):
        tree(root, HEADER + again, "annotations/val.csv", f"{folder}/{VIDEO}".lstrip("/"))
    if not where:  # no folders of splits at all
        (root / "train/AwR5jVB-WPk_1_11.mp4").rename(root / "AwR5jVB-WPk_1_11.mp4")
        (root / "train").rmdir()
    (item,) = items(root, split="train")
    assert item.group == "AwR5jVB-WPk"
    both = [(i.split, i.group) for i in items(root)]
    assert sorted(both) == [("train", "AwR5jVB-WPk")] + [("val", "0wR5jVB-WPk")] * (where != "train")
    told = "train: 1 of 1 listed videos are here; 1 row repeat a video and are left out; what is tested on is not"
    assert told in notes(root, split="train")


def test_class_folders_of_two_splits_or_classes(tmp_path: Path) -> None:
    """Without a list a video is known by its id alone."""
    for place in (
        f"train/zumba/{VIDEO}",
        "train/zumba/AwR5jVB-WPk_1_11.mp4",
        "val/tai chi/0wR5jVB-WPk_000030_000040.mp4",
    ):
        tree(tmp_path, "", "readme.md", place)
    found = {(i.split, i.group, i.ref["label"], i.ref["time_start"]) for i in items(tmp_path)}
    assert found == {("train", "AwR5jVB-WPk", "zumba", 1), ("val", "0wR5jVB-WPk", "tai chi", 30)}
    other = tmp_path / "train/tai_chi/AwR5jVB-WPk_11_21.mp4"
    tree(tmp_path, "", "readme.md", str(other.relative_to(tmp_path)))  # other seconds: nothing contradicts
    assert len(items(tmp_path)) == 2
    other.rename(other.with_name("AwR5jVB-WPk_1_11.mp4"))
    with pytest.raises(SourceError, match="the same clip in the folders of two classes"):
        items(tmp_path)


def test_empty_files_hide_no_whole_ones(tmp_path: Path) -> None:
    rows = HEADER + "zumba,0wR5jVB-WPk,417,427,train,0\n"
    root = tree(tmp_path, rows, video=f"train/{VIDEO[:-4]}.webm")
    (root / "train" / VIDEO).write_bytes(b"")
    (root / "replacement").mkdir()
    (root / "replacement" / VIDEO).write_bytes(b"")
    (item,) = items(root)
    assert item.ref["file"] == f"train/{VIDEO[:-4]}.webm"


def test_a_class_folder_of_another_kinetics_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train/adult swim").mkdir(parents=True)
    (tmp_path / f"train/adult swim/{VIDEO}").write_bytes(b"x")
    with pytest.raises(SourceError, match="folder adult swim: 'adult swim' is none of the 400 classes"):
        items(tmp_path)


def test_of_two_clips_of_a_video_the_listed_seconds_count(tmp_path: Path) -> None:
    """A copy of another Kinetics beside it has other ten seconds of the same video."""
    root = tree(tmp_path, HEADER + "zumba,0wR5jVB-WPk,417,427,train,0\n", video="train/0wR5jVB-WPk_000030_000040.mp4")
    (root / "train" / VIDEO).write_bytes(b"x")
    (item,) = items(root)
    assert item.ref["file"] == f"train/{VIDEO}"
    assert "1 further file of listed videos left out: copies, or other seconds" in notes(root)


def test_seconds_may_have_few_digits(tmp_path: Path) -> None:
    (item,) = items(tree(tmp_path, HEADER + "zumba,0wR5jVB-WPk,7,17,train,0\n", video="train/0wR5jVB-WPk_7_17.mp4"))
    assert item.ref["file"] == "train/0wR5jVB-WPk_7_17.mp4"


def test_a_video_beside_the_class_folders_costs_itself_alone(tmp_path: Path) -> None:
    for place in (f"zumba/{VIDEO}", f"tai chi/A{VIDEO[1:]}", f"B{VIDEO[1:]}"):
        (tmp_path / "train" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "train" / place).write_bytes(b"x")
    assert sorted(item.ref["label"] for item in items(tmp_path)) == ["tai chi", "zumba"]
    assert "2 of 2 listed videos are here; 1 further video there that no list or class folder names" in notes(tmp_path)


def test_a_download_below_its_usual_name(tmp_path: Path) -> None:
    row = HEADER + "zumba,0wR5jVB-WPk,417,427,train,0\n"
    tree(tmp_path, row, "kinetics-400/annotations/train.csv", f"kinetics-400/train/{VIDEO}")
    assert len(items(tmp_path)) == 1


def test_nothing_but_archives(tmp_path: Path) -> None:
    for place in ("k400_targz/train/part_0.tar.gz", "k400_targz/replacement/replacement_for_corrupted_k400.tgz"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"no video such as .*archives lie there \(k400_targz/.*2 in all\): k400"):
        items(tmp_path)


def test_videos_of_which_nothing_says_what_they_show(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / VIDEO).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"no annotations/train.csv or other list \(--train-list FILE"):
        items(tmp_path)
    tree(tmp_path, HEADER + "zumba,0wR5jVB-WPk,417,427,train,0\n")
    assert "val: nothing says what its 1 video show: left out" in notes(tmp_path)


def test_five_views_start_where_they_are_published(cvdf: Converted) -> None:
    """The pictures themselves say which frames they are; 24 frames at 15 fps hold 32 of the clip's 64 at 30."""
    config = ClipConfig(size=(32, 32), num_frames=4, rate=4)
    ds = pvit_data.open(str(cvdf.out), split="train")
    reader = ClipReader(ds, config, {"kinetics400": ("action",)})
    checked = 0
    for row in range(len(ds)):
        sample = ds[row]
        if (sample.height, sample.width) != (32, 32):
            continue
        span = max(1.0, 4 * 4 / 30 * sample.fps)
        most = max(sample.num_frames - span, 0.0)
        for view in range(5):
            clip = reader.view(row, view, (5, 1))
            start = view * (most // 4)
            wanted = np.clip(np.linspace(start, start + span - 1, 4), 0, sample.num_frames - 1).astype(int)
            assert [n for n, _ in numbered.read(clip.rgb[clip.order])] == wanted.tolist()
            checked += 1
    assert checked >= 15
