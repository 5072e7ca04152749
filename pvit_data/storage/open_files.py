"""Descriptors of local files that are read again and again: one bounded store of them for the whole process.

However many data sets are mixed, they keep no more files open than this; a file that is not among them is opened anew.
"""

from __future__ import annotations

import itertools
import os
import resource
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from pvit_data.storage.files import open_regular

SHARE, LEAST, MOST = 8, 16, 256
"""An eighth of what the process may open, within bounds: batches in flight and libraries need the rest."""


class OpenFile:
    """A descriptor that closes when the last reader lets go of it, so that threads may share it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = open_regular(path)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size`; fewer where the file ends before."""
        return os.pread(self._descriptor, size, start)


class OpenFiles:
    """The files used last.

    Args:
        most: how many stay open.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._files: OrderedDict[tuple[int, str], OpenFile] = OrderedDict()
        self._lock = (
            threading.RLock()
        )  # an owner may end, and forget its files, while a file is looked up
        os.register_at_fork(after_in_child=self._unlock)

    def get(self, owner: int, name: str, find: Callable[[], Path]) -> OpenFile:
        """The open file of an owner, who sees the version that was there when it was opened.

        Args:
            owner: number from `new_owner`.
            name: of the file among the owner's.
            find: gives the path to open, or raises.

        Raises:
            OSError: if it cannot be opened.
        """
        with self._lock:
            file = self._files.pop((owner, name), None) or OpenFile(find())
            self._files[owner, name] = file
            if len(self._files) > self.most:
                self._files.popitem(last=False)
            return file

    def forget(self, owner: int) -> None:
        """Closes an owner's files, each when nobody reads from it any more."""
        with self._lock:
            for key in [key for key in self._files if key[0] == owner]:
                del self._files[key]

    def _unlock(self) -> None:
        self._lock = threading.RLock()


def _allowed() -> int:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if most == resource.RLIM_INFINITY else min(MOST, max(LEAST, most // SHARE))


OPEN = OpenFiles(_allowed())
new_owner = itertools.count().__next__
