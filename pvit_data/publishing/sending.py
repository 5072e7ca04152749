"""Files on their way into the store, before anybody sees them: each once, a few at a time, and stopped when asked to.

The client reads a file through `as_file`; so it is known how far it is sent, and a thread in the middle of a large one
is stopped there.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

from pvit_data.errors import CorruptShardError
from pvit_data.publishing.connection import Connection
from pvit_data.publishing.files import File
from pvit_data.publishing.repository import Repository
from pvit_data.storage.storage import Storage

SMALL_BYTES, TOGETHER = 1 << 20, 100
"""Files that are sent in one call: of at most so many bytes, so many of them."""
Progress = Callable[[int, int], None]


def send_files(
    storage: Storage,
    connection: Connection,
    repository: Repository,
    files: Sequence[File],
    jobs: int,
    progress: Progress,
) -> dict[str, Any]:
    """Brings files into the store, where they are not yet.

    Args:
        storage: the dataset.
        connection: to the Hub; it is stopped when something goes wrong.
        repository: where they go.
        files: the small ones come with the commit.
        jobs: calls at once.
        progress: is told bytes that are there, and all.

    Returns:
        The files as parts of a commit, by name.

    Raises:
        CorruptShardError: if a file is not the one that the manifest names; it is not sent.
        StorageError: if the Hub does not take one.
    """
    total = sum(file.size for file in files)
    sent = _Sent(connection, total, progress)
    small = [file for file in files if file.data is not None]
    large = [file for file in files if file.data is None]
    additions = {file.name: _addition(file, storage, sent) for file in small}
    repository.send(list(additions.values()), repository.repo)
    for file in small:
        sent.at(file.name, file.size)

    def send(batch: Sequence[File]) -> dict[str, Any]:
        mine = {}
        for file in batch:
            _require_sound(storage, file)
            mine[file.name] = _addition(file, storage, sent)
        what = batch[0].name if len(batch) == 1 else f"{batch[0].name} and {len(batch) - 1} more"
        repository.send(list(mine.values()), f"{repository.repo}/{what}")
        for file in batch:
            sent.at(file.name, file.size)
        return mine

    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        for group in _each_once(large):
            coming = [pool.submit(send, batch) for batch in _batches(group)]
            try:
                for future in as_completed(coming):
                    additions |= future.result()
            except BaseException:
                connection.stop()
                pool.shutdown(cancel_futures=True)
                raise
    return additions


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    """Large files alone, small ones together: each call asks the Hub twice before anything is sent."""
    small: list[File] = []
    for file in files:
        if file.size > SMALL_BYTES:
            yield [file]
            continue
        small.append(file)
        if len(small) == TOGETHER:
            yield small
            small = []
    if small:
        yield small


def _each_once(files: Sequence[File]) -> tuple[list[File], list[File]]:
    """Files of different contents, then those that are equal to one of them, which the store has by then."""
    first: dict[str, File] = {}
    for file in files:
        first.setdefault(file.sha256, file)
    return list(first.values()), [file for file in files if first[file.sha256] is not file]


def _require_sound(storage: Storage, file: File) -> None:
    """Refuses to send a file that is not the one that the manifest names.

    Raises:
        CorruptShardError: naming it.
    """
    if storage.hash(file.name, file.size) != (file.size, file.sha256):
        raise CorruptShardError(
            f"{storage.where(file.name)} is not the file that its manifest names: "
            f"run 'pvit-data validate {storage.url}'"
        )


class _Sent:
    """How much has been sent, by several threads; a file that begins anew counts anew."""

    def __init__(self, connection: Connection, total: int, progress: Progress) -> None:
        self._connection, self._total, self._progress = connection, total, progress
        self._positions: dict[str, int] = {}
        self._done = 0
        self._lock = threading.Lock()

    def at(self, name: str, position: int) -> None:
        """A file is sent up to there.

        Raises:
            Interrupted: after the connection was stopped.
        """
        self._connection.require_going()
        with self._lock:
            self._done += position - self._positions.get(name, 0)
            self._positions[name] = position
            self._progress(self._done, self._total)


def _addition(file: File, storage: Storage, sent: _Sent) -> Any:
    """A file as a part of a commit; it is read when it is sent."""
    path = storage.path(file.name) if file.data is None else None
    contents = file.data if path is None else str(path)
    assert contents is not None  # files without data are local
    return watched_addition(file.name, contents, file.sha256, partial(sent.at, file.name))


class WatchedFile(io.BufferedReader):
    """A file that tells, before each read, where it is.

    Args:
        path: of it.
        watch: is told the position; what it raises ends the reading.
    """

    def __init__(self, path: str, watch: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(path))
        self._watch = watch

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        self._watch(self.tell())
        return super().read(-1 if size is None else size)


def watched_addition(
    name: str, contents: bytes | str, sha256: str, watch: Callable[[int], None]
) -> Any:
    """A `CommitOperationAdd`.

    Args:
        name: in the repository.
        contents: bytes, or path of a file, which is read when it is sent.
        sha256: of the contents, so that nobody reads them for that.
        watch: see `WatchedFile`.
    """
    from huggingface_hub import CommitOperationAdd

    class Watched(CommitOperationAdd):
        """Reads its file through a `WatchedFile`."""

        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
            """The opened file, or the bytes as one."""
            path = self.path_or_fileobj
            if not isinstance(path, str):
                with super().as_file() as file:
                    yield file
                return
            with WatchedFile(path, watch) as file:
                yield file

    addition = Watched(path_in_repo=name, path_or_fileobj=contents)
    addition.upload_info.sha256 = bytes.fromhex(sha256)
    return addition
