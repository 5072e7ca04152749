"""Files of a dataset, local or behind a URL: atomic writing, reading whole or by byte range.

Local files are read with `pread` on cached descriptors rather than mapped: a mapped file that shrinks under the reader
kills the process (SIGBUS), a short read is an error that can be reported. URLs go through fsspec, without its own
read-ahead (4 MB for 100 bytes on `hf://`): ranges move what was asked, or whole blocks into a local cache if there is
one; streams fetch the next block while one is used. Only listed schemes are opened, chained ones never.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from pvit_data.cache import Cache
from pvit_data.errors import StorageError, UsageError

SCHEMES = frozenset({"file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"})
MAX_OPEN = 64
STREAM_BYTES = 4 << 20  # fetched at a time when a remote file is read from front to back
_VERSION_KEYS = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "sha256", "blob_id", "lfs")
PART = ".part-"  # temporary files: .NAME.part-UUID


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

    Raises:
        UsageError: if the scheme is not one of `SCHEMES`.
    """

    def __init__(self, url: str | Path, cache: Cache | str | Path | None = None) -> None:
        self.url = str(url)
        self.cache = cache if isinstance(cache, Cache) or cache is None else Cache(cache)
        scheme, found, _ = self.url.partition("://")
        if found and ("::" in self.url or scheme not in SCHEMES):
            raise UsageError(f"cannot open {self.url!r}: expected a folder or a URL of {', '.join(sorted(SCHEMES))}")
        self.root = Path(self.url.removeprefix("file://")) if scheme == "file" or not found else None
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()
        self._remote: Any = None
        self._identities: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "cache": self.cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        """Forgets the cached descriptors; each closes when nobody reads from it any more."""
        self._files.clear()

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.root is not None:
            return (self.root / name).is_file()
        return bool(self._call(name, lambda fs, path: fs.isfile(path)))

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        if self.root is None:
            return int(self._call(name, lambda fs, path: fs.size(path)))
        with self._reported(name):
            return os.stat(self.root / name).st_size

    def read(self, name: str) -> bytes:
        """A whole file.

        Raises:
            StorageError: if it cannot be read.
        """
        if self.root is None:
            return bytes(self._call(name, lambda fs, path: fs.cat_file(path)))
        with self._reported(name):
            return (self.root / name).read_bytes()

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size`; fewer where the file ends before.

        Raises:
            StorageError: if the file cannot be read.
        """
        if self.root is None and self.cache is not None:
            return self.cache.read(self._identity(name), start, size, lambda s, n: self._ranged(name, s, n))
        if self.root is None:
            return self._ranged(name, start, size)
        with self._reported(name):
            return self._opened(name).read(start, size)

    def _ranged(self, name: str, start: int, size: int) -> bytes:
        """Exactly this range of a remote file."""

        def get(fs: Any, path: str) -> bytes:
            protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
            if "hf" not in protocols:  # whose cat_file reads ahead
                return bytes(fs.cat_file(path, start=start, end=start + size))
            with fs.open(path, "rb", cache_type="none") as file:
                file.seek(start)
                return bytes(file.read(size))

        data: bytes = self._call(name, get) if size > 0 else b""
        if len(data) > size:
            raise StorageError(
                f"{self.url.rstrip('/')}/{name}: the server ignores byte ranges ({len(data)} bytes for {size}): "
                "copy the dataset to a local folder"
            )
        return data

    def _identity(self, name: str) -> str:
        """Name and version of a remote file; asked once."""
        if name not in self._identities:
            info = self._call(name, lambda fs, path: fs.info(path))
            version = [str(info.get(key, "")) for key in ("size", *_VERSION_KEYS)]
            self._identities[name] = "\n".join([f"{self.url.rstrip('/')}/{name}", *version])
        return self._identities[name]

    @contextmanager
    def stream(self, name: str) -> Iterator[Callable[[int], bytes]]:
        """Opens a file for reading from front to back; gives a function that returns the next bytes.

        A remote file comes in blocks of `STREAM_BYTES`, the next one while the last is used.

        Raises:
            StorageError: if it cannot be read.
        """
        with self._reported(name):
            if self.root is None:
                with closing(_ReadAhead(self, name, self.size(name))) as ahead:
                    yield ahead.read
                return
            with (self.root / name).open("rb") as file:
                yield file.read

    def hash(self, name: str) -> tuple[int, str]:
        """Size and sha256 of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        with self.stream(name) as read:
            while block := read(1 << 20):
                digest.update(block)
                size += len(block)
        return size, digest.hexdigest()

    def list(self, pattern: str) -> list[str]:
        """Names that match a glob, sorted; temporary files left out."""
        if self.root is not None:
            found = [p.relative_to(self.root).as_posix() for p in self.root.glob(pattern)]
        else:
            prefix = self._call("", lambda _, path: path).rstrip("/")
            found = [p[len(prefix) :].lstrip("/") for p in self._call(pattern, lambda fs, path: fs.glob(path))]
        return sorted(name for name in found if PART not in name)

    def create(self, name: str) -> Writer:
        """Opens a file that appears under its name, complete and flushed, with `Writer.publish` and never before.

        Raises:
            StorageError: if it cannot be written.
        """
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
            self._call(name, lambda fs, path: fs.rm_file(path))

    def put(self, source: Path, name: str) -> None:
        """Copies a local file to a remote place."""
        self._call(name, lambda fs, path: fs.put_file(str(source), path))

    def _opened(self, name: str) -> _OpenFile:
        assert self.root is not None
        with self._lock:
            file = self._files.pop(name, None) or _OpenFile(self.root / name)
            self._files[name] = file
            if len(self._files) > MAX_OPEN:
                self._files.popitem(last=False)
            return file

    def _call(self, name: str, action: Callable[[Any, str], Any]) -> Any:
        with self._reported(name):
            if self._remote is None:
                from fsspec.core import url_to_fs

                try:
                    self._remote = url_to_fs(self.url)
                except ImportError as error:  # of the package that knows this kind of store
                    raise UsageError(f"cannot open {self.url!r}: {error}") from error
            fs, prefix = self._remote
            return action(fs, f"{prefix.rstrip('/')}/{name}" if name else prefix)

    @contextmanager
    def _reported(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self.url.rstrip('/')}/{name}"
            raise StorageError(f"{where}: {_cause(error)}") from error


class _ReadAhead:
    """A remote file from front to back; one thread fetches the next block."""

    def __init__(self, storage: Storage, name: str, size: int) -> None:
        self._storage, self._name, self._size = storage, name, size
        self._pool = ThreadPoolExecutor(1)
        self._next = 0
        self._block, self._place = b"", 0
        self._coming = self._ask()

    def _ask(self) -> Future[bytes] | None:
        if self._next >= self._size:
            return None
        start, self._next = self._next, self._next + STREAM_BYTES
        return self._pool.submit(self._storage.read_range, self._name, start, min(STREAM_BYTES, self._size - start))

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        out = []
        while size > 0:
            if self._place == len(self._block):
                if self._coming is None:
                    break
                self._block, self._place = self._coming.result(), 0
                self._coming = self._ask() if self._block else None
                continue
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
        self._storage, self._name = storage, name
        folder, _, base = name.rpartition("/")
        if storage.root is None:
            import tempfile

            self._folder = Path(tempfile.gettempdir())
        else:
            self._folder = storage.root / folder
        self._path = self._folder / f".{base}{PART}{uuid.uuid4().hex}"
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
                sync_folder(self._folder)
                return
        self._storage.put(self._path, self._name)
        self._path.unlink()

    def discard(self) -> None:
        """Removes the temporary file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full: free some space and run the same command again, finished shards are kept"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return error.strerror or f"{type(error).__name__}: {error}"
