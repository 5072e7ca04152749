"""What is fetched before it is used: the next block of a file that is read from front to back, the next of many files.

Behind each block of a stream a look is taken if it is still the same file.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from pvit_data.errors import StorageError

STREAM_BYTES = 4 << 20  # fetched at a time
KEPT_BLOCKS = 8  # in memory: of a base and its layers two each

Fetch = Callable[[int, int], bytes]

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


class Blocks(Protocol):
    """What stands between readers and the bytes of URLs."""

    def read(
        self, identity: str, start: int, size: int, fetch: Fetch, *, again: bool = False
    ) -> bytes:
        """Bytes of a range of a file; see `Cache.read`."""


class BlocksAhead:
    """In place of a `Cache`, for files that are read about from front to back: their blocks, in memory for a moment.

    One request fetches a block of `STREAM_BYTES`, and while it is used the next one is on its way. Each process that
    gets a copy has blocks of its own.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[str, int], Future[bytes]] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__()  # type: ignore[misc]

    def read(
        self, identity: str, start: int, size: int, fetch: Fetch, *, again: bool = False
    ) -> bytes:
        """See `Cache.read`."""
        if size <= 0:
            return b""
        if self._process != os.getpid():  # forked: its threads stayed behind
            self.__init__()  # type: ignore[misc]
        first, last = start // STREAM_BYTES, (start + size - 1) // STREAM_BYTES
        places = [(identity, number) for number in range(first, last + 1)]
        if again:
            with self._lock:
                for place in places:
                    self._blocks.pop(place, None)
        blocks = [self._result(place, self._asked(place, fetch)) for place in places]
        if len(blocks[-1]) == STREAM_BYTES:  # else the file ends there
            self._asked((identity, last + 1), fetch)
        begin = start - first * STREAM_BYTES
        return b"".join(blocks)[begin : begin + size]

    def _asked(self, place: tuple[str, int], fetch: Fetch) -> Future[bytes]:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(KEPT_BLOCKS // 2)
            if place not in self._blocks:
                start = place[1] * STREAM_BYTES
                self._blocks[place] = self._pool.submit(fetch, start, STREAM_BYTES)
            self._blocks.move_to_end(place)
            while len(self._blocks) > KEPT_BLOCKS:
                self._blocks.popitem(last=False)
            return self._blocks[place]

    def _result(self, place: tuple[str, int], asked: Future[bytes]) -> bytes:
        try:
            return asked.result()
        except Exception:
            with self._lock:
                self._blocks.pop(place, None)  # whoever comes next asks again
            raise
