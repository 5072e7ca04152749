"""A video file on disk that is read in pieces, since it may be larger than memory."""

from __future__ import annotations

import io
import os
from types import TracebackType
from typing import Any, Self

from pvit_data.errors import FormatError

MAX_PIECE = 1 << 26  # bytes: the tables of a day of video have less


class VideoFile:
    """A file's bytes without its memory: it has a length, and slices of it are read when they are asked for.

    Args:
        descriptor: of a regular file, open for reading; it is closed with this object, which is a context manager.

    Attributes:
        identity: device, number, bytes and time of the last change: another file, or another content, has another one.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._size = found.st_size
        self.identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """Bytes from `start` to `stop`, fewer where the file ends.

        Raises:
            FormatError: if more is asked for than any table of a video takes.
        """
        start, stop, _ = part.indices(self._size)
        if stop - start > MAX_PIECE:
            raise FormatError(
                f"video has a table of {stop - start:,} bytes, at most {MAX_PIECE:,} are read"
            )
        return os.pread(self._descriptor, stop - start, start) if stop > start else b""

    def stream(self) -> io.RawIOBase:
        """The file from its start, with a place of its own."""
        return _Stream(self._descriptor, self._size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)


class _Stream(io.RawIOBase):
    """Reads by place, so that several may read one descriptor."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size, self._place = descriptor, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(base + offset, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        view: Any = memoryview(buffer).cast("B")
        count = os.preadv(self._descriptor, [view], self._place)
        self._place += count
        return count
