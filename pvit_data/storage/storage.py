"""Files of a dataset, local or behind a URL: atomic writing, reading whole or by byte range.

Local files are read with `pread` on cached descriptors rather than mapped: a mapped file that shrinks under the reader
kills the process (SIGBUS), a short read is an error that can be reported. Behind a URL (`remote`) ranges move what was
asked, or whole blocks into a local cache if there is one; streams fetch the next block while one is used, and end where
the file is replaced meanwhile. Only listed schemes are opened, chained ones never.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.ahead import Blocks, ReadAhead, Stream, ahead
from pvit_data.storage.cache import Cache
from pvit_data.storage.files import (
    is_ours,
    open_regular,
    read_regular,
    regular_size,
    replace,
    require_inside,
    require_plain,
    require_unlinked,
    temporary,
    walk,
)
from pvit_data.storage.open_files import OPEN, new_owner
from pvit_data.storage.remote import Remote
from pvit_data.storage.reporting import reported
from pvit_data.storage.writer import Writer
from pvit_data.words import plain_url

SCHEMES = frozenset(
    {"file", "http", "https", "s3", "gs", "gcs", "az", "abfs", "abfss", "hf", "memory"}
)
SETTLED_NS = (
    2_000_000_000  # file systems tell times in steps; within one a second change is not seen
)
MAX_READ_BYTES = 1 << 30  # of a file that is read whole
DEPTH = (
    6  # names that lie within each other: layers/NAME/receipts/rows/part-00001/train-03000.parquet
)
THREADS = 32  # that ask a store for small files at once

Item = TypeVar("Item")
Found = TypeVar("Found")


class Storage:
    """One folder or URL.

    Every name is a path below it: absolute ones, `..`, and links that lead out of the folder are refused, and so is
    whatever is no regular file. Nothing is written through links.

    Attributes:
        url: where it is, as it may be shown and stored: without user, password and query.
        root: the local folder, or None.

    Args:
        url: path of a folder, or an fsspec URL.
        cache: local folder, or a `Cache`, for bytes of a URL; ignored where the files are local.
        commit: of a repository on the Hub. Default: the newest one, looked up once.

    Raises:
        UsageError: if the scheme is not one of `SCHEMES`, the host holds a blank, or the folder is no cache of ours.
    """

    def __init__(
        self, url: str | Path, cache: Blocks | str | Path | None = None, commit: str = ""
    ) -> None:
        self._address = str(url)
        self.url = plain_url(self._address)
        self.cache = Cache(cache) if isinstance(cache, str | Path) else cache
        scheme, found, rest = self._address.partition("://")
        if found and ("::" in self._address or scheme not in SCHEMES):
            raise UsageError(
                f"cannot open {self.url!r}: expected a folder or a URL of {', '.join(sorted(SCHEMES))}"
            )
        if found and len(rest.partition("/")[0].split()) > 1:  # where it ends could not be told
            raise UsageError(
                "the address has a blank in its host, user or password: write it as %20"
            )
        self.root = (
            Path(rest if found else self._address) if scheme == "file" or not found else None
        )
        self.remote = Remote(self._address, commit)  # asks nobody before it is used
        self._owner = new_owner()
        weakref.finalize(self, OPEN.forget, self._owner)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self._address, "cache": self.cache, "commit": self.remote.commit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def where(self, name: str) -> str:
        """A file as people know it, for messages."""
        return f"{self.url.rstrip('/')}/{name}"

    def close(self) -> None:
        """Forgets the cached descriptors; each closes when nobody reads from it any more."""
        OPEN.forget(self._owner)

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
            StorageError: if it lies outside, or the store behind a URL does not answer.
        """
        path = self.path(name)
        return self.remote.info(name) is not None if path is None else path.is_file()

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            StorageError: if it cannot be read.
        """
        path = self.path(name)
        if path is None:
            return self.remote.size(name)
        with reported(self.where(name)):
            return regular_size(path)

    def version(self, name: str) -> str:
        """What changes whenever a file does; "" where that is not certain, as of a file written a moment ago.

        It is the same on every machine that sees a shared file system, and says nothing about files behind a URL.

        Raises:
            StorageError: if it is not there.
        """
        if self.root is None:
            return ""
        with reported(self.where(name)):
            found = os.stat(self._local(name))
        times = (found.st_mtime_ns, found.st_ctime_ns)  # the second one can be set by nobody
        is_settled = time.time_ns() - max(times) > SETTLED_NS
        return f"{found.st_ino} {found.st_size} {times[0]} {times[1]}" * is_settled

    def read(self, name: str, limit: int = MAX_READ_BYTES) -> bytes:
        """A whole file of bounded size.

        Raises:
            StorageError: if it cannot be read.
            FormatError: if it is larger; no more than that is read of it.
        """
        path = self.path(name)
        if path is None:
            data = self.remote.read(name, limit)
        else:
            with reported(self.where(name)):
                data = read_regular(path, limit + 1)
        if len(data) > limit:
            raise FormatError(
                f"{self.where(name)}: has more than the {limit} bytes that it may have"
            )
        return data

    def read_range(
        self, name: str, start: int, size: int, *, again: bool = False, version: str = ""
    ) -> bytes:
        """Bytes `start` to `start + size`; fewer where the file ends before.

        Args:
            name: of the file.
            start, size: the range.
            again: fetch them from the URL even if the cache has them, and look which version is there now.
            version: sha256 of the file, if it is known; else what tells versions apart in the cache is asked once.

        Raises:
            StorageError: if the file cannot be read.
        """
        if self.root is not None:
            with reported(self.where(name)):
                file = OPEN.get(self._owner, name, lambda: self._local(name))
                return file.read(start, size)
        require_plain(name)
        if self.cache is None:
            return self.remote.read_range(name, start, size)
        known = f"{self.where(name)}\n{version}" if version else ""
        identity = known or self.remote.identity(name, again=again)
        return self.cache.read(
            identity, start, size, lambda s, n: self.remote.read_range(name, s, n), again=again
        )

    @contextmanager
    def stream(self, name: str) -> Iterator[Stream]:
        """Opens a file for reading from front to back.

        A remote file comes in blocks of `STREAM_BYTES`, the next one while the last is used.

        Raises:
            StorageError: if it cannot be read.
        """
        path = self.path(name)
        if path is None:
            with closing(self._ahead(name)) as ahead:
                yield Stream(ahead.read)
            return
        with reported(self.where(name)), open(open_regular(path), "rb") as file:
            yield Stream(file.read, lambda size: file.seek(size, os.SEEK_CUR))

    def _ahead(self, name: str) -> ReadAhead:
        return ReadAhead(
            self.where(name),
            self.size(name),
            lambda start, size: self.read_range(name, start, size),
            lambda: self.remote.identity(name, again=True),
        )

    def hash(self, name: str, expected: int) -> tuple[int, str]:
        """Size and sha256 of a file.

        Args:
            name: of the file.
            expected: its size; of a larger file one byte more is read, and that size returned.

        Raises:
            StorageError: if it cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        with self.stream(name) as stream:
            while block := stream.read(min(1 << 20, expected + 1 - size)):
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
        return sorted(filter(is_ours, found))

    def listing(self) -> dict[str, int]:
        """Every file, at most `DEPTH` names deep, with its bytes; -1 where they are not told.

        Stores list all of them at once; web servers a folder at a time, without sizes.

        Raises:
            StorageError: if the store does not answer.
        """
        return dict(walk(self.root, DEPTH)) if self.root is not None else self.remote.find(DEPTH)

    def sizes(self, names: Sequence[str], listing: Mapping[str, int]) -> Iterator[int]:
        """Bytes of files in the order of their names; what a listing does not tell is asked, by several threads.

        Raises:
            StorageError: at the first one that is not there.
        """

        def size(name: str) -> int:
            told = listing.get(name, -1)
            return self.size(name) if told < 0 else told

        return self.each(size, names)

    def each(self, action: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
        """What an action gives for each item, in order; behind a URL by up to `THREADS` threads at once.

        Raises:
            Exception: what the action raises, where its turn has come.
        """
        return map(action, items) if self.root is not None else ahead(action, items, THREADS)

    def create(self, name: str) -> Writer:
        """Opens a file that appears under its name, complete and flushed, with `Writer.publish` and never before.

        Raises:
            StorageError: if it cannot be written.
            UsageError: if a folder on its way is a link, or it is a repository on the Hub, where each file would be
                a commit.
        """
        if self.url.startswith("hf://"):
            raise UsageError(
                f"cannot write to {self.url}: write to a local folder, then publish that"
            )
        path = self._target(name)
        with reported(self.where(name)):
            if path is None:
                fresh = temporary(Path(tempfile.gettempdir()) / name.rpartition("/")[2])
                return Writer(fresh, self.where(name), lambda part: self._upload(part, name), True)
            return Writer(temporary(path), self.where(name), lambda part: replace(part, path))

    def write(self, name: str, data: bytes) -> None:
        """Writes a whole file atomically.

        Raises:
            StorageError: if it cannot be written (the temporary file is removed).
            UsageError: as `create`.
        """
        writer = self.create(name)
        try:
            writer.write(data)
            writer.publish()
        except BaseException:
            writer.discard()
            raise

    def remove(self, name: str) -> None:
        """Removes a file, if it is there; of a link the link.

        Raises:
            StorageError: if it cannot be removed.
            UsageError: if a folder on its way is a link.
        """
        path = self._target(name)
        if path is not None:
            with reported(self.where(name)):
                path.unlink(missing_ok=True)
        elif self.exists(name):
            self.remote.call(name, lambda fs, place: fs.rm_file(place))

    def _upload(self, part: Path, name: str) -> None:
        self.remote.call(name, lambda fs, place: fs.put_file(str(part), place))
        part.unlink()

    def path(self, name: str) -> Path | None:
        """Where a file is read, or None behind a URL.

        Raises:
            StorageError: if that is outside.
        """
        require_plain(name)
        if self.root is None:
            return None
        require_inside(self.root, name)
        return self.root / name

    def _target(self, name: str) -> Path | None:
        """Where a file is written or removed, or None behind a URL: every change of a local file begins here."""
        require_plain(name)
        if self.root is None:
            return None
        require_unlinked(self.root, self.root / name)
        return self.root / name

    def _local(self, name: str) -> Path:
        path = self.path(name)
        assert path is not None  # asked only where the files are local
        return path
