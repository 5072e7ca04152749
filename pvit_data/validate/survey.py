"""Structure of a dataset: manifest, card, receipts and index, and what they say about each shard.

The rows of a shard come from the index if the manifest vouches for it, else from the receipts, else from the index as
it is; so a damaged manifest or index hides no damage of a shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import COLUMNS, Index, index_name
from pvit_data.format.manifest import (
    Manifest,
    ShardInfo,
    SourceSpec,
    SplitInfo,
    read_manifest,
)
from pvit_data.format.members import FIELDS
from pvit_data.format.names import SHARD_NAME, SPLITS, in_order, receipt_name
from pvit_data.format.receipts import (
    Receipt,
    read_receipt,
    read_rows_of,
    read_source,
    receipts_in,
)
from pvit_data.format.shard_list import ShardList, list_name
from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem
from pvit_data.validate.shard import ShardFacts
from pvit_data.validate.tables import Rows, by_shard, columns_of, difference, no_rows

Given = TypeVar("Given")
Value = TypeVar("Value")
Receipts = Mapping[tuple[str, str], dict[str, Receipt]]
"""Readable receipts by source and split, then by shard."""


@dataclass
class Survey:
    """What is known before any shard is opened.

    Args:
        manifest: if it is there and sound.
        problems: findings about structure.
        shards: the shards to look into.
        listing: every file with its bytes.
    """

    manifest: Manifest | None = None
    problems: list[Problem] = field(default_factory=list)
    shards: list[ShardFacts] = field(default_factory=list)
    listing: Mapping[str, int] = field(default_factory=dict)

    def add(self, kind: str, file: str, message: str, key: str = "") -> None:
        """Notes a finding."""
        self.problems.append(Problem(kind, file, key, message))


def survey(storage: Storage) -> Survey:
    """Reads the tables of a dataset, and no shard.

    Raises:
        UsageError: if there is neither manifest nor receipt nor shard.
    """
    found = Survey(listing=storage.listing())
    found.manifest = _manifest(storage, found)
    receipts = _receipts(storage, found)
    if found.manifest is None and not receipts and not any(map(SHARD_NAME.match, found.listing)):
        raise UsageError(
            f"{storage.url} has neither {manifests.NAME} nor shards: it is not a PViT dataset, "
            "or its conversion has just begun"
        )
    for source, split in _splits(found.manifest, receipts):
        _Split(storage, found, source, split, receipts.get((source, split), {})).check()
    return found


def _manifest(storage: Storage, found: Survey) -> Manifest | None:
    try:
        if storage.exists(manifests.NAME):
            return read_manifest(storage)
        found.add("manifest-missing", manifests.NAME, "no such file")
        return None
    except PvitError as error:
        found.add("manifest-damaged", manifests.NAME, str(error))
        return None


def _receipts(storage: Storage, found: Survey) -> Receipts:
    receipts: dict[tuple[str, str], dict[str, Receipt]] = {}
    names = receipts_in(found.listing)
    read = storage.each(lambda name: _tried(read_receipt, storage, name), names)
    for name, receipt in zip(names, read, strict=True):
        if isinstance(receipt, PvitError):
            found.add("receipt-damaged", name, str(receipt))
        else:
            receipts.setdefault((receipt.source, receipt.split), {})[receipt.name] = receipt
    return receipts


def _tried(
    action: Callable[[Storage, Given], Value], storage: Storage, value: Given
) -> Value | PvitError:
    try:
        return action(storage, value)
    except PvitError as error:
        return error


def _splits(manifest: Manifest | None, receipts: Receipts) -> list[tuple[str, str]]:
    listed = {
        (n, s) for n, entry in (manifest.entries if manifest else {}).items() for s in entry.splits
    }
    return sorted(listed | set(receipts), key=lambda pair: (pair[0], SPLITS.index(pair[1])))


class _Split:
    """One split of one source: its manifest entry, index and receipts against each other."""

    def __init__(
        self, storage: Storage, found: Survey, source: str, split: str, receipts: dict[str, Receipt]
    ) -> None:
        self.storage = storage
        self.found = found
        self.source = source
        self.split = split
        self.receipts = receipts
        entry = found.manifest.entries.get(source) if found.manifest else None
        self.info: SplitInfo | None = entry.splits.get(split) if entry else None
        self.spec = entry.spec if entry else self._stored_spec()
        self.index_file = index_name(source, split)

    def _stored_spec(self) -> SourceSpec:
        try:
            return read_source(self.storage, self.source)
        except PvitError as error:
            self.found.add("receipt-damaged", f"{self.source}/receipts/source.json", str(error))
            return SourceSpec(name=self.source.rpartition("/")[2])

    def check(self) -> None:
        """Adds findings and shards."""
        index, trusted = self._index()
        indexed = index or {}
        listed = self._list()
        self._compare_lists(listed, set(indexed))
        if self.info is not None and index is not None and trusted:
            self._totals(self.info, listed, index.values())
        names = sorted({*(listed or ()), *self.receipts, *indexed}, key=in_order)
        told = self._rows_of([self.receipts[name] for name in names if name in self.receipts])
        for name in names:
            receipt = self.receipts.get(name)
            rows = indexed.get(name)
            if receipt is not None:
                own = next(told)
                if own is not None:
                    self._compare_rows(receipt, own, rows, trusted)
                rows = rows if trusted and rows is not None else own
            info = (listed or {}).get(name) or (receipt.shard if receipt else None)
            self._add_shard(name, info, rows)

    def _list(self) -> Mapping[str, ShardInfo] | None:
        """What the manifest lists, by name; None where the file that lists it cannot be read."""
        if self.info is None:
            return {}
        shards = ShardList(self.storage, self.source, self.split, self.info)
        try:
            return {shard.name: shard for shard in shards}
        except (FormatError, StorageError) as error:
            file = list_name(self.source, self.split)
            kind = "index-damaged" if file in self.found.listing else "index-missing"
            self.found.add(kind, file, str(error))
            return None

    def _rows_of(self, receipts: Sequence[Receipt]) -> Iterator[Rows | None]:
        """The rows of each receipt; None where they are damaged."""
        read = self.storage.each(lambda r: _tried(read_rows_of, self.storage, r), receipts)
        for receipt, table in zip(receipts, read, strict=True):
            if isinstance(table, PvitError):
                self.found.add("receipt-damaged", receipt.file, str(table))
                yield None
            else:
                yield columns_of(table)

    def _compare_rows(self, receipt: Receipt, own: Rows, rows: Rows | None, trusted: bool) -> None:
        found = None if rows is None else difference(rows, own)
        if found is not None:
            key, text = found
            if trusted:
                self.found.add("receipt-differs", receipt.file, text, key)
            else:
                self.found.add("index-differs", self.index_file, f"{receipt.name}: {text}", key)

    def _add_shard(self, name: str, info: ShardInfo | None, rows: Rows | None) -> None:
        if rows is None:
            rows = no_rows()
            if info is None or info.samples:
                self.found.add(
                    "index-differs",
                    self.index_file,
                    f"no sample of {name} is listed, and no receipt tells",
                )
        elif info is not None and len(rows["key"]) != info.samples:
            self.found.add(
                "index-differs",
                self.index_file,
                f"{len(rows['key'])} rows of {name}, not {info.samples}",
            )
        size, sha256 = (info.bytes, info.sha256) if info else (-1, "")
        self.found.shards.append(ShardFacts(name, size, sha256, self.split, self.spec, rows))

    def _index(self) -> tuple[dict[str, Rows] | None, bool]:
        """The rows of the index by shard, and whether the manifest vouches for them."""
        trusted = False
        try:
            if not self.storage.exists(self.index_file):
                self.found.add("index-missing", self.index_file, "no such file")
                return None, False
            if self.info is not None:
                expected = (self.info.index.bytes, self.info.index.sha256)
                trusted = self.storage.hash(self.index_file, expected[0]) == expected
                if not trusted:
                    self.found.add(
                        "index-damaged", self.index_file, "size or sha256 differ from the manifest"
                    )
            index = Index(self.storage.read(self.index_file), self.index_file)
            return by_shard({name: index.column(name) for name in COLUMNS}, self.source), trusted
        except (FormatError, StorageError) as error:
            text = str(error)
        except Exception as error:  # a damaged Parquet file may raise anything inside the library
            text = f"{type(error).__name__}: {error}"
        named = [problem for problem in self.found.problems if problem.file == self.index_file]
        if not named:
            self.found.add("index-damaged", self.index_file, text)
        return None, False

    def _compare_lists(self, shards: Mapping[str, ShardInfo] | None, indexed: set[str]) -> None:
        found = self.found
        listed = shards or {}
        if self.receipts or f"{self.source}/receipts/source.json" in found.listing:
            for name in sorted(listed.keys() - self.receipts.keys()):
                found.add(
                    "receipt-missing",
                    receipt_name(self.source, self.split, listed[name].number),
                    f"that of {name}",
                )
        elif listed:
            found.add(
                "no-receipts", f"{self.source}/receipts", f"none for {self.source}/{self.split}"
            )
        if found.manifest is not None and shards is not None:
            for name in sorted((self.receipts.keys() | indexed) - listed.keys()):
                found.add("manifest-differs", manifests.NAME, f"{name} is not listed")
        for name in sorted(listed.keys() & self.receipts.keys()):
            receipt = self.receipts[name]
            if receipt.shard != listed[name]:
                found.add(
                    "receipt-differs",
                    receipt.file,
                    f"{receipt.shard}, the manifest says {listed[name]}",
                )

    def _totals(
        self, info: SplitInfo, listed: Mapping[str, ShardInfo] | None, parts: Iterable[Rows]
    ) -> None:
        def total(column: str) -> int:
            return sum(int(rows[column].sum()) for rows in parts)

        parts = list(parts)
        expected = {
            "samples": sum(len(rows["key"]) for rows in parts),
            "frames": total("frames"),
            "bytes": info.bytes if listed is None else sum(s.bytes for s in listed.values()),
            "fields": {name: n for name in FIELDS if (n := total(f"has_{name}"))},
        }
        for name, value in expected.items():
            if getattr(info, name) != value:
                text = f"{self.source}/{self.split}: {name} is {getattr(info, name)}, index and shards say {value}"
                self.found.add("manifest-differs", manifests.NAME, text)
