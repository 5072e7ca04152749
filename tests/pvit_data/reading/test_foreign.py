"""Tars of other tools: each member is reachable by byte range, what is understood becomes a sample, damage is named."""

import io
import json
import os
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pvit_data
from pvit_cli.data import main
from pvit_data.codecs.video import encode_video
from pvit_data.errors import CorruptShardError, FormatError, PvitError, UsageError
from pvit_data.reading.foreign import table as foreign_table
from pvit_data.reading.foreign.index import index_foreign, read_classes
from pvit_data.reading.foreign.table import NAME
from pvit_data.validate import validate
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from tests.pvit_data.reading.test_damage import same
from tests.pvit_data.samples import SPACES, clip, full_sample

LONG = "deep/" + "long_folder_name/" * 9 + "file"


def jpeg(height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 99, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def contents() -> dict[str, bytes]:
    """Members of three shards, in the order of writing."""
    video = encode_video(clip(np.random.default_rng(0)), 25.0)
    return {
        "a/train-0.tar:000.jpg": jpeg(20, 30), "a/train-0.tar:000.cls": b"7", "a/train-0.tar:000.json": b'{"x": [1]}',
        "a/train-0.tar:001.mp4": video, "a/train-0.tar:001.txt": b"a caption",
        "a/train-0.tar:001.flow.bin": b"\x00" * 700,
        "a/train-0.tar:./Bilder/Küche 1.seg.PNG": b"no picture", "a/train-0.tar:./Bilder/Küche 1.jpg": b"broken",
        "val-0.tar:" + LONG + ".jpeg": jpeg(8, 9), "val-0.tar:noextension": b"", "val-0.tar:b.json": b"[1, 2",
    }  # fmt: skip


def write(folder: Path, format: int) -> dict[str, bytes]:
    (folder / "a").mkdir(parents=True)
    files = contents()
    for shard in ("a/train-0.tar", "val-0.tar"):
        with tarfile.open(folder / shard, "w", format=format) as archive:
            for kind, link in ((tarfile.DIRTYPE, ""), (tarfile.SYMTYPE, "/etc/passwd")):
                info = tarfile.TarInfo("extra")
                info.type, info.linkname = kind, link
                archive.addfile(info)
            for name, data in files.items():
                if name.startswith(shard):
                    info = tarfile.TarInfo(name.partition(":")[2])
                    info.size, info.mtime = len(data), 1.5 if format == tarfile.PAX_FORMAT else 1
                    archive.addfile(info, io.BytesIO(data))
    return files


@pytest.fixture(params=[tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write(tmp_path / "d", request.param)
    index_foreign(tmp_path / "d")
    return tmp_path / "d"


def test_every_member_is_reachable(folder: Path) -> None:
    dataset = pvit_data.open(folder)
    found = {}
    for row, (key, shard) in enumerate(zip(dataset.column("key"), dataset.column("shard"), strict=True)):
        assert dataset.members(row) == {name: len(data) for name, data in dataset.files(row).items()}
        for extension, data in dataset.files(row).items():
            found[f"{shard}:{key}.{extension}".rstrip(".").lower()] = data
    assert found == {name.replace(":./", ":").lower(): data for name, data in contents().items()}
    assert dataset.files(1, ["txt"]) == {"txt": b"a caption"}
    with pytest.raises(UsageError, match=r"has no member 'gif': it has mp4, txt, flow\.bin"):
        dataset.files(1, ["gif"])


def test_what_is_understood_becomes_a_sample(folder: Path) -> None:
    dataset = pvit_data.open(folder, source="a")
    assert dataset.column("split").tolist() == ["train"] * 3
    still, video, neither = dataset
    assert (still.key, still.action, still.meta) == ("000", 7, {"x": [1]})
    assert still.rgb.shape == (1, 20, 30, 3)
    assert (video.num_frames, video.fps, video.height) == (6, 25.0, 46)
    assert dataset.read(1, ["rgb"], frames=[4, 1]).rgb.shape == (2, 46, 60, 3)
    assert neither.rgb is None
    assert neither.meta == {"key": "Bilder/Küche 1"}
    assert len(dataset.where("has_rgb and frames > 1")) == 1
    assert len(dataset.where("action == 7")) == 1
    assert pvit_data.open(folder, split="val").column("key").tolist() == [LONG, "noextension", "b"]
    assert pvit_data.open(folder, split="val")[2].meta == {"json": "[1, 2"}
    with pytest.raises(UsageError, match="no split 'test'"):
        pvit_data.open(folder, split="test")


def test_our_own_shards_without_manifest_keep_everything(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path / "whole", "mine", spaces=SPACES) as writer:
        for seed in range(3):
            writer.write(full_sample(seed))
    (tmp_path / "d").mkdir()
    shutil.copy(tmp_path / "whole/mine/train-00000.tar", tmp_path / "d")
    with pytest.raises(UsageError, match="run 'pvit-data index' first"):
        pvit_data.open(tmp_path / "d", where="has_depth")
    index_foreign(tmp_path / "d")
    dataset = pvit_data.open(tmp_path / "d", where="has_depth and frames == 6")
    truth = list(pvit_data.open(tmp_path / "whole"))
    assert all(same(a, b) for a, b in zip(dataset, truth, strict=True))
    assert dataset.read(1, ["depth"], frames=[2]).depth.shape[0] == 1
    assert validate(tmp_path / "d", deep=True).counts == {}
    with pytest.raises(UsageError, match="is a PViT dataset and has its index"):
        index_foreign(tmp_path / "whole")


def test_validate_names_what_changed(folder: Path) -> None:
    assert validate(folder).counts == {}
    shard = folder / "a/train-0.tar"
    whole = shard.read_bytes()
    place = whole.index(b"a caption")
    shard.write_bytes(whole[:place] + b"X" + whole[place + 1 :])
    (problem,) = validate(folder).problems
    assert (problem.kind, problem.file, problem.key) == ("member-damaged", "a/train-0.tar", "001")
    with pytest.raises(
        CorruptShardError, match=r"a/train-0\.tar: member txt of sample '001' is damaged or was changed"
    ):
        pvit_data.open(folder).files(1)
    shard.rename(folder / "a/other.tar")
    assert validate(folder).counts == {"shard-missing": 1, "stray-shard": 1}
    shutil.copy(folder / "a/other.tar", shard)
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-20])
    assert validate(folder).counts == {"foreign-index": 1}


def test_random_damage_of_the_index_is_noticed_or_harmless(folder: Path) -> None:
    truth = [pvit_data.open(folder).files(row) for row in range(6)]
    whole = (folder / NAME).read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        place = rng.randrange(len(whole))
        changed = whole[:place] + bytes([whole[place] ^ (1 << rng.randrange(8))]) + whole[place + 1 :]
        (folder / NAME).write_bytes(changed if rng.random() < 0.8 else whole[:place])
        try:
            dataset = pvit_data.open(folder)
            found = [dataset.files(row) for row in range(len(dataset))]
        except PvitError:
            continue
        assert [list(f.values()) for f in found] == [list(f.values()) for f in truth]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:1000], "ends inside"),
        (lambda data: b"\x1f\x8b" + data[2:], "no archive header at byte 0"),
        (lambda data: data[:512] + b"x" * 512 + data[512:], "no archive header at byte 512"),
    ],
)
def test_damaged_archives_are_named(tmp_path: Path, damage: Any, message: str) -> None:
    write(tmp_path, tarfile.USTAR_FORMAT)
    shard = tmp_path / "val-0.tar"
    shard.write_bytes(damage(shard.read_bytes()))
    (tmp_path / "a/train-0.tar").unlink()
    with pytest.raises(FormatError, match=rf"val-0\.tar: .*({message})"):
        index_foreign(tmp_path)


@pytest.mark.parametrize("kind", [b"L", b"x", b"0", b"S"])
def test_declared_sizes_are_not_believed(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("a.bin")
    info.type, info.size = kind, 10 << 30
    (tmp_path / "train.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(FormatError, match=r"claims a name|ends inside"):
        index_foreign(tmp_path)


def test_the_rest_of_the_toolkit_reads_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = pvit_data.open(folder, where="has_rgb and frames > 1")
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(dataset, "downstream")], 1)
    batch = next(iter(pvit_data.loader(mixture, clip=pvit_data.ClipConfig(num_frames=2, size=(16, 16)))))
    assert (batch.keys, tuple(batch.video.shape)) == (["001"], (1, 3, 2, 16, 16))
    assert main(["stats", str(folder), "--json"]) == 0
    stats = json.loads(capsys.readouterr().out)
    assert stats["samples"] == 6
    assert main(["show", str(folder), "001"]) == 0


def tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("shard", "split"),
    [
        ("train-0.tar", "train"),
        ("val-0.tar", "val"),
        ("imagenet_val2017_000.tar", "val"),
        ("latest-0.tar", "train"),
        ("retrieval-0.tar", "train"),
        ("interval.tar", "train"),
        ("contest-01.tar", "train"),
        ("validation/0000.tar", "val"),
        ("data/VALID/0000.tar", "val"),
        ("dev.0.tar", "val"),
        ("testing-0.tar", "test"),
        ("my_test/train-0.tar", "train"),
        ("train/test-0.tar", "test"),
        ("train/val2017/0.tar", "val"),
        ("0000.tar", "train"),
        ("train_val-0.tar", "train"),
        ("trainval/0.tar", "train"),
        ("train-test/0.tar", "train"),
    ],
)
def test_split_from_whole_words(shard: str, split: str, tmp_path: Path) -> None:
    """The file's name decides, else the folder's; a word is a run of letters."""
    tar(tmp_path / shard, {"a.txt": b"a"})
    found = index_foreign(tmp_path)
    assert pvit_data.open(tmp_path).column("split").tolist() == [split]
    assert found.ambiguous == ([shard] if shard in ("train_val-0.tar", "train-test/0.tar") else [])


@pytest.mark.parametrize(
    ("shards", "places"),
    [
        (["train/0.tar", "validation/0.tar"], [("webdataset", "train"), ("webdataset", "val")]),
        (["moves/Train/0.tar", "moves/test/0.tar"], [("moves", "train"), ("moves", "test")]),
        (["coco/val2017/0.tar", "coco/1.tar"], [("coco", "val"), ("coco", "train")]),
        (["training_set/0.tar"], [("training_set", "train")]),
        (["a/train/0.tar", "b/train/0.tar"], [("a", "train"), ("b", "train")]),
    ],
)
def test_folders_named_for_a_split_are_no_sources(
    shards: list[str], places: list[tuple[str, str]], tmp_path: Path
) -> None:
    """So that what was trained on one of them can be evaluated on the other."""
    for number, shard in enumerate(shards):
        tar(tmp_path / shard, {f"{number}.txt": b"a"})
    index_foreign(tmp_path)
    ds = pvit_data.open(tmp_path)
    found = dict(zip(ds.column("key"), zip(ds.column("source"), ds.column("split"), strict=True), strict=True))
    assert [found[str(number)] for number in range(len(shards))] == places


def test_folders_that_are_called_like_tars(tmp_path: Path) -> None:
    """As some unpack them."""
    tar(tmp_path / "train-0.tar", {"a.txt": b"a"})
    (tmp_path / "train-1.tar").mkdir()
    assert index_foreign(tmp_path).shards == 1
    assert validate(tmp_path).ok


def test_hidden_members_and_litter(tmp_path: Path) -> None:
    """As in WebDataset, names that begin with a dot are of no sample; nor does litter tear one in two."""
    files = {"./a.jpg": jpeg(8, 9), "._a.jpg": b"x", ".hidden": b"x", "__MACOSX/a.jpg": b"x", "a.cls": b"3"}
    tar(tmp_path / "train.tar", files)
    found = index_foreign(tmp_path)
    assert (found.samples, found.left_out) == (1, {"hidden file": 3})
    assert pvit_data.open(tmp_path).members(0).keys() == {"jpg", "cls"}


def test_keys_that_come_again_are_counted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar(tmp_path / "train-0.tar", {"a.txt": b"1", "b.txt": b"2", "a.cls": b"3", "c.txt": b"4"})
    tar(tmp_path / "train-1.tar", {"c.txt": b"5", "d.txt": b"6"})
    found = index_foreign(tmp_path)
    assert found.samples == 6
    assert found.repeated == {"a": ("train-0.tar", "train-0.tar"), "c": ("train-0.tar", "train-1.tar")}
    assert main(["index", str(tmp_path)]) == 0
    assert "warning: 2 keys come again ('a' twice in train-0.tar)" in capsys.readouterr().err


def test_one_truncated_tar_costs_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        tar(tmp_path / f"train-{number}.tar", {f"{number}.jpg": jpeg(8, 9), f"{number}.cls": b"1"})
    shard = tmp_path / "train-1.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    found = index_foreign(tmp_path)
    assert (found.shards, found.samples, found.members) == (2, 2, {"jpg": 2, "cls": 2})
    assert list(found.damaged) == ["train-1.tar"]
    assert "archive ends inside" in found.damaged["train-1.tar"]
    assert [s.key for s in pvit_data.open(tmp_path)] == ["0", "2"]
    assert [(p.kind, p.file) for p in validate(tmp_path).problems] == [("stray-shard", "train-1.tar")]
    assert main(["index", str(tmp_path)]) == 0
    assert "warning: left out, damaged: train-1.tar: archive ends inside" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("moves.txt", "walk\nrun\njump\n"),
        ("moves.txt", "\ufeffwalk\r\nrun\r\njump"),
        ("moves.json", '["walk", "run", "jump"]'),
        ("moves.json", '\ufeff{"run": "1", "walk": 0, "jump": 2}'),
    ],
)
def test_classes_make_tars_trainable(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    video = encode_video(clip(np.random.default_rng(0)), 25.0)
    files = {"a.mp4": video, "a.cls": b"1", "b.mp4": video, "b.cls": b" jump\n", "c.mp4": video}
    tar(tmp_path / "mine/train-0.tar", files)
    assert main(["index", str(tmp_path), "--classes", str(tmp_path / name)]) == 0
    dataset = pvit_data.open(tmp_path)
    space = dataset.spaces_of("mine")["action"]
    assert (space.name, space.classes) == ("moves", ("walk", "run", "jump"))
    assert dataset.column("action").tolist() == [1, 2, -1]
    assert dataset[1].action == 2
    assert dataset[1].spaces["action"].class_name(2) == "jump"
    plan = make_plan(load_recipe("demo", ["clip.downstream=mine", "mixture.batch_size=2"]), [str(tmp_path)])
    assert plan.action == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("walk\nwalk\n", "expected a class name per line, each once"),
        ("", "expected a class name per line"),
        ("walk\n\nrun", "expected a class name per line"),
    ],
)
def test_wrong_classes(text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.txt").write_text(text)
    tar(tmp_path / "train-0.tar", {"a.cls": b"1"})
    assert main(["index", str(tmp_path), "--classes", str(tmp_path / "c.txt")]) == 2
    assert message in capsys.readouterr().err
    assert main(["index", str(tmp_path), "--classes", str(tmp_path / "none.txt")]) == 2


@pytest.mark.parametrize("kind", ["pipe", "zeros", "sparse"])
def test_classes_are_a_small_regular_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 6 << 30)
    with pytest.raises(
        UsageError, match=r"--classes .*: cannot be read .*(not a regular file|more than 16777216 bytes)"
    ):
        read_classes(path)


@pytest.mark.parametrize(
    "size", [b"\xff" * 12, b"\xff" * 11 + b"\0", b"\x80" + b"\x7f" * 11, b"\x80\0\0\0\x7f" + b"\xff" * 7]
)
def test_a_file_that_no_disk_holds_damages_its_tar_alone(size: bytes, tmp_path: Path) -> None:
    """Negative and huge sizes, in base 256."""
    tar(tmp_path / "train-0.tar", {"a.txt": b"1"})
    tar(tmp_path / "train-1.tar", {"b.txt": b"1"})
    data = bytearray((tmp_path / "train-1.tar").read_bytes())
    data[124:136] = size
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "train-1.tar").write_bytes(data)
    summary = index_foreign(tmp_path)
    assert summary.samples == 1
    assert list(summary.damaged) == ["train-1.tar"]


@pytest.mark.parametrize("distinct", [False, True])
def test_an_index_of_more_than_one_part(distinct: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its texts come as numbers into a dictionary of each part, or plainly where they are too many for one."""
    monkeypatch.setattr(foreign_table, "ROW_GROUP", 2000 if distinct else 70)
    files = {f"{i:05d}.{'z' * 400 + str(i) if distinct else 'txt'}": b"" for i in range(4500 if distinct else 200)}
    tar(tmp_path / "train-0.tar", files)
    index_foreign(tmp_path)
    dataset = pvit_data.open(tmp_path)
    assert len(dataset) == len(files)
    for row in (0, 69, 70, len(files) - 1):
        assert f"{row:05d}.{next(iter(dataset.members(row)))}" == list(files)[row]
    assert dataset.column("key").tolist() == [name[:5] for name in files]
    assert not validate(tmp_path).of_kind("foreign-index")


def test_tars_without_members(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar(tmp_path / "train-0.tar", {})
    index_foreign(tmp_path)
    dataset = pvit_data.open(tmp_path)
    assert len(dataset) == len(dataset.column("key")) == len(dataset.column("frames")) == 0
    with pytest.raises(UsageError, match="no column 'colour'"):
        dataset.column("colour")
    for command in ("stats", "show", "gallery"):
        main([command, str(tmp_path)])
        assert "unexpected" not in capsys.readouterr().err


@pytest.mark.parametrize("cls", [b"2", b"jump", b"-1", b""])
def test_a_class_that_is_none_of_them_is_named(cls: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.txt").write_text("walk\nrun")
    tar(tmp_path / "train-0.tar", {"a.cls": b"1"})
    tar(tmp_path / "train-1.tar", {"b.cls": cls})
    assert main(["index", str(tmp_path), "--classes", str(tmp_path / "c.txt")]) == 1
    assert f"train-1.tar: sample 'b' has cls {cls.decode()!r}, expected 0..1 or a name" in capsys.readouterr().err


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, tarfile.PAX_FORMAT)
    assert main(["index", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "6 samples in 2 shards" in out
    assert "1 x action, 3 x rgb" in out
    assert "2 x symbolic link" in out
    assert main(["index", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == {"symbolic link": 2}
    assert main(["validate", str(tmp_path)]) == 0
    assert main(["index", str(tmp_path / "a" / "..")]) == 0
    (tmp_path / "empty").mkdir()
    assert main(["index", str(tmp_path / "empty")]) == 2
