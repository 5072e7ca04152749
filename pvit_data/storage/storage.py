"""Files of a dataset, local or behind a URL: atomic writing, reading whole or by byte range.

Local files are read with `pread` on cached descriptors rather than mapped: a mapped file that shrinks under the reader
kills the process (SIGBUS), a short read is an error that can be reported. Behind a URL (`remote`) ranges move what was
asked, or whole blocks into a local cache if there is one; streams fetch the next block while one is used, and end where
the file is replaced meanwhile. Only listed schemes are opened, chained ones never.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from pvit_data.errors import StorageError, UsageError
from pvit_data.storage.cache import Cache
from pvit_data.storage.files import PART, is_litter, sync, temporary
from pvit_data.storage.remote import Remote

SCHEMES = frozenset(
    {"file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"}
)
MAX_OPEN = 64
STREAM_BYTES = 4 << 20  # fetched at a time when a remote file is read from front to back


class _OpenFile:
    """A descriptor that closes when the last reader lets go of it, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self._descriptor, size, start)


class Storage:
    """One folder or URL.

    Args:
        url: path of a folder, or an fsspec URL.
        cache: local folder, or a `Cache`, for bytes of a URL; ignored where the files are local.
        commit: of a repository on the Hub. Default: the newest one, looked up once.

    Raises:
        UsageError: if the scheme is not one of `SCHEMES`.
    """

    def __init__(
        self, url: str | Path, cache: Cache | str | Path | None = None, commit: str = ""
    ) -> None:
        self.url = str(url)
        self.cache = cache if isinstance(cache, Cache) or cache is None else Cache(cache)
        scheme, found, _ = self.url.partition("://")
        if found and ("::" in self.url or scheme not in SCHEMES):
            raise UsageError(
                f"cannot open {self.url!r}: expected a folder or a URL of {', '.join(sorted(SCHEMES))}"
            )
        self.root = (
            Path(self.url.removeprefix("file://")) if scheme == "file" or not found else None
        )
        self.remote = Remote(self.url, commit)  # asks nobody before it is used
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "cache": self.cache, "commit": self.remote.commit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        """Forgets the cached descriptors; each closes when nobody reads from it any more."""
        self._files.clear()

    def require_folder(self) -> None:
        """Refuses a local folder that is not there.

        Raises:
            UsageError: naming it.
        """
        if self.root is not None and not self.root.is_dir():
            raise UsageError(f"{self.url}: {'not a' if self.root.exists() else 'no such'} folder")

    def exists(self, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            StorageError: if the store behind a URL does not answer.
        """
        if self.root is not None:
            return (self.root / name).is_file()
        return self.remote.info(name) is not None

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        if self.root is None:
            return self.remote.size(name)
        with self._reported(name):
            return os.stat(self.root / name).st_size

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            StorageError: if it cannot be read.
        """
        if self.root is None:
            return self.remote.read(name)
        with self._reported(name):
            return (self.root / name).read_bytes()

    def read_range(self, name: str, start: int, size: int, *, again: bool = False) -> bytes:
        """Bytes `start` to `start + size`; fewer where the file ends before.

        Args:
            name: of the file.
            start, size: the range.
            again: fetch them from the URL even if the cache has them, and look which version is there now.

        Raises:
            StorageError: if the file cannot be read.
        """
        if self.root is not None:
            with self._reported(name):
                return self._opened(name).read(start, size)
        if self.cache is None:
            return self.remote.read_range(name, start, size)
        identity = self.remote.identity(name, again=again)
        return self.cache.read(
            identity, start, size, lambda s, n: self.remote.read_range(name, s, n), again=again
        )

    @contextmanager
    def stream(self, name: str) -> Iterator[Callable[[int], bytes]]:
        """Opens a file for reading from front to back; gives a function that returns the next bytes.

        A remote file comes in blocks of `STREAM_BYTES`, the next one while the last is used.

        Raises:
            StorageError: if it cannot be read.
        """
        with self._reported(name):
            if self.root is None:
                with closing(_ReadAhead(self, name)) as ahead:
                    yield ahead.read
                return
            with (self.root / name).open("rb") as file:
                yield file.read

    def hash(self, name: str) -> tuple[int, str]:
        """Size and sha256 of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        with self.stream(name) as read:
            while block := read(1 << 20):
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    def list(self, pattern: str) -> list[str]:
        """Names of files that match a glob, sorted; without temporary files, litter, and links that lead nowhere."""
        if self.root is not None:
            there = (path for path in self.root.glob(pattern) if os.path.isfile(path))
            found = [path.relative_to(self.root).as_posix() for path in there]
        else:
            found = self.remote.list(pattern)
        return sorted(
            name for name in found if PART not in name and not any(map(is_litter, name.split("/")))
        )

    def create(self, name: str) -> Writer:
        """Opens a file that appears under its name, complete and flushed, with `Writer.publish` and never before.

        Raises:
            StorageError: if it cannot be written.
            UsageError: if it is a repository on the Hub, where each file would be a commit.
        """
        if self.url.startswith("hf://"):
            raise UsageError(
                f"cannot write to {self.url}: write to a local folder, then publish that"
            )
        with self._reported(name):
            return Writer(self, name)

    def write(self, name: str, data: bytes) -> None:
        """Writes a whole file atomically.

        Raises:
            StorageError: if it cannot be written (the temporary file is removed).
        """
        writer = self.create(name)
        try:
            writer.write(data)
            writer.publish()
        except BaseException:
            writer.discard()
            raise

    def remove(self, name: str) -> None:
        """Removes a file, if it is there."""
        if self.root is not None:
            with self._reported(name):
                (self.root / name).unlink(missing_ok=True)
        elif self.exists(name):
            self.remote.call(name, lambda fs, path: fs.rm_file(path))

    def put(self, source: Path, name: str) -> None:
        """Copies a local file to a remote place."""
        self.remote.call(name, lambda fs, path: fs.put_file(str(source), path))

    def _opened(self, name: str) -> _OpenFile:
        assert self.root is not None
        with self._lock:
            file = self._files.pop(name, None) or _OpenFile(self.root / name)
            self._files[name] = file
            if len(self._files) > MAX_OPEN:
                self._files.popitem(last=False)
            return file

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self.url.rstrip('/')}/{name}"
            raise StorageError(f"{where}: {_cause(error)}") from error


class _ReadAhead:
    """A remote file from front to back; one thread fetches the next block, then looks if the file is still the same."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        self._identity = storage.remote.identity(name, again=True)
        self._size = storage.size(name)
        self._pool = ThreadPoolExecutor(1)
        self._next = 0
        self._block, self._place = b"", 0
        self._coming = self._ask()

    def _ask(self) -> Future[bytes] | None:
        if self._next >= self._size:
            return None
        start, self._next = self._next, min(self._next + STREAM_BYTES, self._size)
        return self._pool.submit(self._fetch, start, self._next - start)

    def _fetch(self, start: int, size: int) -> bytes:
        data = self._storage.read_range(self._name, start, size)
        if (
            len(data) != size
            or self._storage.remote.identity(self._name, again=True) != self._identity
        ):
            raise StorageError(
                f"{self._storage.url.rstrip('/')}/{self._name}: was changed while it was read: read it again"
            )
        return data

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        out = []
        while size > 0:
            if self._place == len(self._block):
                if self._coming is None:
                    break
                self._block, self._place = self._coming.result(), 0
                self._coming = self._ask()
            piece = self._block[self._place : self._place + size]
            out.append(piece)
            self._place += len(piece)
            size -= len(piece)
        return b"".join(out)

    def close(self) -> None:
        """Forgets what was asked ahead."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Writer:
    """A file being written; see `Storage.create`. Counts its bytes and their sha256 on the way."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage = storage
        self._name = name
        folder, _, base = name.rpartition("/")
        if storage.root is None:
            import tempfile

            self._folder = Path(tempfile.gettempdir())
        else:
            self._folder = storage.root / folder
        self._path = temporary(self._folder / base)
        self._hash = hashlib.sha256()
        self.size = 0
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("xb")  # closed by publish or discard

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Appends bytes.

        Raises:
            StorageError: if the disk is full or fails.
        """
        with self._storage._reported(self._name):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> None:
        """Flushes to disk; the file keeps its temporary name.

        Raises:
            StorageError: if the disk is full or fails.
        """
        with self._storage._reported(self._name):
            if not self._file.closed:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()

    def publish(self) -> None:
        """Flushes to disk and gives the file its final name.

        Raises:
            StorageError: if the disk is full or fails.
        """
        self.close()
        with self._storage._reported(self._name):
            if self._storage.root is not None:
                os.replace(self._path, self._storage.root / self._name)
                sync(self._folder)
                return
        self._storage.put(self._path, self._name)
        self._path.unlink()

    def discard(self) -> None:
        """Removes the temporary file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _cause(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full: free some space and run the same command again, finished shards are kept"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return error.strerror or f"{type(error).__name__}: {error}"
