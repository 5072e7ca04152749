"""The files of a dataset, each with its bytes and sha256 as manifest and receipts tell them: no shard is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pvit_data.errors import FormatError
from pvit_data.format.index import index_name
from pvit_data.format.manifest import (
    LayerSpec,
    Manifest,
    ShardInfo,
    SourceEntry,
    SourceSpec,
    dump,
)
from pvit_data.format.names import place_of, receipt_name, rows_name
from pvit_data.format.receipts import MAX_RECEIPT_BYTES, Receipt, read_receipts, read_source
from pvit_data.format.shard_list import ShardList, list_name
from pvit_data.sample.limits import MAX_JSON_BYTES
from pvit_data.storage.storage import Storage


@dataclass(frozen=True)
class File:
    """A file of a dataset.

    Args:
        name: path in it.
        size: in bytes.
        sha256: of all of it.
        data: its contents, where they are small or made here; None: they lie in the dataset.
    """

    name: str
    size: int
    sha256: str
    data: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, name: str, data: bytes) -> File:
        """A file with these contents."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest(), data)


def spec_name(folder: str) -> str:
    """Path of the declaration of a source or layer."""
    return f"{folder}/receipts/source.json"


def dataset_files(storage: Storage, manifest: Manifest) -> Iterator[File]:
    """All that belongs to what a manifest lists, but for card and manifest.

    Raises:
        FormatError: if a receipt does not agree with the manifest.
        StorageError: if a receipt or list of shards cannot be read.
    """
    listing = storage.listing()
    for folder, entry in manifest.entries.items():
        yield from indices(folder, entry)
        shards: dict[str, ShardInfo] = {}
        for split, info in entry.splits.items():
            shards |= {shard.name: shard for shard in ShardList(storage, folder, split, info)}
        yield from (File(shard.name, shard.bytes, shard.sha256) for shard in shards.values())
        if spec_name(folder) in listing:
            yield File.of(spec_name(folder), declaration(storage, entry.spec))
        for receipt in read_receipts(storage, folder, listing):
            if receipt.split in entry.splits:
                require_same(receipt, shards)
                data = storage.read(receipt.file, MAX_RECEIPT_BYTES)
                yield from receipt_files(receipt, data)


def declaration(storage: Storage, spec: SourceSpec) -> bytes:
    """`source.json`, with what a manifest says that a layer was told of its base.

    Raises:
        FormatError: if it is damaged.
        StorageError: if it cannot be read.
    """
    data = storage.read(spec_name(spec.folder), MAX_JSON_BYTES)
    if not isinstance(spec, LayerSpec):
        return data
    own = read_source(storage, spec.folder)
    told = {name: getattr(spec, name) for name in ("base", "derived", "derived_clause")}
    changed = own.model_copy(update=told)
    return data if changed == own else dump(changed)


def indices(folder: str, entry: SourceEntry) -> Iterator[File]:
    """Indices of its splits, and lists of shards where they are files."""
    for split, info in entry.splits.items():
        yield File(index_name(folder, split), info.index.bytes, info.index.sha256)
        if info.shard_list is not None:
            yield File(list_name(folder, split), info.shard_list.bytes, info.shard_list.sha256)


def receipt_files(receipt: Receipt, data: bytes) -> Iterator[File]:
    """A receipt with its contents, and the rows that it vouches for."""
    yield File.of(receipt.file, data)
    if receipt.rows is not None:
        yield File(rows_name(receipt.file), receipt.rows.bytes, receipt.rows.sha256)


def require_same(receipt: Receipt, shards: Mapping[str, ShardInfo]) -> None:
    """Refuses a receipt of another shard than the manifest lists.

    Raises:
        FormatError: naming it.
    """
    if shards.get(receipt.name) != receipt.shard:
        raise FormatError(
            f"{receipt.file} and the manifest tell different things of {receipt.name}: "
            "'pvit-data finish' makes the manifest anew"
        )


def receipt_of(shard: ShardInfo, listing: Mapping[str, int]) -> str | None:
    """Path of the receipt of a shard; None where it has none."""
    place = place_of(shard.name)
    names = {receipt_name(*place, part=0), receipt_name(*place)}
    return next((name for name in names if name in listing), None)
