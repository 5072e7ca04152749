"""A file being written under a temporary name, with its size and hash counted on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pvit_data.storage.reporting import reported


class Writer:
    """A file that is not there yet; see `Storage.create`.

    Args:
        part: a fresh temporary name.
        where: the file's own name, for messages.
        place: called with the finished temporary file, which it puts where it belongs.
        private: nobody else may read it while it is written.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(
        self, part: Path, where: str, place: Callable[[Path], None], private: bool = False
    ) -> None:
        self._path = part
        self._where = where
        self._place = place
        self._hash = hashlib.sha256()
        self.size = 0
        part.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o600 if private else 0o666  # less what the user's mask takes away
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._file = os.fdopen(descriptor, "wb")  # closed by publish or discard

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Appends bytes.

        Raises:
            StorageError: if the disk is full or fails.
        """
        with reported(self._where):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> None:
        """Flushes to disk; the file keeps its temporary name.

        Raises:
            StorageError: if the disk is full or fails.
        """
        with reported(self._where):
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
        with reported(self._where):
            self._place(self._path)

    def discard(self) -> None:
        """Removes the temporary file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
