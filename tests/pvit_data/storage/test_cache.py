"""Whose folder a cache is: it removes nothing but its own blocks, and reads none that others may have written."""

import os
import shutil
import zlib
from pathlib import Path

import pytest

from pvit_data.errors import UsageError
from pvit_data.storage.cache import MARKER, Cache


def fill(cache: Cache, number: int, name: str = "a") -> None:
    for start in range(number):
        assert cache.read(name, 100 * start, 100, lambda _, size: bytes(size)) == bytes(100)


def small(folder: Path) -> Cache:
    return Cache(folder, max_bytes=1600, block_bytes=100)


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    fill(small(tmp_path / "new/cache"), 1)
    assert (tmp_path / "new/cache").stat().st_mode & 0o777 == 0o700
    (block,) = (tmp_path / "new/cache").glob("*/*")
    assert block.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new/cache" / MARKER).is_file()


def test_a_folder_with_other_things_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "data/mine").mkdir(parents=True)
    (tmp_path / "data/mine/train-00000.tar").write_bytes(b"data")
    with pytest.raises(UsageError, match="data: holds other files than a cache: choose a new or empty folder"):
        small(tmp_path / "data")
    cache = small(tmp_path / "later")
    shutil.copytree(tmp_path / "data", tmp_path / "later")  # made while nobody looked
    with pytest.raises(UsageError, match="holds other files than a cache"):
        fill(cache, 1)
    assert (tmp_path / "later/mine/train-00000.tar").read_bytes() == b"data"
    (tmp_path / "empty").mkdir(0o755)
    fill(small(tmp_path / "empty"), 1)
    (tmp_path / "empty" / MARKER).unlink()  # as caches were made before
    fill(small(tmp_path / "empty"), 2)
    assert (tmp_path / "empty" / MARKER).is_file()


@pytest.mark.parametrize("name", ["0", "0001", "frame.jpg"])
def test_folders_called_like_those_of_a_cache_are_none(tmp_path: Path, name: str) -> None:
    """Stores that name folders by a hash of what is inside are common."""
    for folder in ("0123456789abcdef" * 2, "f" * 32):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / name).write_bytes(b"data" * 1000)
    with pytest.raises(UsageError, match="holds other files than a cache"):
        small(tmp_path / "data")
    assert not (tmp_path / "data" / MARKER).exists()


def test_trimming_removes_blocks_and_nothing_else(tmp_path: Path) -> None:
    cache = small(tmp_path / "cache")
    fill(cache, 1)
    (own,) = (p for p in cache.folder.iterdir() if p.is_dir())
    (tmp_path / "other").mkdir()
    for name in ("1", "train-00000.tar"):
        (tmp_path / "other" / name).write_bytes(bytes(5000))
    (cache.folder / ("0" * 32)).symlink_to(tmp_path / "other")
    (cache.folder / "notes").mkdir()
    kept = [cache.folder / "notes/7", own / "notes.txt", own / "7.tar", *(tmp_path / "other").iterdir()]
    for path in kept[:3]:
        path.write_bytes(bytes(5000))
    (own / "999").symlink_to(tmp_path / "other/1")
    left = own / f".3.part-{'a' * 32}"
    left.write_bytes(bytes(5000))
    for path in (*kept, left):
        os.utime(path, (1, 1))
    fill(cache, 40)
    assert all(path.stat().st_size == 5000 for path in kept)
    assert (own / "999").is_symlink()
    assert not left.exists()
    assert sum(p.stat().st_size for p in own.iterdir() if p.name.isdigit() and not p.is_symlink()) <= 1600
    (cache.folder / MARKER).unlink()
    before = set(own.iterdir())
    cache._trim()
    assert set(own.iterdir()) == before


def test_no_block_is_read_through_a_link(tmp_path: Path) -> None:
    cache = small(tmp_path / "cache")
    fill(cache, 1)
    (own,) = (p for p in cache.folder.iterdir() if p.is_dir())
    forged = b"x" * 100
    (tmp_path / "forged").write_bytes(forged + zlib.crc32(forged).to_bytes(4, "little"))
    (own / "0").unlink()
    (own / "0").symlink_to(tmp_path / "forged")
    fill(cache, 1)
    assert not (own / "0").is_symlink()
    os.replace(own, tmp_path / "moved")
    own.symlink_to(tmp_path / "moved")
    before = (tmp_path / "moved/0").stat().st_mtime_ns
    fill(cache, 1)
    assert (tmp_path / "moved/0").stat().st_mtime_ns == before
    own.unlink()
    own.mkdir()
    os.mkfifo(own / "0")
    fill(cache, 1)


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UsageError, match="open: others may write to this folder"):
        small(tmp_path / "open")
    (tmp_path / "open").chmod(0o755)
    small(tmp_path / "open")
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(UsageError, match="others may write to this folder"):
        small(tmp_path / "open")


def test_blocks_of_another_size_are_others(tmp_path: Path) -> None:
    data = os.urandom(4000)

    def fetch(start: int, size: int) -> bytes:
        return data[start : start + size]

    for block_bytes in (100, 300):
        cache = Cache(tmp_path / "cache", block_bytes=block_bytes)
        assert cache.read("a", 350, 500, fetch) == data[350:850]
