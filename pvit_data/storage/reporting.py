"""Failures of the local disk as sentences about the file that they hit."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from pvit_data.errors import StorageError


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Turns what the system says about a file into a `StorageError`.

    Args:
        where: the file, as people know it.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"{where}: {_cause(error)}") from error


def _cause(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full: free some space and run the same command again, finished shards are kept"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return error.strerror or f"{type(error).__name__}: {error}"
