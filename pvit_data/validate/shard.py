"""Bytes of one shard: size, hash, archive structure, and for each sample headers, checksums, record and values.

Offsets come from the index or the receipts, so that damage is named where it is and hides nothing behind it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import deflate
import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.npy import read_npy
from pvit_data.errors import FormatError, StorageError
from pvit_data.format.index import NUMBERS, OF_LAYERS, TEXT, index_row
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import (
    FIELDS,
    LABELS,
    MEMBERS,
    OPTIONAL,
    RECORD,
    RGB,
    file_of,
)
from pvit_data.format.record import TYPES, LayerRecord, Record, read_record
from pvit_data.format.rows import row_record
from pvit_data.format.tar import BLOCK, END, padded, read_header, write_header
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import MAX_MEMBER_BYTES, MAX_SAMPLE_BYTES
from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem
from pvit_data.validate.values import check_values

LARGE = 1 << 26  # bytes of a member that is read without the rest of its last block
MAX_UNLISTED = 2000  # blocks looked at in a stretch of unlisted bytes


@dataclass(frozen=True)
class ShardFacts:
    """What manifest, index and receipts say about a shard.

    Args:
        name: path in the dataset.
        bytes, sha256: of the file; -1 and "" where nothing trustworthy tells them.
        split: of its samples.
        spec: their source.
        rows: columns of the index, one entry per sample.
    """

    name: str
    bytes: int
    sha256: str
    split: str
    spec: SourceSpec
    rows: Mapping[str, Shaped[np.ndarray, "n"]]

    def __len__(self) -> int:
        return len(self.rows["key"])

    def part(self, rows: slice | Integer[np.ndarray, "k"]) -> ShardFacts:
        """The facts of some of its samples."""
        chosen = {name: column[rows] for name, column in self.rows.items()}
        return replace(self, rows=chosen)

    def digest(self) -> str:
        """sha256 of everything that the check of the shard goes by, but for its bytes."""
        spaces = {name: _space_digest(space) for name, space in self.spec.spaces.items()}
        kind = [self.spec.kind] if isinstance(self.spec, LayerSpec) else []
        told = (self.name, self.bytes, self.sha256, self.split, self.spec.name, spaces, *kind)
        found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for name, column in sorted(self.rows.items()):
            is_text = column.dtype == object
            found.update(f"\n{name} {len(column)} ".encode())
            found.update(json.dumps(column.tolist()).encode() if is_text else column.tobytes())
        return found.hexdigest()


@lru_cache(256)  # a source has as many as fields, and thousands of shards
def _space_digest(space: LabelSpace) -> str:
    return hashlib.sha256(json.dumps(asdict(space), sort_keys=True).encode()).hexdigest()


class _Place(NamedTuple):
    """A member: where its contents lie in the archive."""

    offset: int
    size: int
    crc: int
    key: str
    extension: str


def check_file(storage: Storage, facts: ShardFacts, hashed: bool = True) -> list[Problem]:
    """The shard as a whole: is it there, of the right size and hash, and full of nothing but the listed members.

    Args:
        storage: the dataset.
        facts: with all rows of the shard.
        hashed: compare the sha256; else only what lies between the members is read.
    """
    try:
        return _check_file(storage, facts, hashed)
    except StorageError as error:
        return [Problem("shard-missing", facts.name, "", str(error))]


def _check_file(storage: Storage, facts: ShardFacts, hashed: bool) -> list[Problem]:
    size = storage.size(facts.name)
    sha256 = storage.hash(facts.name, size)[1] if hashed and size == facts.bytes else ""
    found = []
    if facts.bytes >= 0 and size != facts.bytes:
        found.append(Problem("shard-size", facts.name, "", f"{size} bytes, expected {facts.bytes}"))
    elif hashed and facts.sha256 and sha256 != facts.sha256:
        found.append(
            Problem(
                "shard-hash",
                facts.name,
                "",
                f"sha256 {sha256[:16]}..., expected {facts.sha256[:16]}...",
            )
        )
    places = sorted(place for row in range(len(facts)) for place in _places(facts, row))
    found += [
        Problem(kind, facts.name, key, text)
        for kind, key, text in _layout(storage, facts.name, places, size)
    ]
    return found


def check_samples(storage: Storage, facts: ShardFacts, deep: bool) -> Iterator[list[Problem]]:
    """One list of findings per sample, in the order of the index; a shard that cannot be read ends it."""
    try:
        size = storage.size(facts.name)
        for row in range(len(facts)):
            key = str(facts.rows["key"][row])
            found = _check_sample(storage, facts, row, size, deep)
            yield [Problem(kind, facts.name, key, text) for kind, text in found]
    except StorageError as error:
        yield [Problem("shard-missing", facts.name, "", str(error))]


def _places(facts: ShardFacts, row: int) -> list[_Place]:
    """Members of a sample by offset."""
    rows = facts.rows
    key = str(rows["key"][row])
    encoding = str(rows["rgb_encoding"][row])
    places = []
    for member in MEMBERS:
        offset = int(rows[f"{member}_offset"][row])
        if offset >= 0:
            size, crc = int(rows[f"{member}_size"][row]), int(rows[f"{member}_crc32"][row])
            places.append(_Place(offset, size, crc, key, file_of(member, encoding)))
    return sorted(places)


def _layout(
    storage: Storage, name: str, places: list[_Place], size: int
) -> Iterator[tuple[str, str, str]]:
    """Gaps between the listed members, overlaps, and the end of the archive."""
    position = 0
    for place in places:
        start = place.offset - BLOCK
        if start < position:
            yield (
                "index-differs",
                place.key,
                f"{place.extension} at {place.offset} overlaps the member before it",
            )
        elif start > position and position < size:
            yield from _unlisted(storage, name, position, min(start, size))
        position = max(position, place.offset + padded(place.size))
    if position >= size:  # cut off: reported with the size, and with each sample that it hits
        return
    rest = size - position
    if rest < len(END) or any(storage.read_range(name, position, min(rest, 1 << 20))):
        yield from _unlisted(storage, name, position, size)
        end = storage.read_range(name, max(position, size - len(END)), len(END))
        if end != END:
            yield "shard-layout", "", "the archive does not end with two zero blocks"


def _unlisted(storage: Storage, name: str, start: int, stop: int) -> Iterator[tuple[str, str, str]]:
    """Names what lies in a stretch that the index does not list; only the first members of a long one."""
    for _ in range(MAX_UNLISTED):
        if start >= stop:
            return
        try:
            member = read_header(storage.read_range(name, start, min(BLOCK, stop - start)))
        except FormatError as error:
            yield "shard-layout", "", f"unlisted bytes from {start} to {stop}: {error}"
            return
        if member is None:
            start += BLOCK
            continue
        yield (
            "member-unlisted",
            member.name.partition(".")[0],
            f"{member.name} at {start} ({member.size} bytes)",
        )
        start += BLOCK + padded(member.size)
    if start < stop:
        yield "shard-layout", "", f"unlisted bytes from {start} to {stop}: not looked at"


def _check_sample(
    storage: Storage, facts: ShardFacts, row: int, file_size: int, deep: bool
) -> Iterator[tuple[str, str]]:
    files: dict[str, bytes] = {}
    damaged, structure = [], []
    places = _places(facts, row)
    if sum(max(place.size, 0) for place in places) > MAX_SAMPLE_BYTES:
        yield "member-damaged", f"its members claim more than {MAX_SAMPLE_BYTES} bytes"
        return
    for place in places:
        if (
            not BLOCK <= place.offset <= place.offset + place.size <= file_size
            or place.size > MAX_MEMBER_BYTES
        ):
            damaged.append(
                f"{place.extension} lies at {place.offset} + {place.size} of {file_size} bytes"
            )
            continue
        header = storage.read_range(facts.name, place.offset - BLOCK, BLOCK)
        contents, filling = _read(storage, facts.name, place)
        if deflate.crc32(contents) != place.crc:
            damaged.append(f"{place.extension} has a wrong CRC")
            continue
        if text := _header_problem(header, place):
            structure.append(text)
        if any(filling) or len(filling) != padded(place.size) - place.size:
            structure.append(f"{place.extension} is not padded with zeros")
        files[place.extension] = contents
    if damaged:
        yield "member-damaged", ", ".join(damaged)
    if structure:
        yield "shard-layout", ", ".join(structure)
    if damaged:
        return
    with np.errstate(all="ignore"):
        yield from _check_contents(facts, row, files, deep)


def _read(storage: Storage, name: str, place: _Place) -> tuple[bytes, bytes]:
    """The contents of a member, and what fills their last block; large ones are held once."""
    whole = padded(place.size)
    if place.size > LARGE:
        contents = storage.read_range(name, place.offset, place.size)
        return contents, storage.read_range(name, place.offset + place.size, whole - place.size)
    data = storage.read_range(name, place.offset, whole)
    return data[: place.size], data[place.size :]


def _header_problem(header: bytes, place: _Place) -> str:
    name = f"{place.key}.{place.extension}"
    if header == write_header(name, place.size):
        return ""
    try:
        member = read_header(header)
    except FormatError as error:
        return f"header of {place.extension}: {error}"
    if member is None or (member.name, member.size) != (name, place.size):
        return f"header of {place.extension} says {member}, the index {name} of {place.size} bytes"
    return ""  # written by another tool


def _check_contents(
    facts: ShardFacts, row: int, files: dict[str, bytes], deep: bool
) -> Iterator[tuple[str, str]]:
    data = files.pop(RECORD, None)
    told = row_record(lambda name: facts.rows[name][row], facts.spec, facts.split)
    try:
        record = told if data is None and told is not None else read_record(data or b"")
    except FormatError as error:
        yield "record", str(error)
        return
    if texts := [*_record_problems(facts, record), *_member_problems(record, files)]:
        yield "record", "; ".join(texts)
    if texts := list(_row_problems(facts, row, record, files)):
        yield "index-differs", "; ".join(texts)
    by_kind: dict[str, list[str]] = {}
    for kind, text in check_values(record, files, facts.spec.spaces, deep):
        by_kind.setdefault(kind, []).append(text)
    for kind, found in by_kind.items():
        yield kind, "; ".join(found)


def _record_problems(facts: ShardFacts, record: Record) -> Iterator[str]:
    expected: dict[str, Any] = {"source": facts.spec.name, "split": facts.split}
    yield from _layer_problems(facts.spec, record)
    for field, space in sorted(facts.spec.spaces.items()):
        if field in record.fields and f"{field}_space" in TYPES:
            expected[f"{field}_space"] = space.name
    for name, value in expected.items():
        if getattr(record, name) != value:
            yield f"{name} is {getattr(record, name)!r}, the manifest says {value!r}"
    if record.fields != sorted(set(record.fields) & FIELDS.keys()):
        yield f"fields are {record.fields}, expected a sorted list of {', '.join(FIELDS)}"


def _layer_problems(spec: SourceSpec, record: Record) -> Iterator[str]:
    """Rows of layers, and of nothing else, have records of layers, without pictures; those of protocols hold labels."""
    if not isinstance(spec, LayerSpec):
        if isinstance(record, LayerRecord):
            yield "it is a record of a layer"
        return
    if not isinstance(record, LayerRecord):
        yield "it is no record of a layer"
        return
    fields = set(record.fields)
    odd = sorted(fields - LABELS if spec.kind == "protocol" else fields & {RGB})
    if odd:
        yield f"has {', '.join(odd)}, which a layer of kind '{spec.kind}' does not hold"


def _member_problems(record: Record, files: dict[str, bytes]) -> Iterator[str]:
    """Fields without their members, and members without a field."""
    wanted = {m for f in record.fields for m in FIELDS.get(f, ())}
    present = {extension.partition(".")[0] for extension in files}
    for member in sorted(wanted - present - set(OPTIONAL)):
        yield f"{member} is annotated, but its member is missing"
    for member in sorted(present - wanted):
        yield f"member {member} is there, but not annotated"


def _row_problems(
    facts: ShardFacts, row: int, record: Record, files: dict[str, bytes]
) -> Iterator[str]:
    """Filter columns of the index against the record, built again with the writer's own rule."""
    try:
        num_boxes = len(read_npy(files["boxes.npy"])) if "boxes.npy" in files else 0
    except (FormatError, TypeError):
        num_boxes = 0
    built = index_row(facts.name, record, num_boxes, {})
    for name in (*TEXT, *NUMBERS, *OF_LAYERS):
        found, expected = facts.rows[name][row], built[name]
        if NUMBERS.get(name) == "float32":
            expected = np.float32(expected)
        if found != expected:
            yield f"{name} is {found}, the record says {expected}"
