"""Layers made by the engine: the same bytes however they are made, joined to what they are over, the base untouched."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_converters import registry
from pvit_converters.engine import plan_file, plan_parts
from pvit_converters.engine.finishing import finish_dataset
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import FormatError, Interrupted, SourceError, UsageError
from pvit_data.format.manifest import SourceSpec, read_manifest
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from tests.pvit_data.range_server import serve

Hashes = Callable[[Path], dict[str, str]]
TOYS = Path(__file__).parents[1] / "toys"
VERBS = LabelSpace("verbs", ("push", "pull", "lift"))
COUNTS = {"train": 12, "val": 5}


def grow(folder: Path, split: str, first: int, count: int) -> None:
    """Adds samples to a base, in shards of about two groups."""
    with ShardWriter(folder, "clips", split, spaces={"action": VERBS}, shard_bytes=6000) as writer:
        for i in range(first, first + count):
            rgb = np.random.default_rng([i, len(split)]).integers(0, 255, (2, 16, 16, 3), dtype=np.uint8)
            writer.write(Sample(key=f"{split}-{i:02}", group=f"{split}-g{i // 2}", rgb=rgb, fps=8, action=i % 3))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    for split, count in COUNTS.items():
        grow(folder, split, 0, count)
    return folder


@pytest.fixture
def base(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_layers

    return toy_layers


def sums(folder: Path) -> dict[str, str]:
    """Of everything that belongs to the base, with the time of writing."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "layers" not in path.parts and path.name not in ("manifest.json", "README.md")
    }


def layer_bytes(out: Path, name: str = "bright") -> dict[str, str]:
    """Of everything that two runs have in common."""
    folder = out / "layers" / name
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in ("report.json", "plan.json"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def job(toys: Any, root: Path, out: Path | None = None, workers: int = 1, **more: Any) -> Job:
    options = {n: more.pop(n) for n in list(more) if n in toys.BrightOptions.model_fields}
    return Job(toys.Bright, root, str(out or root), toys.BrightOptions(**options), workers=workers, **more)


def test_a_layer_is_what_its_converter_says_of_each_sample(base: Path, toys: Any) -> None:
    before = sums(base)
    report = convert(job(toys, base))
    assert sums(base) == before
    assert (report.source, report.converted, report.planned_shards) == ("layers/bright", 17, report.shards)
    shards = {p.name for p in (base / "clips").glob("*.tar")}
    assert {p.name for p in (base / "layers/bright").glob("*.tar")} == shards
    assert len(shards) > 4
    plain, joined = pvit_data.open(base), pvit_data.open(base, source="clips", layers=["bright"])
    assert joined.column("key").tolist() == plain.column("key").tolist()
    for one, other in zip(plain, joined, strict=True):
        truth = toys.bright(one.key, one.rgb)
        assert np.array_equal(other.depth, truth.depth)
        assert np.array_equal(other.boxes.xyxy, truth.boxes.xyxy)
        assert np.allclose(other.boxes.score, truth.boxes.score)
        assert np.array_equal(other.rgb, one.rgb)
        assert other.meta["layers"] == {"bright": truth.meta}
        assert (other.group, other.fps, other.action) == (one.group, one.fps, one.action)
    spec = json.loads((base / "manifest.json").read_text())["layers"]["bright"]["spec"]
    assert (spec["licence"], spec["made_by"], spec["redistributable"]) == ("CC-BY-4.0", "toy 1", True)
    assert spec["base"]["source"] == "clips"
    assert validate(str(base)).problems == []


def test_a_layer_is_told_what_its_bases_licence_says_of_annotations(toys: Any, tmp_path: Path) -> None:
    spec = SourceSpec(name="clips", derived="no", derived_clause="Nothing may be made of them.")
    with pvit_data.ShardWriter(tmp_path, spec) as writer:
        writer.write(pvit_data.Sample(key="a", rgb=np.full((2, 16, 16, 3), 99, np.uint8), fps=8))
    convert(job(toys, tmp_path))
    told = read_manifest(Storage(tmp_path)).layers["bright"].spec
    assert (told.derived, told.derived_clause) == ("no", "Nothing may be made of them.")
    convert(job(toys, tmp_path, append=True))  # which finds the same declaration there


def test_the_same_bytes_for_workers_places_and_repetition(base: Path, toys: Any, tmp_path: Path) -> None:
    convert(job(toys, base))
    expected = layer_bytes(base)
    convert(job(toys, base))
    assert layer_bytes(base) == expected
    convert(job(toys, base, tmp_path / "two", workers=2))
    assert layer_bytes(tmp_path / "two") == expected
    convert(job(toys, base, tmp_path / "raw", base=f"{base}#clips"))
    assert layer_bytes(tmp_path / "raw") == expected
    for index in (1, 0, 2):
        convert(job(toys, base, tmp_path / "array", task_index=index, num_tasks=3))
    assert layer_bytes(tmp_path / "array") == expected


def test_a_worker_that_dies_costs_time(base: Path, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(TOYS))
    convert(job(toys, base))
    once = tmp_path / "once"
    report = convert(job(toys, base, tmp_path / "out", workers=2, kill_once=once))
    assert once.exists()
    assert (report.converted, report.num_failed) == (17, 0)
    tars = {n: h for n, h in layer_bytes(base).items() if n.endswith(".tar")}
    assert {n: h for n, h in layer_bytes(tmp_path / "out").items() if n.endswith(".tar")} == tars


@pytest.mark.parametrize("key", ["train-00", "train-07", "val-04"])
def test_interrupted_and_continued(base: Path, toys: Any, tmp_path: Path, monkeypatch: Any, key: str) -> None:
    before = sums(base)
    convert(job(toys, base, tmp_path / "whole"))
    whole = toys.Bright.load

    def stopping(self: Any, item: Any) -> Any:
        if item.key == key:
            raise Interrupted("stopped")
        return whole(self, item)

    monkeypatch.setattr(toys.Bright, "load", stopping)
    with pytest.raises(Interrupted):
        convert(job(toys, base))
    assert not list((base / "layers").rglob(".*part*"))
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(TOYS))
    convert(job(toys, base))
    assert layer_bytes(base) == layer_bytes(tmp_path / "whole")
    assert sums(base) == before


RUN = """
import sys
sys.path.insert(0, {toys!r})
from toy_layers import Bright, BrightOptions
from pvit_converters.engine.run import Job, convert
from pvit_data.errors import Interrupted
if __name__ == "__main__":
    try:
        convert(Job(Bright, sys.argv[1], sys.argv[1], BrightOptions(seconds=0.12), workers=1))
    except Interrupted:
        sys.exit(75)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_work(base: Path, toys: Any, tmp_path: Path, number: signal.Signals) -> None:
    """At the first finished shard; what has its final name is complete, and the next run gives the same bytes."""
    before = sums(base)
    convert(job(toys, base, tmp_path / "whole", seconds=0.12))
    expected = layer_bytes(tmp_path / "whole")
    command = [sys.executable, "-c", RUN.format(toys=str(TOYS)), str(base)]
    with subprocess.Popen(command) as child:
        while not list((base / "layers").rglob("receipts/*-*.json")) and child.poll() is None:
            pass
        os.kill(child.pid, number)
        assert child.wait() in (-number, 75)
    found = {n: h for n, h in layer_bytes(base).items() if n.endswith(".tar")}
    assert found.items() <= expected.items()
    assert 0 < len(found) < len([n for n in expected if n.endswith(".tar")])
    subprocess.run(command, check=True)
    assert layer_bytes(base) == expected
    assert sums(base) == before


def test_a_base_that_grows_is_followed(base: Path, toys: Any, tmp_path: Path) -> None:
    convert(job(toys, base))
    first = layer_bytes(base)
    grow(base, "train", 20, 6)
    convert(job(toys, base))  # finished as it was planned
    assert layer_bytes(base) == first
    report = convert(job(toys, base, append=True))
    assert (report.converted, report.planned) == (23, 23)
    now = layer_bytes(base)
    kept = {n: h for n, h in first.items() if not n.startswith("index")}
    assert kept.items() <= now.items()
    joined = pvit_data.open(base, source="clips", layers=["bright"])
    assert joined.column("has_depth").all()
    convert(job(toys, base, tmp_path / "whole"))
    assert now == layer_bytes(tmp_path / "whole")


def rewrite(base: Path) -> None:
    shutil.rmtree(base / "clips")
    (base / "manifest.json").unlink()
    for split, count in COUNTS.items():
        grow(base, split, 1, count)


def test_a_base_that_changed_is_refused(base: Path, toys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "out"
    convert(job(toys, base, out))
    made = layer_bytes(out)
    rewrite(base)
    with pytest.raises(SourceError, match=r"train-00000 of the base 'clips' in .* was changed.*--overwrite"):
        convert(job(toys, base, out))
    assert layer_bytes(out) == made
    convert(job(toys, base, out, overwrite=True))
    assert pvit_data.open(base, source="clips", layers=[f"{out}#bright"]).column("has_depth").all()


def test_a_base_that_changes_meanwhile_is_refused(base: Path, toys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    whole = toys.Bright.load

    def meddled(self: Any, item: Any) -> Any:
        sample = whole(self, item)
        if item.key == "val-04":
            rewrite(base)
        return sample

    monkeypatch.setattr(toys.Bright, "load", meddled)
    with pytest.raises(SourceError, match="was changed since this layer was begun"):
        convert(job(toys, base, tmp_path / "out"))
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_damaged_sample_of_the_base_is_named(base: Path, toys: Any) -> None:
    shard = base / "clips/train-00000.tar"
    data = bytearray(shard.read_bytes())
    place = data.index(b"train-00.") + 600
    data[place] ^= 255
    shard.write_bytes(bytes(data))
    report = convert(job(toys, base))
    assert report.failed == {"damaged-base": 1}
    assert "train-00" in report.failures[0].message


def test_failures_and_what_is_unwanted_are_not_annotated(base: Path, toys: Any) -> None:
    report = convert(job(toys, base, fail=("train-01",), unwanted=("train-02", "val-00")))
    assert (report.converted, report.failed, report.unwanted) == (14, {"too-dark": 1}, {"too dull": 2})
    joined = pvit_data.open(base, source="clips", layers=["bright"])
    missing = {str(key) for key in joined.column("key")[~joined.column("has_depth")]}
    assert missing == {"train-01", "train-02", "val-00"}


def test_the_declaration_belongs_to_the_instance(base: Path, toys: Any) -> None:
    convert(job(toys, base, name="other", attach="on-request"))
    convert(job(toys, base))
    layers = json.loads((base / "manifest.json").read_text())["layers"]
    assert {name: each["spec"]["attach"] for name, each in layers.items()} == {
        "other": "on-request",
        "bright": "default",
    }
    with pytest.raises(UsageError, match=r"made with other options \(scale: 1.0 there, 2.0 now"):
        convert(job(toys, base, scale=2))
    convert(job(toys, base, scale=2, overwrite=True))
    assert set(json.loads((base / "manifest.json").read_text())["layers"]) == {"other", "bright"}
    with pytest.raises(UsageError, match=r"layer of bright: .*'No Name': expected 1 to 40 characters"):
        convert(job(toys, base, name="No Name"))


def protocol(toys: Any, root: Path, base: Path | str, **more: Any) -> Job:
    options = toys.LabelOptions(skip_absent=more.pop("skip_absent", False))
    return Job(toys.Labels, root, str(more.pop("out", base)), options, workers=1, base=str(base), **more)


LABELS = {"val-02": ("train", 1), "train-09": ("test", 0), "train-00": ("train", 1), "val-00": ("test", 1)}


def test_a_protocol_out_of_raw_annotations(base: Path, toys: Any, tmp_path: Path) -> None:
    before = sums(base)
    toys.write_labels(tmp_path / "raw", LABELS)
    convert(protocol(toys, tmp_path / "raw", base))
    assert sums(base) == before
    for split in ("train", "test"):
        dataset = pvit_data.open(base, source="labels", split=split)
        wanted = {key: label for key, (name, label) in LABELS.items() if name == split}
        assert dict(zip(dataset.column("key").tolist(), dataset.column("action").tolist(), strict=True)) == wanted
    assert dataset[0].rgb.shape == (2, 16, 16, 3)
    names = sorted(p.name for p in (base / "layers/labels").glob("*.tar"))
    assert names == ["test-00000.tar", "test-00001.tar", "train-00000.tar", "train-00001.tar"]


def test_a_protocol_follows_its_base(base: Path, toys: Any, tmp_path: Path) -> None:
    later = {**LABELS, "train-20": ("train", 0)}
    toys.write_labels(tmp_path / "raw", later)
    with pytest.raises(
        FormatError, match=r"1 of 5 listed samples have keys that are not in 'clips' .*first 'train-20'"
    ):
        convert(protocol(toys, tmp_path / "raw", base))
    report = convert(protocol(toys, tmp_path / "raw", base, skip_absent=True))
    assert (report.converted, report.absent) == (4, {"not in the base": 1})
    grow(base, "train", 20, 2)
    report = convert(protocol(toys, tmp_path / "raw", base, skip_absent=True, append=True))
    assert (report.converted, report.absent) == (5, {"not in the base": 0})
    assert report.notes == []
    toys.write_labels(tmp_path / "raw", {**later, "train-01": ("train", 0)})
    report = convert(protocol(toys, tmp_path / "raw", base, skip_absent=True, append=True))
    assert any("1 new samples are of shards of the base that are planned" in note for note in report.notes)
    assert len(pvit_data.open(base, source="labels")) == 5
    toys.write_labels(tmp_path / "raw", {key: ("val", label) for key, (_, label) in LABELS.items()})
    with pytest.raises(UsageError, match=r"samples of another split than the lists say now"):
        convert(protocol(toys, tmp_path / "raw", base, skip_absent=True, append=True))


def test_bases_that_are_none(base: Path, toys: Any, tmp_path: Path) -> None:
    with ShardWriter(base, "others") as writer:
        writer.write(Sample(key="x", depth=np.ones((1, 4, 4), np.float32)))
    cases = {
        f"{tmp_path / 'nowhere'}": "no such folder",
        f"{base}": r"several sources, clips, others: say which one, .*#SOURCE",
        f"{base}#none": "has no source 'none'",
    }
    (tmp_path / "empty").mkdir()
    cases[f"{tmp_path / 'empty'}"] = "has no manifest.json, so it is no base"
    for address, said in cases.items():
        with pytest.raises(UsageError, match=said):
            convert(job(toys, base, tmp_path / "out", base=address))
    convert(job(toys, base, tmp_path / "out", base=f"{base}#clips"))
    toys.write_labels(tmp_path / "raw", LABELS)
    with pytest.raises(UsageError, match="#others: this layer is made over 'clips'"):
        convert(replace(protocol(toys, tmp_path / "raw", base), base=f"{base}#others"))
    convert(protocol(toys, tmp_path / "raw", base))


def test_a_layer_in_parts_is_the_same(base: Path, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of shards have gaps, since shards of the base of which nothing is known have none."""
    filters = Settings(filters=("train-03", "train-1*", "val-*"))
    convert(job(toys, base, tmp_path / "one", settings=filters))
    monkeypatch.setattr(plan_file, "MOST_IN_ONE_FILE", 1)
    monkeypatch.setattr(plan_parts, "SHARDS_PER_PART", 2)
    convert(job(toys, base, tmp_path / "parts", settings=filters))
    assert (tmp_path / "parts/layers/bright/plan").is_dir()
    convert(job(toys, base, tmp_path / "parts", settings=filters))
    ours = {n: h for n, h in layer_bytes(tmp_path / "parts").items() if not n.startswith("plan/")}
    assert ours == layer_bytes(tmp_path / "one")
    grow(base, "train", 20, 4)
    wider = Settings(filters=(*filters.filters, "train-2*"))
    convert(job(toys, base, tmp_path / "parts", settings=wider, append=True))
    convert(job(toys, base, tmp_path / "whole", settings=wider))
    assert len(pvit_data.open(base, source="clips", layers=[f"{tmp_path / 'parts'}#bright"], where="has_depth")) == 12


def test_finish_makes_the_manifest_of_layers(base: Path, toys: Any, tmp_path: Path) -> None:
    convert(job(toys, base))
    expected = (base / "manifest.json").read_bytes()
    reports = finish_dataset(str(base))
    assert [report.source for report in reports] == ["layers/bright"]
    assert (base / "manifest.json").read_bytes() == expected
    shutil.rmtree(base / "clips/receipts")  # as of a base that was downloaded
    finish_dataset(str(base))
    assert (base / "manifest.json").read_bytes() == expected
    (base / "layers/bright/receipts/train-00001.json").unlink()
    with pytest.raises(SourceError, match="shards of 'layers/bright' are missing, first train-00001"):
        finish_dataset(str(base))


def test_the_command(
    base: Path, toys: Any, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"bright": toys.Bright, "labels": toys.Labels}
    monkeypatch.setattr(registry, "load", lambda name: known[name])
    assert main(["convert", "bright", str(base), str(base), "--dry-run"]) == 0
    assert "17 samples would be converted" in capsys.readouterr().out
    assert not (base / "layers").exists()
    assert main(["convert", "bright", str(base), str(base), "--workers", "1"]) == 0
    assert "--append follows when the base grows" in capsys.readouterr().out
    toys.write_labels(tmp_path / "raw", LABELS)
    assert (
        main(["convert", "labels", str(tmp_path / "raw"), str(base), "--base", f"{base}#clips", "--workers", "1"]) == 0
    )
    assert main(["convert", "labels", str(tmp_path / "raw"), str(base), "--holdout", "3"]) == 2
    assert main(["stats", str(base), "--source", "labels"]) == 0


def test_a_base_behind_a_url(base: Path, toys: Any, tmp_path: Path) -> None:
    """As the folder itself, for makers and for readers."""

    def write(out: Path, over: Path | str) -> None:
        with ShardWriter(out, "flat", base=f"{over}#clips") as writer:
            for key in ("val-04", "train-03", "train-00"):
                writer.write(Sample(key=key, depth=np.ones((2, 16, 16), np.float32)))

    convert(job(toys, base, tmp_path / "near"))
    write(tmp_path / "near", base)
    toys.write_labels(tmp_path / "raw", LABELS)
    convert(protocol(toys, tmp_path / "raw", base, out=tmp_path / "near"))
    far = tmp_path / "far"
    with serve(base) as server:
        convert(Job(toys.Bright, server.url, str(far), toys.BrightOptions(), workers=1))
        write(far, server.url)
        convert(protocol(toys, tmp_path / "raw", f"{server.url}#clips", out=far))
        joined = pvit_data.open(server.url, source="clips", layers=[f"{far}#bright"])
        plain = pvit_data.open(base, source="clips", layers=[f"{far}#bright"])
        assert all(np.array_equal(one.depth, other.depth) for one, other in zip(joined, plain, strict=True))
        named = pvit_data.open(far, source="labels", base=server.url, split="test")
        assert sorted(sample.key for sample in named) == ["train-09", "val-00"]
        with pytest.raises(FormatError, match="'train-99' is not in 'clips' of http"):
            ShardWriter(far, "more", base=f"{server.url}#clips").write(Sample(key="train-99"))
    for name in ("bright", "flat", "labels"):
        assert layer_bytes(far, name) == layer_bytes(tmp_path / "near", name)
