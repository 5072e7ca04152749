"""An index that is mapped answers as the one in memory does, whatever has happened to the folder of its files."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_data.errors import CorruptShardError, UsageError
from pvit_data.format import index as indices
from pvit_data.format.index import (
    COLUMNS,
    PLACES,
    TEXT,
    TYPES,
    Index,
    MappedIndex,
    encode_table,
    open_index,
    table_of,
)
from pvit_data.format.mapped import cache as index_cache
from pvit_data.format.mapped.cache import IndexCache, index_folder
from pvit_data.format.mapped.columns import write_columns
from pvit_data.storage.storage import Storage

ROWS = 3000


def columns(rows: int = ROWS, seed: int = 0) -> dict[str, list[Any]]:
    """Values of every kind: texts of all lengths, members that no sample or some lack, odd numbers."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Any]] = {}
    for name, kind in TYPES.items():
        low, high = {"bool": (0, 2), "uint32": (0, 1 << 32)}.get(kind, (-1, 1000))
        found[name] = rng.integers(low, high, rows).astype(kind).tolist()
    found |= {name: [-1] * rows for name in PLACES if name.startswith("camera") and name.endswith("offset")}
    found["key"] = [f"k{i}" + "é" * int(n) for i, n in enumerate(rng.integers(0, 9, rows))]
    found["group"] = [f"g{n}" * int(n % 3) for n in rng.integers(0, rows // 2, rows)]
    found["shard"] = [f"train-{i // 100:05d}.tar" for i in range(rows)]
    found["rgb_encoding"] = [("mp4", "jpg", "")[i % 3] for i in range(rows)]
    return found


class Folder:
    """A data set's folder with one index file."""

    def __init__(self, root: Path, data: bytes, rows: int = ROWS) -> None:
        self.storage, self.rows = Storage(root), rows
        root.mkdir(exist_ok=True)
        path = root / "train.parquet"
        if not path.exists() or path.read_bytes() != data:  # another process may be reading it
            path.write_bytes(data)
        self.expected = len(data), hashlib.sha256(data).hexdigest()

    def open(self) -> Index:
        return open_index(self.storage, "train.parquet", self.expected, self.rows)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(indices, "MAPPED_ROWS", 1)
    monkeypatch.setattr(index_cache, "_told", set())
    return tmp_path / "cache/indices"


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Folder:
    return Folder(tmp_path / "data", encode_table(table_of(columns())))


def made(cache: Path) -> Path:
    (path,) = (p for p in cache.iterdir() if not p.name.startswith("."))
    return path


def same(index: Index, truth: dict[str, list[Any]]) -> None:
    rows = np.random.default_rng(1).integers(0, index.num_rows, 40)
    for name in COLUMNS:
        if all(v == -1 for v in truth.get(f"{name.rpartition('_')[0]}_offset", [0])):
            values = [-1 if name.endswith("offset") else 0] * index.num_rows
        else:
            values = truth[name]
        column = index.column(name)
        assert column.tolist() == values
        assert column.dtype == (object if name in TEXT else TYPES[name])
        assert index.column(name, rows).tolist() == [values[r] for r in rows]
        assert index.column(name, np.arange(index.num_rows)).tolist() == values
        for row in rows.tolist():
            value = index.value(name, row)
            assert (value, type(value)) == (values[row], type(values[row]))


def test_mapped_and_in_memory_give_what_was_written(folder: Folder, cache: Path) -> None:
    truth = columns()
    plain = Index(folder.storage.read("train.parquet"), "train.parquet")
    first = folder.open()
    (folder.storage.root / "train.parquet").unlink()  # type: ignore[operator]
    again = folder.open()  # of what was laid out alone
    assert (type(plain), type(first), type(again)) == (Index, MappedIndex, MappedIndex)
    for index in (plain, first, again):
        same(index, truth)
        with pytest.raises(UsageError, match="no column 'colour'"):
            index.value("colour", 0)
        with pytest.raises(IndexError):
            index.value("key", ROWS)
    assert made(cache).stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700


def test_parts_of_a_column_of_any_number(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvit_data.format.parquet.PART_ROWS", 700)
    folder = Folder(tmp_path / "data", encode_table(table_of(columns())))
    index = folder.open()
    assert isinstance(index, MappedIndex)
    same(index, columns())


def test_small_indices_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "cache"))
    assert type(Folder(tmp_path / "data", encode_table(table_of(columns()))).open()) is Index
    assert not (tmp_path / "cache").exists()


def test_columns_of_later_fields_may_be_absent(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was laid out before a column was known is not asked for it."""
    folder = Folder(tmp_path / "data", encode_table(table_of(columns())))
    folder.open()
    monkeypatch.setitem(indices.TYPES, "has_flow", "bool")
    monkeypatch.setattr(indices, "COLUMNS", (*COLUMNS, "has_flow"))
    monkeypatch.setattr(indices, "is_later", lambda name: name == "has_flow")
    index = folder.open()
    assert isinstance(index, MappedIndex)
    assert index.column("has_flow").tolist() == [False] * ROWS
    assert len(list(cache.glob("[0-9a-f]*"))) == 2


def test_an_index_without_a_column_says_so(tmp_path: Path, cache: Path) -> None:
    data = encode_table(table_of(columns()))
    (tmp_path / "i.parquet").write_bytes(data)
    pq.write_table(pq.read_table(tmp_path / "i.parquet").drop_columns(["fps"]), tmp_path / "j.parquet")
    index = Folder(tmp_path / "data", (tmp_path / "j.parquet").read_bytes()).open()
    assert isinstance(index, MappedIndex)
    with pytest.raises(CorruptShardError, match=r"train\.parquet lacks the column fps"):
        index.value("fps", 0)


def test_what_is_wrong_with_a_column_is_said_when_it_is_asked_for(tmp_path: Path, cache: Path) -> None:
    values = columns()
    values["frames"][7] = 1 << 30
    index = Folder(tmp_path / "data", encode_table(table_of(values))).open()
    assert type(index) is Index
    assert index.value("height", 3) == values["height"][3]
    with pytest.raises(CorruptShardError, match="column frames holds 1073741824"):
        index.value("frames", 3)
    assert not list(cache.glob("[0-9a-f]*"))


def test_a_text_that_comes_a_thousand_times_is_not_laid_out(tmp_path: Path, cache: Path) -> None:
    """A small file with one long key in its dictionary would become a large one in the cache."""
    data = encode_table(table_of(columns() | {"key": ["k" * 300] * ROWS}))
    assert len(data) < 400_000
    index = Folder(tmp_path / "data", data).open()
    assert type(index) is Index
    assert index.value("key", 7) == "k" * 300
    assert [p.name for p in cache.iterdir()] == [".pvit-cache"]


def test_an_index_that_the_manifest_does_not_list(folder: Folder) -> None:
    folder.expected = folder.expected[0], "0" * 64
    with pytest.raises(CorruptShardError, match="not the file that the manifest lists"):
        folder.open()


BUILD = """
import sys, time
from pathlib import Path
from pvit_data.format import index as indices
from tests.pvit_data.format.test_mapped_index import Folder, columns, same
indices.MAPPED_ROWS = 1
lay_out = indices.Index.lay_out
def slow(self, file):
    print("makes", flush=True)
    time.sleep(float(sys.argv[2]))
    lay_out(self, file)
indices.Index.lay_out = slow
folder = Folder(Path(sys.argv[1]), Path(sys.argv[1], "train.parquet").read_bytes())
index = folder.open()
assert type(index) is indices.MappedIndex
same(index, columns())
print("done", flush=True)
"""


def build(root: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(root), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def test_of_several_processes_one_makes_the_file(folder: Folder, cache: Path, tmp_path: Path) -> None:
    several = [build(tmp_path / "data", 0.7) for _ in range(2)]
    told = [process.communicate(timeout=60)[0] for process in several]
    assert [process.returncode for process in several] == [0, 0]
    assert sorted(told) == ["done\n", "makes\ndone\n"]
    assert [p.name for p in cache.iterdir() if p.name not in (".pvit-cache", made(cache).name)] == []


def test_one_that_dies_leaves_the_work_to_others(folder: Folder, cache: Path, tmp_path: Path) -> None:
    first = build(tmp_path / "data", 60)
    assert first.stdout is not None
    assert first.stdout.readline() == "makes\n"
    second = build(tmp_path / "data", 0)
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.communicate(timeout=60)[0] == "makes\ndone\n"
    made(cache)


def test_files_that_are_not_whole_are_made_again(folder: Folder, cache: Path) -> None:
    folder.open()
    whole = made(cache).read_bytes()
    forged = whole[:-20] + bytes(20)
    for wrong in (b"", b"x" * 100, whole[:-1], whole[: len(whole) // 2], whole + b"\0", forged):
        made(cache).write_bytes(wrong)
        same(folder.open(), columns())
        assert made(cache).read_bytes() == whole
    path = made(cache)
    path.rename(cache.parent / "elsewhere")
    path.symlink_to(cache.parent / "elsewhere")
    same(folder.open(), columns())
    assert not path.is_symlink()
    path.unlink()
    os.mkfifo(path)
    same(folder.open(), columns())
    assert path.is_file()


def test_damage_inside_gives_other_values_or_an_error(folder: Folder, cache: Path) -> None:
    """Never a crash, nor bytes from outside the file: the table of contents is checked, look-ups are bounded."""
    folder.open()
    whole = bytearray(made(cache).read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(40):
        torn = bytearray(whole)
        for place in rng.integers(0, len(whole) - 4000, 3000):
            torn[place] = rng.integers(0, 256)
        made(cache).unlink()
        (cache / hashlib.sha256(b"").hexdigest()).write_bytes(torn)
        (cache / hashlib.sha256(b"").hexdigest()).rename(cache / made(cache).name)
        index = MappedIndex(index_cache.map_columns(made(cache)), "train.parquet")
        for name in COLUMNS:
            for row in rng.integers(0, ROWS, 30).tolist():
                with suppress(CorruptShardError):
                    index.value(name, row)
            with suppress(CorruptShardError):
                index.column(name)
    with pytest.raises(CorruptShardError, match="texts are damaged; where this is a file of a cache, remove it"):
        index.column("key")


def test_a_folder_that_cannot_be_used_costs_memory_only(
    folder: Folder, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_memory(reason: str) -> None:
        with pytest.warns(UserWarning, match=f"indices cannot be used.*{reason}.*set PVIT_CACHE to a folder"):
            index = folder.open()
        assert type(index) is Index
        same(index, columns())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert type(folder.open()) is Index  # said once

    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "file"))
    in_memory("Not a directory")
    monkeypatch.setenv("PVIT_CACHE", "/proc/nowhere")
    in_memory("No such file")
    monkeypatch.setenv("PVIT_CACHE", str(tmp_path / "cache"))
    cache.mkdir(parents=True, mode=0o777)
    cache.chmod(0o777)
    in_memory("others may write to this folder")
    cache.chmod(0o700)
    (cache / "thesis.tex").write_bytes(b"")
    index_cache._told.clear()
    in_memory("holds other files than a cache")
    assert [p.name for p in cache.iterdir()] == ["thesis.tex"]
    (cache / "thesis.tex").unlink()
    index_cache._told.clear()
    with monkeypatch.context() as patch:
        patch.setattr("os.getuid", lambda: 12345)
        in_memory("others may write to this folder")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: type("", (), {"free": 1000}))
        in_memory("No space left on device")
    assert type(folder.open()) is MappedIndex
    with monkeypatch.context() as patch:  # of somebody else, in a folder of ours
        patch.setattr(Path, "lstat", lambda path: os.stat_result((0o100600, 0, 0, 1, 12345, 0, 9, 0, 0, 0)))
        index_cache._told.clear()
        in_memory("cannot be read")


def test_a_folder_that_may_only_be_read_is_used(folder: Folder, cache: Path) -> None:
    folder.open()
    (cache / ".pvit-cache").chmod(0o400)
    made(cache).chmod(0o400)
    cache.chmod(0o500)
    assert type(folder.open()) is MappedIndex
    cache.chmod(0o700)


def test_a_full_disk_leaves_nothing_behind(folder: Folder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Index, file: Any) -> None:
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Index, "lay_out", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert type(folder.open()) is Index
    assert [p.name for p in cache.iterdir()] == [".pvit-cache"]


def test_what_was_not_used_for_longest_goes(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path / "indices", max_bytes=2500)
    names = [f"{number:064d}" for number in range(4)]
    paths = [tmp_path / "indices" / name for name in names]

    def write(file: Any, rows: int = 100) -> None:
        write_columns(file, rows, {"a": [pa.array(np.arange(100))]})

    with pytest.raises(CorruptShardError, match="column a has 100 values, expected 1"):
        cache.make(names[0], lambda: (0, lambda file: write(file, 1)))
    for name, path in zip(names[:3], paths, strict=False):
        assert cache.make(name, lambda: (0, write))[1]["a"][7] == 7
        os.utime(path, (9, 9))
    assert cache.find(names[0]) is not None  # used now
    os.utime(paths[1], (1, 1))
    (tmp_path / "indices/notes").write_bytes(bytes(9000))
    cache.make(names[3], lambda: (0, write))
    left = sorted(p.name for p in (tmp_path / "indices").iterdir())
    assert left == [".pvit-cache", names[0], names[2], names[3], "notes"]
    assert index_folder().name == "indices"


def test_views_outlive_the_file(folder: Folder, cache: Path) -> None:
    """A file that is tidied away is there for who has it open; no descriptor is held for it."""
    index = folder.open()
    open_now = [str(p.readlink()) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()]
    assert not [path for path in open_now if "indices" in path]
    made(cache).unlink()
    same(index, columns())


def test_a_column_is_not_written_to(folder: Folder) -> None:
    with pytest.raises(ValueError, match="read-only"):
        folder.open().column("frames")[0] = 1
