"""`open`: a folder or URL as a dataset: ours with its manifest, foreign tars with an index, or tars as a stream."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, cast

from pvit_data.errors import UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.manifest import Manifest, read_manifest
from pvit_data.format.members import FIELDS
from pvit_data.format.names import SPLITS
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.foreign import table as foreign_table
from pvit_data.reading.foreign.part import ForeignPart, foreign_parts
from pvit_data.reading.layers.attach import (
    annotated,
    find_layers,
    layers_in,
    protocol_parts,
)
from pvit_data.reading.part import DatasetPart, SplitPart
from pvit_data.reading.stream import open_stream
from pvit_data.storage.ahead import Blocks
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
    cache: Blocks | str | Path | None = None,
    *,
    layers: Sequence[str] | str = (),
    base: str | Path = "",
    strict_layers: bool = False,
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
        cache: local folder for bytes from a URL, of bounded size (`Cache` sets it); without one nothing is kept.
        layers: annotation layers over `source`: a name in the same folder, `URL#NAME`, or a folder or URL, which means
            every one in it. Of two that declare a field the later one gives it.
        base: folder or URL of the base, where `source` is a protocol and its base is elsewhere.
        strict_layers: other bytes of the pictures than a layer was made from are an error, not a warning.
        tasks: the former name of `fields`.

    Returns:
        The samples, by source, split, shard and place. Shards without a manifest can only be iterated (a
        `StreamDataset`), unless 'pvit-data index' has indexed them.

    Raises:
        UsageError: if source, split, field or filter is unknown.
        FormatError: if it is of a newer major version, manifest or index are damaged, or a layer does not fit.
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
    (storage := Storage(url, cache)).require_folder()
    named = (layers,) if isinstance(layers, str) else layers
    parts = _found(storage, source, split, _Over(named, str(base), strict_layers))
    if parts is None:
        # Not declared: whoever opens a dataset means one with an index.
        return cast(ShardDataset, open_stream(storage, source, split, wanted, where, on_corrupt))
    dataset = ShardDataset(parts, None, wanted, on_corrupt, skip_limit)
    return dataset if where is None else dataset.where(where)


def _found(
    storage: Storage, source: str | None, split: str | None, over: _Over
) -> list[DatasetPart] | None:
    """The parts of a dataset that has a manifest or an index; None of shards alone."""
    if storage.exists(manifests.NAME):
        return _parts(storage, source, split, over)
    if storage.exists(foreign_table.NAME):
        if not over.layers or split is None:
            return _annotated(storage, foreign_parts(storage, source, split), over)
        whole = _annotated(storage, foreign_parts(storage, source), over)
        return [part for part in whole if part.split == split]
    if over.layers:
        raise UsageError(
            f"{storage.url} has no index, so layers cannot be attached: 'pvit-data index' makes one"
        )
    return None


class _Over(NamedTuple):
    """What is attached: layers, and where the base of a protocol is."""

    layers: Sequence[str]
    base: str
    strict: bool


def _parts(
    storage: Storage, source: str | None, split: str | None, over: _Over
) -> list[DatasetPart]:
    """The parts of a dataset of ours: of a protocol, or of sources with whatever is attached to them."""
    manifest = read_manifest(storage)
    layer = None if source is None else layers_in(storage, manifest).get(source)
    if layer is None:
        if over.base:
            raise UsageError(
                f"base is given, but {source or 'no source'!r} is no protocol of {storage.url}"
            )
        wanted = split_parts(storage, manifest, source, split)
        if over.layers and split is not None:  # a layer fits a source, or not, as a whole
            whole = _annotated(storage, split_parts(storage, manifest, source, None), over)
            return [part for part in whole if part.split == split]
        return _annotated(storage, wanted, over)
    of = layer.entry.spec.base.source
    if layer.entry.spec.kind != "protocol":
        raise UsageError(
            f"'{source}' is an annotation layer over '{of}': open that, with layers=['{source}']"
        )
    home = Storage(over.base, storage.cache) if over.base else storage
    home.require_folder()
    if not (bases := base_parts(home, of, None if over.base else manifest)):
        raise UsageError(
            f"protocol '{source}' is over '{of}', which is not in {home.url}: give base=URL"
        )
    found = protocol_parts(layer, _annotated(home, bases, over), split)
    if not found:
        raise UsageError(
            f"{storage.url} has no split {split!r} of {source}: it has {', '.join(layer.entry.splits)}"
        )
    return [*found]


def sources_in(home: Storage) -> list[str]:
    """Names of the sources of a dataset, or of an indexed folder of foreign tars; [] of anything else.

    Raises:
        FormatError: if manifest or index are damaged.
        StorageError: if they cannot be read.
    """
    if home.exists(manifests.NAME):
        return [*read_manifest(home).sources]
    if home.exists(foreign_table.NAME):
        return sorted({part.spec.name for part in foreign_parts(home)})
    return []


def base_parts(
    home: Storage, source: str, manifest: Manifest | None = None
) -> Sequence[SplitPart] | Sequence[ForeignPart]:
    """All parts of a source that layers are over: of ours, or of an indexed folder of foreign tars.

    Args:
        home: the dataset.
        source: its name.
        manifest: of the dataset, where it was read already.

    Returns:
        [] where there is no such source.

    Raises:
        FormatError: if manifest or index are damaged.
        StorageError: if they cannot be read.
    """
    if manifest is None and not home.exists(manifests.NAME):
        is_foreign = home.exists(foreign_table.NAME)
        return [p for p in foreign_parts(home) if p.spec.name == source] if is_foreign else []
    manifest = manifest or read_manifest(home)
    return split_parts(home, manifest, source, None) if source in manifest.sources else []


def _annotated(storage: Storage, parts: Sequence[DatasetPart], over: _Over) -> list[DatasetPart]:
    """Parts with the layers that are named."""
    if not over.layers:
        return [*parts]
    names = sorted({part.spec.name for part in parts})
    if len(names) > 1:
        raise UsageError(f"layers belong to one source: give source= of {', '.join(names)}")
    layers = find_layers(over.layers, names[0], storage, storage.cache)
    return annotated(parts, layers, strict=over.strict)


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


def split_parts(
    storage: Storage, manifest: Manifest, source: str | None, split: str | None
) -> list[SplitPart]:
    """The parts that a manifest lists, of one source or split if asked, by source and split.

    Raises:
        UsageError: if there are none.
    """
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
    if not found and not entries:
        over = sorted({entry.spec.base.source for entry in manifest.layers.values()})
        raise UsageError(
            f"{storage.url} holds layers only ({', '.join(manifest.layers)}): open the folder of their base "
            f"({', '.join(over)}) with layers=, or a protocol with source= and base="
        )
    if not found:
        splits = sorted({name for entry in entries for name in entry.splits}, key=SPLITS.index)
        raise UsageError(
            f"{storage.url} has no split {split!r} of {source or 'any source'}: it has {', '.join(splits)}"
        )
    return found
