"""Validation finds every kind of damage, by the file and the sample that it hits, and nothing in a sound dataset."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import pvit_data
from pvit_data.codecs import tiff
from pvit_data.codecs.npy import write_npy
from pvit_data.errors import UsageError
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.receipts import Skip, store_source
from pvit_data.format.record import write_record
from pvit_data.format.tar import END, write_member
from pvit_data.sample.sample import Boxes
from pvit_data.storage.storage import Storage
from pvit_data.validate import KINDS, Problem, units, validate
from pvit_data.validate.choice import WHOLE
from pvit_data.validate.run import check_units
from pvit_data.validate.survey import survey
from pvit_data.validate.units import ShardUnit
from pvit_data.writing.encode import encode_sample
from pvit_data.writing.finish import write_manifest
from pvit_data.writing.shard import ShardFile, encoding_of, write_shard
from tests.pvit_data.older import make_older
from tests.pvit_data.samples import SPACES, H, W, bare_sample, full_sample

SHARD, INDEX, RECEIPT = "mine/train-00000.tar", "mine/index/train.parquet", "mine/receipts/train-00000.json"
ROWS = "mine/receipts/rows/train-00000.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, two splits, one of them in two shards."""
    out = tmp_path_factory.mktemp("validate") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", spaces=SPACES, shard_bytes=1) as writer:
        for seed in (0, 1, 2):
            writer.write(full_sample(seed))
    with pvit_data.ShardWriter(out, "mine", "val", spaces=SPACES) as writer:
        writer.write(full_sample(8))
    with pvit_data.ShardWriter(out, "other", "train") as writer:
        writer.write(bare_sample(20))
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


def found(out: Path | str, **options: Any) -> set[tuple[str, str, str]]:
    return {(p.kind, p.file, p.key) for p in validate(out, **options).problems}


@pytest.mark.parametrize("deep", [False, True])
def test_sound_dataset(folder: Path, deep: bool) -> None:
    ticks: list[tuple[int, int]] = []
    report = validate(folder, deep=deep, progress=lambda done, total: ticks.append((done, total)))
    assert report.ok
    assert report.problems == []
    assert (report.samples, report.shards) == (5, 4)
    assert report.bytes == sum(p.stat().st_size for p in folder.rglob("*.tar"))
    assert ticks[-1] == (5, 5)


def edit_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values, sort_keys=True, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def rewrite_index(out: Path, change: Callable[[dict[str, list[Any]]], None]) -> None:
    table = pq.read_table(out / INDEX)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(type(table).from_pydict(columns, schema=table.schema), out / INDEX)


def rewrite_rows(out: Path, change: Callable[[dict[str, list[Any]]], None]) -> None:
    """With a receipt that says so."""
    table = pq.read_table(out / ROWS)
    columns = table.to_pydict()
    change(columns)
    pq.write_table(type(table).from_pydict(columns, schema=table.schema), out / ROWS)
    data = (out / ROWS).read_bytes()
    told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit_json(out / RECEIPT, lambda r: r["rows"].update(told))


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 8
    path.write_bytes(data)


def offset_of(out: Path, member: str, row: int = 0) -> int:
    return int(pvit_data.open(out, "mine", "train").column(f"{member}_offset")[row])


DAMAGE: dict[str, tuple[Callable[[Path], Any], set[tuple[str, str, str]]]] = {
    "manifest gone": (lambda d: (d / "manifest.json").unlink(), {("manifest-missing", "manifest.json", "")}),
    "manifest cut": (
        lambda d: (d / "manifest.json").write_text("{"),
        {("manifest-damaged", "manifest.json", "")},
    ),
    "manifest edited": (
        lambda d: edit_json(d / "manifest.json", lambda m: m["sources"]["mine"]["spec"].update(licence="MIT")),
        {("manifest-damaged", "manifest.json", "")},
    ),
    "manifest of the future": (
        lambda d: edit_json(d / "manifest.json", lambda m: m.update(version="2.0")),
        {("manifest-damaged", "manifest.json", "")},
    ),
    "card gone": (lambda d: (d / "README.md").unlink(), {("card-missing", "README.md", "")}),
    "card without declarations": (lambda d: (d / "README.md").write_text("# x\n"), {("card-differs", "README.md", "")}),
    "card that lost a feature": (
        lambda d: (d / "README.md").write_text((d / "README.md").read_text().replace("depth.tif", "deep.tif")),
        {("card-differs", "README.md", "")},
    ),
    "card that lost a split": (
        lambda d: (d / "README.md").write_text((d / "README.md").read_text().replace("split: val", "split: vax")),
        {("card-differs", "README.md", "")},
    ),
    "receipt gone": (lambda d: (d / RECEIPT).unlink(), {("receipt-missing", RECEIPT, "")}),
    "receipt damaged": (
        lambda d: (d / RECEIPT).write_text("[]"),
        {("receipt-damaged", RECEIPT, ""), ("receipt-missing", RECEIPT, "")},
    ),
    "older receipt with a wrong type": (
        lambda d: make_older(d) or edit_json(d / RECEIPT, lambda r: r["rows"]["frames"].__setitem__(0, "6")),
        {("receipt-damaged", RECEIPT, ""), ("receipt-missing", RECEIPT, "")},
    ),
    "older receipt that lies about a sample": (
        lambda d: make_older(d) or edit_json(d / RECEIPT, lambda r: r["rows"]["action"].__setitem__(1, 7)),
        {("receipt-differs", RECEIPT, "mine-0001")},
    ),
    "rows of a receipt gone": (lambda d: (d / ROWS).unlink(), {("receipt-damaged", RECEIPT, "")}),
    "rows of a receipt cut": (
        lambda d: (d / ROWS).write_bytes((d / ROWS).read_bytes()[:-9]),
        {("receipt-damaged", RECEIPT, "")},
    ),
    "rows that lie about a sample": (
        lambda d: rewrite_rows(d, lambda c: c["action"].__setitem__(1, 7)),
        {("receipt-differs", RECEIPT, "mine-0001")},
    ),
    "rows of another shard": (
        lambda d: rewrite_rows(d, lambda c: c["shard"].__setitem__(0, "train-00001.tar")),
        {("receipt-damaged", RECEIPT, "")},
    ),
    "receipt that lies about its shard": (
        lambda d: edit_json(d / RECEIPT, lambda r: r.update(sha256="0" * 64)),
        {("receipt-differs", RECEIPT, "")},
    ),
    "no receipts": (
        lambda d: shutil.rmtree(d / "mine/receipts"),
        {("no-receipts", "mine/receipts", "")},
    ),
    "index gone": (lambda d: (d / INDEX).unlink(), {("index-missing", INDEX, "")}),
    "index cut": (lambda d: (d / INDEX).write_bytes((d / INDEX).read_bytes()[:-9]), {("index-damaged", INDEX, "")}),
    "index edited": (
        lambda d: rewrite_index(d, lambda c: c["action"].__setitem__(1, 5)),
        {("index-damaged", INDEX, ""), ("index-differs", INDEX, "mine-0001")},
    ),
    "index that names another place": (
        lambda d: rewrite_index(d, lambda c: c["shard"].__setitem__(0, "../../x.tar")),
        {("index-damaged", INDEX, "")},
    ),
    "receipt of another place": (
        lambda d: edit_json(d / RECEIPT, lambda r: r.update(name="../x.tar")),
        {("receipt-damaged", RECEIPT, ""), ("receipt-missing", RECEIPT, "")},
    ),
    "index lost a sample": (
        lambda d: rewrite_index(d, lambda c: [v.pop() for v in c.values()]),
        {("index-damaged", INDEX, "")},
    ),
    "shard gone": (lambda d: (d / SHARD).unlink(), {("shard-missing", SHARD, "")}),
    "shard grown": (
        lambda d: (d / SHARD).write_bytes((d / SHARD).read_bytes() + bytes(512)),
        {("shard-size", SHARD, "")},
    ),
    "last block of the shard lost": (
        lambda d: (d / SHARD).write_bytes((d / SHARD).read_bytes()[:-512]),
        {("shard-size", SHARD, ""), ("shard-layout", SHARD, "")},
    ),
    "pixels changed": (
        lambda d: flip(d / SHARD, offset_of(d, "depth", 1) + 2000),
        {("shard-hash", SHARD, ""), ("member-damaged", SHARD, "mine-0001")},
    ),
    "member renamed": (
        lambda d: flip(d / SHARD, offset_of(d, "depth", 1) - 512),
        {("shard-hash", SHARD, ""), ("shard-layout", SHARD, "mine-0001")},
    ),
    "padding used": (
        lambda d: flip(d / SHARD, offset_of(d, "json", 0) - 512 - 1),
        {("shard-hash", SHARD, ""), ("shard-layout", SHARD, "mine-0000")},
    ),
    "end marked": (lambda d: flip(d / SHARD, -1), {("shard-hash", SHARD, ""), ("shard-layout", SHARD, "")}),
    "pickle smuggled into the shard": (
        lambda d: (d / SHARD).write_bytes((d / SHARD).read_bytes()[:-1024] + write_member("x.pkl", b"evil") + END),
        {("shard-size", SHARD, ""), ("member-unlisted", SHARD, "x")},
    ),
    "stray shard": (
        lambda d: shutil.copy(d / SHARD, d / "mine/train-00007.tar"),
        {("stray-shard", "mine/train-00007.tar", "")},
    ),
    "stray shard of no source": (
        lambda d: (d / "odd").mkdir() or shutil.copy(d / SHARD, d / "odd/val-00000.tar"),
        {("stray-shard", "odd/val-00000.tar", "")},
    ),
    "partial file": (
        lambda d: (d / "mine/.train-00001.tar.part-0af3").write_bytes(b"x"),
        {("partial-file", "mine/.train-00001.tar.part-0af3", "")},
    ),
    "pickle beside the shards": (
        lambda d: (d / "mine/cache.pkl").write_bytes(b"x"),
        {("stray-file", "mine/cache.pkl", "")},
    ),
    "notes": (lambda d: (d / "notes.txt").write_text("x"), {("unknown-file", "notes.txt", "")}),
    "published": (
        lambda d: [(d / name).write_bytes(b"x") for name in ("croissant.json", "preview.jpg", "gallery.html")],
        set(),
    ),
}  # fmt: skip
WARNINGS = {"no receipts", "notes", "published"}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(copy: Path, name: str) -> None:
    damage, expected = DAMAGE[name]
    damage(copy)
    report = validate(copy)
    assert {(p.kind, p.file, p.key) for p in report.problems} == expected
    assert report.ok == (name in WARNINGS)
    assert set(report.counts) <= set(KINDS)


def test_cut_shard_names_every_lost_sample(copy: Path) -> None:
    (copy / SHARD).write_bytes((copy / SHARD).read_bytes()[: offset_of(copy, "segm", 0) + 10])
    keys = {key for kind, file, key in found(copy) if kind == "member-damaged"}
    assert keys == {"mine-0000", "mine-0001"}


def test_shard_damage_is_found_without_manifest_and_index(copy: Path) -> None:
    flip(copy / SHARD, offset_of(copy, "pose3d", 1) + 200)
    (copy / "manifest.json").unlink()
    (copy / INDEX).unlink()
    assert {("member-damaged", SHARD, "mine-0001"), ("shard-hash", SHARD, "")} <= found(copy)


def test_appended_shards_without_finish(copy: Path) -> None:
    manifest, index = (copy / "manifest.json").read_bytes(), (copy / INDEX).read_bytes()
    with pvit_data.ShardWriter(copy, "mine", "train", spaces=SPACES) as writer:
        writer.write(full_sample(4))
    (copy / "manifest.json").write_bytes(manifest)
    (copy / INDEX).write_bytes(index)
    assert ("manifest-differs", "manifest.json", "") in found(copy)


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither manifest"):
        validate(tmp_path)


def test_group_in_two_splits(tmp_path: Path) -> None:
    for split, seed in (("train", 2), ("val", 3)):
        with pvit_data.ShardWriter(tmp_path, "mine", split) as writer:
            writer.write(bare_sample(seed))
    report = validate(tmp_path)
    assert [p.kind for p in report.problems] == ["group-split"]
    assert report.ok


def lie(out: Path, changes: dict[str, Any] | None = None, key: str = "", **files: bytes | None) -> Path:
    """A dataset with right checksums whose second sample holds something that our writer refuses."""
    spec = SourceSpec(name="mine", spaces=SPACES)
    storage = Storage(out)
    store_source(storage, spec)
    shard = ShardFile(storage, spec, "train", 0)
    for seed in (0, 1):
        encoded = encode_sample(full_sample(seed), encoding_of(spec, "train"))
        if seed:
            record = replace(encoded.record, **(changes or {}))
            contents: dict[str, bytes | None] = {**encoded.files, "json": write_record(record)}
            contents |= {name.replace("__", "."): data for name, data in files.items()}
            kept = {name: data for name, data in sorted(contents.items()) if data is not None}
            encoded = replace(encoded, record=record, files=kept)
        shard.append(encoded, 3)
    shard.publish([], {})
    write_manifest(out)
    return out


def depth_file(value: float) -> bytes:
    depth = np.full((6, H, W), 2, "<f2")
    depth[0, 5, 7] = value
    return tiff.write_tiff(depth.view("<u2"), tiff.UINT16_DELTA)


def boxes_file(*boxes: list[float]) -> bytes:
    return write_npy(np.array(boxes, np.float32).reshape(-1, 4))


GOOD = full_sample(1)
NORMAL = np.full((3, H, W, 3), 128, np.uint8)
LIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "negative depth": ({"depth__tif": depth_file(-1)}, "value", "depth holds -1.0"),
    "infinite depth": ({"depth__tif": depth_file(np.inf)}, "value", "depth holds inf"),
    "depth that is no number": ({"depth__tif": depth_file(np.nan)}, "value", "depth holds nan"),
    "short normals": ({"normal__tif": tiff.write_tiff(NORMAL + 20, tiff.UINT8X3_DELTA)}, "value", "length 0.273"),
    "octahedral claimed": ({"changes": {"normal_encoding": "octahedral"}}, "undecodable", "normal"),
    "class outside the space": (
        {"segm__tif": tiff.write_tiff(np.full((6, H, W), 41, np.uint8), tiff.UINT8)},
        "value",
        "segm holds id 41",
    ),
    "too few maps": (
        {"segm__tif": tiff.write_tiff(np.ones((5, H, W), np.uint8), tiff.UINT8)},
        "undecodable",
        "the record says (6,",
    ),
    "map of another size": (
        {"segm__tif": tiff.write_tiff(np.ones((6, H, W + 1), np.uint8), tiff.UINT8)},
        "undecodable",
        "the record says (6,",
    ),
    "PNG as depth": ({"depth__tif": b"\x89PNG\r\n\x1a\n" + bytes(90)}, "undecodable", "not a TIFF"),
    "box outside the picture": (
        {"boxes__npy": boxes_file([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0.5, 0.5, 0.75, 1.25])},
        "value",
        "boxes row 2",
    ),
    "box inside out": (
        {"boxes__npy": boxes_file([0.4, 0.2, 0.3, 0.4], [0, 0, 1, 1], [0.5, 0.5, 0.75, 1])},
        "value",
        "boxes row 0",
    ),
    "too few boxes": ({"boxes__npy": boxes_file([0, 0, 1, 1])}, "undecodable", "box tables"),
    "joints that are no numbers": (
        {"pose3d__npy": write_npy(np.full((6, 2, 25, 3), np.nan, np.float32))},
        "value",
        "pose3d holds values that are not finite",
    ),
    "unknown validity": (
        {"pose3d_valid__npy": write_npy(np.full((6, 2, 25), 3, np.uint8))},
        "value",
        "pose3d_valid holds 3",
    ),
    "singular camera": ({"camera_k__npy": write_npy(np.zeros((6, 3, 3), np.float32))}, "value", "not invertible"),
    "action outside the space": ({"changes": {"action_id": 10}}, "value", "action has class id 10"),
    "frame after the end": ({"changes": {"normal_frames": [0, 2, 6]}}, "undecodable", "not ascending"),
    "another source": ({"changes": {"source": "yours"}}, "record", "source is 'yours'"),
    "another space": ({"changes": {"segm_space": "coco"}}, "record", "segm_space is 'coco'"),
    "unknown field": ({"changes": {"fields": [*sorted(("rgb", "smell"))]}}, "record", "expected a sorted list"),
    "member gone": ({"depth__tif": None}, "record", "depth is annotated, but its member is missing"),
    "member too many": (
        {"changes": {"fields": ["action", "actions", "boxes", "camera", "depth", "normal", "pose2d", "pose3d", "rgb"]}},
        "record",
        "member segm is there, but not annotated",
    ),
    "not JSON": ({"json": b"{"}, "record", "not JSON"),
    "a key less": ({"json": b'{"format": 1}'}, "record", "lacks the key(s)"),
    "another length in the shard": (
        {"json": write_record(replace(encode_sample(GOOD, encoding_of(SourceSpec(name="mine", spaces=SPACES), "train"))
         .record, fps=99.0))},
        "index-differs",
        "fps is 12.5, the record says 99.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_lies_with_right_checksums(tmp_path: Path, name: str) -> None:
    arguments, kind, text = LIES[name]
    problems = validate(lie(tmp_path, **arguments)).problems
    assert {p.key for p in problems} == {"mine-0001"}
    assert {p.file for p in problems} == {SHARD}
    assert text in next(p.message for p in problems if p.kind == kind)


def test_only_deep_looks_at_every_page_and_frame(tmp_path: Path) -> None:
    depth = np.full((6, H, W), 2, "<f2")
    depth[5, 0, 0] = -3
    data = tiff.write_tiff(depth.view("<u2"), tiff.UINT16_DELTA)
    lie(tmp_path / "a", depth__tif=data)
    assert validate(tmp_path / "a").ok
    assert found(tmp_path / "a", deep=True) == {("value", SHARD, "mine-0001")}
    lie(tmp_path / "b", rgb__mp4=b"\x00\x00\x00\x18ftypmp42" + bytes(200))
    assert validate(tmp_path / "b").ok
    assert found(tmp_path / "b", deep=True) == {("undecodable", SHARD, "mine-0001")}


def test_notes_of_energon_do_not_disturb(copy: Path) -> None:
    """The files that `energon prepare` of version 7.4.1 writes into the folder of a source."""
    (copy / "mine/.nv-meta").mkdir()
    for name in (".info.json", "dataset.yaml", "index.sqlite", "index.uuid", "split.yaml"):
        (copy / "mine/.nv-meta" / name).write_text("x")
    (copy / f"{SHARD}.idx").write_bytes(bytes(8))
    assert found(copy) == set()
    assert len(pvit_data.open(copy)) == 5


def test_empty_box_table_is_sound(tmp_path: Path) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        writer.write(full_sample(0, boxes=Boxes(np.empty((0, 4), np.float32))))
    assert validate(tmp_path, deep=True).problems == []


def test_a_split_whose_samples_all_failed_is_sound(tmp_path: Path) -> None:
    """Its shard is empty and so is its index: with receipts and without them."""
    write_shard(tmp_path, SourceSpec(name="mine"), "train", 0, [bare_sample(0)])
    write_shard(tmp_path, SourceSpec(name="mine"), "val", 0, [Skip("mine-0002", "missing-file", "gone")])
    write_manifest(tmp_path)
    assert validate(tmp_path, deep=True).problems == []
    assert [s.key for s in pvit_data.open(tmp_path)] == ["mine-0000"]
    assert list(pvit_data.open(tmp_path, split="val")) == []
    shutil.rmtree(tmp_path / "mine/receipts")
    assert found(tmp_path) == {("no-receipts", "mine/receipts", "")}


def test_workers_find_the_same(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "CHUNK", 1)
    flip(copy / SHARD, offset_of(copy, "depth", 1) + 2000)
    assert found(copy, workers=2) == found(copy)


def test_a_sample_that_kills_its_worker_is_named(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    from deadly_storage import DeadlyStorage

    offset = offset_of(copy, "pose2d", 1)
    flip(copy / SHARD, offset_of(copy, "depth", 0) + 2000)
    storage = DeadlyStorage(copy, offset)
    shard = [facts for facts in survey(Storage(copy)).shards if facts.name == SHARD]
    problems = check_units([ShardUnit(storage, facts, WHOLE, False) for facts in shard], 2).problems
    assert Problem("crash", SHARD, "mine-0001", "the process that checked it died") in problems
    assert {p.key for p in problems if p.kind == "member-damaged"} == {"mine-0000"}


def test_behind_a_url(copy: Path) -> None:
    import fsspec

    flip(copy / SHARD, offset_of(copy, "depth", 1) + 2000)
    fsspec.filesystem("memory").put(str(copy), "/validated", recursive=True)
    assert found("memory://validated") == found(copy)
    fsspec.filesystem("memory").rm("/validated", recursive=True)
