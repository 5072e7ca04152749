"""Receipts: rows beside them, older ones with rows in them, and whatever strangers make of either."""

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pvit_data
from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format import receipts
from pvit_data.format.index import COLUMNS, TYPES, Index, encode_table, table_of
from pvit_data.format.manifest import read_manifest
from pvit_data.format.names import receipt_name, rows_name, shard_name
from pvit_data.format.receipts import (
    MAX_RECEIPT_BYTES,
    Skip,
    read_receipt,
    read_receipts,
    read_rows_of,
    with_shards,
)
from pvit_data.format.rows import IndexWriter, Rows
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing import finish
from pvit_data.writing.shard import ShardFile, write_shard
from tests.bombs import require_cheap
from tests.pvit_data.older import make_older, write_json
from tests.pvit_data.samples import SPACES, bare_sample, full_sample

SOURCE = pvit_data.SourceSpec(name="mine", spaces=SPACES)
RECEIPT = "mine/receipts/train-00000.json"
ROWS = "mine/receipts/rows/train-00000.parquet"


def write(folder: Path, numbers: tuple[int, ...] = (0, 1)) -> None:
    for number in numbers:
        write_shard(folder, SOURCE, "train", number, [bare_sample(2 * number), full_sample(2 * number + 1)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path)
    finish.write_manifest(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if "/receipts/" not in name}


def test_rows_are_those_of_the_index(folder: Path) -> None:
    storage = Storage(folder)
    found = list(read_receipts(storage))
    assert [(r.name, r.samples, r.file) for r in found] == [
        (f"mine/train-{n:05d}.tar", 2, f"mine/receipts/train-{n:05d}.json") for n in (0, 1)
    ]
    index = Index(folder / "mine/index/train.parquet", "index")
    tables = [read_rows_of(storage, receipt) for receipt in found]
    for name in tables[0].column_names:
        own = [value for table in tables for value in table[name].to_pylist()]
        assert own == index.column(name).tolist()
    small = json.loads((folder / RECEIPT).read_bytes())
    assert (small["version"], sorted(small["rows"])) == ("1.1", ["bytes", "members", "sha256"])


def test_older_data_are_finished_and_appended_to(folder: Path) -> None:
    """Rows in the receipts, names in one folder; then both forms beside each other."""
    before = contents(folder)
    make_older(folder)
    assert validate(folder).problems == []
    finish.write_manifest(folder)
    assert contents(folder) == before
    with pvit_data.ShardWriter(folder, "mine", spaces=SPACES) as writer:
        writer.write(bare_sample(9))
    assert validate(folder, deep=True).problems == []
    assert list(pvit_data.open(folder).column("key")) == [f"mine-{n:04d}" for n in (0, 1, 2, 3, 9)]


def test_version_1_data_are_finished_again(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(Path(__file__).with_name("version_1"), tmp_path / "d")
    before = read_manifest(Storage(tmp_path / "d"))
    after = finish.write_manifest(tmp_path / "d")
    assert after.version == before.version == "1.0"
    info, old = (m.sources["old"].splits["train"] for m in (after, before))
    assert (info.samples, info.frames, info.bytes, info.shards, info.members) == (
        old.samples, old.frames, old.bytes, old.shards, old.members,
    )  # fmt: skip
    assert validate(tmp_path / "d").ok


def older_places(folder: Path, number: int) -> None:
    """Puts a shard and its receipt where they lay before format 1.1."""
    flat = shard_name("mine", "train", number, 0)
    (folder / shard_name("mine", "train", number)).rename(folder / flat)
    values = json.loads((folder / receipt_name("mine", "train", number)).read_bytes())
    values["rows"]["shard"] = [flat.partition("/")[2]] * values["samples"]
    write_json(folder / receipt_name("mine", "train", number, 0), values | {"name": flat})
    (folder / receipt_name("mine", "train", number)).unlink()


def test_shards_of_older_places_are_read_and_replaced(tmp_path: Path) -> None:
    write(tmp_path, (0, 3000, 3001))
    make_older(tmp_path)
    for number in (3000, 3001):
        older_places(tmp_path, number)
    finish.write_manifest(tmp_path)
    assert not list(tmp_path.rglob("part-*/*"))
    for place in tmp_path.rglob("part-*"):
        place.rmdir()
    assert validate(tmp_path).problems == []
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        writer.write(bare_sample(9))
    assert (tmp_path / "mine/part-00001/train-03002.tar").is_file()
    write(tmp_path, (3000,))  # again, as --retry-failed does
    assert not (tmp_path / "mine/train-03000.tar").exists()
    assert not (tmp_path / "mine/receipts/train-03000.json").exists()
    finish.write_manifest(tmp_path)
    assert validate(tmp_path).problems == []
    shards = sorted(set(pvit_data.open(tmp_path).column("shard")))
    assert shards == ["part-00001/train-03000.tar", "part-00001/train-03002.tar", "train-00000.tar", "train-03001.tar"]


def test_a_shard_has_one_receipt(tmp_path: Path) -> None:
    write(tmp_path, (0, 3000))
    older = tmp_path / "older"
    write(older, (3000,))
    make_older(older)
    older_places(older, 3000)
    for name in ("mine/train-03000.tar", "mine/receipts/train-03000.json"):
        (older / name).rename(tmp_path / name)
    with pytest.raises(FormatError, match="are receipts of the same shard"):
        finish.write_manifest(tmp_path)


def put_rows(folder: Path, data: bytes, **more: Any) -> None:
    """Other rows, for which the receipt vouches."""
    (folder / ROWS).write_bytes(data)
    values = json.loads((folder / RECEIPT).read_bytes())
    values["rows"] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} | more
    write_json(folder / RECEIPT, values)


def with_rows(folder: Path, **columns: Any) -> None:
    """Rows with other columns."""
    table = pq.read_table(folder / ROWS)
    for name, values in columns.items():
        number = table.column_names.index(name)
        table = table.remove_column(number)
        if values is not None:
            table = table.add_column(number, name, values if isinstance(values, pa.Array) else pa.array(values))
    put_rows(folder, encode_table(table))


WRONG: dict[str, Callable[[Path], object]] = {
    "gone": lambda d: (d / ROWS).unlink(),
    "cut": lambda d: (d / ROWS).write_bytes((d / ROWS).read_bytes()[:-1]),
    "flipped": lambda d: (d / ROWS).write_bytes((d / ROWS).read_bytes()[:-1] + b"x"),
    "longer": lambda d: (d / ROWS).write_bytes((d / ROWS).read_bytes() + b"x"),
    "empty": lambda d: put_rows(d, b""),
    "no table": lambda d: put_rows(d, b"PAR1 not at all PAR1"),
    "a pipe": lambda d: ((d / ROWS).unlink(), os.mkfifo(d / ROWS)),
    "a folder": lambda d: ((d / ROWS).unlink(), (d / ROWS).mkdir()),
    "a link": lambda d: ((d / ROWS).unlink(), (d / ROWS).symlink_to("/etc/passwd")),
    "sparse": lambda d: os.truncate(d / ROWS, 6 << 30),
    "huge": lambda d: put_rows(d, (d / ROWS).read_bytes(), bytes=1 << 50),
    "too many rows": lambda d: put_rows(d, encode_table(pa.concat_tables([pq.read_table(d / ROWS)] * 2))),
    "too few rows": lambda d: put_rows(d, encode_table(pq.read_table(d / ROWS)[:1])),
    "key": lambda d: with_rows(d, key=[1, 2]),
    "key null": lambda d: with_rows(d, key=["a", None]),
    "key bytes": lambda d: with_rows(d, key=pa.array([b"\xff", b"a"])),
    "shard": lambda d: with_rows(d, shard=["train-00000.tar", "../../secret.tar"]),
    "frames": lambda d: with_rows(d, frames=pa.array([1, 2], pa.int64())),
    "frames huge": lambda d: with_rows(d, frames=pa.array([1, 1 << 30], pa.int32())),
    "has": lambda d: with_rows(d, has_rgb=pa.array([1, 0], pa.int8())),
    "lists": lambda d: with_rows(d, action=pa.array([[1], [2]])),
    "lacks": lambda d: with_rows(d, group=None),
    "lacks a place": lambda d: with_rows(d, json_size=None),
    "members": lambda d: put_rows(d, (d / ROWS).read_bytes(), members=["json"]),
    "unknown member": lambda d: put_rows(d, (d / ROWS).read_bytes(), members=["json", "../x"]),
    "members type": lambda d: put_rows(d, (d / ROWS).read_bytes(), members={"json": 1}),
    "bytes type": lambda d: put_rows(d, (d / ROWS).read_bytes(), bytes="x"),
    "no hash": lambda d: put_rows(d, (d / ROWS).read_bytes(), sha256=None),
    "both": lambda d: put_rows(d, (d / ROWS).read_bytes(), key=["a", "b"], sha256="0" * 64),
    "neither": lambda d: change(d, rows=None),
    "text": lambda d: change(d, rows="rows"),
    "samples": lambda d: change(d, samples=3),
    "samples huge": lambda d: change(d, samples=1 << 50),
    "samples and room": lambda d: change(d, samples=1 << 30, bytes=1 << 50),
    "number": lambda d: change(d, number=3),
    "other name": lambda d: change(d, name="mine/part-00001/train-00000.tar"),
    "other file": lambda d: (d / RECEIPT).rename(d / "mine/receipts/train-00007.json"),
    "no receipt": lambda d: (d / "mine/receipts/notes.json").write_text("{}"),
    "a list": lambda d: (d / RECEIPT).write_text("[]"),
}  # fmt: skip


def change(folder: Path, **values: Any) -> None:
    write_json(folder / RECEIPT, json.loads((folder / RECEIPT).read_bytes()) | values)


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_receipts_give_a_sentence(folder: Path, kind: str) -> None:
    before = contents(folder)
    WRONG[kind](folder)
    with pytest.raises((FormatError, StorageError)) as caught:
        finish.write_manifest(folder)
    assert "\n" not in str(caught.value)
    assert contents(folder) == before  # what was there is there
    report = validate(folder)
    assert report.counts["receipt-damaged"] == 1
    assert len(list(pvit_data.open(folder))) == 4  # who reads needs no receipt


@pytest.mark.parametrize("kind", ["gone", "cut"])
def test_a_shard_without_its_rows_is_not_finished(folder: Path, kind: str) -> None:
    WRONG[kind](folder)
    storage = Storage(folder)
    found = with_shards(storage, read_receipts(storage), storage.listing())
    assert [receipt.number for receipt in found] == [1]


def repeated(text: str, rows: int) -> pa.Array:
    """A text again and again, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


BOMBS: dict[str, Callable[[int], dict[str, pa.Array]]] = {
    "long texts": lambda rows: {"group": repeated("g" * 20_000, rows)},
    "texts of several columns": lambda rows: {
        name: repeated("g" * 2600, rows) for name in ("group", "shard", "rgb_encoding")
    },
    "compressed": lambda rows: {"group": pa.array(["g" * 5000] * rows)},
    "more rows than a shard has": lambda rows: {"group": repeated("g", 10 * rows)},
}


@pytest.mark.parametrize("kind", BOMBS)
def test_rows_that_grow_are_refused(folder: Path, kind: str) -> None:
    """A hundred thousand rows, which a shard may have, and more."""
    changes = BOMBS[kind](100_000)
    rows = len(changes["group"])
    table = pq.read_table(folder / ROWS).combine_chunks()
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), table[name].chunk(0)[:1])
        for name in table.column_names
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns | changes), buffer, compression="zstd", use_dictionary=kind != "compressed")
    put_rows(folder, buffer.getvalue())
    change(folder, samples=rows)
    code = "from pvit_data.writing import finish\nfinish.write_manifest(sys.argv[1])"
    assert "Error" in require_cheap(code, folder)


@pytest.mark.full
def test_the_largest_json_is_bounded(folder: Path) -> None:
    """As a receipt and as a manifest: lists of nothing, which take the most memory."""
    text = b'{"format": "pvit-shards", "version": "1.1", "x": [' + b"[]," * ((MAX_RECEIPT_BYTES - 80) // 3) + b"[]]}"
    (folder / RECEIPT).write_bytes(text)
    (folder / "manifest.json").write_bytes(text)
    code = "from pvit_data.writing import finish\nfinish.write_manifest(sys.argv[1])"
    assert "FormatError" in require_cheap(code, folder)
    assert "FormatError" in require_cheap("import pvit_data\npvit_data.open(sys.argv[1])", folder)


def test_receipts_of_many_failures_stay_readable(tmp_path: Path) -> None:
    """Keys and reasons of all of them; messages as long as there is room."""
    skipped = [Skip(f"sample-{n:06d}-{'k' * 60}", "missing-file", f"{n}: " + "ä" * 3000) for n in range(100_000)]
    write_shard(tmp_path, SOURCE, "train", 0, [bare_sample(0), *skipped])
    found = read_receipt(Storage(tmp_path), RECEIPT)
    assert [(s.key, s.reason) for s in found.skipped] == [(s.key, s.reason) for s in skipped]
    assert found.skipped[0].message == skipped[0].message[:1000] + "..."
    assert found.skipped[-1].message == ""
    assert finish.write_manifest(tmp_path).sources["mine"].splits["train"].skipped == {"missing-file": 100_000}


def test_a_receipt_that_would_not_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "MAX_RECEIPT_BYTES", 1000)
    with pytest.raises(FormatError, match="at most 1000: put fewer samples into a shard"):
        write_shard(tmp_path, SOURCE, "train", 0, [bare_sample(0)], {"note": "x" * 1000})


def test_a_shard_takes_so_many_samples_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pvit_data.writing import grown_shards, shard

    monkeypatch.setattr(shard, "MAX_SHARD_SAMPLES", 4)
    monkeypatch.setattr(grown_shards, "SHARD_SAMPLES", 2)
    with pytest.raises(UsageError, match="a shard takes no more"):
        write_shard(tmp_path / "a", SOURCE, "train", 0, map(bare_sample, range(5)), skip_invalid=True)
    with pvit_data.ShardWriter(tmp_path / "b", SOURCE) as out:
        for number in range(5):  # groups of two
            out.write(bare_sample(number))
    assert sorted(p.name for p in (tmp_path / "b/mine").glob("*.tar")) == [f"train-{n:05d}.tar" for n in range(3)]


def rows_of(count: int, first: int = 0) -> dict[str, list[Any]]:
    """Made-up rows, every third of which has depth."""
    from pvit_data.format.index import TEXT

    numbers = range(first, first + count)
    columns: dict[str, list[Any]] = {name: [f"{name}-{n // 7}" for n in numbers] for name in TEXT}
    for name, kind in TYPES.items():
        columns[name] = [bool(n % 2) if kind == "bool" else n % 50 for n in numbers]
        if name.endswith("_offset"):
            columns[name] = [-1] * count
    columns["json_offset"] = list(numbers)
    columns["depth_offset"] = [n if n % 3 == 0 and n > 1000 else -1 for n in numbers]
    for name in ("depth_size", "depth_crc32"):
        columns[name] = [7 * (offset >= 0) for offset in columns["depth_offset"]]
    return columns


def test_an_index_has_the_same_bytes_however_its_rows_come(tmp_path: Path) -> None:
    """As pyarrow writes it at once; over two row groups and more."""
    pieces = [1, 0, 700, 64_000, 65_536, 3, 80_000, 1, 999]
    total = sum(pieces)
    there = ("json", "depth_", "base_")
    kept = [c for c in COLUMNS if not c.endswith(("_offset", "_size", "_crc32")) or c.startswith(there)]
    whole = table_of(rows_of(total))
    assert whole.column_names == kept
    buffer = io.BytesIO()
    pq.write_table(whole, buffer, row_group_size=65536, compression="zstd",
                   use_dictionary=["group", "shard", "rgb_encoding"])  # fmt: skip
    writer = Storage(tmp_path).create("index")
    first = 0
    with IndexWriter(writer, ["json", "depth", "base", "meta"]) as index:
        for count in pieces:
            index.add(table_of(rows_of(count, first)))
            first += count
    writer.publish()
    assert (tmp_path / "index").read_bytes() == buffer.getvalue()
    assert index.totals["samples"] == total
    assert index.totals["frames"] == sum(n % 50 for n in range(total))
    assert index.totals["depth"] == total // 2


def test_rows_one_by_one_are_rows_at_once() -> None:
    columns = rows_of(2500)
    rows = Rows()
    for number in range(2500):
        rows.add({name: column[number] for name, column in columns.items()})
        assert len(rows) == number + 1
    assert encode_table(rows.table()) == encode_table(table_of(columns))
    assert len(Rows().table()) == 0


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    write(tmp_path / "d", (0,))
    rows = tmp_path / "d/mine/receipts/rows"
    rows.rename(tmp_path / "elsewhere")
    rows.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere/train-00000.parquet").read_bytes()
    with pytest.raises(PvitError, match="nothing is written through links"):
        write(tmp_path / "d", (0,))
    assert (tmp_path / "elsewhere/train-00000.parquet").read_bytes() == before
    shard = ShardFile(Storage(tmp_path / "e"), SOURCE, "train", 0)
    shard.discard()
    assert rows_name(RECEIPT) == ROWS
