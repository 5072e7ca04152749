"""Validation of layers: by themselves, and every row against the sample of its base, counted by hand."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_data import Boxes, LabelSpace, Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.validate import WARNINGS, ValidationReport, validate
from pvit_data.writing import encode
from tests.pvit_data.range_server import serve

VERBS = LabelSpace("verbs", ("push", "pull"))
FRAMES, SIDE = 4, 16


def pictures(seed: int, frames: int = FRAMES, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (frames, side, side, 3), np.uint8)


def write_base(folder: Path, **changed: dict[str, Any]) -> None:
    """Eight clips, four groups of two, in two splits; `changed`: fields of some of them, without rgb none."""
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        with ShardWriter(folder, "clips", split, spaces={"action": VERBS}) as writer:
            for i in numbers:
                values = {"rgb": pictures(i), "fps": 8, "action": i % 2} | changed.get(f"k{i}", {})
                if values["rgb"] is not None:
                    writer.write(Sample(key=f"k{i}", group=f"g{i // 2}", **values))


def write_layers(folder: Path, base: str = "clips") -> None:
    with ShardWriter(folder, "depths", base=base) as writer:
        for i in (0, 1, 3, 6):
            depth = np.full((FRAMES, SIDE, SIDE), 1 + i, np.float32)
            writer.write(Sample(key=f"k{i}", depth=depth, frames={}))
    with ShardWriter(folder, "found", base=base) as writer:
        for i in (0, 2, 7):
            boxes = Boxes(np.array([[0, 0, 0.5, 0.5]]), frame=np.array([2]), score=np.array([0.5]))
            writer.write(Sample(key=f"k{i}", boxes=boxes, frames={"boxes": np.array([0, 2])}))
    for split, numbers in (("train", (0, 2, 6)), ("test", (1, 4))):
        with ShardWriter(folder, "few", split, base=base, kind="protocol") as writer:
            for i in numbers:
                writer.write(Sample(key=f"k{i}"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all")
    write_base(folder)
    write_layers(folder)
    return folder


@pytest.fixture(scope="module")
def apart(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    apart = tmp_path_factory.mktemp("apart")
    write_layers(apart, f"{folder}#clips")
    return apart


def kinds(report: ValidationReport) -> dict[str, int]:
    return dict(report.counts)


def test_sound_layers(folder: Path) -> None:
    """The protocol tears the group of k0 and k1: that is for people to know, not wrong."""
    report = validate(folder, deep=True)
    assert (kinds(report), report.is_complete) == ({"group-split": 1}, True)
    assert report.problems[0].file.startswith("layers/few/test")
    assert "group-split" in WARNINGS
    assert report.samples == 8 + 4 + 3 + 5


def test_without_their_base_they_are_checked_but_for_their_fit(apart: Path) -> None:
    report = validate(apart, deep=True)
    assert (kinds(report), report.ok, report.is_complete) == ({"group-split": 1}, True, False)
    told = ["'depths' over 'clips'", "'few' over 'clips'", "'found' over 'clips'"]
    assert report.apart == told
    assert report.left_out() == f"whether these layers fit their bases: {', '.join(told)}"
    assert report.to_json()["apart"] == told


@pytest.mark.parametrize("is_remote", [False, True])
def test_with_their_base_every_row_is_compared(folder: Path, apart: Path, tmp_path: Path, is_remote: bool) -> None:
    other = {
        "k0": {"rgb": pictures(0, 9)},  # of depths, found, few
        "k1": {"rgb": pictures(1, side=32)},  # of depths, for which the size matters, and few
        "k2": {"rgb": pictures(99)},  # of found, few: other bytes
        "k3": {"fps": 9},  # of depths
        "k6": {"rgb": None},  # of depths, few: absent
    }
    write_base(tmp_path, **other)
    if is_remote:
        with serve(tmp_path) as server:
            report = validate(apart, base=server.url)
    else:
        report = validate(apart, base=tmp_path)
    assert report.is_complete
    found = Counter((p.kind, p.file.split("/")[1], p.key) for p in report.problems)
    differs = [("depths", "k0"), ("found", "k0"), ("few", "k0"), ("depths", "k1"), ("depths", "k3")]
    changed = [("depths", "k0"), ("found", "k0"), ("few", "k0"), ("depths", "k1"), ("few", "k1"), ("found", "k2")]
    changed += [("few", "k2"), ("depths", "k3")]
    expected = Counter(
        [("base-differs", *place) for place in differs]
        + [("base-bytes", *place) for place in changed]
        + [("base-absent", *place) for place in [("depths", "k6"), ("few", "k6")]]
        + [("group-split", "few", "")]
    )
    assert found == expected
    assert not report.ok
    texts = {(p.file.split("/")[1], p.key): p.message for p in report.of_kind("base-differs")}
    assert texts["depths", "k0"] == "other frames: 4 in the layer, 9 in the base"
    assert texts["depths", "k1"] == "other sizes: 16x16 in the layer, 32x32 in the base"
    assert texts["depths", "k3"] == "other frame rates: 8 in the layer, 9 in the base"


def test_only_other_bytes_are_a_warning(apart: Path, tmp_path: Path) -> None:
    write_base(tmp_path, k0={"rgb": pictures(100)})
    report = validate(apart, base=tmp_path)
    assert (report.ok, report.counts["base-bytes"]) == (True, 3)


def test_another_data_set_is_no_base(apart: Path, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "clips") as writer:
        writer.write(Sample(key="stranger", rgb=pictures(1)))
    report = validate(apart, base=tmp_path)
    assert {p.message for p in report.of_kind("base-differs")} == {
        f"none of its {n} samples is in 'clips'" for n in (4, 3, 5)
    }
    with ShardWriter(tmp_path / "b", "other") as writer:
        writer.write(Sample(key="stranger", rgb=pictures(1)))
    with pytest.raises(UsageError, match=r"holds no base of the layers in .*, which are over clips"):
        validate(apart, base=tmp_path / "b")
    with pytest.raises(UsageError, match="no such folder"):
        validate(apart, base=tmp_path / "c")


def test_a_damaged_base_is_named(apart: Path, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "base")
    with open(tmp_path / "base/clips/index/train.parquet", "r+b") as file:
        file.write(b"X")
    report = validate(apart, base=tmp_path / "base")
    assert report.counts["base-damaged"] == 3
    assert not report.is_complete
    own = validate(tmp_path / "base")
    assert own.counts["index-damaged"] == 1
    assert (own.counts["base-damaged"], len(own.apart)) == (0, 3)  # told once


def test_labels_of_both_are_refused(tmp_path: Path) -> None:
    write_base(tmp_path)
    with ShardWriter(tmp_path, "labels", base="clips", spaces={"action": VERBS}) as writer:
        writer.write(Sample(key="k0", action=1))
    report = validate(tmp_path)
    assert [(p.kind, p.file, p.message) for p in report.problems] == [
        ("base-differs", "layers/labels", "brings action, and 'clips' has labels of its own")
    ]


LIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "frames that are no clip's": ("found", {"boxes_frames": [0, 9]}, "frame numbers [0, 9]"),
    "frames that descend": ("found", {"boxes_frames": [2, 0]}, "frame numbers [2, 0]"),
    "boxes where none were looked for": ("found", {"boxes_frames": [0]}, "rows of frames that are not among"),
    "another CRC": ("depths", {"base_crc32": "00000001"}, "CRC 00000001 when it was made"),
    "a layer's record in a source": ("clips", {"base_crc32": "", "boxes_frames": []}, "it is a record of a layer"),
    "annotations in a protocol": ("few", {"fields": ["depth"]}, "which a layer of kind 'protocol' does not hold"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_with_right_checksums(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that writes other records than it should: all hashes are right, one record is not."""
    layer, values, message = LIES[name]
    write_record = encode.write_record

    def lying(record: Any) -> bytes:
        told = json.loads(write_record(record))
        if record.source == layer and record.key == "k0":
            told |= values
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()

    with monkeypatch.context() as patch:
        patch.setattr(encode, "write_record", lying)
        write_base(tmp_path)
        write_layers(tmp_path)
    report = validate(tmp_path)
    hit = [p for p in report.problems if p.key == "k0"]
    assert hit, report.problems
    assert any(message in p.message for p in hit), hit
    assert all(f"{layer}/train-" in p.file for p in hit)


@pytest.fixture
def command(apart: Path) -> Callable[..., tuple[int, str]]:
    def run(*arguments: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "pvit_data", "validate", str(apart), *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_command(command: Callable[..., tuple[int, str]], folder: Path, tmp_path: Path) -> None:
    code, text = command()
    assert code == 0
    assert "no problems in what was looked at" in text
    assert "not looked at: whether these layers fit their bases: 'depths' over 'clips'" in text
    code, text = command("--base", str(folder))
    assert code == 0
    assert ": ok; 12 samples" in text
    write_base(tmp_path, k0={"rgb": pictures(0, 9)})
    code, text = command("--base", str(tmp_path))
    assert code == 1
    assert "PROBLEM: 3 x base-differs" in text
    assert "warning: 3 x base-bytes" in text
