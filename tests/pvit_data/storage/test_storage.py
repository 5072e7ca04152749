"""Places where datasets lie: URLs, full disks, read-only folders, filters, cards, large indices."""

import gc
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

import pvit_data
from pvit_data.errors import FormatError, StorageError, UsageError
from pvit_data.format.index import COLUMNS, NUMBERS, PLACES, TYPES, Index, encode_table, table_of
from pvit_data.format.manifest import SourceSpec, read_manifest
from pvit_data.reading.foreign.index import index_foreign
from pvit_data.reading.where import evaluate
from pvit_data.sample.sample import Boxes, Sample
from pvit_data.storage.open_files import OPEN
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing import finish
from pvit_data.writing.card import features, write_card
from pvit_data.writing.shard import write_shard
from tests.pvit_data.samples import SPACES, bare_sample, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("storage")
    with pvit_data.ShardWriter(out, "mine", licence="CC-BY-4.0", citation="@misc{mine}", spaces=SPACES) as writer:
        for seed in range(4):
            writer.write(bare_sample(seed) if seed < 2 else full_sample(seed))
    return out


def test_url_gives_the_same_samples(folder: Path) -> None:
    """fsspec's memory file system stands for an object store: read by range, written by upload."""
    import fsspec

    url = "memory://bucket/data"
    with pvit_data.ShardWriter(url, "mine", licence="CC-BY-4.0", citation="@misc{mine}", spaces=SPACES) as writer:
        for seed in range(4):
            writer.write(bare_sample(seed) if seed < 2 else full_sample(seed))
    memory = fsspec.filesystem("memory")
    names = sorted(p.removeprefix("/bucket/data/") for p in memory.find("/bucket/data"))
    assert names == sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert memory.cat_file("/bucket/data/mine/train-00000.tar") == (folder / "mine/train-00000.tar").read_bytes()
    for found, truth in zip(pvit_data.open(url), pvit_data.open(folder), strict=True):
        np.testing.assert_array_equal(found.rgb, truth.rgb)
        assert (found.depth is None) == (truth.depth is None)
    memory.rm_file("/bucket/data/manifest.json")
    assert [s.key for s in pvit_data.open(url)] == [f"mine-{seed:04d}" for seed in range(4)]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may pass 20,000 bytes: a full disk as seen by a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_full_disk_leaves_finished_shards_and_nothing_else(tmp_path: Path, small_files: None) -> None:
    source = SourceSpec(name="mine", spaces=SPACES)
    write_shard(tmp_path, source, "train", 0, [bare_sample(0)])
    with pytest.raises(StorageError, match=r"mine/train-00001\.tar: "):
        write_shard(tmp_path, source, "train", 1, [full_sample(1), full_sample(2)])
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [
        "source.json", "train-00000.json", "train-00000.parquet", "train-00000.tar",
    ]  # fmt: skip
    assert finish.write_manifest(tmp_path).sources["mine"].splits["train"].samples == 1


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    with pytest.raises(StorageError, match="mine"):
        write_shard(tmp_path, SourceSpec(name="mine"), "train", 0, [bare_sample(0)])


def test_finish_depends_on_receipts_alone(folder: Path, tmp_path: Path) -> None:
    """In whatever order shards were written, the dataset is the same; what does not fit is named."""
    source = SourceSpec(name="mine", spaces=SPACES)
    outs = [tmp_path / "a", tmp_path / "b"]
    for out, order in zip(outs, ([0, 1, 2], [2, 0, 1]), strict=True):
        for number in order:
            write_shard(out, source, "train", number, [bare_sample(number)])
        finish.write_manifest(out)
    a, b = ({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} for out in outs)
    assert a == b
    with pytest.raises(UsageError, match="role = 'auxiliary', not 'downstream'"):
        write_shard(outs[0], source.model_copy(update={"role": "downstream"}), "train", 3, [bare_sample(3)])
    write_shard(outs[0], source, "val", 0, [bare_sample(1)])
    with pytest.raises(FormatError, match=r"'mine-0001' is in mine/train-00001\.tar and in mine/val-00000\.tar"):
        finish.write_manifest(outs[0])
    (outs[1] / "mine/train-00002.tar").write_bytes(b"short")
    with pytest.raises(FormatError, match=r"train-00002\.tar has 5 bytes"):
        finish.write_manifest(outs[1])
    with pytest.raises(FormatError, match="no finished shard"):
        finish.write_manifest(tmp_path / "nothing")


def test_card_declares_every_member(folder: Path) -> None:
    manifest = read_manifest(Storage(folder))
    text = (folder / "README.md").read_bytes()
    assert text == write_card(manifest)
    head = yaml.safe_load(text.decode().split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "mine/train-*.tar"}]
    declared = {f["name"]: f for f in features(manifest.sources["mine"])}
    assert {"__key__", "json", "depth.tif", "rgb.mp4", "boxes_labels.npy"} <= set(declared)
    assert declared["rgb.mp4"]["dtype"] == {"video": {"decode": False}}
    assert "@misc{mine}" in text.decode()


COLUMN = {
    "a": np.array([1, 2, 3, 4]),
    "ok": np.array([True, False, True, False]),
    "name": np.array(["x", "y", "x", "z"], object),
}


def column(name: str) -> np.ndarray:
    if name not in COLUMN:
        raise UsageError(f"filter names an unknown column {name}")
    return COLUMN[name]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("ok", [0, 2]),
        ("not ok", [1, 3]),
        ("ok and a >= 2", [2]),
        ("ok or a == 2 and name == 'y'", [0, 1, 2]),
        ("(ok or a == 2) and name == 'y'", [1]),
        ("1 < a <= 3", [1, 2]),
        ('name in ("x", "z") and not (a == 1)', [2, 3]),
        ("name not in ('x',)", [1, 3]),
        ("a > -1.5e0 and true", [0, 1, 2, 3]),
        ("not not ok", [0, 2]),
    ],
)
def test_filters(text: str, rows: list[int]) -> None:
    assert np.flatnonzero(evaluate(text, column, 4)).tolist() == rows


@pytest.mark.parametrize(
    "text",
    ["", "a", "a and ok", "a <", "(ok", "ok)", "a == 'x'", "name < 3", "a in 3", "__import__('os')", "a; ok", "a = 1",
     "ok or " * 300 + "ok", "(" * 400 + "ok" + ")" * 400, "a in (ok)", "name == 'x", "ok not ok", "a + 1 > 2"],
)  # fmt: skip
def test_wrong_filters(text: str) -> None:
    with pytest.raises(UsageError, match="filter"):
        evaluate(text, column, 4)


@pytest.mark.torture
def test_large_index_opens_fast(tmp_path: Path) -> None:
    """100,000 rows here; a million in the torture run, where the bars are 2 s and 400 MB."""
    rows = 1_000_000 if os.environ.get("PVIT_TORTURE") else 100_000
    rng = np.random.default_rng(0)
    columns: dict[str, list[object]] = {name: ["train-00000.tar"] * rows for name in ("shard", "group", "rgb_encoding")}
    columns["key"] = [f"mine-{number:08d}" for number in range(rows)]
    for name, dtype in TYPES.items():
        member = name.rpartition("_")[0]
        high = 1 if name in PLACES and not member.startswith(("json", "rgb", "depth", "normal", "segm")) else 1 << 20
        columns[name] = (rng.integers(0, high, rows) - (high == 1)).astype(dtype)  # type: ignore[assignment]
    path = tmp_path / "train.parquet"
    path.write_bytes(encode_table(table_of(columns)))
    del columns
    before, start = _resident(), time.process_time()
    index = Index(path, "train.parquet")
    opened = time.process_time() - start
    assert (index.num_rows, index.text("key", rows - 1)) == (rows, f"mine-{rows - 1:08d}")
    assert index.column("frames").dtype == np.int32
    assert opened < 2
    for name in COLUMNS:
        if name in PLACES or name in NUMBERS:
            index.column(name)
    assert _resident() - before < 400e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


@pytest.mark.torture
def test_random_access_is_fast(tmp_path: Path) -> None:
    """Any sample of 10,000 (300 here): its boxes come in far below 5 ms, most of it decoding; opening included once."""
    number = 10_000 if os.environ.get("PVIT_TORTURE") else 300
    boxes = np.linspace(0, 0.4, 4 * number, dtype=np.float32).reshape(number, 1, 4)
    boxes[..., 2:] += 0.5
    with pvit_data.ShardWriter(tmp_path, "mine", shard_bytes=2_000_000) as writer:
        for i in range(number):
            writer.write(Sample(key=f"s{i:05d}", num_frames=1, boxes=Boxes(boxes[i])))
    dataset = pvit_data.open(tmp_path)
    dataset.read(0, ["boxes"])
    rows = np.random.default_rng(0).integers(0, number, 200).tolist()
    start = time.process_time()
    found = [dataset.read(row, ["boxes"]).boxes for row in rows]
    assert (time.process_time() - start) / len(rows) < 0.005
    for row, value in zip(rows, found, strict=True):
        assert value is not None
        np.testing.assert_array_equal(value.xyxy, boxes[int(dataset.column("key")[row][1:])])


def test_older_minor_and_unknown_keys_are_read(folder: Path, tmp_path: Path) -> None:
    """A newer minor version may add keys: they are ignored."""
    import hashlib

    shutil.copytree(folder, tmp_path / "d")
    path = tmp_path / "d/manifest.json"
    values = json.loads(path.read_text()) | {"version": "1.7", "novelty": [1], "checksum": ""}
    plain = json.dumps(values)
    path.write_text(plain.replace('"checksum": ""', f'"checksum": "{hashlib.sha256(plain.encode()).hexdigest()}"'))
    assert len(pvit_data.open(tmp_path / "d")) == 4


@pytest.mark.parametrize("action", [pvit_data.open, validate, index_foreign])
def test_a_wrong_path_is_named(tmp_path: Path, action: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_text("")
    for name, text in (("nowhere", "nowhere: no such folder"), ("file", "file: not a folder")):
        with pytest.raises(UsageError, match=text):
            action(tmp_path / name)


def test_all_data_sets_of_a_process_share_their_open_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OPEN, "most", 10)
    stores = []
    for folder in "abcd":
        (tmp_path / folder).mkdir()
        for i in range(20):
            (tmp_path / folder / str(i)).write_bytes(f"{folder}{i}".encode())
        stores.append(Storage(tmp_path / folder))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for i in range(20):
            assert [s.read_range(str(i), 0, 9).decode() for s in stores] == [f"{folder}{i}" for folder in "abcd"]
    assert len(os.listdir("/proc/self/fd")) <= before + 10
    last = stores[0].read_range("19", 0, 9)
    (tmp_path / "a/19").unlink()
    (tmp_path / "a/19").write_bytes(b"new")
    assert stores[0].read_range("19", 0, 9) == last  # who reads it sees one version
    assert Storage(tmp_path / "a").read_range("19", 0, 9) == b"new"
    stores.clear()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
