"""Receipts: one JSON file per finished shard, from which manifest and index are made and nothing else.

`SOURCE/receipts/SPLIT-NUMBER.json` is written after its shard; `SOURCE/receipts/source.json` holds the `SourceSpec`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped
from pydantic import BaseModel, ConfigDict, Field

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.index import COLUMNS, NUMBERS, PLACES, TEXT, absent
from pvit_data.format.manifest import (
    FORMAT,
    MAJOR,
    MINOR,
    SOURCE_NAME,
    SPLITS,
    Count,
    ShardInfo,
    SourceSpec,
    check_version,
    dump,
    parse,
    shard_name,
)
from pvit_data.format.record import parse_json
from pvit_data.sample.limits import MAX_JSON_BYTES
from pvit_data.sample.sample import is_later
from pvit_data.storage.storage import Storage
from pvit_data.words import short

MAX_SHARD_SAMPLES = 100_000
"""What receipts, and whoever finishes, can take at once."""


class Skip(NamedTuple):
    """A sample that was left out: its key, a short stable reason, and the message."""

    key: str
    reason: str
    message: str


class Receipt(BaseModel):
    """What is known about a finished shard.

    Args:
        name: path of the shard in the dataset.
        source, split, number: where it belongs.
        samples, bytes, sha256: of the shard.
        skipped: samples left out.
        extra: whatever the writer keeps here.
        rows: its part of the index, by column.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = FORMAT
    version: str = f"{MAJOR}.{MINOR}"
    name: str
    source: str
    split: str
    number: Count
    samples: Count
    bytes: Count
    sha256: str
    skipped: list[Skip] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
    rows: dict[str, list[Any]]

    @property
    def shard(self) -> ShardInfo:
        """The shard's entry in the manifest."""
        return ShardInfo(name=self.name, samples=self.samples, bytes=self.bytes, sha256=self.sha256)


def unfinished_sources(storage: Storage) -> list[str]:
    """Sources whose conversion, or writing, has begun in a folder that has no manifest yet."""
    found = [*storage.list("*/plan.json"), *storage.list("*/receipts/source.json")]
    return sorted({name.partition("/")[0] for name in found})


def unfinished_text(storage: Storage, sources: list[str]) -> str:
    """What to do about them, as a sentence."""
    url = storage.url.rstrip("/")
    return (
        f"{url} holds an unfinished conversion of {', '.join(sources)}: run the same 'pvit-data convert' command again "
        f"to continue it, or 'pvit-data finish {url}' where all shards are written"
    )


def receipt_name(source: str, split: str, number: int) -> str:
    """Path of a receipt in the dataset."""
    return f"{source}/receipts/{split}-{number:05d}.json"


def write_receipt(storage: Storage, receipt: Receipt) -> None:
    """Marks a shard as finished."""
    storage.write(receipt_name(receipt.source, receipt.split, receipt.number), dump(receipt))


def remove_receipt(storage: Storage, receipt: Receipt) -> None:
    """Takes the mark of an earlier shard of the same name away."""
    storage.remove(receipt_name(receipt.source, receipt.split, receipt.number))


def read_receipt(storage: Storage, name: str) -> Receipt:
    """Reads one receipt.

    Raises:
        FormatError: if it is damaged, does not agree with itself or its name, or is of a newer major version.
    """
    values = parse_json(storage.read(name, MAX_JSON_BYTES), name)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FormatError(f"{name} is not a receipt")
    check_version(str(values.get("version", "")), name)
    receipt = parse(Receipt, values, name)
    later = [column for column in COLUMNS if column not in receipt.rows and is_later(column)]
    lengths = {c: len(receipt.rows.get(c, [])) for c in COLUMNS if c not in later}
    own = (receipt.source, receipt.split, receipt.number)
    if (
        set(lengths.values()) != {receipt.samples}
        or not SOURCE_NAME.match(receipt.source)
        or receipt.split not in SPLITS
        or (name, receipt.name) != (receipt_name(*own), shard_name(*own))
    ):
        raise FormatError(
            f"{name} does not agree with itself: remove it, and convert its shard again"
        )
    receipt.rows.update({column: [absent(column)] * receipt.samples for column in later})
    typed_rows(receipt)
    return receipt


def typed_rows(receipt: Receipt) -> dict[str, Shaped[np.ndarray, "n"]]:
    """The rows of a receipt, by column, in the types of the index.

    Raises:
        FormatError: if a value is not of its column's type.
    """
    rows: dict[str, Shaped[np.ndarray, "n"]] = {}
    for name in COLUMNS:
        values = receipt.rows[name]
        if not set(map(type, values)) <= _kinds(name):
            raise FormatError(
                f"receipt of {receipt.name}: column {name} holds a value of a wrong type"
            )
        try:
            rows[name] = np.array(values, object if name in TEXT else (NUMBERS | PLACES)[name])
        except OverflowError as error:
            raise FormatError(f"receipt of {receipt.name}: column {name}: {error}") from error
    return rows


def _kinds(name: str) -> set[type]:
    if name in TEXT:
        return {str}
    dtype = (NUMBERS | PLACES)[name]
    return {bool} if dtype == "bool" else {int, float} if dtype == "float32" else {int}


def store_source(storage: Storage, source: SourceSpec) -> None:
    """Writes `source.json`, or checks that the one there says the same (but for notes, which the last one wins).

    A key that an older `source.json` lacks counts as equal.

    Raises:
        UsageError: if the dataset has this source with other options; the message shows the first difference.
    """
    name = f"{source.name}/receipts/source.json"
    data = dump(source)
    if storage.exists(name):
        if storage.read(name, MAX_JSON_BYTES) == data:
            return
        stored = read_source(storage, source.name)
        wanted = parse(SourceSpec, source.model_dump(mode="json"), name)
        for field in SourceSpec.model_fields:
            old = getattr(stored, field)
            new = getattr(wanted, field)
            if field in stored.model_fields_set - {"notes"} and old != new:
                raise UsageError(
                    f"{storage.url} has source '{source.name}' with {field} = {short(old)}, not {short(new)}: "
                    "use the same options, another folder, or overwrite it"
                )
    storage.write(name, data)


def read_source(storage: Storage, source: str) -> SourceSpec:
    """Reads `source.json`.

    Raises:
        FormatError: if it is damaged.
    """
    name = f"{source}/receipts/source.json"
    found = parse(SourceSpec, parse_json(storage.read(name, MAX_JSON_BYTES), name), name)
    if found.name != source:
        raise FormatError(f"{name} is of source '{found.name}'")
    return found
