"""Reading from URLs: how many bytes move, what the local cache keeps, and that it never returns wrong bytes."""

import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_data.errors import StorageError, UsageError
from pvit_data.storage.ahead import STREAM_BYTES
from pvit_data.storage.cache import Cache
from pvit_data.storage.storage import Storage
from tests.pvit_data.range_server import Traffic, serve
from tests.pvit_data.reading.test_damage import same
from tests.pvit_data.samples import SPACES, full_sample


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("remote")
    with pvit_data.ShardWriter(out, "mine", spaces=SPACES) as writer:
        for seed in range(4):
            writer.write(full_sample(seed))
    rng = np.random.default_rng(0)
    (out / "big.bin").write_bytes(rng.bytes(2 * STREAM_BYTES + 12345))
    return out


@pytest.fixture
def server(folder: Path) -> Iterator[Traffic]:
    with serve(folder) as traffic:
        yield traffic


def test_only_the_asked_bytes_move(folder: Path, server: Traffic) -> None:
    dataset = pvit_data.open(server.url)
    assert dataset.read(2, ["boxes"]).boxes is not None
    sizes = dataset.members(2)
    wanted = sum(sizes[name] for name in ("json", "boxes.npy", "boxes_id.npy", "boxes_labels.npy"))
    between = sum(sizes[name] for name in ("camera_k.npy", "camera_pose.npy", "depth.tif")) + 7 * 1024
    assert server.of(".tar") <= wanted + between  # what lies between them is fetched along, rather than asked twice
    assert server.of(".parquet") == (folder / "mine/index/train.parquet").stat().st_size  # once
    assert len([1 for path, _ in server.sent if path.endswith(".tar")]) == 1
    for found, truth in zip(dataset, pvit_data.open(folder), strict=True):
        assert same(found, truth)


def test_a_hundred_bytes_cost_a_hundred(server: Traffic, folder: Path) -> None:
    assert Storage(server.url).read_range("big.bin", 5000, 100) == (folder / "big.bin").read_bytes()[5000:5100]
    assert server.bytes == 100


def test_a_server_without_ranges_is_named(server: Traffic) -> None:
    server.ranges = False
    with pytest.raises(StorageError, match=r"big\.bin: the server sends more than the 100 .* ignores byte ranges"):
        Storage(server.url).read_range("big.bin", 5, 100)


def test_streams_read_ahead_and_move_everything_once(server: Traffic, folder: Path) -> None:
    truth = (folder / "big.bin").read_bytes()
    with Storage(server.url).stream("big.bin") as stream:
        first = stream.read(10)
        rest = b"".join(iter(lambda: stream.read(100_000), b""))
    assert first + rest == truth
    assert [size for _, size in server.sent] == [STREAM_BYTES, STREAM_BYTES, 12345]
    server.sent.clear()
    with Storage(server.url).stream("big.bin") as stream:
        stream.read(10)
    assert server.bytes <= 2 * STREAM_BYTES  # left early


def test_cached_bytes_are_not_fetched_again(server: Traffic, folder: Path, tmp_path: Path) -> None:
    truth = list(pvit_data.open(folder))
    for _ in range(2):
        dataset = pvit_data.open(server.url, cache=tmp_path / "cache")
        assert all(same(a, b) for a, b in zip(dataset, truth, strict=True))
        dataset = pickle.loads(pickle.dumps(dataset))
        assert same(dataset[1], truth[1])
    assert server.of(".tar") == (folder / "mine/train-00000.tar").stat().st_size


def test_the_cache_stays_within_its_bound(server: Traffic, folder: Path, tmp_path: Path) -> None:
    truth = (folder / "big.bin").read_bytes()
    cache = Cache(tmp_path / "cache", max_bytes=1_000_000, block_bytes=50_000)
    storage = Storage(server.url, cache)
    rng = np.random.default_rng(1)
    for start in rng.integers(0, len(truth), 300):
        assert storage.read_range("big.bin", int(start), 1000) == truth[start : start + 1000]
        assert sum(p.stat().st_size for p in cache.folder.rglob("*") if p.is_file()) <= 1_000_000
    kept = sorted(cache.folder.glob("*/*"), key=lambda p: p.stat().st_mtime_ns)
    number = int(kept[-1].name)
    before = server.bytes
    storage.read_range("big.bin", number * 50_000, 10)  # the most recently used one is still there
    assert server.bytes == before
    with pytest.raises(UsageError, match="does not hold four blocks"):
        Cache(tmp_path, max_bytes=100)


def test_damaged_or_outdated_blocks_are_fetched_again(server: Traffic, folder: Path, tmp_path: Path) -> None:
    truth = (folder / "big.bin").read_bytes()
    storage = Storage(server.url, tmp_path / "cache")
    assert storage.read_range("big.bin", 100, 50) == truth[100:150]
    (block,) = (tmp_path / "cache").glob("*/*")
    data = block.read_bytes()
    for broken in (data[:1000], b"", data[:120] + b"XYZ" + data[123:]):
        block.write_bytes(broken)
        assert storage.read_range("big.bin", 100, 50) == truth[100:150]
    shutil.copy(folder / "big.bin", folder / "new.bin")
    storage.read_range("new.bin", 0, 10)
    (folder / "new.bin").write_bytes(b"other bytes")
    assert Storage(server.url, tmp_path / "cache").read_range("new.bin", 0, 10) == b"other byte"
    os.remove(folder / "new.bin")


def test_an_unwritable_cache_costs_speed_only(server: Traffic, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert (
        Storage(server.url, tmp_path / "cache").read_range("big.bin", 9, 9) == (folder / "big.bin").read_bytes()[9:18]
    )


def test_a_store_with_few_connections_of_its_own_gets_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """And keeps what the user's settings say."""
    from fsspec import config, core

    asked: list[dict[str, Any]] = []

    def opened(url: str, **options: Any) -> tuple[Any, str]:
        asked.append(options)
        return core.url_to_fs("memory://a")[0], "bucket"

    real = core.url_to_fs
    monkeypatch.setattr(core, "url_to_fs", lambda url, **o: real(url) if url == "memory://a" else opened(url, **o))
    assert not Storage("s3://bucket/data").exists("a")
    monkeypatch.setitem(config.conf, "s3", {"config_kwargs": {"max_pool_connections": 7, "retries": 1}})
    assert not Storage("s3://bucket/data").exists("a")
    assert not Storage("memory://bucket/data").exists("a")
    assert [options.get("config_kwargs") for options in asked] == [
        {"max_pool_connections": 100}, {"max_pool_connections": 7, "retries": 1}, None,
    ]  # fmt: skip
