"""Who may write where: names that are taken, folders that are somebody else's, and one publisher at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pvit_data.errors import UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.manifest import read_manifest
from pvit_data.format.names import LAYERS
from pvit_data.reading.foreign import table as foreign_table
from pvit_data.storage.storage import Storage

_held = threading.local()
"""`folders`: those that this thread publishes in."""


def require_room(storage: Storage, folder: str) -> None:
    """Refuses what would hide something that is there: by its name, or by the manifest that comes with it.

    Args:
        storage: the dataset.
        folder: of the source or layer that will be written.

    Raises:
        UsageError: if the folder has a layer of a source's name, or the other way round, or indexed foreign tars.
    """
    name = folder.removeprefix(f"{LAYERS}/")
    if storage.exists(manifests.NAME):
        manifest = read_manifest(storage)
        others, kind = (
            (manifest.layers, "layer") if name == folder else (manifest.sources, "source")
        )
        if name in others:
            raise UsageError(f"{storage.url} has a {kind} '{name}': choose another name")
    elif storage.exists(foreign_table.NAME):
        raise UsageError(
            f"{storage.url} holds foreign tars, which a manifest beside them would hide: "
            f"write '{name}' into a folder of its own"
        )


@contextmanager
def published_alone(storage: Storage) -> Iterator[None]:
    """Waits until no other process gives files of a local dataset their names; nothing is left there by it.

    Within it the same thread may ask again.
    """
    held: set[str] = _held.__dict__.setdefault("folders", set())
    place = "" if storage.root is None else os.path.realpath(storage.root)
    if place in held or not os.path.isdir(place):  # behind a URL there are no locks
        yield
        return
    import fcntl

    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    held.add(place)
    try:
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        held.remove(place)
        os.close(folder)
