"""Lists of shards beside the manifest: the same as inline, quick for a million, and believed as little as anything."""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pvit_data
from pvit_data.errors import FormatError, StorageError
from pvit_data.format.manifest import (
    FileInfo,
    ShardInfo,
    ShardListInfo,
    SplitInfo,
    read_manifest,
)
from pvit_data.format.names import PER_FOLDER, shard_name
from pvit_data.format.shard_list import ShardList, list_name, write_list
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing import finish
from pvit_data.writing.shard import write_shard
from tests.bombs import require_cheap
from tests.pvit_data.format.test_claims import seal, train
from tests.pvit_data.samples import SPACES, bare_sample

LIST = "mine/index/train.shards.parquet"
NUMBERS = (0, 2, PER_FOLDER - 1, PER_FOLDER, 2 * PER_FOLDER + 1)


def shards(numbers: Iterator[int] | range | tuple[int, ...]) -> list[ShardInfo]:
    return [
        ShardInfo(
            name=shard_name("mine", "train", number),
            samples=number % 7,
            bytes=20_000 + number,
            sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        )
        for number in numbers
    ]


def info_of(listed: list[ShardInfo], data: bytes = b"") -> SplitInfo:
    told = ShardListInfo(
        bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), count=len(listed), last=listed[-1].number
    )
    return SplitInfo(
        samples=sum(s.samples for s in listed), frames=0, bytes=sum(s.bytes for s in listed), fields={}, members=[],
        index=FileInfo(bytes=0, sha256=""), shards=[] if data else listed, shard_list=told if data else None,
    )  # fmt: skip


def test_a_file_says_what_the_manifest_said(tmp_path: Path) -> None:
    listed = shards((*range(5), *range(2990, 3010), 100_000))
    older = listed[7].model_copy(update={"name": "mine/train-03001.tar"})  # as before format 1.1
    listed = [older if shard.number == 3001 else shard for shard in listed]
    storage, data = Storage(tmp_path), write_list(listed)
    storage.write(list_name("mine", "train"), data)
    inline, outside = (ShardList(storage, "mine", "train", info_of(listed, d)) for d in (b"", data))
    assert list(outside) == list(inline) == listed
    assert outside.sha256s() == inline.sha256s()
    assert len(outside) == len(inline) == 26
    others = ("part-00001/train-03001.tar", "train-00001.ta", "val-00001.tar", "train-00006.tar", "train-999999999.tar")
    for name in (*(s.name for s in listed), *(f"mine/{n}" for n in others), "x", "", "other/train-00001.tar"):
        assert outside.bytes_of(name) == inline.bytes_of(name), name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five shards in three folders; their list beside the manifest."""
    monkeypatch.setattr(finish, "MAX_INLINE", 4)
    monkeypatch.setattr(finish, "MAX_INLINE_ALL", 4)
    source = pvit_data.SourceSpec(name="mine", spaces=SPACES)
    for number in NUMBERS:
        write_shard(tmp_path, source, "train", number, [bare_sample(number)])
    finish.write_manifest(tmp_path)
    return tmp_path


def test_data_sets_with_a_list_are_as_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(Storage(folder))
    info = manifest.sources["mine"].splits["train"]
    assert (manifest.version, info.shards, info.shard_list.count, info.last) == ("1.1", [], 5, 6001)
    dataset = pvit_data.open(folder)
    keys = [f"mine-{number:04d}" for number in NUMBERS]
    assert [sample.key for sample in pickle.loads(pickle.dumps(dataset))] == [s.key for s in dataset] == keys
    assert dataset.column("shard")[-1] == "part-00002/train-06001.tar"
    assert validate(folder, deep=True).problems == []
    digest = dataset.digest_of("mine")
    with pvit_data.ShardWriter(folder, "mine", spaces=SPACES) as writer:
        writer.write(bare_sample(7777))
        with pytest.raises(FormatError, match=r"'mine-6001' is in mine/part-00002/train-06001\.tar already"):
            writer.write(bare_sample(6001))
    assert (folder / "mine/part-00002/train-06002.tar").is_file()
    assert len(pvit_data.open(folder)) == 6
    (folder / "mine/part-00002/train-06002.tar").unlink()
    (folder / "mine/receipts/part-00002/train-06002.json").unlink()
    (folder / "mine/receipts/rows/part-00002/train-06002.parquet").unlink()
    monkeypatch.undo()
    finish.write_manifest(folder)
    assert not (folder / LIST).exists()
    assert read_manifest(Storage(folder)).version == "1.0"
    assert pvit_data.open(folder).digest_of("mine") == digest
    assert validate(folder).problems == []
    (folder / "manifest.json").unlink()  # a stream
    assert [sample.key for sample in pvit_data.open(folder)] == keys


def test_plain_readers_find_all_folders(folder: Path, tmp_path: Path) -> None:
    import datasets

    rows = datasets.load_dataset(str(folder), "mine", split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(row["__key__"] for row in rows) == sorted(f"mine-{number:04d}" for number in NUMBERS)


def put(folder: Path, data: bytes, **more: Any) -> None:
    """Another list, for which the manifest vouches."""
    (folder / LIST).write_bytes(data)
    told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    seal(folder, lambda values: train(values)["shard_list"].update(told | more))


def changed(folder: Path, **columns: Any) -> None:
    table = pq.read_table(folder / LIST)
    for name, values in columns.items():
        column = pa.array(values, table.schema.field(name).type) if isinstance(values, list) else values
        number = table.column_names.index(name)
        table = table.remove_column(number) if column is None else table.set_column(number, name, column)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none", use_dictionary=False)
    put(folder, buffer.getvalue())


WRONG: dict[str, Callable[[Path], object]] = {
    "gone": lambda d: (d / LIST).unlink(),
    "cut": lambda d: (d / LIST).write_bytes((d / LIST).read_bytes()[:-1]),
    "another": lambda d: (d / LIST).write_bytes(write_list(shards((0, 1, 2, 3, 4)))),
    "no table": lambda d: put(d, b"PAR1 or not"),
    "a pipe": lambda d: ((d / LIST).unlink(), os.mkfifo(d / LIST)),
    "a link": lambda d: ((d / LIST).unlink(), (d / LIST).symlink_to("/etc/passwd")),
    "fewer": lambda d: put(d, write_list(shards(NUMBERS[:4]))),
    "count": lambda d: put(d, (d / LIST).read_bytes(), count=4),
    "last": lambda d: put(d, (d / LIST).read_bytes(), last=6002),
    "huge": lambda d: put(d, (d / LIST).read_bytes(), bytes=1 << 50),
    "twice": lambda d: changed(d, number=[0, 2, 2, 3000, 6001]),
    "order": lambda d: changed(d, number=[0, 2999, 2, 3000, 6001]),
    "negative": lambda d: changed(d, number=[-1, 2, 2999, 3000, 6001]),
    "part": lambda d: changed(d, part=[0, 0, 0, 1, 3]),
    "parts": lambda d: changed(d, part=[0, 7, 0, 1, 2]),
    "bytes": lambda d: changed(d, bytes=[1 << 62] * 5),
    "less": lambda d: changed(d, bytes=[-1, 1, 1, 1, 1]),
    "samples": lambda d: changed(d, samples=[1, 1, 1, 1, 2]),
    "nulls": lambda d: changed(d, samples=[1, 1, 1, 1, None]),
    "hash": lambda d: changed(d, sha256=pa.array([b"x"] * 5, pa.binary(1))),
    "texts": lambda d: changed(d, sha256=pa.array(["x" * 40] * 5)),
    "column": lambda d: changed(d, bytes=None),
    "types": lambda d: changed(d, number=pa.array([0.0, 2, 2999, 3000, 6001])),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_lists_give_a_sentence(folder: Path, kind: str) -> None:
    WRONG[kind](folder)
    dataset = pvit_data.open(folder)
    said = []
    for action in (lambda: list(dataset), lambda: dataset.digest_of("mine")):  # hashes alone are what they are
        try:
            action()
        except (FormatError, StorageError) as error:
            said.append(str(error))
    assert said
    assert "\n" not in "".join(said)
    report = validate(folder)
    assert not report.ok
    assert report.counts["index-damaged"] + report.counts["index-missing"] == 1
    assert {p.file for p in report.problems} == {LIST}
    if kind == "a pipe":
        with pytest.raises(StorageError, match=r"train\.shards\.parquet: is a pipe or a device"):
            finish.write_manifest(folder)
        (folder / LIST).unlink()
    finish.write_manifest(folder)
    assert validate(folder).ok


@pytest.mark.parametrize(
    "change",
    [{"count": 0}, {"count": -1}, {"count": 2**40}, {"last": -1}, {"bytes": -1}, {"sha256": 5}],
)
def test_manifests_that_name_no_list(folder: Path, change: dict[str, Any]) -> None:
    seal(folder, lambda values: train(values)["shard_list"].update(change))
    with pytest.raises(FormatError, match=r"manifest\.json: .*shard_list"):
        pvit_data.open(folder)


def test_shards_are_listed_once_and_hold_their_samples(folder: Path) -> None:
    shard = {"name": "mine/train-00000.tar", "samples": 1, "bytes": 1 << 40, "sha256": "0" * 64}
    seal(folder, lambda values: train(values).update(shards=[shard]))
    with pytest.raises(FormatError, match="listed both here and in a file"):
        pvit_data.open(folder)
    seal(folder, lambda values: train(values).update(shards=[], samples=1 << 40))
    with pytest.raises(FormatError, match="samples do not fit into its shards"):
        pvit_data.open(folder)


def million(folder: Path, count: int) -> None:
    """A manifest of a million shards and an index of one sample."""
    with pvit_data.ShardWriter(folder, "mine") as writer:
        writer.write(bare_sample(0))
    (real,) = json.loads((folder / "manifest.json").read_bytes())["sources"]["mine"]["splits"]["train"]["shards"]
    rest = np.random.default_rng(0).bytes(32 * (count - 1))
    numbers = np.arange(count, dtype=np.int32)
    sizes = np.full(count, 1024)
    sizes[0] = real["bytes"]
    table = {
        "number": pa.array(numbers),
        "part": pa.array(numbers // PER_FOLDER),
        "samples": pa.array((numbers == 0).astype(np.int64)),
        "bytes": pa.array(sizes),
        "sha256": pa.Array.from_buffers(
            pa.binary(32), count, [None, pa.py_buffer(bytes.fromhex(real["sha256"]) + rest)]
        ),
    }
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer, compression="none", use_dictionary=False)
    data = buffer.getvalue()
    (folder / LIST).write_bytes(data)
    told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "count": count, "last": count - 1}
    seal(
        folder, lambda v: (v.update(version="1.1"), train(v).update(shards=[], shard_list=told, bytes=int(sizes.sum())))
    )


def test_a_million_shards_open_at_once(tmp_path: Path) -> None:
    million(tmp_path, 1_000_000)
    code = "import time, pvit_data; pvit_data.open; begun = time.perf_counter(); d = pvit_data.open(sys.argv[1])\n"
    code += "print(time.perf_counter() - begun); d.record(0); print(time.perf_counter() - begun)"
    opened, read = map(float, require_cheap(code, tmp_path).split())
    assert opened < 1
    assert read < 5  # the bar is 1 s; machines of tests do other things at the same time
