"""A local cache of bytes from URLs: blocks of fixed size, least recently used ones removed above a bound.

Threads and processes may share a folder. In a process a block is fetched by one thread, for which others wait. Blocks
appear by renaming and carry a checksum, so that a damaged or half-removed one is fetched again and never returned. The
name of a file's folder includes what tells its versions apart (its hash, or size, date, tag), so that a replaced remote
file is never mixed with its old blocks.

A checksum keeps nobody from forging a block. So the folder is the user's own, nobody else may write to it, and no link
in it is followed; it carries a marker, without which nothing in it is taken for a block, or removed (`OwnFolder`, which
other caches share).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.storage.files import PART, read_regular, temporary
from pvit_data.storage.turns import Turns

BLOCK_BYTES = 1 << 20
MAX_BYTES = 10_000_000_000
MARKER = ".pvit-cache"
_FOLDER = re.compile(r"[0-9a-f]{32}")
_BLOCK = re.compile(rf"\d+|\.\d+{re.escape(PART)}[0-9a-f]{{32}}")  # and what killed processes left
_TRAILER = 4  # bytes of CRC behind each block
_LOOKS = 16  # folders of which a block is looked at
_LARGEST = 1 << 28  # bytes that are read of one
_SLACK = 16  # the folder is measured again after a sixteenth of the bound was written


class OwnFolder:
    """A folder of a cache: this user's alone, with a marker, holding nothing else.

    Args:
        path: where; it is made when needed. One that is there is empty, or was made as such a cache.
        names: of the files or folders that the cache puts there.
        about: what it holds, for whoever finds it.
        was_ours: whether a folder without the marker is such a cache all the same, by the names in it.
    """

    def __init__(
        self,
        path: Path,
        names: re.Pattern[str],
        about: str,
        was_ours: Callable[[list[str]], bool] = lambda names: True,
    ) -> None:
        self.path, self._names, self._about, self._was_ours = path, names, about, was_ours

    def require_ours(self) -> None:
        """Refuses a folder that is there and no cache of this user alone.

        Raises:
            UsageError: if it is something else.
        """
        try:
            status = os.stat(self.path)
            names = os.listdir(self.path)
        except OSError:
            return  # nothing there, or nothing that could be used: that costs speed only
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise UsageError(
                f"{self.path}: others may write to this folder, so they could forge what is read from it: choose a "
                "folder of your own (chmod 700) as cache"
            )
        if names and MARKER not in names and not self._may_be(names):
            raise UsageError(
                f"{self.path}: holds other files than a cache: choose a new or empty folder as cache"
            )

    def _may_be(self, names: list[str]) -> bool:
        return all(map(self._names.fullmatch, names)) and self._was_ours(names)

    def make(self) -> None:
        """Makes the folder and its marker.

        Raises:
            OSError: if it cannot be written.
            UsageError: if something else is there.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.require_ours()
        with contextlib.suppress(FileExistsError), open(self.path / MARKER, "xb") as file:
            file.write(f"{self._about}, kept by pvit_data. May be removed at any time.\n".encode())

    def is_marked(self) -> bool:
        """Whether it may be tidied up."""
        return os.path.lexists(self.path / MARKER)


class Cache:
    """A folder of blocks.

    Args:
        folder: where; it is made when needed. One that is there is empty, or was made as a cache.
        max_bytes: bound on the size of the folder. Processes that write side by side exceed it by a sixteenth each.
        block_bytes: what is fetched at least; larger blocks read further ahead.

    Raises:
        UsageError: if the bound does not hold a few blocks, or the folder is no cache, or others may write to it.

    Example:
        >>> import pvit_data
        >>> cache = pvit_data.Cache("cache", max_bytes=2_000_000_000, block_bytes=1 << 22)
        >>> cache.read("a file, version 1", 1, 3, lambda start, size: b"bytes of it"[start : start + size])
        b'yte'
    """

    def __init__(
        self, folder: str | Path, max_bytes: int = MAX_BYTES, block_bytes: int = BLOCK_BYTES
    ) -> None:
        if block_bytes < 1 or max_bytes < 4 * block_bytes:
            raise UsageError(
                f"a cache of {max_bytes} bytes does not hold four blocks of {block_bytes} bytes"
            )
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.block_bytes = block_bytes
        self._lock = threading.Lock()
        self._turns = Turns()
        self._unmeasured = max_bytes  # so that the first write looks at what is there
        self._prepared = False
        self._own = OwnFolder(self.folder, _FOLDER, "Blocks of remote files", self._was_ours)
        self._own.require_ours()

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "max_bytes": self.max_bytes, "block_bytes": self.block_bytes}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def read(
        self,
        identity: str,
        start: int,
        size: int,
        fetch: Callable[[int, int], bytes],
        *,
        again: bool = False,
    ) -> bytes:
        """Bytes `start` to `start + size` of a file; fewer where it ends before.

        Args:
            identity: names the file and its version.
            start, size: the range.
            fetch: returns bytes of a range (start, size) from the source; called for missing blocks, neighbouring ones
                together.
            again: fetch what is here as well.
        """
        if size <= 0:
            return b""
        named = f"{identity}\n{self.block_bytes}"  # blocks of another size are others
        folder = self.folder / hashlib.sha256(named.encode()).hexdigest()[:32]
        first, last = start // self.block_bytes, (start + size - 1) // self.block_bytes
        numbers = range(first, last + 1)
        with self._turns.at(*((folder.name, number) for number in numbers)):
            blocks = {n: None if again else self._load(folder, n) for n in numbers}
            for run in _runs([number for number, block in blocks.items() if block is None]):
                data = fetch(run[0] * self.block_bytes, len(run) * self.block_bytes)
                for place, number in enumerate(run):
                    block = data[place * self.block_bytes : (place + 1) * self.block_bytes]
                    blocks[number] = block
                    self._store(folder, number, block)
        whole = b"".join(block or b"" for block in blocks.values())
        begin = start - first * self.block_bytes
        return whole[begin : begin + size]

    def _was_ours(self, names: list[str]) -> bool:
        """Whether a folder without the marker is a cache of a version that set none: it has nothing but blocks."""
        inside = [entries(self.folder / name) for name in names]
        if not all(_BLOCK.fullmatch(entry.name) for found in inside for entry in found):
            return False
        blocks = [next((e for e in found if e.name.isdigit()), None) for found in inside[:_LOOKS]]
        return all(block is None or _is_block(block.path) for block in blocks)

    def _load(self, folder: Path, number: int) -> bytes | None:
        try:
            with opened(folder) as place:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                with open(os.open(str(number), flags, dir_fd=place), "rb") as file:
                    data = file.read(self.block_bytes + _TRAILER + 1)
                    os.utime(file.fileno())  # recently used
        except OSError:
            return None
        return data[:-_TRAILER] if _is_whole(data) else None

    def _store(self, folder: Path, number: int, block: bytes) -> None:
        """Best effort: a full or read-only disk costs speed, nothing else."""
        part = temporary(Path(str(number))).name
        try:
            if not self._prepared:
                self._own.make()
                self._prepared = True
            folder.mkdir(mode=0o700, exist_ok=True)
            with opened(folder) as place:
                _write(place, part, str(number), block)
        except OSError:
            self._prepared = False  # the folder may be gone
            return
        with self._lock:
            self._unmeasured += len(block) + _TRAILER
            if self._unmeasured < self.max_bytes // _SLACK:
                return
            self._unmeasured = 0
        self._trim()

    def _trim(self) -> None:
        """Removes the least recently used blocks until there is room for what may come before the next look."""
        if self._own.is_marked():
            remove_oldest(self._blocks(), self.max_bytes - self.max_bytes // _SLACK)

    def _blocks(self) -> Iterator[Path]:
        """Regular files with names of blocks, in folders with names of ours that are no links."""
        for folder in entries(self.folder):
            if _FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False):
                for block in entries(folder):
                    if _BLOCK.fullmatch(block.name) and block.is_file(follow_symlinks=False):
                        yield Path(block.path)


def entries(folder: str | Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be read."""
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return list(found)
    return []


def _is_block(path: str) -> bool:
    """Whether a file ends with the checksum of what is before."""
    with contextlib.suppress(OSError):
        return _is_whole(read_regular(path, _LARGEST + 1))
    return False


def _is_whole(data: bytes) -> bool:
    return data[-_TRAILER:] == zlib.crc32(data[:-_TRAILER]).to_bytes(_TRAILER, "little")


def remove_oldest(files: Iterable[Path], most: int) -> None:
    """Removes those of some files that were used least recently, until all take at most so many bytes."""
    found = []
    for path in files:
        with contextlib.suppress(OSError):
            status = path.lstat()
            found.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= most:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A folder that is no link, as a descriptor."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield place
    finally:
        os.close(place)


def _write(place: int, part: str, name: str, block: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(part, flags, 0o600, dir_fd=place), "wb") as file:
            file.write(block + zlib.crc32(block).to_bytes(_TRAILER, "little"))
        os.replace(part, name, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=place)
        raise


def _runs(numbers: list[int]) -> list[list[int]]:
    """Neighbouring numbers together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
