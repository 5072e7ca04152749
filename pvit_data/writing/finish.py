"""Finishing a dataset: manifest, index and card are made from the receipts alone, whoever wrote the shards.

Rows pass by shard by shard; what is kept of them are their keys. Behind a URL the files are listed once, and receipts
and rows are read by several threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from pvit_data.errors import FormatError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import index_name
from pvit_data.format.manifest import (
    MAX_MANIFEST_BYTES,
    WITH_LISTS,
    FileInfo,
    Manifest,
    ShardListInfo,
    SourceEntry,
    SplitInfo,
)
from pvit_data.format.members import FIELDS, RGB, file_of
from pvit_data.format.receipts import Receipt, read_receipts, read_rows_of, read_source
from pvit_data.format.rows import IndexWriter
from pvit_data.format.shard_list import MAX_INLINE, MAX_INLINE_ALL, list_name, write_list
from pvit_data.storage.storage import Storage
from pvit_data.storage.writer import Writer
from pvit_data.writing.card import CARD_NAME, write_card
from pvit_data.writing.keys import Keys
from pvit_data.writing.shard import file_hash

Splits = Mapping[tuple[str, str], list[Receipt]]


def write_manifest(out: str | Path | Storage) -> Manifest:
    """Writes index files, lists of shards, card and, last, the manifest.

    Args:
        out: folder or URL of the dataset.

    Raises:
        FormatError: if there is no receipt, a shard differs in size from its receipt, or a key comes twice.
        StorageError: if a file cannot be written.
    """
    storage = out if isinstance(out, Storage) else Storage(out)
    listing = storage.listing()
    splits: dict[tuple[str, str], list[Receipt]] = {}
    for receipt in read_receipts(storage, None, listing):
        splits.setdefault((receipt.source, receipt.split), []).append(receipt)
    if not splits:
        raise FormatError(f"{storage.url} has no finished shard: nothing to build a manifest from")
    _require_whole(storage, splits, listing)
    specs = {source: read_source(storage, source) for source, _ in splits}
    entries: dict[str, dict[str, SplitInfo]] = {}
    keys = Keys()
    with ExitStack() as files:
        written = []
        for (source, split), mine in splits.items():
            writer = storage.create(index_name(source, split))
            files.callback(writer.discard)
            written.append(writer)
            entries.setdefault(source, {})[split] = _split(storage, mine, writer, keys)
        keys.require_unique()
        for writer in written:
            writer.publish()
    is_listed = _with_lists(storage, entries, listing)
    sources = {
        source: SourceEntry(spec=specs[source], splits=infos) for source, infos in entries.items()
    }
    manifest = Manifest(sources=sources, checksum="")
    if is_listed:
        manifest = manifest.model_copy(update={"version": WITH_LISTS})
    manifest = manifest.sealed()
    _write(storage, manifest)
    return manifest


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
        members=sorted({file_of(member, kind) for member, kind in index.members} - {RGB}),
        index=FileInfo(bytes=writer.size, sha256=writer.sha256),
        skipped=dict(sorted(Counter(skip.reason for r in receipts for skip in r.skipped).items())),
        shards=[receipt.shard for receipt in receipts],
    )


def _with_lists(
    storage: Storage, entries: dict[str, dict[str, SplitInfo]], listing: Mapping[str, int]
) -> bool:
    """Moves long lists of shards into files of their own; whether there is one."""
    limit = _most_inline(
        len(info.shards) for splits in entries.values() for info in splits.values()
    )
    for source, splits in entries.items():
        for split, info in splits.items():
            name = list_name(source, split)
            if len(info.shards) > limit:
                splits[split] = _with_list(storage, name, info)
            elif name in listing:  # of an earlier time, when there were more
                storage.remove(name)
    return any(info.shard_list for splits in entries.values() for info in splits.values())


def _most_inline(lengths: Iterable[int]) -> int:
    """How long a list may be that stays in the manifest."""
    limit = total = 0
    for length, count in sorted(Counter(lengths).items()):
        total += length * count
        if length <= MAX_INLINE and total <= MAX_INLINE_ALL:
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
