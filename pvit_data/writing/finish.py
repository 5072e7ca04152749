"""Finishing a dataset: manifest, index and card are made from the receipts alone, whoever wrote the shards.

Rows pass by shard by shard; what is kept of them are their keys. Behind a URL the files are listed once, and receipts
and rows are read by several threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from pvit_data.errors import FormatError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import index_name
from pvit_data.format.manifest import (
    LATER,
    MAX_MANIFEST_BYTES,
    FileInfo,
    LayerEntry,
    LayerSpec,
    Manifest,
    ShardListInfo,
    SourceEntry,
    SourceSpec,
    SplitInfo,
    read_manifest,
)
from pvit_data.format.members import FIELDS, MEMBERS, RGB, file_of
from pvit_data.format.names import LAYERS, SHARD_NAME, receipts_of
from pvit_data.format.receipts import (
    Receipt,
    read_receipts,
    read_rows_of,
    read_source,
)
from pvit_data.format.rows import IndexWriter
from pvit_data.format.shard_list import MAX_INLINE, MAX_INLINE_ALL, list_name, write_list
from pvit_data.storage.storage import Storage
from pvit_data.storage.writer import Writer
from pvit_data.writing.card import CARD_NAME, write_card
from pvit_data.writing.keys import Keys
from pvit_data.writing.licences import as_samples_say
from pvit_data.writing.room import published_alone
from pvit_data.writing.shard import file_hash

Splits = Mapping[tuple[str, str], list[Receipt]]
Entries = dict[str, dict[str, SplitInfo]]
"""What is listed, by folder and split."""


def write_layers(storage: Storage, folders: Collection[str]) -> Manifest | None:
    """Writes what lists some layers anew; sources and other layers stay as the manifest has them, byte for byte.

    Args:
        storage: the dataset.
        folders: of the layers, `layers/NAME`; those without a receipt are listed no more.

    Returns:
        The manifest; None where nothing is left to be listed, and there is none any more.

    Raises:
        FormatError: if a shard of them differs in size from its receipt, a key comes twice in one, or the manifest
            that is there is damaged.
        StorageError: if a file cannot be written.
    """
    with published_alone(storage):
        return _write_layers(storage, folders)


def _write_layers(storage: Storage, folders: Collection[str]) -> Manifest | None:
    there = read_manifest(storage).entries if storage.exists(manifests.NAME) else {}
    kept = {folder: entry for folder, entry in there.items() if folder not in folders}
    listing = storage.listing()
    receipts = [r for folder in sorted(folders) for r in read_receipts(storage, folder, listing)]
    if not kept and not receipts:
        storage.remove(manifests.NAME)
        return None
    specs, entries = _entries(storage, receipts, listing)
    return _finish(storage, specs, entries, listing, kept)


def write_manifest(out: str | Path | Storage) -> Manifest:
    """Writes index files, lists of shards, card and, last, the manifest.

    Args:
        out: folder or URL of the dataset.

    Raises:
        FormatError: if there is no receipt, a shard differs in size from its receipt, or a key comes twice.
        StorageError: if a file cannot be written.
    """
    storage = out if isinstance(out, Storage) else Storage(out)
    with published_alone(storage):
        listing = storage.listing()
        found = list(read_receipts(storage, None, listing))
        if not found:
            raise FormatError(
                f"{storage.url} has no finished shard: nothing to build a manifest from"
            )
        return _finish(storage, *_entries(storage, found, listing), listing)


def shards_without_receipt(out: str | Path | Storage) -> list[str]:
    """Shards that no manifest can list: nothing says that they are whole."""
    storage = out if isinstance(out, Storage) else Storage(out)
    listing = storage.listing()
    names = sorted(name for name in listing if SHARD_NAME.match(name))
    return [name for name in names if listing.keys().isdisjoint(receipts_of(name))]


def _entries(
    storage: Storage, receipts: Iterable[Receipt], listing: Mapping[str, int]
) -> tuple[dict[str, SourceSpec], Entries]:
    """Declarations and splits of what these receipts belong to; the indices are written."""
    splits: dict[tuple[str, str], list[Receipt]] = {}
    for receipt in receipts:
        splits.setdefault((receipt.source, receipt.split), []).append(receipt)
    _require_whole(storage, splits, listing)
    of_source: dict[str, list[Receipt]] = {}
    for (source, _), mine in splits.items():
        of_source.setdefault(source, []).extend(mine)
    specs = {
        source: as_samples_say(read_source(storage, source), mine)
        for source, mine in of_source.items()
    }
    entries: Entries = {}
    keys = _Taken()
    with ExitStack() as files:
        written = []
        for (source, split), mine in splits.items():
            writer = storage.create(index_name(source, split))
            files.callback(writer.discard)
            written.append(writer)
            entries.setdefault(source, {})[split] = _split(storage, mine, writer, keys.of(source))
        keys.require_unique()
        for writer in written:
            writer.publish()
    return specs, entries


def _finish(
    storage: Storage,
    specs: Mapping[str, SourceSpec],
    entries: Entries,
    listing: Mapping[str, int],
    kept: Mapping[str, SourceEntry] | None = None,
) -> Manifest:
    """Writes lists of shards, card and manifest; `kept` is listed as it is."""
    others = [info for entry in (kept or {}).values() for info in entry.splits.values()]
    _with_lists(storage, entries, listing, sum(len(info.shards) for info in others))
    found = dict(kept or {})
    for folder, splits in entries.items():
        spec = specs[folder]
        if isinstance(spec, LayerSpec):
            found[folder] = LayerEntry(spec=spec, splits=splits)
        else:
            found[folder] = SourceEntry(spec=spec, splits=splits)
    manifest = _manifest(found)
    _write(storage, manifest)
    return manifest


def _manifest(entries: Mapping[str, SourceEntry]) -> Manifest:
    """What is listed, of sources and layers, in the order of their folders."""
    ordered = [entries[folder] for folder in sorted(entries)]
    layers = {entry.spec.name: entry for entry in ordered if isinstance(entry, LayerEntry)}
    sources = {entry.spec.name: entry for entry in ordered if not isinstance(entry, LayerEntry)}
    manifest = Manifest(sources=sources, layers=layers, checksum="")
    has_lists = any(info.shard_list for entry in ordered for info in entry.splits.values())
    if has_lists or layers:
        manifest = manifest.model_copy(update={"version": LATER})
    return manifest.sealed()


class _Taken:
    """Keys that may come once: among all sources, and within each layer."""

    def __init__(self) -> None:
        self._layers: dict[str, Keys] = {}
        self._sources = Keys()

    def of(self, folder: str) -> Keys:
        """Where the keys of a source or a layer are noted."""
        if folder.startswith(f"{LAYERS}/"):
            return self._layers.setdefault(folder, Keys())
        return self._sources

    def require_unique(self) -> None:
        """Refuses a key that came twice.

        Raises:
            FormatError: naming it.
        """
        for keys in (self._sources, *self._layers.values()):
            keys.require_unique()


def _require_whole(storage: Storage, splits: Splits, listing: Mapping[str, int]) -> None:
    """Every shard is there once, with the size that its receipt says.

    Raises:
        FormatError: naming the first one that is not.
        StorageError: naming the first one that is not there.
    """
    receipts = [receipt for mine in splits.values() for receipt in mine]
    sizes = storage.sizes([receipt.name for receipt in receipts], listing)
    for receipt, size in zip(receipts, sizes, strict=True):
        if size != receipt.bytes:
            raise FormatError(
                f"{receipt.name} has {size} bytes, not {receipt.bytes}: remove its receipt and convert again"
            )
    for mine in splits.values():
        for one, other in pairwise(mine):
            if one.number == other.number:
                raise FormatError(
                    f"{one.file} and {other.file} are receipts of the same shard: remove the one whose shard is old"
                )


def _split(storage: Storage, receipts: list[Receipt], writer: Writer, keys: Keys) -> SplitInfo:
    """Writes the index of a split, and sums it up."""
    members = {member for receipt in receipts for member in receipt.members}
    tables = storage.each(lambda receipt: read_rows_of(storage, receipt), receipts)
    with IndexWriter(writer, members) as index:
        for receipt, table in zip(receipts, tables, strict=True):
            index.add(table)
            keys.add(receipt.name, table["key"])
    writer.close()
    return SplitInfo(
        samples=index.totals["samples"],
        frames=index.totals["frames"],
        bytes=sum(receipt.bytes for receipt in receipts),
        fields={name: index.totals[name] for name in FIELDS if index.totals[name]},
        members=sorted({file_of(m, kind) for m, kind in index.members if m in MEMBERS} - {RGB}),
        index=FileInfo(bytes=writer.size, sha256=writer.sha256),
        skipped=dict(sorted(Counter(skip.reason for r in receipts for skip in r.skipped).items())),
        shards=[receipt.shard for receipt in receipts],
    )


def _with_lists(
    storage: Storage, entries: Entries, listing: Mapping[str, int], others: int
) -> None:
    """Moves long lists of shards into files of their own.

    Args:
        storage: the dataset.
        entries: changed in place.
        listing: what `storage.listing()` gave.
        others: shards that the manifest lists besides.
    """
    lengths = (len(info.shards) for splits in entries.values() for info in splits.values())
    limit = _most_inline(lengths, MAX_INLINE_ALL - others)
    for source, splits in entries.items():
        for split, info in splits.items():
            name = list_name(source, split)
            if len(info.shards) > limit:
                splits[split] = _with_list(storage, name, info)
            elif name in listing:  # of an earlier time, when there were more
                storage.remove(name)


def _most_inline(lengths: Iterable[int], room: int) -> int:
    """How long a list may be that stays in the manifest."""
    limit = total = 0
    for length, count in sorted(Counter(lengths).items()):
        total += length * count
        if length <= MAX_INLINE and total <= room:
            limit = length
    return limit


def _with_list(storage: Storage, name: str, info: SplitInfo) -> SplitInfo:
    data = write_list(info.shards)
    storage.write(name, data)
    listed = ShardListInfo(
        bytes=len(data),
        sha256=file_hash(data),
        count=len(info.shards),
        last=info.shards[-1].number,
    )
    return info.model_copy(update={"shards": [], "shard_list": listed})


def _write(storage: Storage, manifest: Manifest) -> None:
    data = manifest.to_bytes()
    if len(data) > MAX_MANIFEST_BYTES:
        raise FormatError(
            f"{storage.url}: {manifests.NAME} would have {len(data)} bytes, at most {MAX_MANIFEST_BYTES}: "
            "put some of its sources into another folder"
        )
    storage.write(CARD_NAME, write_card(manifest))
    storage.write(manifests.NAME, data)
