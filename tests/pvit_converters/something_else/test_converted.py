"""SomethingElse over one conversion of simulated SSv2: who is where under which class, and every box at its frame."""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_converters import registry
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.layers import Base
from pvit_converters.raw.reencoding import Reencoding
from pvit_converters.simulate import simulate
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import SourceError, UsageError
from pvit_data.mixing.sources import declared_sampler
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND
from pvit_data.tasks.boxes import boxes
from pvit_data.validate import validate
from pvit_data.writing.finish import write_manifest

SETTINGS = ("compositional", "base", "5shot", "10shot", "shuffled", "oneobject")
WIDTH, HEIGHT = 48, 32


class World(NamedTuple):
    """A raw tree, its truth, and shards with all layers."""

    raw: Path
    shards: Path
    splits: dict[str, dict[str, list[str]]]
    boxes: dict[str, dict[str, list[list[float]]]]
    reports: dict[str, Any]
    before: dict[str, str]


def run(name: str, root: Path, out: Path, base: Path | str = "", **options: Any) -> Any:
    settings = options.pop("settings", Settings())
    engine = {name: options.pop(name) for name in ("overwrite", "max_failed") if name in options}
    kind = registry.load(name)
    job = Job(kind, root, str(out), kind.Options(**options), settings, workers=1, base=str(base), **engine)
    return convert(job)


def sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("something-else")
    raw, shards, truth = folder / "raw", folder / "shards", folder / "truth"
    simulate("something-else", raw, preset="tiny", truth=truth)
    run("ssv2", raw / "ssv2", shards)
    before = sums(shards / "ssv2")
    reports = {s: run("something-else", raw, shards, shards, setting=s) for s in SETTINGS}
    reports["boxes"] = run("something-else-boxes", raw, shards, shards)
    reports["list"] = run("ssv2-no-empty-boxes", raw, shards, shards)
    found = [json.loads((truth / f"{name}.json").read_text()) for name in ("splits", "boxes")]
    return World(raw, shards, *found, reports, before)


def video(key: str) -> str:
    return str(int(key.removeprefix("ssv2-")))


def test_the_raw_tree_has_its_traps(world: World) -> None:
    """Else what follows would prove nothing."""
    splits = world.raw / "code/dataset_splits"
    labels = json.loads((splits / "compositional/labels.json").read_text())
    assert sorted(labels) != sorted(labels, key=lambda name: labels[name])
    names = {path.name for path in (splits / "fewshot").iterdir()}
    assert {"finetune_5shot_training.json", "finetune_10shot_train.json"} <= names
    one = json.loads((splits / "compositional_oneobject/train.json").read_text())
    assert all("new_placeholdes" in row for row in one)
    parts = sorted(world.raw.glob("bounding_box_smthsmth_part*.json"))
    assert len(parts) == 4
    assert "è".encode() in parts[0].read_bytes(), "places in bytes are not places in characters"
    records = [frames for path in parts for frames in json.loads(path.read_text(encoding="utf-8")).values()]
    numbers = [[int(record["name"][-8:-4]) for record in frames] for frames in records]
    assert any(n != sorted(n) for n in numbers)
    assert {len(n) for n in numbers} == {6, 8}
    right = [label["box2d"]["x2"] for frames in records for record in frames for label in record["labels"]]
    assert WIDTH * 240 / HEIGHT in right, "boxes are pixels of the released videos, which are 240 high"
    assert max(right) > WIDTH * 240 / HEIGHT
    assert set(json.loads((world.raw / "annotations.json").read_text())) < set(world.boxes)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_video_is_in_its_split_under_its_class(world: World, setting: str) -> None:
    """The class is that of the video's own template; numbers are alphabetical, whatever the label files say."""
    ds = pvit_data.open(world.shards, source=f"something-else-{setting}")
    keys, splits = ds.column("key").tolist(), ds.column("split").tolist()
    found = {split: sorted(video(k) for k, s in zip(keys, splits, strict=True) if s == split) for split in set(splits)}
    assert found == {split: sorted(ids) for split, ids in world.splits[setting].items()}
    space = ds.sources[f"something-else-{setting}"].spaces["action"]
    assert list(space.classes) == sorted(space.classes)
    base = pvit_data.open(world.shards, source="ssv2")
    template = {s.key: s.meta["template"] for s in (base.read(i, ()) for i in range(len(base)))}
    actions = ds.column("action").tolist()
    for key, action in zip(keys, actions, strict=True):
        assert space.class_name(action) == template[key].replace("[", "").replace("]", "")
    sample = ds[0]
    assert (sample.rgb.shape, sample.fps) == ((8, HEIGHT, WIDTH, 3), 12)


def test_label_spaces_and_their_mirror_pairs(world: World) -> None:
    def space(source: str) -> Any:
        return pvit_data.open(world.shards, source=source).sources[source].spaces["action"]

    own = space("ssv2")
    assert space("something-else-compositional") == own, "so that SSv2's own heads fit"
    (pair,) = own.pairs
    assert {own.class_name(i) for i in pair} == {
        "Pushing something from left to right",
        "Pushing something from right to left",
    }
    few = {name: space(f"something-else-{name}") for name in ("base", "5shot", "10shot")}
    assert few["5shot"] == few["10shot"]
    assert (few["base"].name, few["5shot"].name) == ("something-else-base", "something-else-novel")
    assert set(few["base"].classes) | set(few["5shot"].classes) == set(own.classes)
    assert not set(few["base"].classes) & set(few["5shot"].classes)
    assert few["base"].pairs == few["5shot"].pairs == (), "a space without the partner is not flipped"


def test_what_is_left_out_is_counted(world: World) -> None:
    """A video in both lists is never trained on; one that no list of SSv2 has is absent."""
    report = world.reports["compositional"]
    assert report.absent == {"listed in train and validation (it is in val)": 1, "video not in the base": 1}
    count = len(world.splits["compositional"]["val"])
    assert any(note.startswith(f"val: {count} of {count + 1} listed videos (sha256 ") for note in report.notes)


def test_classes_that_are_others_than_the_bases_are_told(world: World, tmp_path: Path) -> None:
    """As where a list is of another release; the videos have the list's."""
    assert not any("of another class" in note for name in SETTINGS for note in world.reports[name].notes)
    splits = tmp_path / "compositional"
    shutil.copytree(world.raw / "code/dataset_splits/compositional", splits)
    rows = json.loads((splits / "train.json").read_text())
    one = next(row for row in rows[1:] if row["template"] != rows[0]["template"])  # the first is in val, too
    was, one["template"] = one["template"], rows[0]["template"]
    (splits / "train.json").write_text(json.dumps(rows))
    kind = registry.load("something-else")
    notes = kind(tmp_path, kind.Options(), Base(str(world.shards), "ssv2")).list_items().notes
    here, there = (repr(text.replace("[", "").replace("]", "")) for text in (one["template"], was))
    told = f"1 listed video of another class than in 'ssv2', first {one['id']}: {here} here, {there} there; the list"
    assert [told in note for note in notes].count(True) == 1


def in_order(boxes: list[list[float]]) -> list[tuple[int, list[float]]]:
    return sorted((int(slot), [x1, y1, x2, y2]) for x1, y1, x2, y2, slot in boxes)


def rows_of(sample: Any, frame: int) -> Iterator[tuple[int, list[float]]]:
    boxes = sample.boxes
    for row in np.flatnonzero(boxes.frame == frame):
        is_hand = boxes.role[row] == ROLE_HAND
        assert is_hand or boxes.role[row] == ROLE_ACTIVE
        assert sample.spaces["boxes"].class_name(boxes.class_id[row]) == ("hand" if is_hand else "object")
        yield int(boxes.track[row]), (boxes.xyxy[row] * [WIDTH, HEIGHT, WIDTH, HEIGHT]).tolist()


def test_every_box_is_at_its_frame(world: World) -> None:
    """Records end early, stand in no order, reach beyond the edge, name two hands alike, lie in any of four files."""
    ds = pvit_data.open(world.shards, source="ssv2", layers=["something-else-boxes"])
    with_boxes = early = two = 0
    for i in range(len(ds)):
        sample = ds.read(i, ("boxes",))
        truth = world.boxes.get(video(sample.key))
        assert (sample.boxes is None) == (truth is None)
        if truth is None:
            continue
        with_boxes += 1
        for number, expected in truth.items():
            found = sorted(rows_of(sample, int(number) - 1))
            wanted = in_order(expected)
            assert [slot for slot, _ in found] == [slot for slot, _ in wanted]
            assert np.allclose([b for _, b in found], [b for _, b in wanted], atol=1e-3)
            two += sum(slot == -1 for slot, _ in found) == 2
        assert len(sample.boxes) == sum(map(len, truth.values()))
        if len(truth) < 8:
            early += 1
            assert sample.frames["boxes"].tolist() == list(range(len(truth))), "later frames were not looked at"
        about = sample.meta["layers"]["something-else-boxes"]
        assert (about["records"], about["task_index"], about["split"]) == (len(truth), 823, "80perc_106")
        assert about["gt_placeholders"][-1] == "crème brûlée"
        assert about["warnings"] == []
    assert with_boxes == len(world.boxes) == 76
    assert early > 20
    assert two > 20
    assert "2 videos come again; their first boxes count" in world.reports["boxes"].notes


def test_hands_and_objects_reach_their_slots_in_training(world: World) -> None:
    """Slots 0 and 1: up to two hands; 2 and 3: objects, each in the same slot all the time."""
    ds = pvit_data.open(world.shards, source="something-else-compositional", layers=["something-else-boxes"])
    seen = 0
    for i in range(len(ds)):
        sample = ds.read(i, ("boxes",))
        if sample.boxes is None or video(sample.key) not in world.boxes:
            continue
        target = boxes(sample, np.arange(8), ClipConfig())
        assert target is not None
        for number, expected in world.boxes[video(sample.key)].items():
            valid = target.valid[int(number) - 1]
            hands = sum(slot == -1 for *_, slot in expected)
            assert (valid[:2].sum(), valid[2:].sum()) == (hands, len(expected) - hands)
            seen += len(expected)
    assert seen == sum(len(b) for frames in world.boxes.values() for b in frames.values())


def test_a_protocol_samples_clips_as_its_base(world: World) -> None:
    for name in ("ssv2", "ssv2-no-empty-boxes", *(f"something-else-{s}" for s in SETTINGS)):
        assert declared_sampler(pvit_data.open(world.shards, source=name), name) == "segment"


def test_videos_of_the_test_split_are_named(world: World, tmp_path: Path) -> None:
    (row,) = json.loads((world.raw / "ssv2/labels/test.json").read_text())
    splits = tmp_path / "raw/compositional"
    splits.mkdir(parents=True)
    template = json.loads((world.raw / "ssv2/labels/train.json").read_text())[0]["template"]
    (splits / "train.json").write_text(json.dumps([{**row, "template": template}]))
    (splits / "validation.json").write_text("[]")
    shutil.copy(world.raw / "code/dataset_splits/compositional/labels.json", splits)
    run("ssv2", world.raw / "ssv2", tmp_path / "base", split="test")
    report = run("something-else", tmp_path / "raw", tmp_path / "out", tmp_path / "base")
    assert any(note.startswith("1 listed video in the test split of 'ssv2'") for note in report.notes)


def test_one_command_makes_the_source_and_the_list(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--val-list` writes the layer; shards are those of all videos, and a conversion of these continues."""
    out = tmp_path / "out"
    run("ssv2", world.raw / "ssv2", out)
    command = ["convert", "ssv2", str(world.raw / "ssv2"), str(out), "--val-list", "no-empty-boxes"]
    assert main(command) == 2
    assert "or with the box files of SomethingElse" in capsys.readouterr().err
    assert main([*command, "--empty-boxes", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main([*command, "--empty-boxes", str(world.raw), "--limit", "1", "--dry-run"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"note: then ssv2-no-empty-boxes is made over it, from {world.raw}" in told
    assert main([*command, "--empty-boxes", str(world.raw), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [layer["source"] for layer in report["layers"]] == ["layers/ssv2-no-empty-boxes"]
    made, other = (sums(folder / "layers/ssv2-no-empty-boxes") for folder in (out, world.shards))
    tars = [name for name in other if name.endswith((".tar", ".parquet"))]
    assert tars
    assert all(made[name] == other[name] for name in tars)
    assert {n: h for n, h in sums(out / "ssv2").items() if n.endswith(".tar")} == {
        n: h for n, h in world.before.items() if n.endswith(".tar")
    }


def test_the_list_without_empty_boxes(world: World, tmp_path: Path) -> None:
    """From the box files or from lists of ids: the same."""
    ds = pvit_data.open(world.shards, source="ssv2-no-empty-boxes")
    assert {video(k) for k in ds.column("key").tolist()} == set(world.boxes)
    assert world.reports["list"].absent == {"has no boxes": 3}
    base = pvit_data.open(world.shards, source="ssv2")
    labels = dict(zip(base.column("key").tolist(), base.column("action").tolist(), strict=True))
    assert [labels[k] for k in ds.column("key").tolist()] == ds.column("action").tolist()
    rows = [json.loads((world.raw / f"ssv2/labels/{n}.json").read_text()) for n in ("train", "validation")]
    lists = tmp_path / "lists"
    lists.mkdir()
    for name, mine in zip(("train", "val"), rows, strict=True):
        absent = [int(row["id"]) if name == "val" else row["id"] for row in mine if row["id"] not in world.boxes]
        (lists / f"empty_bbox_{name}.json").write_text(json.dumps(absent))
    run("ssv2-no-empty-boxes", lists, tmp_path / "out", world.shards)
    other = pvit_data.open(tmp_path / "out", source="ssv2-no-empty-boxes", base=str(world.shards))
    assert other.column("key").tolist() == ds.column("key").tolist()
    (lists / "empty_bbox_val.json").unlink()
    with pytest.raises(SourceError, match=r"empty_bbox_train.json is there, empty_bbox_val.json is not"):
        run("ssv2-no-empty-boxes", lists, tmp_path / "two", world.shards)


def test_a_part_of_the_box_files_is_no_list(world: World, tmp_path: Path) -> None:
    """The videos of the other parts would count as videos without boxes."""
    for number in (1, 3):
        name = f"bounding_box_smthsmth_part{number}.json"
        shutil.copy(next(world.raw.rglob(name)), tmp_path / name)
    with pytest.raises(SourceError, match=r"part1\.json is there, bounding_box_smthsmth_part2\.json is not"):
        run("ssv2-no-empty-boxes", tmp_path, tmp_path / "out", world.shards)
    report = run("something-else-boxes", tmp_path, tmp_path / "out", world.shards)
    assert "part2.json is not: its videos get no boxes" in " ".join(report.notes)
    lists = tmp_path / "lists"
    lists.mkdir()
    for name in ("train", "val"):
        (lists / f"empty_bbox_{name}.json").write_text("[999999]")
    told = run("ssv2-no-empty-boxes", lists, tmp_path / "lists_out", world.shards).notes
    assert "no video of the base is left out" in " ".join(told)


@pytest.mark.parametrize("form", ["a file each", "one file"])
def test_records_without_a_box_are_no_boxes(form: str, world: World, tmp_path: Path) -> None:
    """A video without any record, or with some in which nothing was found, is none that has boxes."""
    base = pvit_data.open(world.shards, source="ssv2").column("key").tolist()
    records = {video(key): [{"name": f"{video(key)}/0001.jpg", "labels": [{"box2d": {}}]}] for key in base}
    bare, nothing, gone = list(records)[:3]
    records[bare] = [{**record, "labels": []} for record in records[bare]]
    records[nothing] = []
    del records[gone]
    if form == "one file":
        records = {nothing: records.pop(nothing)} | records
        (tmp_path / "boxes.json").write_text(json.dumps(records))
    else:
        for name, value in records.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(value))
    report = run("ssv2-no-empty-boxes", tmp_path, tmp_path / "out", world.shards)
    assert (report.converted, report.absent) == (len(base) - 3, {"has no boxes": 3})
    ds = pvit_data.open(tmp_path / "out", source="ssv2-no-empty-boxes", base=str(world.shards))
    assert {bare, nothing, gone}.isdisjoint(map(video, ds.column("key").tolist()))


def test_protocols_alone_are_valid(world: World, tmp_path: Path) -> None:
    """A folder of tables has a card without features, and one with boxes, too, names what can be loaded."""
    shutil.copytree(world.shards / "layers/ssv2-no-empty-boxes", tmp_path / "layers/ssv2-no-empty-boxes")
    write_manifest(tmp_path)
    assert validate(tmp_path, base=str(world.shards)).problems == []
    shutil.copytree(world.shards / "layers/something-else-boxes", tmp_path / "layers/something-else-boxes")
    shutil.copytree(world.shards / "layers/something-else-base", tmp_path / "layers/something-else-base")
    write_manifest(tmp_path)
    assert 'load_dataset(PATH, "something-else-boxes"' in (tmp_path / "README.md").read_text()


def test_the_base_is_untouched_and_all_is_valid(world: World) -> None:
    assert sums(world.shards / "ssv2") == world.before
    assert validate(str(world.shards)).problems == []


def test_a_base_that_was_made_smaller_and_slower(world: World, tmp_path: Path) -> None:
    """Boxes are of the original's pixels; a frame has the record that is nearest in time."""
    chosen = [key for key in world.boxes if len(world.boxes[key]) == 8][:2]
    settings = Settings(
        filters=[f"ssv2-{int(v):06d}" for v in chosen], reencoding=Reencoding.parse("short-side=16,fps=6")
    )
    run("ssv2", world.raw / "ssv2", tmp_path, settings=settings)
    run("something-else-boxes", world.raw, tmp_path, tmp_path)
    ds = pvit_data.open(tmp_path, source="ssv2", layers=["something-else-boxes"])
    assert len(ds) == 2
    for sample in ds:
        assert (sample.fps, sample.height, sample.num_frames) == (6, 16, 4)
        for frame in range(4):
            expected = in_order(world.boxes[video(sample.key)][str(2 * frame + 1)])
            found = sorted(rows_of(sample, frame))
            assert np.allclose([b for _, b in found], [b for _, b in expected], atol=1e-3)


def test_boxes_follow_a_copy_of_another_size(world: World, tmp_path: Path) -> None:
    """The lower right quarter of a released video of 240 x 427 is that of every copy of it."""
    raw, sizes = tmp_path / "raw", ((240, 427), (256, 456), (120, 214))
    shutil.copytree(world.raw / "ssv2/labels", raw / "labels")
    (raw / "bbox_jsons").mkdir()
    for name, size in zip(world.boxes, sizes, strict=False):
        (raw / "frames" / name).mkdir(parents=True)
        for number in (1, 2):
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(raw / f"frames/{name}/{number:04d}.jpg")
        quarter = {"box2d": {"x1": 213.5, "y1": 120, "x2": 427, "y2": 240}, "standard_category": "0000"}
        record = {"name": f"{name}/0001.jpg", "labels": [quarter]}
        (raw / f"bbox_jsons/{name}.json").write_text(json.dumps([record]))
    run("ssv2", raw, tmp_path / "out")
    report = run("something-else-boxes", raw, tmp_path / "out", tmp_path / "out")
    assert any(note.startswith("2 samples of the base not 240 pixels high") for note in report.notes)
    ds = pvit_data.open(tmp_path / "out", source="ssv2", layers=["something-else-boxes"])
    samples = [ds.read(i, ("boxes",)) for i in range(len(ds))]
    assert {(s.height, s.width) for s in samples} == set(sizes)
    for sample in samples:
        assert np.allclose(sample.boxes.xyxy, [[0.5, 0.5, 1, 1]], atol=3e-3)
        assert sample.meta["layers"]["something-else-boxes"]["warnings"] == []


def test_frames_that_are_missing_have_no_boxes(world: World, tmp_path: Path) -> None:
    """Where a folder's first frames were not copied, nobody knows which frame a box belongs to."""
    raw = tmp_path / "raw"
    shutil.copytree(world.raw / "ssv2/labels", raw / "labels")
    first, second = sorted(v for v in world.boxes if len(world.boxes[v]) == 8)[:2]
    for name, numbers in ((first, range(1, 9)), (second, range(3, 9))):
        (raw / "frames" / name).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)).save(raw / f"frames/{name}/{number:04d}.jpg")
    run("ssv2", raw, tmp_path / "out")
    report = run("something-else-boxes", world.raw, tmp_path / "out", tmp_path / "out", max_failed=1.0)
    assert (report.converted, report.failed) == (1, {"frame-numbers-have-gaps": 1})


def test_both_names_of_the_ten_shot_file(world: World, tmp_path: Path) -> None:
    """And the splits without the repository around them."""
    shutil.copytree(world.raw / "code/dataset_splits", tmp_path / "raw")
    few = tmp_path / "raw/fewshot"
    (few / "finetune_10shot_train.json").rename(few / "finetune_10shot_training.json")
    report = run("something-else", tmp_path / "raw", tmp_path / "out", world.shards, setting="10shot")
    assert report.converted == world.reports["10shot"].converted
    (few / "finetune_10shot_training.json").unlink()
    with pytest.raises(SourceError, match=r"no finetune_10shot_training.json or finetune_10shot_train.json"):
        run("something-else", tmp_path / "raw", tmp_path / "two", world.shards, setting="10shot")


def test_it_needs_converted_ssv2(world: World, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a tree of SomethingElse: no folder compositional/"):
        run("something-else", tmp_path, tmp_path / "out", world.shards)
    with pytest.raises(UsageError):
        run("something-else", world.raw, tmp_path / "out", tmp_path)


@pytest.mark.parametrize(
    ("name", "root", "base", "told"),
    [
        ("something-else", "raw", "", "so it is no base of a layer, which --base names"),
        ("something-else", "shards", "shards", "not a tree of SomethingElse: no folder compositional/"),
        ("something-else-boxes", "raw/code", "shards", r"no bounding_box_smthsmth_part1\.json"),
        ("ssv2-no-empty-boxes", "nowhere", "shards", "no such folder"),
    ],
)
def test_wrong_folders_are_told_in_a_line(
    world: World, name: str, root: str, base: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = world.raw.parent
    more = ["--base", str(where / base)] if base else []
    assert main(["convert", name, str(where / root), str(tmp_path / "out"), "--dry-run", *more]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(told, err)
