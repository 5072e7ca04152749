"""Large indices as files that every process of a machine maps, so that their rows are in memory once, or not at all.

One process makes such a file, the others wait for it; it is named by the hash of the index, so that it is never that of
another. Its folder is this user's own (`OwnFolder`); what was used least recently goes when it becomes too large. Where
it cannot be had (nothing may be written, no room, another user's), each process holds the columns that it needs.
"""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import re
import shutil
import stat
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pvit_data.errors import UsageError
from pvit_data.format.mapped.columns import Column, map_columns
from pvit_data.storage.cache import OwnFolder, entries, remove_oldest
from pvit_data.storage.files import PART, sync, temporary

VARIABLE = "PVIT_CACHE"
MAX_BYTES = 100_000_000_000
WAIT_S = 600.0
"""Seconds for which another process may take to make a file before this one makes its own."""
_NAME = re.compile(rf"[0-9a-f]{{64}}|\.[0-9a-f]{{64}}(\.lock|{re.escape(PART)}[0-9a-f]{{32}})")
_told: set[str] = set()

Columns = tuple[int, dict[str, Column]]
"""Number of rows, and the columns by name."""
Write = Callable[[BinaryIO], None]
"""Fills a file."""


def index_folder() -> Path:
    """`indices` in the folder that `$PVIT_CACHE` names, else in `~/.cache/pvit`."""
    return Path(os.environ.get(VARIABLE) or "~/.cache/pvit").expanduser() / "indices"


class IndexCache:
    """A folder of files of columns.

    Args:
        folder: where; made when needed.
        max_bytes: bound on its size, apart from the file that was made last.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._own = OwnFolder(folder, _NAME, "Indices of data sets")

    def require_ours(self) -> None:
        """Refuses a folder that is there and no such cache of this user alone.

        Raises:
            UsageError: if others may write to it, or it is something else.
        """
        self._own.require_ours()

    def find(self, name: str) -> Columns | None:
        """The columns of a file, or None where there is none that is whole.

        Args:
            name: 64 hexadecimal digits.

        Raises:
            UsageError: if others may write to the folder, or it is something else.
        """
        path = self.folder / name
        self._own.require_ours()
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                return None
            found = map_columns(path)
        except (OSError, ValueError):
            return None
        with suppress(OSError):
            os.utime(path)  # recently used
        return found

    def make(self, name: str, begin: Callable[[], tuple[int, Write]]) -> Columns:
        """Writes a file, unless another process just did, and maps it.

        Args:
            name: 64 hexadecimal digits.
            begin: called if it is to be written: says how many bytes it will about take, and what fills it.

        Raises:
            OSError: if it cannot be written, or the disk would be full.
            UsageError: as `find`.
        """
        self._own.make()
        with self._alone(name):
            found = self.find(name)
            if found is not None:
                return found
            room, write = begin()
            if shutil.disk_usage(self.folder).free < 2 * room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._write(self.folder / name, write)
            found = self.find(name)
        if found is None:
            raise OSError(errno.EIO, "what was written cannot be read")
        self._tidy(name)
        return found

    def _write(self, path: Path, write: Write) -> None:
        part = temporary(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with open(os.open(part, flags, 0o600), "wb") as file:
                write(file)
            sync(part)
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
        sync(self.folder)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """No other process makes the same file meanwhile, unless that takes forever or the disk knows no locks."""
        path = self.folder / f".{name}.lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(path, flags, 0o600)
        try:
            deadline = time.monotonic() + WAIT_S
            while not _locked(lock) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield
        finally:
            with suppress(OSError):
                path.unlink()  # whoever waits for it finds the file that was made
            os.close(lock)

    def _tidy(self, name: str) -> None:
        if not self._own.is_marked():
            return
        files = [
            Path(entry.path)
            for entry in entries(self.folder)
            if _NAME.fullmatch(entry.name)
            and entry.is_file(follow_symlinks=False)
            and name not in entry.name
        ]
        remove_oldest(files, self.max_bytes)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # each process makes the file, and the last one's stays
    return True


def cached(name: str, begin: Callable[[], tuple[int, Write]]) -> Columns | None:
    """The columns of a file in `index_folder`, made where there is none; None where that is impossible.

    Why it is impossible is said once, as a warning.
    """
    try:
        cache = IndexCache(index_folder())
        return cache.find(name) or cache.make(name, begin)
    except (OSError, UsageError, RuntimeError) as error:  # the last one: nobody knows the home
        _tell(getattr(error, "strerror", None) or str(error))
        return None


def _tell(reason: str) -> None:
    """Says it in the main process, which is the first to open what its workers open."""
    if reason in _told or multiprocessing.parent_process() is not None:
        return
    _told.add(reason)
    warnings.warn(
        f"the folder for large indices cannot be used ({reason}); each process holds them in memory: "
        f"set {VARIABLE} to a folder of your own on a local disk",
        stacklevel=2,
    )
