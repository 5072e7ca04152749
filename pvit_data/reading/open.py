"""`open`: a folder or URL as a dataset: ours with its manifest, foreign tars with an index, or tars as a stream."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Literal, cast

from pvit_data.errors import UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.manifest import read_manifest
from pvit_data.format.members import FIELDS
from pvit_data.format.names import SPLITS
from pvit_data.reading import foreign_table
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.foreign_part import foreign_parts
from pvit_data.reading.part import DatasetPart, SplitPart
from pvit_data.reading.stream import open_stream
from pvit_data.storage.cache import Cache
from pvit_data.storage.storage import Storage
from pvit_data.words import did_you_mean


def open_dataset(
    url: str | Path,
    source: str | None = None,
    split: str | None = None,
    fields: Collection[str] | None = None,
    where: str | None = None,
    on_corrupt: Literal["raise", "skip"] = "raise",
    skip_limit: float = SKIP_LIMIT,
    cache: Cache | str | Path | None = None,
    *,
    tasks: Collection[str] | None = None,
) -> ShardDataset:
    """Opens a dataset; public as `pvit_data.open`.

    Args:
        url: folder or URL (`s3://`, `gs://`, `hf://`, `https://`, ...).
        source: only this source. Default: all.
        split: only this split: `"train"`, `"val"` or `"test"`. Default: all.
        fields: what samples are decoded with: `"rgb"`, `"depth"`, ... Default: all.
        where: filter over index columns, such as `"has_depth and frames >= 16"`.
        on_corrupt: what iteration does with a damaged sample: raise, or skip and count.
        skip_limit: largest share of damaged samples that iteration skips.
        cache: local folder in which bytes from a URL are kept, of bounded size (`Cache` sets it).
            Without one, exactly the asked bytes are fetched, every time.
        tasks: the former name of `fields`.

    Returns:
        The samples, by source, split, shard and place. A folder of shards without a manifest can only be iterated
        (a `StreamDataset`), unless 'pvit-data index' has indexed it.

    Raises:
        UsageError: if source, split, field or filter is unknown.
        FormatError: if the dataset is of a newer major version, or manifest or index are damaged.
        StorageError: if it cannot be read.

    Example:
        >>> import numpy as np, pvit_data
        >>> with pvit_data.ShardWriter("data", "mine") as writer:
        ...     writer.write(pvit_data.Sample(key="a", depth=np.ones((2, 4, 6), np.float32)))
        >>> dataset = pvit_data.open("data", split="train", where="has_depth")
        >>> dataset[0].depth.shape
        (2, 4, 6)
    """
    wanted = _fields(fields, tasks)
    if on_corrupt not in ("raise", "skip"):
        raise UsageError(f"on_corrupt is {on_corrupt!r}, expected 'raise' or 'skip'")
    storage = Storage(url, cache)
    storage.require_folder()
    if storage.exists(manifests.NAME):
        parts: list[DatasetPart] = [*_split_parts(storage, source, split)]
    elif storage.exists(foreign_table.NAME):
        parts = [*foreign_parts(storage, source, split)]
    else:
        # Not declared: whoever opens a dataset means one with an index, and a stream says so where it is not.
        return cast(ShardDataset, open_stream(storage, source, split, wanted, where, on_corrupt))
    dataset = ShardDataset(parts, None, wanted, on_corrupt, skip_limit)
    return dataset if where is None else dataset.where(where)


def _fields(
    fields: Collection[str] | None, tasks: Collection[str] | None
) -> tuple[str, ...] | None:
    if tasks is not None:
        if fields is not None:
            raise UsageError("fields and tasks are the same: give fields only")
        warnings.warn(
            "pvit_data.open(tasks=...) is called fields=... now", DeprecationWarning, stacklevel=3
        )
        fields = tasks
    if unknown := sorted(set(fields or ()) - FIELDS.keys()):
        hint = did_you_mean(unknown[0], FIELDS)
        raise UsageError(
            f"unknown field {unknown[0]!r}: expected some of {', '.join(FIELDS)}{hint}"
        )
    return None if fields is None else tuple(fields)


def _split_parts(storage: Storage, source: str | None, split: str | None) -> list[SplitPart]:
    """The parts that a manifest lists, of one source or split if asked, by source and split."""
    manifest = read_manifest(storage)
    if source is not None and source not in manifest.sources:
        raise UsageError(
            f"{storage.url} has no source {source!r}: it has {', '.join(manifest.sources)}"
        )
    entries = [manifest.sources[name] for name in sorted(manifest.sources)]
    found = [
        SplitPart(storage, entry.spec, name, entry.splits[name], manifest.checksum)
        for entry in entries
        for name in SPLITS
        if name in entry.splits and source in (None, entry.spec.name) and split in (None, name)
    ]
    if not found:
        splits = sorted({name for entry in entries for name in entry.splits}, key=SPLITS.index)
        raise UsageError(
            f"{storage.url} has no split {split!r} of {source or 'any source'}: it has {', '.join(splits)}"
        )
    return found
