"""`split`: protocols against plain loops, the base untouched, and what is ambiguous refused with both readings."""

import csv
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.validate import validate

VERBS = LabelSpace("verbs", ("push", "pull", "lift"))
SPLITS = {"train": 40, "val": 9, "test": 12}

Split = Callable[..., Any]


def write_base(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in SPLITS.items():
        with ShardWriter(folder, "clips", split, spaces={"action": VERBS}, shard_bytes=8000) as writer:
            for i in range(count):
                rgb = rng.integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
                key, group = f"{split}-{i:02}", f"{split}-g{i // 2}"
                writer.write(Sample(key=key, group=group, rgb=rgb, fps=8, action=i % 3, meta={"video": f"v{key}"}))


def sums(folder: Path) -> dict[str, str]:
    """Hashes of everything but layers, manifest and card; and when each file was written."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "layers" not in path.parts and path.name not in ("manifest.json", "README.md")
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    write_base(folder)
    return folder


@pytest.fixture
def base(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def split(base: Path, capsys: pytest.CaptureFixture[str]) -> Split:
    def run(*arguments: object, fails: str = "") -> Any:
        code = main(["split", str(base), "--json", *map(str, arguments)])
        out, err = capsys.readouterr()
        if fails:
            assert code != 0
            assert re.search(fails, err), err
            assert not (base / "layers").exists()
            return err
        assert code == 0, err
        return json.loads(out)

    return run


def opened(base: Path, name: str) -> dict[str, str]:
    """Split by key."""
    dataset = pvit_data.open(base, source=name)
    return dict(zip(dataset.column("key").tolist(), dataset.column("split").tolist(), strict=True))


def test_folds_share_out_the_training_groups(base: Path, split: Split) -> None:
    before = sums(base)
    told = split("--name", "cv", "--folds", 3, "--of", "train", "--where", "split != 'val'")
    assert sums(base) == before
    assert [each["name"] for each in told] == ["cv-0", "cv-1", "cv-2"]
    held = []
    for each in told:
        found = opened(base, each["name"])
        assert set(found) == {k for k in opened(base, "clips") if not k.startswith("val")}
        assert {k for k, s in found.items() if s == "test"} == {f"test-{i:02}" for i in range(12)}
        assert each["samples"] == dict(Counter(found.values()))
        groups = {key: f"{key[:-2]}g{int(key[-2:]) // 2}" for key in found}
        assert len({(groups[k], s) for k, s in found.items()}) == len(set(groups.values()))
        held += [key for key, s in found.items() if s == "val"]
    assert sorted(held) == [f"train-{i:02}" for i in range(40)]
    assert not [p for p in validate(str(base)).problems if p.kind != "group-split"]
    sample = pvit_data.open(base, source="cv-1", split="val")[0]
    plain = next(s for s in pvit_data.open(base, source="clips") if s.key == sample.key)
    assert (sample.action, sample.split, sample.source) == (plain.action, "val", "cv-1")
    assert np.array_equal(sample.rgb, plain.rgb)


def test_the_same_bytes_wherever_and_whenever(base: Path, split: Split, tmp_path: Path) -> None:
    def bytes_of(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    split("--name", "cv", "--folds", 2, "--of", "train,val,test")
    first = bytes_of(base / "layers")
    for leftover in ("0", "1"):  # as of somebody who was killed while publishing
        (base / f"layers/cv-{leftover}/receipts/train-00099.json").write_text("{}")
    split("--name", "cv", "--folds", 2, "--of", "train,val,test", "--overwrite")
    assert bytes_of(base / "layers") == first
    split("--name", "cv", "--folds", 2, "--of", "train,val,test", "--out", tmp_path / "other")
    assert bytes_of(tmp_path / "other/layers") == first
    dataset = pvit_data.open(tmp_path / "other", source="cv-0", base=base)
    assert len(dataset) == sum(SPLITS.values())


def test_holdout_is_that_of_a_conversion(base: Path, split: Split) -> None:
    (told,) = split("--name", "held", "--holdout", 25, "--of", "train,val,test")
    found = opened(base, "held")
    for key, name in found.items():
        group = f"{key[:-2]}g{int(key[-2:]) // 2}"
        is_val = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 100 < 25
        assert name == ("val" if is_val else "train")
    assert told["samples"] == dict(sorted(Counter(found.values()).items()))


def test_some_of_each_class(base: Path, split: Split) -> None:
    (told,) = split(
        "--name", "few", "--per-class", 4, "--of", "train,test", "--where", "split != 'val'", "--redistributable"
    )
    assert any("--redistributable without --licence" in note for note in told["notes"])
    dataset = pvit_data.open(base, source="few", split="train")
    counts = Counter(dataset.column("action").tolist())
    assert set(counts) == {0, 1, 2}
    assert max(counts.values()) <= 4
    assert {name: each["train"] for name, each in told["classes"].items()} == {
        VERBS.class_name(c): n for c, n in counts.items()
    }
    assert any("fewer than 4" in note for note in told["notes"]) == (min(counts.values()) < 4)
    assert sum(told["samples"].values()) == 52


def test_lists_of_keys_and_of_original_ids(base: Path, split: Split, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("val-01\ntrain-03\n")
    (tmp_path / "b.txt").write_text("test-02\n")
    (told,) = split("--name", "keys", "--train", tmp_path / "a.txt", "--test", tmp_path / "b.txt")
    assert opened(base, "keys") == {"train-03": "train", "val-01": "train", "test-02": "test"}
    assert any("58 samples: in no list" in note for note in told["notes"])
    assert not any("without --licence" in note for note in told["notes"])
    with (tmp_path / "ids.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "video"], ["x", "vval-01"], ["y", "vtrain-03"]])
    split("--name", "ids", "--train", tmp_path / "ids.csv", "--column", "video", "--match", "video")
    assert opened(base, "ids") == {"train-03": "train", "val-01": "train"}


def test_classes_are_chosen_and_renamed(base: Path, split: Split, tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text("lift,move\npush,move\n")
    (told,) = split("--name", "two", "--classes", tmp_path / "classes.csv")
    dataset = pvit_data.open(base, source="two")
    whole = pvit_data.open(base, source="clips")
    kept = {k: s for k, s, a in zip(*(whole.column(n) for n in ("key", "split", "action")), strict=True) if a != 1}
    assert opened(base, "two") == kept
    assert dataset.spaces_of("two")["action"].classes == ("move",)
    assert set(dataset.column("action").tolist()) == {0}
    assert dataset[0].action == 0
    assert list(told["classes"]) == ["move"]
    again = split("--name", "again", "--source", "two", "--where", "frames >= 1 and split == 'train'")
    assert list(again[0]["classes"]) == ["move"]
    copied = pvit_data.open(base, source="again")
    assert copied.spaces_of("again")["action"].classes == ("move",)
    assert set(copied.column("split")) == {"train"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--folds 3", r"--of train,val,test divides all of them anew, --of train only those"),
        ("--folds 3 --of train", r"samples of val would keep their split.*--of train,val.*--where"),
        ("--folds 3 --holdout 5", r"--folds and --holdout: each divides"),
        ("", r"says nothing that would be divided"),
        ("--folds 1 --of train", r"--folds 1: expected 2"),
        ("--folds 99 --of train,val,test", r"only 31 groups"),
        ("--holdout 120", r"expected more than 0 and less than 100"),
        ("--of train", r"by what"),
        ("--of dev --folds 3", r"--of dev: expected some of train"),
        ("--where frames>5", r"no sample passes it"),
        ("--train {a}", r"2 ids of 2 are the key of no sample.*--match takes ids of meta: video"),
        ("--train {half}", r"1 id of 2 are.*--allow-missing"),
        ("--train {known} --val {known}", r"is it train or val\?"),
        ("--train {known} --of train", r"--of: lists say"),
        ("--train {known} --match number", r"no sample has that in its meta; --match takes ids of meta: video"),
        ("--column id --folds 2 --of train", r"about the lists"),
        ("--per-class 1 --of train,test", r"samples of val|no sample to train on|2 classes"),
        ("--source other --folds 2", r"no source 'other'"),
        ("--folds 2 --of train,val,test --base {base}", r"base is given, but"),
    ],
)  # fmt: skip
def test_what_is_refused(base: Path, split: Split, tmp_path: Path, arguments: str, said: str) -> None:
    files = {"a": "vval-01\nvval-02\n", "half": "val-01\nval-99\n", "known": "val-01\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    places = {name: tmp_path / name for name in files} | {"base": base}
    before = sums(base)
    split("--name", "p", *arguments.format(**places).split(), fails=said)
    assert sums(base) == before


def test_names_that_are_taken(base: Path, split: Split) -> None:
    split("--name", "clips", "--where", "frames > 0", fails="called as its base|has a source 'clips'")
    split("--name", "Not a name", "--where", "frames > 0", fails="expected 1 to 40 characters")
    split("--name", "p", "--where", "frames > 0")
    assert main(["split", str(base), "--name", "p", "--where", "frames > 0"]) == 2


def test_a_dry_run_writes_nothing_and_people_see_tables(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sums(base)
    command = ["split", str(base), "--name", "p", "--per-class", "3", "--of", "train,val,test"]
    assert main([*command, "--dry-run"]) == 0
    assert sums(base) == before
    assert not (base / "layers").exists()
    out = capsys.readouterr().out
    assert "push" in out
    assert "train (groups)" in out
    assert main(command) == 0
    assert "--downstream p" in capsys.readouterr().out


def test_a_base_that_only_lies_behind_a_manifest_keeps_it(base: Path, split: Split) -> None:
    """As of a data set that was downloaded without its receipts."""
    manifest = json.loads((base / "manifest.json").read_text())
    shutil.rmtree(base / "clips/receipts")
    split("--name", "p", "--where", "frames > 0")
    now = json.loads((base / "manifest.json").read_text())
    assert now["sources"] == manifest["sources"]
    assert set(now["layers"]) == {"p"}
    split("--name", "p", "--where", "split == 'val'", "--overwrite")
    assert json.loads((base / "manifest.json").read_text())["sources"] == manifest["sources"]
    assert set(opened(base, "p").values()) == {"val"}


def test_a_protocol_takes_a_fraction_of_its_videos(tmp_path: Path) -> None:
    """Half a million rows of protocols over 20 GB of videos are to take 2 % of them at most: 750 bytes a row."""
    rng, rows = np.random.default_rng(0), 2000
    classes = LabelSpace("many", tuple(f"class {i}" for i in range(174)))
    rgb, ids = rng.integers(0, 255, (rows, 8, 8, 3), dtype=np.uint8), rng.permutation(220_847)[:rows] + 1
    with ShardWriter(tmp_path, "ssv2", spaces={"action": classes}) as writer:
        for picture, number in zip(rgb, ids.tolist(), strict=True):
            writer.write(Sample(key=f"ssv2-{number:06}", group=str(number), rgb=picture[None], action=number % 174))
    with ShardWriter(tmp_path, "theirs", base="ssv2", kind="protocol", spaces={"action": classes}) as writer:
        for number in ids.tolist():
            writer.write(Sample(key=f"ssv2-{number:06}", action=number % 173))
    size = sum(path.stat().st_size for path in (tmp_path / "layers/theirs").rglob("*") if path.is_file())
    assert size / rows < 100
    assert validate(str(tmp_path)).problems == []
    dataset = pvit_data.open(tmp_path, source="theirs")
    assert [s.action for s in dataset] == (ids % 173).tolist()
    part = dataset.parts[0]
    record = part.own.record(0)
    told = (record.key, record.group, record.split, record.fields, record.action_id, record.action_space)
    assert told == (f"ssv2-{ids[0]:06}", str(ids[0]), "train", ["action"], ids[0] % 173, "many")
    assert record.base_crc32 == f"{dataset.column('rgb_crc32')[0]:08x}"
