"""The output folder: is there room, what did killed processes leave, what belongs to a source."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pvit_converters.engine.plan_file import PLAN_START, plan_name
from pvit_converters.raw.windows import TABLE
from pvit_data.errors import PvitError, SourceError, UsageError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.names import IN_SOURCE, LAYERS, PART_FOLDERS, SOURCE_FOLDERS, SPLITS
from pvit_data.format.receipts import read_source, receipts_in
from pvit_data.storage.files import PART, require_unlinked
from pvit_data.storage.storage import Storage
from pvit_data.words import size_text
from pvit_data.writing import finish

SPACE_MARGIN = 1.1
_SPLIT = f"({'|'.join(SPLITS)})"
_LEFTOVER = re.compile(rf"\..+{re.escape(PART)}[0-9a-f]{{32}}|\.{_SPLIT}-\d{{5,9}}\.in-work")
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
            for path in _files(folder):
                if _LEFTOVER.fullmatch(path.name):
                    path.unlink(missing_ok=True)


def tables_folder(storage: Storage, source: str) -> Path | None:
    """Where the frame tables of a source's long videos are kept while it is converted; None where OUT is a URL.

    Raises:
        UsageError: if a link is in the way.
    """
    if storage.root is None:
        return None
    require_unlinked(storage.root, storage.root / source / "any")
    return storage.root / source


def remove_tables(storage: Storage, source: str) -> None:
    """Removes the frame tables of a conversion that is complete, or is to be forgotten."""
    if storage.root is not None:
        for path in _files(storage.root / source):
            if TABLE.fullmatch(path.name):
                path.unlink(missing_ok=True)


def require_free(storage: Storage, source: str, root: Path) -> None:
    """Refuses to write over shards that no plan of ours describes, and among the raw files of another kind.

    Raises:
        UsageError: if there are any, or the folder is that of the raw files.
    """
    is_same = storage.root is not None and storage.root.absolute() == root.absolute()
    if is_same and not storage.exists(MANIFEST):
        raise UsageError(
            f"{storage.url}: is the folder of the raw files; choose another one for the shards"
        )
    patterns = (f"{source}/*.tar", f"{source}/{PART_FOLDERS}/*.tar")
    if found := [name for pattern in patterns for name in storage.list(pattern)]:
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
    if source.startswith(f"{LAYERS}/"):
        finish.write_layers(storage, [source])
    elif receipts_in(storage.listing()):
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
    require_unlinked(storage.root, folder / "any")
    if not folder.is_dir():
        return
    for place in _folders(folder, links=True):
        require_unlinked(storage.root, place / "any")
    if any(folder.iterdir()) and not _is_ours(storage, source):
        raise UsageError(
            f"{folder}: holds neither receipts/source.json nor plan.json of a conversion of {source}, so nothing in it "
            "is removed: empty it yourself, or choose another folder"
        )
    remove_leftovers(storage, source)
    remove_tables(storage, source)
    places = _folders(folder)
    for place in places:
        for path in _files(place):
            name = path.relative_to(folder).as_posix()
            if IN_SOURCE.fullmatch(name) and name not in _MARKS:
                path.unlink(missing_ok=True)
    for name in _MARKS:  # at last, so that a second try knows the folder again
        (folder / name).unlink(missing_ok=True)
    for place in reversed(places):
        if not any(place.iterdir()):
            place.rmdir()


def _is_ours(storage: Storage, source: str) -> bool:
    """Whether a source's folder holds what marks it as one: its declaration, or a plan, even one that is damaged."""
    with suppress(PvitError):
        if read_source(storage, source).folder == source:
            return True
    with suppress(PvitError):
        return storage.read_range(plan_name(source), 0, len(PLAN_START)) == PLAN_START
    return False


def _folders(folder: Path, links: bool = False) -> list[Path]:
    """A source's folder and those that a conversion makes in it, each before what lies in it; links only if asked."""
    found = [folder] if folder.is_dir() and (links or not folder.is_symlink()) else []
    for place in found:
        for path in sorted(place.iterdir()) if not place.is_symlink() else ():
            name = path.relative_to(folder).as_posix()
            if (
                SOURCE_FOLDERS.fullmatch(name)
                and path.is_dir()
                and (links or not path.is_symlink())
            ):
                found.append(path)
    return found


def _files(folder: Path) -> Iterator[Path]:
    """What lies in a folder and is none itself; links are files here."""
    if folder.is_dir():
        for path in list(folder.iterdir()):
            if path.is_symlink() or not path.is_dir():
                yield path
