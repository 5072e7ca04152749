"""Structure of a dataset: manifest, card, receipts and index, and what they say about each shard.

The rows of a shard come from the index if the manifest vouches for it, else from the receipts, else from the index as
it is; so a damaged manifest or index hides no damage of a shard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import COLUMNS, Index, index_name
from pvit_data.format.manifest import (
    SPLITS,
    Manifest,
    ShardInfo,
    SourceSpec,
    SplitInfo,
    read_manifest,
)
from pvit_data.format.members import FIELDS
from pvit_data.format.receipts import (
    Receipt,
    read_receipt,
    read_source,
    receipt_name,
    typed_rows,
)
from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem
from pvit_data.validate.shard import ShardFacts
from pvit_data.validate.tables import Rows, by_shard, difference, no_rows


class Known(NamedTuple):
    """A readable receipt and its rows."""

    receipt: Receipt
    rows: Rows

    @property
    def file(self) -> str:
        """Its path in the dataset."""
        return receipt_name(self.receipt.source, self.receipt.split, self.receipt.number)


Receipts = Mapping[tuple[str, str], dict[str, Known]]


@dataclass
class Survey:
    """What is known before any shard is opened.

    Args:
        manifest: if it is there and sound.
        problems: findings about structure.
        shards: the shards to look into.
    """

    manifest: Manifest | None = None
    problems: list[Problem] = field(default_factory=list)
    shards: list[ShardFacts] = field(default_factory=list)

    def add(self, kind: str, file: str, message: str, key: str = "") -> None:
        """Notes a finding."""
        self.problems.append(Problem(kind, file, key, message))


def survey(storage: Storage) -> Survey:
    """Reads the tables of a dataset, and no shard.

    Raises:
        UsageError: if there is neither manifest nor receipt nor shard.
    """
    found = Survey()
    found.manifest = _manifest(storage, found)
    receipts = _receipts(storage, found)
    if found.manifest is None and not receipts and not storage.list("*/*.tar"):
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
    """Readable receipts by source and split, then by shard."""
    receipts: dict[tuple[str, str], dict[str, Known]] = {}
    for name in storage.list("*/receipts/*.json"):
        if name.endswith("/source.json"):
            continue
        try:
            receipt = read_receipt(storage, name)
            rows = typed_rows(receipt)
        except PvitError as error:
            found.add("receipt-damaged", name, str(error))
        else:
            receipts.setdefault((receipt.source, receipt.split), {})[receipt.name] = Known(
                receipt, rows
            )
    return receipts


def _splits(manifest: Manifest | None, receipts: Receipts) -> list[tuple[str, str]]:
    listed = {
        (n, s) for n, entry in (manifest.sources if manifest else {}).items() for s in entry.splits
    }
    return sorted(listed | set(receipts), key=lambda pair: (pair[0], SPLITS.index(pair[1])))


class _Split:
    """One split of one source: its manifest entry, index and receipts against each other."""

    def __init__(
        self, storage: Storage, found: Survey, source: str, split: str, receipts: dict[str, Known]
    ) -> None:
        self.storage = storage
        self.found = found
        self.source = source
        self.split = split
        self.receipts = receipts
        entry = found.manifest.sources.get(source) if found.manifest else None
        self.info: SplitInfo | None = entry.splits.get(split) if entry else None
        self.spec = entry.spec if entry else self._stored_spec()
        self.index_file = index_name(source, split)

    def _stored_spec(self) -> SourceSpec:
        try:
            return read_source(self.storage, self.source)
        except PvitError as error:
            self.found.add("receipt-damaged", f"{self.source}/receipts/source.json", str(error))
            return SourceSpec(name=self.source)

    def check(self) -> None:
        """Adds findings and shards."""
        index, trusted = self._index()
        indexed = index or {}
        listed = {shard.name: shard for shard in self.info.shards} if self.info else {}
        self._compare_lists(listed, set(indexed))
        if self.info is not None and index is not None and trusted:
            self._totals(self.info, index.values())
        for name in sorted({*listed, *self.receipts, *indexed}):
            known = self.receipts.get(name)
            rows = indexed.get(name)
            if known is not None:
                self._compare_rows(name, known, rows, trusted)
                rows = rows if trusted and rows is not None else known.rows
            self._add_shard(
                name, listed.get(name) or (known.receipt.shard if known else None), rows
            )

    def _compare_rows(self, name: str, known: Known, rows: Rows | None, trusted: bool) -> None:
        found = None if rows is None else difference(rows, known.rows)
        if found is not None:
            key, text = found
            if trusted:
                self.found.add("receipt-differs", known.file, text, key)
            else:
                self.found.add("index-differs", self.index_file, f"{name}: {text}", key)

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

    def _compare_lists(self, listed: Mapping[str, ShardInfo], indexed: set[str]) -> None:
        found = self.found
        if self.receipts or self.storage.exists(f"{self.source}/receipts/source.json"):
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
        if found.manifest is not None:
            for name in sorted((self.receipts.keys() | indexed) - listed.keys()):
                found.add("manifest-differs", manifests.NAME, f"{name} is not listed")
        for name in sorted(listed.keys() & self.receipts.keys()):
            known = self.receipts[name]
            if known.receipt.shard != listed[name]:
                found.add(
                    "receipt-differs",
                    known.file,
                    f"{known.receipt.shard}, the manifest says {listed[name]}",
                )

    def _totals(self, info: SplitInfo, parts: Iterable[Rows]) -> None:
        def total(column: str) -> int:
            return sum(int(rows[column].sum()) for rows in parts)

        parts = list(parts)
        expected = {
            "samples": sum(len(rows["key"]) for rows in parts),
            "frames": total("frames"),
            "bytes": sum(shard.bytes for shard in info.shards),
            "fields": {name: n for name in FIELDS if (n := total(f"has_{name}"))},
        }
        for name, value in expected.items():
            if getattr(info, name) != value:
                text = f"{self.source}/{self.split}: {name} is {getattr(info, name)}, index and shards say {value}"
                self.found.add("manifest-differs", manifests.NAME, text)
