"""Receipts: what is known about each finished shard, from which manifest and index are made and nothing else.

A shard's rows of the index lie in a Parquet file beside its receipt, `SOURCE/receipts/SPLIT-NUMBER.json`, which is
written last. Receipts from before format 1.1 hold their rows themselves. `SOURCE/receipts/source.json` holds the
`SourceSpec`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.index import (
    COLUMNS,
    OF_LAYERS,
    TEXT,
    TYPES,
    absent,
    encode_table,
    table_of,
)
from pvit_data.format.manifest import (
    FORMAT,
    LATER,
    BaseRef,
    Count,
    FileInfo,
    LayerSpec,
    ShardInfo,
    SourceSpec,
    check_version,
    dump,
    parse,
)
from pvit_data.format.names import (
    FOLDER_NAME,
    LAYERS,
    MAX_NUMBER,
    SPLITS,
    is_receipt,
    part_of,
    receipt_name,
    rows_name,
    shard_name,
    split_folder,
)
from pvit_data.format.record import parse_json
from pvit_data.format.rows import groups_of, read_rows
from pvit_data.format.shard_list import read_vouched
from pvit_data.sample.limits import MAX_JSON_BYTES
from pvit_data.sample.rights import Rights
from pvit_data.sample.sample import is_later
from pvit_data.storage.files import is_ours, utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import short

MAX_SHARD_SAMPLES = 100_000
"""What receipts, and whoever finishes, can take at once."""
MAX_RECEIPT_BYTES = 1 << 24
MAX_ROWS_FILE = 1 << 26
MAX_MESSAGE = 1000  # characters of the message of a skipped sample
MAX_MESSAGES = 1 << 20  # bytes of all of them in a receipt


class Skip(NamedTuple):
    """A sample that was left out: its key, a short stable reason, and the message."""

    key: str
    reason: str
    message: str


class RowsInfo(FileInfo):
    """The file that holds the rows of a shard.

    Args:
        members: those that a sample of the shard has.
    """

    members: list[str]


class Receipt(BaseModel):
    """What is known about a finished shard.

    Args:
        name: path of the shard in the dataset.
        source, split, number: where it belongs.
        samples, bytes, sha256: of the shard.
        skipped: samples left out.
        licences: what samples say that the source does not declare.
        taken: by field, whose what samples have was where it was read, if the source declares it freer; see `Rights`.
        extra: whatever the writer keeps here.
        rows: the file with its part of the index; None where the receipt holds it (`read_rows_of`).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = FORMAT
    version: str = LATER
    name: str
    source: str
    split: str
    number: Count
    samples: Count
    bytes: Count
    sha256: str
    skipped: list[Skip] = Field(default_factory=list)
    licences: list[str] = Field(default_factory=list)
    taken: dict[str, list[Rights]] = Field(default_factory=dict)
    extra: dict[str, Any] = Field(default_factory=dict)
    rows: RowsInfo | None = None
    _file: str = PrivateAttr("")
    _inline: Any = PrivateAttr(None)

    @property
    def shard(self) -> ShardInfo:
        """The shard's entry in the manifest."""
        return ShardInfo(name=self.name, samples=self.samples, bytes=self.bytes, sha256=self.sha256)

    @property
    def file(self) -> str:
        """Its own path in the dataset."""
        return self._file or receipt_name(self.source, self.split, self.number)

    @property
    def files(self) -> list[tuple[str, int]]:
        """What it vouches for: the shard and the file of its rows, with their bytes."""
        shard = (self.name, self.bytes)
        return [shard, *([] if self.rows is None else [(rows_name(self.file), self.rows.bytes)])]

    @property
    def members(self) -> list[str]:
        """Members that a sample of the shard has."""
        return groups_of(self._inline) if self.rows is None else self.rows.members


def unfinished_sources(storage: Storage) -> list[str]:
    """Sources whose conversion, or writing, has begun in a folder that has no manifest yet."""
    marks = ("plan.json", "receipts/source.json")
    found = [
        n
        for mark in marks
        for above in ("*", f"{LAYERS}/*")
        for n in storage.list(f"{above}/{mark}")
    ]
    return sorted({split_folder(name)[0] for name in found})


def unfinished_text(storage: Storage, sources: list[str]) -> str:
    """What to do about them, as a sentence."""
    url = storage.url.rstrip("/")
    return (
        f"{url} holds an unfinished conversion of {', '.join(sources)}: run the same 'pvit-data convert' command again "
        f"to continue it, or 'pvit-data finish {url}' where all shards are written"
    )


def write_receipt(storage: Storage, receipt: Receipt, rows: Any) -> Receipt:
    """Marks a shard as finished: its rows are written, then the receipt.

    Args:
        storage: the dataset.
        receipt: without rows.
        rows: the shard's rows of the index (an Arrow table, see `pvit_data.format.rows`).

    Returns:
        The receipt as stored.

    Raises:
        FormatError: if it is larger than a receipt may be.
        StorageError: if a file cannot be written.
    """
    data = encode_table(rows)
    sha256 = hashlib.sha256(data).hexdigest()
    info = RowsInfo(bytes=len(data), sha256=sha256, members=groups_of(rows))
    receipt = receipt.model_copy(update={"rows": info, "skipped": list(_bounded(receipt.skipped))})
    text = dump(receipt)
    if len(text) > MAX_RECEIPT_BYTES:
        raise FormatError(
            f"{receipt.file} would have {len(text)} bytes, at most {MAX_RECEIPT_BYTES}: put fewer samples into a shard"
        )
    storage.write(rows_name(receipt.file), data)
    storage.write(receipt.file, text)
    return receipt


def _bounded(skipped: Iterable[Skip]) -> Iterator[Skip]:
    """All keys and reasons, and messages as long as there is room for them."""
    room = MAX_MESSAGES
    for skip in skipped:
        message = (
            skip.message if len(skip.message) <= MAX_MESSAGE else f"{skip.message[:MAX_MESSAGE]}..."
        )
        room -= len(utf8(message))
        yield skip._replace(message=message if room > 0 else "")


def remove_receipt(storage: Storage, receipt: Receipt) -> None:
    """Takes the mark of an earlier shard of the same number away."""
    for part in {0, part_of(receipt.number)}:
        storage.remove(receipt_name(receipt.source, receipt.split, receipt.number, part))


def read_receipts(
    storage: Storage, source: str | None = None, listing: Mapping[str, int] | None = None
) -> Iterator[Receipt]:
    """All receipts of a dataset, or of one source, by source, split and number; without their rows.

    Args:
        storage: the dataset.
        source: only this one's.
        listing: what `storage.listing()` gave, where it was asked already.

    Raises:
        FormatError: at the first one that is damaged.
        StorageError: at the first one that cannot be read.
    """
    names = receipts_in(storage.listing() if listing is None else listing, source)
    return storage.each(lambda name: read_receipt(storage, name), names)


def with_shards(
    storage: Storage, receipts: Iterable[Receipt], listing: Mapping[str, int]
) -> Iterator[Receipt]:
    """Those receipts of which shard and rows are there, as large as they say.

    Args:
        storage: the dataset.
        receipts: of it.
        listing: what `storage.listing()` gave.

    Raises:
        StorageError: if the store does not answer.
    """
    found = [r for r in receipts if all(name in listing for name, _ in r.files)]
    sizes = storage.sizes([name for receipt in found for name, _ in receipt.files], listing)
    for receipt in found:
        if [size for _, size in receipt.files] == [next(sizes) for _ in receipt.files]:
            yield receipt


def receipts_in(listing: Iterable[str], source: str | None = None) -> list[str]:
    """The receipts among the names of files, by source, split (train, val, test) and number."""
    names = [
        name
        for name in listing
        if is_receipt(name) and is_ours(name) and source in (None, split_folder(name)[0])
    ]
    return sorted(names, key=_order)


def _order(name: str) -> tuple[str, int, str]:
    source, rest = split_folder(name)
    split, _, number = rest.rpartition("/")[2].removesuffix(".json").partition("-")
    return source, SPLITS.index(split) if split in SPLITS else len(SPLITS), number.zfill(9)


def read_receipt(storage: Storage, name: str) -> Receipt:
    """Reads one receipt; its rows are in another file, but for older ones.

    Raises:
        FormatError: if it is damaged, does not agree with itself or its name, or is of a newer major version.
        StorageError: if it cannot be read.
    """
    return parse_receipt(storage.read(name, MAX_RECEIPT_BYTES), name)


def parse_receipt(data: bytes, name: str) -> Receipt:
    """A receipt from the contents of its file.

    Raises:
        FormatError: see `read_receipt`.
    """
    values = parse_json(data, name, MAX_RECEIPT_BYTES)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FormatError(f"{name} is not a receipt")
    check_version(str(values.get("version", "")), name)
    rows = values.get("rows")
    inline = rows if isinstance(rows, dict) and "sha256" not in rows else None
    receipt = parse(Receipt, values | ({"rows": None} if inline is not None else {}), name)
    receipt._file = name
    own = (receipt.source, receipt.split, receipt.number)
    parts = {0, part_of(receipt.number)}
    if (
        not FOLDER_NAME.match(receipt.source)
        or receipt.split not in SPLITS
        or receipt.number > MAX_NUMBER
        or name not in {receipt_name(*own, part) for part in parts}
        or receipt.name not in {shard_name(*own, part) for part in parts}
        or (receipt.rows is None) != (inline is not None)
        or (receipt.rows is not None and receipt.samples > MAX_SHARD_SAMPLES)
    ):
        raise FormatError(
            f"{name} does not agree with itself: remove it, and convert its shard again"
        )
    if inline is not None:
        receipt._inline = _typed(receipt, inline)
    return receipt


def read_rows_of(storage: Storage, receipt: Receipt) -> Any:
    """The rows that a shard adds to the index, as an Arrow table (see `pvit_data.format.rows`).

    Raises:
        FormatError: if they are damaged, or not those of the receipt.
        StorageError: if they cannot be read.
    """
    again = f"remove {receipt.file} and convert its shard again"
    if receipt.rows is None:
        table = receipt._inline
    else:
        name = rows_name(receipt.file)
        try:
            data = read_vouched(storage, name, receipt.rows, MAX_ROWS_FILE, receipt.file)
            table = read_rows(data, name, receipt.samples)
        except FormatError as error:
            raise type(error)(f"{error}: {again}") from error
        if groups_of(table) != receipt.rows.members:
            raise FormatError(f"{name} has other members than its receipt says: {again}")
    own = split_folder(receipt.name)[1]
    if set(table["shard"].unique().to_pylist()) - {own}:
        raise FormatError(f"the rows of {receipt.file} are not all of {own}: {again}")
    return table


def _typed(receipt: Receipt, rows: dict[str, Any]) -> Any:
    """The rows that an older receipt holds, as an Arrow table.

    Raises:
        FormatError: if a value is not of its column's type, or columns have different lengths.
    """
    where = f"receipt of {receipt.name}"
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        values = rows.get(name)
        if values is None and (name in OF_LAYERS or is_later(name)) and "key" in columns:
            values = [absent(name)] * receipt.samples
        if not isinstance(values, list) or len(values) != receipt.samples:
            raise FormatError(
                f"{where} does not agree with itself: column {name} has not {receipt.samples} values: "
                "remove it, and convert its shard again"
            )
        if not set(map(type, values)) <= _kinds(name):
            raise FormatError(f"{where}: column {name} holds a value of a wrong type")
        if name in TEXT:  # Parquet takes no bytes of file names
            columns[name] = [utf8(value).decode() for value in values]
            continue
        try:
            columns[name] = np.array(values, TYPES[name])
        except OverflowError as error:
            raise FormatError(f"{where}: column {name}: {error}") from error
    return table_of(columns)


def _kinds(name: str) -> set[type]:
    if name in TEXT:
        return {str}
    dtype = TYPES[name]
    return {bool} if dtype == "bool" else {int, float} if dtype == "float32" else {int}


def store_source(storage: Storage, source: SourceSpec) -> None:
    """Writes `source.json`, or checks that the one there says the same (but for notes, which the last one wins).

    A key that an older `source.json` lacks counts as equal, if a converter of ours answers for it.

    Raises:
        UsageError: if the dataset has this source with other options; the message shows the first difference.
    """
    name = f"{source.folder}/receipts/source.json"
    data = dump(source)
    if storage.exists(name):
        if storage.read(name, MAX_JSON_BYTES) == data:
            return
        stored = read_source(storage, source.folder)
        wanted = parse(type(source), source.model_dump(mode="json"), name)
        told = stored.model_fields_set | (set() if stored.converter else {*stored.later})
        for field in type(source).model_fields:
            old = getattr(stored, field)
            new = getattr(wanted, field)
            if field in told - {"notes"} and not _is_same(old, new):
                raise UsageError(
                    f"{storage.url} has source '{source.name}' with {field} = {short(old)}, not {short(new)}: "
                    f"{_remedy(source, field)}"
                )
    storage.write(name, data)


def _remedy(source: SourceSpec, field: str) -> str:
    if isinstance(source, LayerSpec) and field in ("base", "derived", "derived_clause"):
        return (
            f"so its base, '{source.base.source}', was when the layer was made, and now it is under other licences, or "
            "made otherwise: make all of the layer again, here (overwrite it) or in another folder"
        )
    return "use the same options, another folder, or overwrite it"


def _is_same(old: Any, new: Any) -> bool:
    """Whether two values are equal; in a reference to a base, in the keys that the older one has."""
    if not isinstance(old, BaseRef):
        return bool(old == new)
    return all(getattr(old, key) == getattr(new, key) for key in old.model_fields_set)


def read_source(storage: Storage, folder: str) -> SourceSpec:
    """Reads `source.json` of a source, or of a layer (`layers/NAME`), whose declaration is a `LayerSpec`.

    Raises:
        FormatError: if it is damaged.
    """
    name = f"{folder}/receipts/source.json"
    kind = LayerSpec if folder.startswith(f"{LAYERS}/") else SourceSpec
    found: SourceSpec = parse(kind, parse_json(storage.read(name, MAX_JSON_BYTES), name), name)
    if found.folder != folder:
        raise FormatError(f"{name} is of '{found.folder}'")
    return found
