"""The index of foreign WebDataset tars, which gives random access to every member: making it, and reading it.

`webdataset.parquet` beside the shards holds one row per sample: the filter columns of our own index, and the name,
place and CRC of every member, whatever it is. Records of the PViT format are read as such; of others, videos and JPEG
pictures become `rgb`, `cls` an action, `json` the metadata. Everything else is reached with `ShardDataset.files`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import deflate
import numpy as np
from jaxtyping import Shaped

from pvit_data.codecs.pictures import probe_pictures
from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import (
    BOUNDS,
    NUMBERS,
    PLACES,
    TEXT,
    VIRTUAL,
    filter_values,
    within_bounds,
)
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, RECORD, RGB
from pvit_data.format.parquet import plain
from pvit_data.format.receipts import unfinished_sources, unfinished_text
from pvit_data.format.record import MAX_INTEGER, Record, read_record
from pvit_data.reading.foreign.names import is_ambiguous, is_member, split_foreign
from pvit_data.reading.foreign.table import MEMBERS, NAME, columns, read_table, write_table
from pvit_data.reading.foreign.tar import scan
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import MAX_JSON_BYTES, MAX_SAMPLE_BYTES
from pvit_data.sample.sample import CONTAINERS, Container, EncodedMedia
from pvit_data.storage.files import read_regular
from pvit_data.storage.storage import Storage
from pvit_data.words import short

PATTERNS = ("*.tar", "*/*.tar", "*/*/*.tar")
CLASS = "action"  # the field that `cls` becomes
UNDERSTOOD = (CLASS, RGB)  # fields of samples that are of no declared format
_CONTAINERS: dict[str, Container] = {**{kind: kind for kind in CONTAINERS}, "jpeg": "jpg"}


@dataclass
class ForeignSummary:
    """What was indexed.

    Args:
        shards, samples: totals.
        members: by extension.
        fields: samples by what they are understood to carry.
        left_out: what is no member, by kind.
        damaged: shards that are left out, with the reason.
        ambiguous: shards whose names say two splits, and which count to train.
        repeated: keys that come again, later in their shard or in another one, with the shards of the first two.
    """

    shards: int = 0
    samples: int = 0
    members: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    damaged: dict[str, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)
    repeated: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, other: ForeignSummary) -> None:
        """Counts the members of a shard."""
        self.members += other.members
        self.left_out += other.left_out


def read_classes(path: str | Path) -> LabelSpace:
    """The classes that `cls` counts from 0, from a file: a name per line, or JSON: a list, or ids by name.

    Raises:
        UsageError: if it is no such file.
    """
    path = Path(path)
    try:
        data = read_regular(path, MAX_JSON_BYTES + 1)
        if len(data) > MAX_JSON_BYTES:
            raise ValueError(f"more than {MAX_JSON_BYTES} bytes")
        text = data.decode("utf-8-sig")
        values = json.loads(text) if path.suffix.lower() == ".json" else text.split("\n")
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"--classes {path}: cannot be read ({plain(error)})") from error
    if isinstance(values, dict):
        ids = {str(index): name for name, index in values.items()}
        values = [ids.get(str(index), "") for index in range(len(values))]
    lines = values if isinstance(values, list) else []
    names = [" ".join(name.split()) if isinstance(name, str) else "" for name in lines]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names) or len(set(names)) != len(names):
        raise UsageError(
            f"--classes {path}: expected a class name per line, each once, or in JSON a list of names or "
            '{"name": id, ...} with ids from 0'
        )
    return LabelSpace(path.stem, tuple(names))


def index_foreign(
    url: str | Path,
    progress: Callable[[int, int], None] | None = None,
    classes: LabelSpace | None = None,
) -> ForeignSummary:
    """Reads every shard once and writes `webdataset.parquet` beside them.

    Args:
        url: folder or URL of the tars.
        progress: called with (shards done, shards in all).
        classes: what the numbers (or names) of `cls` mean; with it the samples can be trained on.

    Raises:
        UsageError: if there is no tar, or the folder is a PViT dataset with its own index.
        FormatError: if every tar is damaged or compressed, or a `cls` is none of the classes. One damaged tar among
            others is left out, and told.
        StorageError: if something cannot be read or written.
    """
    storage = Storage(url)
    storage.require_folder()
    if storage.exists(manifests.NAME):
        raise UsageError(
            f"{storage.url} is a PViT dataset and has its index: 'pvit-data finish' builds it again"
        )
    if unfinished := unfinished_sources(storage):
        raise UsageError(unfinished_text(storage, unfinished))
    shards = sorted({name for pattern in PATTERNS for name in storage.list(pattern)})
    if not shards:
        raise UsageError(f"{storage.url} has no .tar file in it, nor one or two folders below")
    import pyarrow as pa

    summary = ForeignSummary()
    sizes: dict[str, int] = {}
    tables: list[Any] = []
    for number, shard in enumerate(shards):
        mine = ForeignSummary()
        try:
            tables.append(_shard_table(storage, shard, mine, classes))
        except FormatError as error:
            if isinstance(error, _WrongClass) or (not tables and number + 1 == len(shards)):
                raise
            summary.damaged[shard] = str(error)
        else:
            sizes[shard] = storage.size(shard)
            summary.add(mine)
        if progress is not None:
            progress(number + 1, len(shards))
    table = pa.concat_tables(tables)
    summary.shards = len(sizes)
    summary.samples = table.num_rows
    summary.ambiguous = [shard for shard in sizes if is_ambiguous(shard)]
    summary.repeated = _repeated(table)
    carried = {name: int(np.sum(table[f"has_{name}"].to_numpy())) for name in FIELDS}
    summary.fields.update({name: count for name, count in carried.items() if count})
    storage.write(NAME, write_table(table, sizes, classes))
    return summary


class _File(NamedTuple):
    """A member with its contents, and where they begin."""

    name: str
    offset: int
    data: bytes


class _WrongClass(FormatError):
    """A `cls` that the given classes do not have."""


def _repeated(table: Any) -> dict[str, tuple[str, str]]:
    first: dict[str, str] = {}
    again: dict[str, tuple[str, str]] = {}
    for key, shard in zip(table["key"].to_pylist(), table["shard"].to_pylist(), strict=True):
        if key in first:
            again.setdefault(key, (first[key], shard))
        else:
            first[key] = shard
    return again


def _shard_table(
    storage: Storage, shard: str, summary: ForeignSummary, classes: LabelSpace | None
) -> Any:
    """The rows of a shard in Arrow's form, which is far smaller than dictionaries."""
    import pyarrow as pa

    try:
        rows = list(_shard_rows(storage, shard, summary, classes))
    except FormatError as error:
        raise type(error)(f"{shard}: {error}") from error
    return pa.table(
        {name: pa.array([row[name] for row in rows], kind) for name, kind in columns().items()}
    )


def _shard_rows(
    storage: Storage, shard: str, summary: ForeignSummary, classes: LabelSpace | None
) -> Iterator[dict[str, Any]]:
    """Members with the same name up to the first dot, one after the other, are a sample (as in WebDataset)."""
    with storage.stream(shard) as stream:
        current = ""
        group: list[_File] = []
        for entry in scan(stream, summary.left_out):
            if not is_member(entry.name):
                summary.left_out["hidden file"] += 1
                continue
            key, _ = split_foreign(entry.name)
            if key != current and group:  # before the next contents are loaded
                yield _row(shard, current, group, summary, classes)
                group = []
            current = key
            if sum(len(f.data) for f in group) + entry.contents.size > MAX_SAMPLE_BYTES:
                summary.left_out["too large"] += 1
                continue
            group.append(_File(entry.name, entry.offset, entry.contents.load()))
        if group:
            yield _row(shard, current, group, summary, classes)


def container_of(extension: str) -> Container | None:
    """The container of pictures that the end of an extension names, or None."""
    return _CONTAINERS.get(extension.rpartition(".")[2])


def _row(
    shard: str,
    key: str,
    entries: list[_File],
    summary: ForeignSummary,
    classes: LabelSpace | None,
) -> dict[str, Any]:
    named: dict[str, _File] = {}
    for entry in entries:
        extension = split_foreign(entry.name)[1]
        summary.members[extension or "(none)"] += 1
        named[extension if extension not in named else f"{extension}#{len(named)}"] = entry
    record = _own_record(named) or _guess(named, key, classes)
    record.key = record.group = key
    return {
        **filter_values(record, num_boxes=-1),
        "shard": shard,
        "names": list(named),
        "offsets": [e.offset for e in named.values()],
        "sizes": [len(e.data) for e in named.values()],
        "crcs": [deflate.crc32(e.data) for e in named.values()],
    }


def _own_record(files: dict[str, _File]) -> Record | None:
    try:
        return read_record(files[RECORD].data)
    except (KeyError, FormatError):
        return None


def _guess(files: dict[str, _File], key: str, classes: LabelSpace | None) -> Record:
    """What a sample of no declared format holds."""
    record = Record(key="", group="")
    for name, entry in files.items():
        container = container_of(name)
        if container is None or record.rgb_encoding:
            continue
        try:
            found = probe_pictures(EncodedMedia(entry.data, container))
        except FormatError:  # reachable as it is, but no picture
            continue
        record.rgb_encoding = container
        record.frames = found.num_frames
        record.fps = found.fps
        record.height, record.width = found.height, found.width
    if "cls" in files:
        record.action_id = _class_of(files["cls"].data[:200], key, classes)
    told = (record.action_id >= 0, bool(record.rgb_encoding))
    record.fields = [name for name, found in zip(UNDERSTOOD, told, strict=True) if found]
    return record


def _class_of(data: bytes, key: str, classes: LabelSpace | None) -> int:
    """The id that a `cls` member holds, -1 where it holds none.

    Raises:
        FormatError: if classes are given and it is none of them.
    """
    text = data.decode("utf-8", "replace").strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
    if classes is None:
        return number if number <= MAX_INTEGER else -1
    if text in classes.classes:
        return classes.classes.index(text)
    if 0 <= number < classes.num_ids:
        return number
    raise _WrongClass(
        f"sample {short(key)} has cls {short(text, 60)}, expected 0..{classes.num_ids - 1} or a name of --classes"
    )


class ForeignIndex:
    """The opened index.

    Attributes:
        shards: bytes of each when it was indexed.
        classes: what its classes mean, or None where nobody said.

    Args:
        storage: the folder of the shards.

    Raises:
        CorruptShardError: if the file is damaged or no such index.
        StorageError: if it cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        self.table, self.shards, self.classes = read_table(storage)
        self._columns: dict[str, Shaped[np.ndarray, "n"]] = {}
        for name in BOUNDS:
            self.column(name)

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """All values of a filter column.

        Raises:
            UsageError: if there is no such column.
        """
        if name in PLACES and name not in self._columns:
            self._columns |= self._places()
        elif name not in (*TEXT, *NUMBERS, *PLACES):
            raise UsageError(
                f"the index has no column {name!r}: it has {', '.join((*VIRTUAL, *TEXT, *NUMBERS))}"
            )
        if name not in self._columns:
            found = np.asarray(self.table[name].to_numpy(zero_copy_only=False))
            self._columns[name] = within_bounds(name, found, NAME)
        return self._columns[name]

    def _places(self) -> dict[str, Shaped[np.ndarray, "n"]]:
        """The columns that our own index has for each member, of what is understood."""
        found = {
            n: np.full(len(self.table), -1 if n.endswith("_offset") else 0, kind)
            for n, kind in PLACES.items()
        }
        for row in range(len(self.table)):
            for name, place in self.members(row).items():
                member = MEMBER_OF_EXTENSION.get(name) or (RGB if container_of(name) else None)
                if member is not None and found[f"{member}_offset"][row] < 0:
                    for part, value in zip(("offset", "size", "crc32"), place, strict=True):
                        found[f"{member}_{part}"][row] = value
        return found

    def members(self, row: int) -> dict[str, tuple[int, int, int]]:
        """(offset, size, CRC) of each member of a sample, by extension.

        Raises:
            CorruptShardError: if the row does not agree with itself.
        """
        names, *places = (self.table[name][row].as_py() for name in MEMBERS)
        if len({len(names), *map(len, places)}) != 1 or len(set(names)) != len(names):
            raise CorruptShardError(
                f"{NAME}: row {row} does not agree with itself: run 'pvit-data index' again"
            )
        return dict(zip(names, zip(*places, strict=True), strict=True))
