"""A local cache of bytes from URLs: blocks of fixed size, least recently used ones removed above a bound.

Processes may share a folder: blocks appear by renaming and carry a checksum, so that a damaged or half-removed one is
fetched again and never returned. The name of a file's folder includes what tells its versions apart (size, date, tag),
so that a replaced remote file is never mixed with its old blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.storage.files import temporary

BLOCK_BYTES = 1 << 20
MAX_BYTES = 10_000_000_000
_TRAILER = 4  # bytes of CRC behind each block
_SLACK = 16  # the folder is measured again after a sixteenth of the bound was written


class Cache:
    """A folder of blocks.

    Args:
        folder: where; it is made when needed.
        max_bytes: bound on the size of the folder. Processes that write side by side exceed it by a sixteenth each.
        block_bytes: what is fetched at least; larger blocks read further ahead.

    Raises:
        UsageError: if the bound does not hold a few blocks.

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
        self._unmeasured = max_bytes  # so that the first write looks at what is there

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
        folder = self.folder / hashlib.sha256(identity.encode()).hexdigest()[:32]
        first, last = start // self.block_bytes, (start + size - 1) // self.block_bytes
        blocks = {
            number: None if again else self._load(folder, number)
            for number in range(first, last + 1)
        }
        for run in _runs([number for number, block in blocks.items() if block is None]):
            data = fetch(run[0] * self.block_bytes, len(run) * self.block_bytes)
            for place, number in enumerate(run):
                block = data[place * self.block_bytes : (place + 1) * self.block_bytes]
                blocks[number] = block
                self._store(folder, number, block)
        whole = b"".join(block or b"" for block in blocks.values())
        begin = start - first * self.block_bytes
        return whole[begin : begin + size]

    def _load(self, folder: Path, number: int) -> bytes | None:
        path = folder / str(number)
        try:
            data = path.read_bytes()
            os.utime(path)  # recently used
        except OSError:
            return None
        block, trailer = data[:-_TRAILER], data[-_TRAILER:]
        return block if trailer == zlib.crc32(block).to_bytes(_TRAILER, "little") else None

    def _store(self, folder: Path, number: int, block: bytes) -> None:
        """Best effort: a full or read-only disk costs speed, nothing else."""
        part = temporary(folder / str(number))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(block + zlib.crc32(block).to_bytes(_TRAILER, "little"))
            part.replace(folder / str(number))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        with self._lock:
            self._unmeasured += len(block) + _TRAILER
            if self._unmeasured < self.max_bytes // _SLACK:
                return
            self._unmeasured = 0
        self._trim()

    def _trim(self) -> None:
        """Removes the least recently used blocks until there is room for what may come before the next look."""
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        bound = self.max_bytes - self.max_bytes // _SLACK
        for _, size, path in sorted(found):
            if total <= bound:
                break
            with contextlib.suppress(OSError):
                path.unlink()
            total -= size


def _runs(numbers: list[int]) -> list[list[int]]:
    """Neighbouring numbers together."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
