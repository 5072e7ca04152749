"""One file from a URL into a folder: continued where another process stopped, complete under its name or not there.

What has come so far lies beside the file, in one whose name holds the sha256 of the whole, so that two versions are
never mixed. Of several processes that want the same file one fetches it, and the others wait for it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from pvit_data.errors import CorruptShardError, StorageError
from pvit_data.publishing.files import File
from pvit_data.storage.files import PART, open_regular, replace, require_unlinked
from pvit_data.storage.reporting import reported
from pvit_data.storage.storage import Storage

BLOCK = 8 << 20
"""Bytes that are asked for at a time."""
PAUSE = 0.1
"""Seconds between looks whether another process is done with a file."""
TRIES = 3
"""For a file of which other bytes come than its sha256 says."""


class Fetch:
    """A file on its way.

    Args:
        source: where it comes from.
        target: the local folder.
        file: what is known of it.
    """

    def __init__(self, source: Storage, target: Storage, file: File) -> None:
        assert target.root is not None  # pulled into a folder
        self.file = file
        self._source, self._target = source, target
        self._root = target.root
        self._path = target.root / file.name
        self._part = part_of(self._path, file.sha256)

    @property
    def there(self) -> int:
        """Bytes that came already, in an earlier process too."""
        try:
            return min(self._part.stat().st_size, self.file.size)
        except OSError:
            return 0

    def run(self, came: Callable[[int], None]) -> bool:
        """Fetches what is missing, and gives the file its name.

        Args:
            came: is told the bytes of each block.

        Returns:
            Whether it came here, not to another process that wanted it, too.

        Raises:
            CorruptShardError: if other bytes come, again and again.
            StorageError: if the server does not answer, or the disk is full.
            UsageError: if a folder on its way is a link.
        """
        where = str(self._path)
        require_unlinked(self._root, self._path)
        with reported(where):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for _ in range(TRIES):
                with self._alone(came) as file:
                    if is_here(self._target, self.file):  # by another process, meanwhile
                        self._part.unlink()
                        return False
                    if self._continue(file, came) == self.file.sha256:
                        replace(self._part, self._path)
                        self._forget_others()
                        return True
                    came(-self.there)
                    self._part.unlink()
        raise CorruptShardError(
            f"{self._source.where(self.file.name)}: other bytes came than its manifest says, {TRIES} times: "
            "whoever published it should check it with 'pvit-data validate'"
        )

    @contextmanager
    def _alone(self, came: Callable[[int], None]) -> Iterator[BufferedRandom]:
        """What has come so far, to append to, once no other process does."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            with os.fdopen(os.open(self._part, flags, 0o666), "r+b") as file:
                if not _is_taken(file) and self._is_part(file):
                    yield file
                    return
            came(0)  # which ends what was stopped
            time.sleep(PAUSE)

    def _is_part(self, file: BufferedRandom) -> bool:
        """Whether a file is still what lies there, and not given its name by another process meanwhile."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self._part))
        except FileNotFoundError:
            return False

    def _continue(self, file: BufferedRandom, came: Callable[[int], None]) -> str:
        """Appends what is missing; gives the sha256 of all."""
        digest = hashlib.sha256()
        start = 0
        while block := file.read(min(BLOCK, self.file.size - start)):
            digest.update(block)
            start += len(block)
        if os.fstat(file.fileno()).st_size > self.file.size:
            file.truncate(self.file.size)
        while start < self.file.size:
            wanted = min(BLOCK, self.file.size - start)
            block = self._source.read_range(self.file.name, start, wanted)
            if not block:
                raise StorageError(
                    f"{self._source.where(self.file.name)}: ends after {start} bytes, expected {self.file.size}"
                )
            file.write(block)
            file.flush()
            digest.update(block)
            start += len(block)
            came(len(block))
        os.fsync(file.fileno())
        return digest.hexdigest()

    def _forget_others(self) -> None:
        """Removes what came of other versions."""
        for path in self._path.parent.glob(f".{self._path.name}{PART}*"):
            path.unlink(missing_ok=True)


def _is_taken(file: BufferedRandom) -> bool:
    """Whether another process holds a file; else this one does until it is closed."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # some network file systems know no locks
        pass
    return False


def part_of(path: Path, sha256: str) -> Path:
    """Where the beginning of a file lies."""
    return path.with_name(f".{path.name}{PART}{sha256[:32]}")


def is_here(target: Storage, file: File) -> bool:
    """Whether a folder has a file as it should be: its bytes are read."""
    path = target.path(file.name)
    assert path is not None
    try:
        os.close(open_regular(path))
    except OSError:
        return False
    return target.hash(file.name, file.size) == (file.size, file.sha256)
