"""Finishing: the same bytes wherever the shards lie, few requests, bounded memory, keys that are unique."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import pvit_data
from pvit_data.errors import FormatError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import Index, encode_table, table_of
from pvit_data.format.manifest import read_manifest
from pvit_data.storage.storage import THREADS, Storage
from pvit_data.validate import validate
from pvit_data.writing import finish
from pvit_data.writing.keys import Keys, Taken
from pvit_data.writing.shard import write_shard
from tests.pvit_data.older import make_older
from tests.pvit_data.range_server import serve
from tests.pvit_data.samples import bare_sample

SOURCE = pvit_data.SourceSpec(name="mine")
NUMBERS = (*range(10), 3000, 3001)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve shards, two of them in a folder of their own, not finished."""
    out = tmp_path_factory.mktemp("shards")
    for number in NUMBERS:
        write_shard(out, SOURCE, "train", number, [bare_sample(number)])
    return out


def copied(folder: Path, to: Path) -> Path:
    import shutil

    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


def finished(folder: Path) -> dict[str, bytes]:
    names = ("manifest.json", "README.md", "mine/index/train.parquet")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def truth(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = copied(shards, tmp_path_factory.mktemp("truth"))
    finish.write_manifest(folder)
    return finished(folder)


def test_a_web_server_is_asked_three_times_a_shard(shards: Path, truth: dict[str, bytes], tmp_path: Path) -> None:
    """For its size, which the listing does not tell, the receipt and the rows; and by many threads at once."""
    folder = copied(shards, tmp_path)
    with serve(folder) as traffic:
        traffic.wait = 0.05
        finish.write_manifest(traffic.url)
        asked = Counter(traffic.asked)
        paths = Counter(path for _, path in traffic.asked)
    assert finished(folder) == truth
    for number in NUMBERS:
        name = f"train-{number:05d}"
        mine = [(m, p) for m, p in asked if name in p]
        assert sum(asked[each] for each in mine) == 3, mine
    folders = 1 + len([p for p in folder.rglob("*") if p.is_dir() and p.name != "index"])
    others = sum(paths.values()) - 3 * len(NUMBERS)
    assert others <= folders + 5  # source.json, index, card, manifest, and the way to the listing
    assert len(NUMBERS) < THREADS


class Counting(MemoryFileSystem):
    """A store that lists with sizes, as object stores do."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def find(self, path: str, *args: Any, **options: Any) -> Any:
        self.asked.append(("list", path))
        found = super().find(path, *args, **options)
        return found

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> Any:
        self.asked.append(("get", path))
        return super().cat_file(path, start, end, **options)


@pytest.fixture
def store(shards: Path) -> Iterator[list[tuple[str, str]]]:
    """A copy of the shards in memory, and what it was asked for."""
    MemoryFileSystem.store.clear()
    fsspec.filesystem("memory").put(f"{shards}/", "memory://bucket/d/", recursive=True)
    fsspec.register_implementation("memory", Counting, clobber=True)
    fsspec.config.conf.clear()
    MemoryFileSystem.clear_instance_cache()
    Counting.asked = []
    yield Counting.asked
    fsspec.register_implementation("memory", MemoryFileSystem, clobber=True)
    MemoryFileSystem.store.clear()


def test_an_object_store_is_listed_once(
    store: list[tuple[str, str]], truth: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    infos: list[str] = []
    whole = MemoryFileSystem.info
    monkeypatch.setattr(MemoryFileSystem, "info", lambda fs, path, **o: infos.append(path) or whole(fs, path, **o))
    url = "memory://bucket/d"
    finish.write_manifest(url)
    gets = Counter(path for kind, path in store if kind == "get")
    assert [kind for kind, _ in store].count("list") == 1
    assert set(gets.values()) == {1}
    assert len(gets) == 2 * len(NUMBERS) + 1
    assert not [path for path in infos if path.endswith(".tar")]
    monkeypatch.undo()
    storage = Storage(url)
    assert {name: storage.read(name) for name in truth} == truth
    assert validate(url).problems == []
    assert [s.key for s in pvit_data.open(url)] == [f"mine-{number:04d}" for number in NUMBERS]


def test_older_receipts_behind_a_url(shards: Path, truth: dict[str, bytes], tmp_path: Path) -> None:
    folder = copied(shards, tmp_path)
    make_older(folder)
    with serve(folder) as traffic:
        finish.write_manifest(traffic.url)
        assert not [path for _, path in traffic.asked if "/rows/" in path and path.endswith("parquet")]
    assert finished(folder) == truth


def test_what_is_missing_behind_a_url_is_named(shards: Path, tmp_path: Path) -> None:
    folder = copied(shards, tmp_path)
    (folder / "mine/train-00004.tar").unlink()
    with serve(folder) as traffic, pytest.raises(pvit_data.PvitError, match=r"train-00004\.tar: no such file"):
        finish.write_manifest(traffic.url)
    (folder / "mine/train-00004.tar").write_bytes(b"short")
    with serve(folder) as traffic, pytest.raises(FormatError, match=r"train-00004\.tar has 5 bytes, not"):
        finish.write_manifest(traffic.url)
    assert not (folder / "manifest.json").exists()


def test_keys_of_all_sources_are_unique(tmp_path: Path) -> None:
    """Nothing is published where they are not: neither index nor manifest."""
    write_shard(tmp_path, SOURCE, "train", 0, [bare_sample(0)])
    write_shard(tmp_path, SOURCE.model_copy(update={"name": "other"}), "val", 3, [bare_sample(1), bare_sample(0)])
    with pytest.raises(FormatError, match=r"'mine-0000' is in mine/train-00000\.tar and in other/val-00003\.tar"):
        finish.write_manifest(tmp_path)
    assert not list(tmp_path.rglob("index/*"))
    assert not (tmp_path / "manifest.json").exists()


def test_doubles_are_found_wherever_they_are() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        names = [f"k{n}" for n in rng.permutation(60)[:50]]
        shards = [names[i : i + 7] for i in range(0, 50, 7)]
        keys = Keys()
        for number, shard in enumerate(shards):
            keys.add(f"s{number}", pa.chunked_array([shard], pa.string()))
        keys.require_unique()
        first, second = sorted(rng.choice(len(shards), 2).tolist())
        double = shards[first][0]
        keys.add("last", pa.chunked_array([["x", double], ["y"]], pa.string()))
        with pytest.raises(FormatError, match=rf"'{double}' is in s{first} and in last: keys must be unique"):
            keys.require_unique()
        assert second >= first


def test_taken_keys_are_those_of_the_indices(tmp_path: Path) -> None:
    from benchmarks.scale.data import columns

    indices = []
    for name in "ab":
        (tmp_path / name).write_bytes(encode_table(table_of(columns(2500, name, 1000))))
        indices.append((name, Index(tmp_path / name, name)))
    taken = Taken(indices)
    assert taken.place("a-000000000") == "a/train-00000.tar"
    assert taken.place("b-000002499") == "b/train-00002.tar"
    assert taken.place("b-000002500") is None
    taken.add("b-000002500", "c/val-00000.tar")
    assert taken.place("b-000002500") == "c/val-00000.tar"
    assert Taken([]).place("x") is None


def test_keys_of_the_same_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.scale.data import columns
    from pvit_data.writing import keys

    monkeypatch.setattr(keys, "hash", lambda key: len(key), raising=False)
    (tmp_path / "i").write_bytes(encode_table(table_of(columns(50, "a", 10))))
    taken = Taken([("a", Index(tmp_path / "i", "i"))])
    assert [taken.place(f"a-{n:09d}") for n in (0, 19, 49)] == [f"a/train-{n:05d}.tar" for n in (0, 1, 4)]
    assert taken.place("a-000000050") is None


def test_long_lists_leave_the_manifest(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all of them together are too many, shorter ones, too; what was listed outside comes back."""
    folder = copied(shards, tmp_path)
    for number in range(3):
        write_shard(folder, SOURCE, "val", number, [bare_sample(100 + number)])
    inline = finish.write_manifest(folder)
    for limit, everything, outside in ((1000, 40_000, []), (11, 40_000, ["train"]), (20, 3, ["train"]),
                                       (20, 2, ["train", "val"])):  # fmt: skip
        monkeypatch.setattr(finish, "MAX_INLINE", limit)
        monkeypatch.setattr(finish, "MAX_INLINE_ALL", everything)
        manifest = finish.write_manifest(folder)
        splits = manifest.sources["mine"].splits
        assert [name for name in sorted(splits) if splits[name].shard_list] == outside
        assert sorted(p.name for p in folder.rglob("*.shards.parquet")) == [f"{s}.shards.parquet" for s in outside]
        assert manifest.version == ("1.1" if outside else "1.0")
        assert pvit_data.open(folder).digest_of("mine") == pvit_data.open(folder).digest_of("mine")
        assert validate(folder).problems == []
    monkeypatch.undo()
    assert finish.write_manifest(folder) == inline


def test_a_manifest_that_would_not_be_read_is_not_written(shards: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = copied(shards, tmp_path)
    monkeypatch.setattr(finish, "MAX_MANIFEST_BYTES", 1000)
    with pytest.raises(FormatError, match="put some of its sources into another folder"):
        finish.write_manifest(folder)
    assert not (folder / "manifest.json").exists()


def test_small_manifests_have_the_bytes_of_format_1_0(shards: Path, tmp_path: Path) -> None:
    """Nothing in them that the former writer did not write."""
    folder = copied(shards, tmp_path)
    finish.write_manifest(folder)
    values = json.loads((folder / "manifest.json").read_bytes())
    assert values["version"] == "1.0"
    split = values["sources"]["mine"]["splits"]["train"]
    assert sorted(split) == ["bytes", "fields", "frames", "index", "members", "samples", "shards", "skipped"]
    assert len(split["shards"]) == 12
    plain = (folder / "manifest.json").read_bytes().replace(values["checksum"].encode(), b"", 1)
    assert values["checksum"] == hashlib.sha256(plain).hexdigest()
    assert manifests.dump(read_manifest(Storage(folder))) == (folder / "manifest.json").read_bytes()
