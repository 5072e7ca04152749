"""Finishing a dataset: manifest, index and card are made from the receipts alone, whoever wrote the shards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import COLUMNS, index_name, write_index
from pvit_data.format.manifest import SPLITS, FileInfo, Manifest, SourceEntry, SplitInfo
from pvit_data.format.members import FIELDS, MEMBERS, RGB, file_of
from pvit_data.format.receipts import Receipt, read_receipt, read_source
from pvit_data.storage.storage import Storage
from pvit_data.writing.card import CARD_NAME, write_card
from pvit_data.writing.shard import file_hash


def read_receipts(out: str | Path | Storage) -> list[Receipt]:
    """All receipts of a dataset, by source, split (train, val, test) and number.

    Raises:
        FormatError: if one is damaged.
    """
    storage = out if isinstance(out, Storage) else Storage(out)
    names = [
        name for name in storage.list("*/receipts/*.json") if not name.endswith("/source.json")
    ]
    receipts = [read_receipt(storage, name) for name in names]
    return sorted(receipts, key=lambda r: (r.source, SPLITS.index(r.split), r.number))


def write_manifest(out: str | Path | Storage) -> Manifest:
    """Writes index files, card and, last, the manifest.

    Args:
        out: folder or URL of the dataset.

    Raises:
        FormatError: if there is no receipt, a shard differs in size from its receipt, or a key comes twice.
        StorageError: if a file cannot be written.
    """
    storage = out if isinstance(out, Storage) else Storage(out)
    groups: dict[str, dict[str, list[Receipt]]] = {}
    for receipt in read_receipts(storage):
        groups.setdefault(receipt.source, {}).setdefault(receipt.split, []).append(receipt)
    if not groups:
        raise FormatError(f"{storage.url} has no finished shard: nothing to build a manifest from")
    _check(
        storage, [r for splits in groups.values() for receipts in splits.values() for r in receipts]
    )
    sources = {}
    for source, splits in groups.items():
        entries = {
            split: _split(storage, source, split, receipts) for split, receipts in splits.items()
        }
        sources[source] = SourceEntry(spec=read_source(storage, source), splits=entries)
    manifest = Manifest(sources=sources, checksum="").sealed()
    storage.write(CARD_NAME, write_card(manifest))
    storage.write(manifests.NAME, manifest.to_bytes())
    return manifest


def _check(storage: Storage, receipts: list[Receipt]) -> None:
    places: dict[str, str] = {}
    for receipt in receipts:
        size = storage.size(receipt.name)
        if size != receipt.bytes:
            raise FormatError(
                f"{receipt.name} has {size} bytes, not {receipt.bytes}: remove its receipt and convert again"
            )
        for key in receipt.rows["key"]:
            if key in places:
                raise FormatError(
                    f"sample '{key}' is in {places[key]} and in {receipt.name}: keys must be unique"
                )
            places[key] = receipt.name


def _split(storage: Storage, source: str, split: str, receipts: list[Receipt]) -> SplitInfo:
    columns: dict[str, list[Any]] = {
        name: [v for r in receipts for v in r.rows[name]] for name in COLUMNS
    }
    data = write_index(columns)
    storage.write(index_name(source, split), data)
    present = {
        file_of(member, kind)
        for kind in set(columns["rgb_encoding"])
        for member in MEMBERS
        if max(columns[f"{member}_offset"], default=-1) >= 0
    } - {RGB}  # what samples without pictures have
    return SplitInfo(
        samples=len(columns["key"]),
        frames=sum(columns["frames"]),
        bytes=sum(r.bytes for r in receipts),
        fields={
            name: sum(columns[f"has_{name}"]) for name in FIELDS if any(columns[f"has_{name}"])
        },
        members=sorted(present),
        index=FileInfo(bytes=len(data), sha256=file_hash(data)),
        skipped=dict(sorted(Counter(skip.reason for r in receipts for skip in r.skipped).items())),
        shards=[r.shard for r in receipts],
    )
