"""The output folder: is there room, what did killed processes leave, what belongs to a source."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from pathlib import Path

from pvit_converters.engine.plan_file import PLAN_START, plan_name
from pvit_converters.engine.plan_parts import PART_NAME
from pvit_data.errors import PvitError, SourceError, UsageError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.manifest import SPLITS
from pvit_data.format.receipts import read_source
from pvit_data.storage.files import PART, require_unlinked
from pvit_data.storage.storage import Storage
from pvit_data.words import size_text
from pvit_data.writing import finish

SPACE_MARGIN = 1.1
_SPLIT = f"({'|'.join(SPLITS)})"
_LEFTOVER = re.compile(rf"\..+{re.escape(PART)}[0-9a-f]{{32}}|\.{_SPLIT}-\d{{5,9}}\.in-work")
_WRITTEN = {
    "": re.compile(rf"{_SPLIT}-\d{{5,9}}\.tar|report\.json"),
    "index": re.compile(rf"{_SPLIT}\.parquet"),
    "receipts": re.compile(rf"{_SPLIT}-\d{{5,9}}\.json"),
    "plan": PART_NAME,
}
"""What a conversion writes, by folder of the source."""
_MARKS = ("plan.json", "receipts/source.json")
"""What says that a folder is a source's."""


def require_space(storage: Storage, needed: int) -> None:
    """Refuses to start where the disk is too small for the estimate.

    Raises:
        SourceError: naming the folder, what is needed and what is free.
    """
    if storage.root is None:
        return
    folder = next(p for p in (storage.root, *storage.root.absolute().parents) if p.is_dir())
    free = shutil.disk_usage(folder).free
    if needed * SPACE_MARGIN > free:
        raise SourceError(
            f"{storage.root}: about {size_text(needed * SPACE_MARGIN)} are needed, {size_text(free)} are free; "
            "make room, choose another folder, or pass --no-check-space if the estimate is wrong",
            reason="no-space",
        )


def remove_leftovers(storage: Storage, source: str) -> None:
    """Removes temporary files that killed processes left behind, and nothing that is called otherwise."""
    if storage.root is not None:
        for folder in (storage.root, *_folders(storage.root / source)):
            _remove_named(folder, _LEFTOVER)


def require_free(storage: Storage, source: str) -> None:
    """Refuses to write over shards that no plan of ours describes.

    Raises:
        UsageError: if there are any.
    """
    if found := storage.list(f"{source}/*.tar"):
        raise UsageError(
            f"{storage.url}/{found[0]}: is there, but {plan_name(source)} is not: these shards were not "
            "made by a conversion; choose another folder, or --overwrite to replace the source"
        )


def overwrite(storage: Storage, source: str) -> None:
    """Takes a source out of a dataset; the other sources stay readable.

    Raises:
        UsageError: if the dataset is not a local folder.
    """
    remove_source(storage, source)
    if any(True for _ in finish.read_receipts(storage)):
        finish.write_manifest(storage.url)
    else:
        storage.remove(MANIFEST)


def remove_source(storage: Storage, source: str) -> None:
    """Removes everything that a conversion of this source wrote, and nothing else.

    Raises:
        UsageError: if the dataset is not a local folder, a folder of it is a link, or nothing says that the source's
            folder is ours.
    """
    if storage.root is None:
        raise UsageError(
            f"{storage.url}: --overwrite works on local folders; remove '{source}' there yourself"
        )
    folder = storage.root / source
    for name in _WRITTEN:
        require_unlinked(storage.root, folder / name / "any")
    if not folder.is_dir():
        return
    if any(folder.iterdir()) and not _is_ours(storage, source):
        raise UsageError(
            f"{folder}: holds neither receipts/source.json nor plan.json of a conversion of {source}, so nothing in it "
            "is removed: empty it yourself, or choose another folder"
        )
    remove_leftovers(storage, source)
    for name, pattern in _WRITTEN.items():
        _remove_named(folder / name, pattern)
    for name in _MARKS:  # at last, so that a second try knows the folder again
        (folder / name).unlink(missing_ok=True)
    for place in (folder / "receipts", folder / "index", folder / "plan", folder):
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()


def _is_ours(storage: Storage, source: str) -> bool:
    """Whether a source's folder holds what marks it as one: its declaration, or a plan, even one that is damaged."""
    with suppress(PvitError):
        if read_source(storage, source).name == source:
            return True
    with suppress(PvitError):
        return storage.read_range(plan_name(source), 0, len(PLAN_START)) == PLAN_START
    return False


def _folders(folder: Path) -> list[Path]:
    """Those of a source that are there and are no links."""
    if folder.is_symlink():
        return []
    places = (folder / name for name in _WRITTEN)
    return [place for place in places if place.is_dir() and not place.is_symlink()]


def _remove_named(folder: Path, pattern: re.Pattern[str]) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            if pattern.fullmatch(path.name) and not (path.is_dir() and not path.is_symlink()):
                path.unlink(missing_ok=True)
