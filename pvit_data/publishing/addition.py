"""A file as a part of a commit, watched while it is sent: how far it is, and whether it is still wanted.

The client reads it through `as_file`; a thread in the middle of a large file is stopped there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

Watch = Callable[[int], None]


class WatchedFile(io.BufferedReader):
    """A file that tells, before each read, where it is.

    Args:
        path: of it.
        watch: is told the position; what it raises ends the reading.
    """

    def __init__(self, path: str, watch: Watch) -> None:
        super().__init__(io.FileIO(path))
        self._watch = watch

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        self._watch(self.tell())
        return super().read(-1 if size is None else size)


def watched_addition(name: str, contents: bytes | str, sha256: str, watch: Watch) -> Any:
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
