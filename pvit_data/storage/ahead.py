"""What is fetched before it is used: the next block of a file that is read from front to back, the next of many files.

Behind each block of a file a look is taken if it is still the same one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pvit_data.errors import StorageError

STREAM_BYTES = 4 << 20  # fetched at a time

Item = TypeVar("Item")
Found = TypeVar("Found")


def ahead(action: Callable[[Item], Found], items: Iterable[Item], threads: int) -> Iterator[Found]:
    """What an action gives for each item, in order; a bounded number of threads is ahead of who uses it.

    Raises:
        Exception: what the action raises, where its turn has come.
    """
    coming: deque[Future[Found]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            coming.append(pool.submit(action, item))
            if len(coming) > 2 * threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Stream:
    """A file that is read, or passed over, from front to back.

    Args:
        read: gives the next bytes, fewer only at the end.
        seek: goes forward by a number of bytes, also behind the end, where that is possible.
    """

    def __init__(
        self, read: Callable[[int], bytes], seek: Callable[[int], object] | None = None
    ) -> None:
        self.read = read
        self._seek = seek

    def skip(self, size: int) -> bool:
        """Passes over bytes; whether they were there."""
        if self._seek is not None and size > 1:
            self._seek(size - 1)
            size = 1
        while size:
            block = self.read(min(size, 1 << 20))
            if not block:
                return False
            size -= len(block)
        return True


class ReadAhead:
    """A file that is read once.

    Args:
        where: the file, for messages.
        size: its bytes.
        fetch: gives the bytes of a range (start, size).
        identity: tells its version.
    """

    def __init__(
        self,
        where: str,
        size: int,
        fetch: Callable[[int, int], bytes],
        identity: Callable[[], str],
    ) -> None:
        self._where = where
        self._size = size
        self._fetch = fetch
        self._identity = identity
        self._version = identity()
        self._pool = ThreadPoolExecutor(1)
        self._next = 0
        self._block, self._place = b"", 0
        self._coming = self._ask()

    def _ask(self) -> Future[bytes] | None:
        if self._next >= self._size:
            return None
        start, self._next = self._next, min(self._next + STREAM_BYTES, self._size)
        return self._pool.submit(self._checked, start, self._next - start)

    def _checked(self, start: int, size: int) -> bytes:
        data = self._fetch(start, size)
        if len(data) != size or self._identity() != self._version:
            raise StorageError(f"{self._where}: was changed while it was read: read it again")
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
