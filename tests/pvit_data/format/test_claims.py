"""Manifests, indices, receipts, records and cards that claim what is not there: a sentence, nothing large allocated."""

import hashlib
import io
import json
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pvit_data
from pvit_data.errors import CorruptShardError, FormatError, PvitError
from pvit_data.format.manifest import SourceSpec, parse, read_manifest
from pvit_data.format.parquet_pages import decompressed_bytes
from pvit_data.format.record import parse_json, read_record
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.sample.labels import LabelSpace
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.validate.folder import read_head
from pvit_data.writing import finish
from pvit_data.writing.card import write_card
from pvit_data.writing.encode import Encoding, encode_sample
from tests.bombs import deflated
from tests.pvit_data.format.test_hostile import memory
from tests.pvit_data.older import make_older
from tests.pvit_data.samples import SPACES, bare_sample, full_sample

INDEX = "mine/index/train.parquet"
RECEIPT = "mine/receipts/train-00000.json"


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """R6 again."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    before, begun = memory("VmRSS"), time.process_time()
    yield
    assert time.process_time() - begun < 10
    assert memory("VmHWM") - before < 1.25e9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two samples, and a secret beside their folder."""
    (tmp_path / "secret.tar").write_bytes(b"secret" * 1000)
    with pvit_data.ShardWriter(tmp_path / "d", "mine", spaces=SPACES) as writer:
        for seed in range(2):
            writer.write(bare_sample(seed))
    return tmp_path / "d"


def seal(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A changed manifest with a right checksum."""
    path = folder / "manifest.json"
    values = json.loads(path.read_bytes()) | {"checksum": ""}
    change(values)
    plain = json.dumps(values)
    path.write_text(plain.replace('"checksum": ""', f'"checksum": "{hashlib.sha256(plain.encode()).hexdigest()}"'))


def train(values: dict[str, Any]) -> Any:
    return values["sources"]["mine"]["splits"]["train"]


def place_index(folder: Path, data: bytes, **more: Any) -> None:
    """Another index, vouched for by the manifest, with shards as large as they need to be."""
    (folder / INDEX).write_bytes(data)

    def change(values: dict[str, Any]) -> None:
        train(values)["index"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        train(values).update(more)
        if more:
            train(values)["shards"][0]["bytes"] = 1 << 50

    seal(folder, change)


def changed(folder: Path, **columns: Any) -> None:
    """The index with other columns."""
    table = pq.read_table(folder / INDEX)
    for name, values in columns.items():
        number = table.column_names.index(name)
        table = table.set_column(number, name, pa.array(values, table.schema.field(name).type))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    place_index(folder, buffer.getvalue())


def use(folder: Path) -> None:
    """What any reader does."""
    dataset = pvit_data.open(folder)
    dataset.column("split")
    dataset.column("key")
    dataset.column("frames")
    list(dataset)


def survives(folder: Path, match: str) -> None:
    """A sentence from reading, and a report from validation."""
    with pytest.raises(FormatError, match=match):
        use(folder)
    assert not validate(folder).ok


@pytest.mark.parametrize("shard_bytes", [None, 1 << 50])
def test_a_manifest_with_300_million_samples(folder: Path, shard_bytes: int | None) -> None:
    def change(values: dict[str, Any]) -> None:
        train(values)["samples"] = 300_000_000
        train(values)["shards"][0]["bytes"] = shard_bytes or train(values)["shards"][0]["bytes"]

    seal(folder, change)
    survives(folder, "has 2 rows, the manifest says" if shard_bytes else "300000000 samples do not fit into its shards")


def test_an_index_of_equal_rows(folder: Path) -> None:
    """30 million rows here, in less than a megabyte."""
    table = pq.read_table(folder / INDEX)
    rows = 30_000_000
    buffer = io.BytesIO()
    columns = {
        name: pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows // 10, np.int32)), table[name].combine_chunks()[:1])
        for name in ("key", "group", "shard", "rgb_encoding", "frames", "json_offset")
    }
    part = pa.table(columns)
    with pq.ParquetWriter(buffer, part.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(part)
    assert len(buffer.getvalue()) < 1e6
    place_index(folder, buffer.getvalue(), samples=rows)
    survives(folder, "claims 30000000 rows, which do not fit into its")


def test_an_index_with_few_long_texts(folder: Path) -> None:
    """One key of a megabyte, a hundred thousand times: as a number into a dictionary, and compressed."""
    rows = 100_000
    key = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["k" * 1_000_000]))
    filling = pa.array(np.random.default_rng(0).integers(0, 1 << 31, rows))
    short = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["train-00000.tar"]))
    texts = dict.fromkeys(("shard", "group", "rgb_encoding"), short)
    buffer = io.BytesIO()
    pq.write_table(pa.table({"key": key, **texts, "json_crc32": filling}), buffer)
    place_index(folder, buffer.getvalue(), samples=rows)
    survives(folder, "column key cannot be decoded: takes 100000000000 bytes decompressed")
    buffer = io.BytesIO()
    part = pa.table({"key": pa.array(["k" * 1_000_000] * 100), **{n: v[:100] for n, v in texts.items()}})
    with pq.ParquetWriter(buffer, part.schema, compression="zstd", use_dictionary=["shard"]) as writer:
        for _ in range(12):
            writer.write_table(part)
    place_index(folder, buffer.getvalue(), samples=1200)
    survives(folder, r"column key cannot be decoded: takes 1200\d* bytes decompressed")


def zigzag(number: int) -> bytes:
    """A number in Thrift's compact form."""
    rest, out = number << 1, b""
    while rest > 127:
        rest, out = rest >> 7, out + bytes([rest & 127 | 128])
    return out + bytes([rest])


def page(decompressed: int, stored: bytes, rows: int) -> bytes:
    """A data page of plain values with its header."""
    parts = (b"\x15\x00\x15", zigzag(decompressed), b"\x15", zigzag(len(stored)), b"\x2c\x15", zigzag(rows))
    return b"".join(parts) + b"\x15\x00\x15\x06\x15\x06\x00\x00" + stored


def with_page(data: bytes, name: str, fresh: bytes) -> bytes:
    """A Parquet file whose end sends readers of a column to another page, and says nothing of its size."""
    told = pq.ParquetFile(io.BytesIO(data)).metadata
    columns = [told.schema.column(number).path for number in range(len(told.schema))]
    old = told.row_group(0).column(columns.index(name))
    length = int.from_bytes(data[-8:-4], "little")
    body, end = data[: -8 - length], data[-8 - length : -8]
    size = b"\x16" + zigzag(old.total_uncompressed_size) + b"\x16"
    before = size + zigzag(old.total_compressed_size) + b"\x26" + zigzag(old.data_page_offset)
    assert end.count(before) == 1
    end = end.replace(before, size + zigzag(len(fresh)) + b"\x26" + zigzag(len(body)))
    return body + fresh + end + len(end).to_bytes(4, "little") + b"PAR1"


def test_an_index_whose_pages_inflate(folder: Path) -> None:
    """The end of the file says 50 bytes, the page 512 MiB, which it becomes; and pages that are none."""
    columns = pq.read_table(folder / INDEX)
    buffer = io.BytesIO()
    texts = ["key", "group", "shard", "rgb_encoding"]
    pq.write_table(columns, buffer, compression="gzip", use_dictionary=texts, write_statistics=False)
    plain = buffer.getvalue()
    place_index(folder, with_page(plain, "frames", page(512 << 20, deflated(512), 2)))
    survives(folder, f"column frames cannot be decoded: a page takes {512 << 20} bytes decompressed, at most")
    values = b"\2\0\0\0\4\1" + bytes(8)  # two of two are there, both 0
    small = page(len(values), zlib.compress(values), 2)
    for fresh, problem in [
        (b"\x15\x00\x15", "a description does not end"),
        (b"\x1c" * 100, "nested too deep"),
        (b"\x15\x00" + b"\x18\xff\xff\x03" + small, "a description does not end"),
        (b"\x19\x00", "a description does not end"),
        (b"\x15\x00\x00", "does not say how large"),
        (b"\x15\x00\x15\x01\x15\x01\x00", "negative size"),
        (page(0, b"", 0) * 70_000, "more than 65536 pages"),
    ]:
        place_index(folder, with_page(plain, "frames", fresh))
        survives(folder, problem)
    place_index(folder, with_page(plain, "people", small))
    assert pvit_data.open(folder).column("people").tolist() == [0, 0]


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_pages_are_counted_as_they_are(compression: str, version: Any) -> None:
    """Headers as the library writes them, whose sizes the end of the file gives in all."""
    texts = pa.array([str(i % 1000) * 9 for i in range(30_000)])
    buffer = io.BytesIO()
    table = pa.table({"a": texts, "b": pa.array(range(30_000)), "c": pa.array([[i] for i in range(30_000)])})
    options: dict[str, Any] = {"data_page_version": version, "data_page_size": 20_000, "row_group_size": 10_000}
    pq.write_table(table, buffer, compression=compression, write_page_checksum=True, **options)
    data = buffer.getvalue()
    told = pq.ParquetFile(io.BytesIO(data)).metadata
    for group in range(told.num_row_groups):
        for number in range(3):
            chunk = told.row_group(group).column(number)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            size = decompressed_bytes(lambda at, n: data[at : at + n], start, chunk.total_compressed_size)
            assert 0.95 * chunk.total_uncompressed_size < size < chunk.total_uncompressed_size


@pytest.mark.parametrize("name", ["manifest.json", RECEIPT, "mine/receipts/source.json", "README.md", INDEX])
def test_sparse_files_of_6_gigabytes(folder: Path, name: str) -> None:
    with open(folder / name, "r+b") as file:
        file.truncate(6 << 30)
    ok = validate(folder).ok
    assert ok == name.endswith("source.json")  # which says nothing that the manifest does not say
    for action in (use, finish.write_manifest):
        with suppress(FormatError):
            action(folder)


def test_a_sparse_index_of_foreign_tars(tmp_path: Path) -> None:
    with open(tmp_path / "webdataset.parquet", "wb") as file:
        file.truncate(6 << 30)
    with pytest.raises(FormatError, match=r"webdataset\.parquet: has more than"):
        pvit_data.open(tmp_path)


@pytest.mark.parametrize(
    "shard", ["../secret.tar", "../../secret.tar", "/secret.tar", "val-00000.tar", "train-00001.tar"]
)
def test_shards_are_those_of_the_manifest(folder: Path, shard: str) -> None:
    changed(folder, shard=[shard, shard], json_offset=[0, 0])
    with pytest.raises(CorruptShardError, match=r"names the shard '.*', which the manifest does not list"):
        pvit_data.open(folder).files(0)
    report = validate(folder)
    assert not report.ok
    assert "6000" not in json.dumps(report.to_json())  # the size of the secret


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 100), (512, 1 << 30), (1 << 60, 10), (10_000_000, 10), (512, -10), (-(1 << 40), 10)]
)
def test_members_lie_in_their_shard(folder: Path, offset: int, size: int) -> None:
    changed(folder, json_offset=[offset, 512], json_size=[size, 10])
    with pytest.raises(CorruptShardError, match=r"lies at -?\d+ \+ -?\d+ of|has no JSON"):
        pvit_data.open(folder).record(0)
    assert not validate(folder).ok


def test_the_members_of_a_sample_fit_into_memory(folder: Path) -> None:
    """Each as large as the shard, which a sparse file makes as large as one likes."""
    with open(folder / "mine/train-00000.tar", "r+b") as file:
        file.truncate(4 << 30)
    data = (folder / INDEX).read_bytes()
    place_index(folder, data, samples=2)
    names = [name for name in pq.read_schema(folder / INDEX).names if name.endswith("_size")]
    assert len(names) >= 2
    changed(folder, **{name: [1 << 30, 1 << 30] for name in names})
    with pytest.raises(CorruptShardError, match="has more than 1073741824 bytes"):
        pvit_data.open(folder).files(0)
    (report,) = (p for p in validate(folder).problems if p.kind == "member-damaged" and p.key == "mine-0000")
    assert "claim more than" in report.message


def test_an_index_with_a_billion_frames(folder: Path) -> None:
    changed(folder, frames=[1_000_000_000, 1])
    with pytest.raises(CorruptShardError, match="column frames holds 1000000000, expected at most 1048576"):
        pvit_data.open(folder).column("frames")


def test_records_are_bounded() -> None:
    record = json.loads(encode_sample(full_sample(0), Encoding(spaces=SPACES)).files["json"])
    for change in ({"frames": 1_000_000_000}, {"frames": 0}, {"height": 2_000_000_000}, {"height": -5}, {"width": 0}):
        with pytest.raises(FormatError, match="record"):
            read_record(json.dumps(record | change).encode())


@pytest.mark.parametrize(
    "space",
    [{"first": 2_000_000_000}, {"first": -1}, {"first": 2**70}, {"pairs": [[0, 9]]}, {"pairs": [[-1, 0]]},
     {"colours": [[0, 0, 256]]}, {"colours": [[0, 0, 0]] * 3}, {"classes": [str(i) for i in range(65536)]}],
)  # fmt: skip
def test_label_spaces_are_bounded(folder: Path, space: dict[str, Any]) -> None:
    whole = {"name": "s", "classes": ["a"]} | space
    with pytest.raises(FormatError, match="where: "):
        parse(SourceSpec, {"name": "mine", "spaces": {"action": whole}}, "where")
    seal(folder, lambda values: values["sources"]["mine"]["spec"].update(spaces={"action": whole}))
    survives(folder, "manifest")
    LabelSpace("s", tuple(map(str, range(65534))), first=1)


WRONG_MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "negative": lambda v: train(v).update(samples=-1),
    "huge": lambda v: train(v).update(frames=2**70),
    "split": lambda v: v["sources"]["mine"]["splits"].update(other=train(v)),
    "source": lambda v: v["sources"].update(other=v["sources"]["mine"]),
    "shard": lambda v: train(v)["shards"][0].update(name="mine/val-00000.tar"),
    "outside": lambda v: train(v)["shards"][0].update(name="../secret.tar"),
    "name": lambda v: v["sources"]["mine"]["spec"].update(name="../x"),
    "index": lambda v: train(v)["index"].update(bytes=2**70),
    "deep": lambda v: v["sources"]["mine"]["spec"].update(options=nested(500)),
}


@pytest.mark.parametrize("kind", WRONG_MANIFESTS)
def test_manifests_that_do_not_fit_together(folder: Path, kind: str) -> None:
    seal(folder, WRONG_MANIFESTS[kind])
    survives(folder, r"manifest\.json")


def test_members_of_a_newer_version_are_passed_over(folder: Path) -> None:
    seal(folder, lambda values: train(values)["members"].append("flow.npz"))
    assert len(pvit_data.open(folder)) == 2
    assert validate(folder).ok
    write_card(read_manifest(Storage(folder)))


def nested(depth: int) -> Any:
    values: Any = {}
    for _ in range(depth):
        values = {"a": values}
    return values


WRONG_RECEIPTS: dict[str, dict[str, Any]] = {
    "samples": {"samples": "x"},
    "samples_huge": {"samples": 2**70},
    "number": {"number": -1},
    "number_huge": {"number": 2**70},
    "bytes": {"bytes": 1.5},
    "split": {"split": "other"},
    "name": {"name": "../../secret.tar"},
    "source": {"source": ".."},
    "skipped": {"skipped": [["a", "b"]]},
    "deep": {"extra": nested(500)},
    "rows": {"rows": []},
    "row": {"rows": {"key": [[], []]}},
    **{
        f"{column}_{kind}": {"rows": {column: [value, value]}}
        for column, values in {
            "key": (1, None, nested(3)), "shard": (2**70,), "frames": (2**70, 1.5, "1", None, True),
            "fps": ("1", 10**400, None), "has_rgb": (1, "x"), "json_offset": (2**70, 0.5), "json_crc32": (-1, 2**32),
        }.items()
        for kind, value in enumerate(values)
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_RECEIPTS)
def test_receipts_with_wrong_values(folder: Path, kind: str) -> None:
    """Of the older form, with rows in them."""
    make_older(folder)
    values = json.loads((folder / RECEIPT).read_bytes())
    change = dict(WRONG_RECEIPTS[kind])
    if isinstance(change.get("rows"), dict):
        change["rows"] = values["rows"] | change["rows"]
    (folder / RECEIPT).write_text(json.dumps(values | change))
    with pytest.raises(FormatError, match="receipt"):
        finish.write_manifest(folder)
    report = validate(folder)
    assert report.counts["receipt-damaged"] == 1
    assert "6000" not in json.dumps(report.to_json())


@pytest.mark.parametrize(
    "change", [{"name": "other"}, {"name": 1}, {"spaces": {"action": {"name": "a", "classes": [], "first": 2**70}}},
               {"options": nested(500)}, {"notes": "x"}],
)  # fmt: skip
def test_sources_with_wrong_values(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "mine/receipts/source.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(FormatError, match=r"source\.json"):
        finish.write_manifest(folder)
    validate(folder)


def test_json_is_not_deep() -> None:
    assert parse_json(json.dumps(nested(99)).encode(), "x")
    assert parse_json(json.dumps(["[" * 500, '"[' * 500, "\\"] * 200).encode(), "x")  # brackets in texts are none
    for text in (json.dumps(nested(101)), "[" * 101 + "]" * 101, "[" * 100_000, "[" * 100_000 + "]" * 100_000):
        with pytest.raises(FormatError, match=r"levels of brackets|not JSON"):
            parse_json(text.encode(), "x")


def sparse_tar(path: Path, names: list[str], size: int) -> None:
    """Members of zeros that take no room."""
    with open(path, "wb") as file:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            file.write(info.tobuf(tarfile.USTAR_FORMAT))
            file.seek(-(-size // 512) * 512, os.SEEK_CUR)
        file.write(bytes(1024))


@pytest.mark.torture
@pytest.mark.parametrize("names", [
    [f"a.{i}.bin" for i in range(8)],
    ["a.json", *(f"{key}.{i}.bin" for i in range(3) for key in "ab")],
    [f"{key}.{i}.bin" for i in range(2) for key in ("a", ".hidden", "a")],
])  # fmt: skip
def test_sparse_members_of_one_key(tmp_path: Path, names: list[str]) -> None:
    """Eight members of half a gigabyte in a file of some kilobytes, as foreign tar and as one of ours."""
    size = (1 << 29) - 7
    sparse_tar(tmp_path / "a.tar", names, size)
    if names[0] == "a.json":
        with pytest.raises(FormatError, match=r"more than 1073741824 bytes|JSON"):
            list(pvit_data.open(tmp_path))
        return
    summary = index_foreign(tmp_path)
    assert summary.left_out["too large"] + summary.left_out["hidden file"] == len(names) - 2
    dataset = pvit_data.open(tmp_path)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(FormatError, match="damaged or was changed"):
        dataset.files(0)


HEADS = {
    "date": b"x: 2024-13-45",
    "time": b"x: 2024-01-01 99:99:99",
    "deep": b"x: " + b"[" * 5000 + b"]" * 5000,
    "aliases": b"a: &a [1, 1, 1, 1]\n" + b"".join(
        b"%c: &%c [%s]\n" % (c + 1, c + 1, b", ".join([b"*%c" % c] * 9)) for c in range(97, 110)
    ),
    "tags": b"x: !!python/object/apply:os.system ['touch executed']",
    "huge": b"x: [" + b"1, " * 300_000 + b"]",
    "binary": b"\xff\xfe\x00",
    "number": b"dataset_info: 1",
    "texts": b"dataset_info: [a, b]\nconfigs: [c]",
    "keys": b"? [a, b]\n: c",
    "integer": b"x: 0x" + b"f" * 5000 + b"\ny: " + b"9" * 5000,
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADS)
def test_heads_of_cards(folder: Path, kind: str) -> None:
    (folder / "README.md").write_bytes(b"---\n" + HEADS[kind] + b"\n---\n# Text")
    report = validate(folder)
    assert report.counts["card-differs"] == 1
    assert not list(Path.cwd().glob("executed"))
    if kind not in ("number", "texts"):
        try:
            read_head((folder / "README.md").read_bytes())
        except FormatError:
            return
        assert kind == "integer"


def test_own_heads_are_plain(folder: Path) -> None:
    assert read_head((folder / "README.md").read_bytes())["pretty_name"] == "mine"
    with pytest.raises(PvitError, match="no YAML"):
        read_head(b"# A card without a head")


def test_an_index_without_rows(folder: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pq.read_table(folder / INDEX)[:0], buffer)
    place_index(folder, buffer.getvalue(), samples=0)
    dataset = pvit_data.open(folder)
    assert (len(dataset), list(dataset.column("key")), list(dataset.column("group"))) == (0, [], [])
