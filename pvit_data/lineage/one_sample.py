"""The lineage of one sample: which of its fields the source has, which the layers, and what its source called it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.format.index import Index, index_name, open_index
from pvit_data.format.manifest import Manifest, SourceEntry
from pvit_data.lineage.fields import FieldLineage, lineage_of
from pvit_data.reading.open import open_dataset
from pvit_data.sample.rights import RECORD
from pvit_data.storage.storage import Storage
from pvit_data.words import did_you_mean

MOST_NAMES = 20_000  # keys among which one that is meant is looked for


@dataclass(frozen=True)
class Row:
    """Where a sample lies in a source or layer.

    Args:
        name: of the source or layer.
        split, shard, group: its place.
        meta: what the source says of it; {} of layers.
        fields: the lineage of those that it carries, `record` first.
    """

    name: str
    split: str
    shard: str
    group: str
    meta: dict[str, Any]
    fields: tuple[FieldLineage, ...]


def lineage_of_sample(storage: Storage, manifest: Manifest, key: str) -> list[Row]:
    """Its rows: that of its source, then those of layers.

    Args:
        storage: the dataset.
        manifest: of it.
        key: of the sample.

    Raises:
        UsageError: if nothing has this key.
        CorruptShardError: if an index is damaged.
        StorageError: if one cannot be read.
    """
    lineage = lineage_of(manifest)
    found, near = [], dict[str, None]()
    for folder, entry in manifest.entries.items():
        for split, info in entry.splits.items():
            vouched = (info.index.bytes, info.index.sha256)
            index = open_index(storage, index_name(folder, split), vouched, info.samples)
            place = _place(index, key)
            if place is None:
                near |= dict.fromkeys(index.keys()[:MOST_NAMES].to_pylist())
                continue
            mine = [field for field in lineage if field.name == entry.spec.name]
            found.append(_row(storage, entry, split, index, place, mine))
    if not found:
        raise UsageError(f"{storage.url}: no sample '{key}'{did_you_mean(key, near)}")
    return found


def _place(index: Index, key: str) -> int | None:
    """The row of a key; None where it is not there."""
    import pyarrow as pa
    from pyarrow import compute

    keys = index.keys()
    place = int(compute.index(keys, pa.scalar(key, keys.type)).as_py())
    return None if place < 0 else place


def _row(
    storage: Storage,
    entry: SourceEntry,
    split: str,
    index: Index,
    place: int,
    lineage: Sequence[FieldLineage],
) -> Row:
    spec = entry.spec
    fields = [f for f in lineage if f.field == RECORD or index.value(f"has_{f.field}", place)]
    meta: dict[str, Any] = {}
    if spec.folder == spec.name:  # a source
        dataset = open_dataset(storage.url, source=spec.name, split=split)
        meta = json.loads(dataset.record(place).meta)
    shard = f"{spec.folder}/{index.text('shard', place)}" if index.text("shard", place) else ""
    return Row(spec.name, split, shard, index.text("group", place), meta, tuple(fields))
