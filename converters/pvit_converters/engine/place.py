"""The output folder: is there room, what did killed processes leave, what belongs to a source."""

from __future__ import annotations

import shutil

from pvit_converters.engine.plan_file import plan_name
from pvit_data.errors import SourceError, UsageError
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.storage.files import PART
from pvit_data.storage.storage import Storage
from pvit_data.words import size_text
from pvit_data.writing import finish

SPACE_MARGIN = 1.1


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
    """Removes temporary files that killed processes left behind."""
    if storage.root is None:
        return
    for folder in (storage.root, *(storage.root / source).glob("**/")):
        for pattern in (f".*{PART}*", ".*.in-work"):
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)


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
    if finish.read_receipts(storage):
        finish.write_manifest(storage.url)
    else:
        storage.remove(MANIFEST)


def remove_source(storage: Storage, source: str) -> None:
    """Removes everything that a conversion of this source wrote, and nothing else.

    Raises:
        UsageError: if the dataset is not a local folder.
    """
    if storage.root is None:
        raise UsageError(
            f"{storage.url}: --overwrite works on local folders; remove '{source}' there yourself"
        )
    folder = storage.root / source
    remove_leftovers(storage, source)
    for pattern in ("receipts/*.json", "index/*.parquet", "*.tar", "plan.json", "report.json"):
        for path in folder.glob(pattern):
            path.unlink()
    for path in (folder / "receipts", folder / "index", folder):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
