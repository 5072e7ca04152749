"""Foreign WebDataset tars: an index that gives random access to every member, and samples of what we understand.

`webdataset.parquet` beside the shards holds one row per sample: the filter columns of our own index, and the name,
place and CRC of every member, whatever it is. Records of the PViT format are read as such; of others, videos and JPEG
pictures become `rgb`, `cls` an action, `json` the metadata. Everything else is reached with `ShardDataset.files`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.still import probe_still
from pvit_data.codecs.window import Window
from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format.index import NUMBERS, PLACES, ROW_GROUP, TEXT, VIRTUAL, plain
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, RGB_EXTENSIONS
from pvit_data.format.record import MAX_INTEGER, Record, parse_json, read_record
from pvit_data.reading.decode import Grid, decode_sample
from pvit_data.reading.foreign_tar import Entry, scan
from pvit_data.sample.sample import KEY_PATTERN, Sample
from pvit_data.storage.storage import Storage

NAME = "webdataset.parquet"
VERSION = "pvit-foreign-index 1"
PATTERNS = ("*.tar", "*/*.tar", "*/*/*.tar")
MEMBERS = ("names", "offsets", "sizes", "crcs")  # list columns
_MEDIA = {"mp4": "mp4", "webm": "webm", "avi": "avi", "jpg": "jpg", "jpeg": "jpg"}
_SPLITS = (("train", "train"), ("val", "val"), ("dev", "val"), ("test", "test"))
_NO_SAMPLE = re.compile(r"[^a-z0-9_-]")


@dataclass
class ForeignSummary:
    """What was indexed: shards, samples, members by extension, and what was left out by kind."""

    shards: int = 0
    samples: int = 0
    members: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def index_foreign(
    url: str | Path, progress: Callable[[int, int], None] | None = None
) -> ForeignSummary:
    """Reads every shard once and writes `webdataset.parquet` beside them.

    Args:
        url: folder or URL of the tars.
        progress: called with (shards done, shards in all).

    Raises:
        UsageError: if there is no tar, or the folder is a PViT dataset with its own index.
        FormatError: if a tar is damaged or compressed.
        StorageError: if something cannot be read or written.
    """
    storage = Storage(url)
    storage.require_folder()
    if storage.exists("manifest.json"):
        raise UsageError(
            f"{storage.url} is a PViT dataset and has its index: 'pvit-data finish' builds it again"
        )
    shards = sorted({name for pattern in PATTERNS for name in storage.list(pattern)})
    if not shards:
        raise UsageError(f"{storage.url} has no .tar file in it, nor one or two folders below")
    import pyarrow as pa

    summary, tables, sizes = ForeignSummary(), list[Any](), dict[str, int]()
    for number, shard in enumerate(shards):
        sizes[shard] = storage.size(shard)
        try:
            tables.append(
                _table(list(_shard_rows(storage, shard, summary)))
            )  # far smaller than the rows
        except FormatError as error:
            raise FormatError(f"{shard}: {error}") from error
        if progress is not None:
            progress(number + 1, len(shards))
    table = pa.concat_tables(tables)
    summary.shards, summary.samples = len(shards), table.num_rows
    summary.fields.update(
        {f: n for f in FIELDS if (n := int(np.sum(table[f"has_{f}"].to_numpy())))}
    )
    storage.write(NAME, _write(table, sizes))
    return summary


def _shard_rows(storage: Storage, shard: str, summary: ForeignSummary) -> Iterator[dict[str, Any]]:
    """Members with the same name up to the first dot, one after the other, are a sample (as in WebDataset)."""
    with storage.stream(shard) as read:
        current, group = "", list[Entry]()
        for entry in scan(read, summary.left_out):
            key, _ = split_foreign(entry.name)
            if key != current and group:
                yield _row(shard, current, group, summary)
                group = []
            current = key
            group.append(entry)
        if group:
            yield _row(shard, current, group, summary)


def split_foreign(name: str) -> tuple[str, str]:
    """Key and extension: at the first dot of the last part of the name; without a dot the extension is empty."""
    folder, slash, base = name.removeprefix("./").rpartition("/")
    stem, _, extension = base.partition(".")
    return f"{folder}{slash}{stem}", extension.lower()


def _row(shard: str, key: str, entries: list[Entry], summary: ForeignSummary) -> dict[str, Any]:
    named: dict[str, Entry] = {}
    for entry in entries:
        extension = split_foreign(entry.name)[1]
        summary.members[extension or "(none)"] += 1
        named[extension if extension not in named else f"{extension}#{len(named)}"] = entry
    record = _own_record(named) or _guess(named)
    record.key = record.group = key
    return {
        **_numbers(record),
        **{name: getattr(record, name) for name in ("key", "group", "rgb_encoding")},
        "shard": shard,
        "names": list(named),
        "offsets": [e.offset for e in named.values()],
        "sizes": [len(e.data) for e in named.values()],
        "crcs": [zlib.crc32(e.data) for e in named.values()],
    }


def _own_record(files: dict[str, Entry]) -> Record | None:
    try:
        return read_record(files["json"].data)
    except (KeyError, FormatError):
        return None


def _guess(files: dict[str, Entry]) -> Record:
    """What a sample of no declared format holds."""
    from pvit_data.codecs.video import probe_video

    record = Record(key="", group="")
    for extension, entry in files.items():
        kind = _MEDIA.get(extension.rpartition(".")[2])
        try:
            if kind == "jpg" and not record.rgb_encoding:
                still = probe_still(entry.data)
                record.height, record.width, record.rgb_encoding = still.height, still.width, kind
            elif kind is not None and not record.rgb_encoding:
                video = probe_video(entry.data)
                record.frames, record.fps, record.rgb_encoding = video.num_frames, video.fps, kind
                record.height, record.width = video.height, video.width
        except FormatError:  # reachable as it is, but no picture
            continue
    text = files["cls"].data[:20].strip() if "cls" in files else b""
    if text.isdigit() and int(text) <= MAX_INTEGER:
        record.action_id = int(text)
    record.fields = [
        f for f, found in (("action", record.action_id >= 0), ("rgb", record.rgb_encoding)) if found
    ]
    return record


def _numbers(record: Record) -> dict[str, Any]:
    return {
        "frames": record.frames,
        "fps": record.fps,
        "height": record.height,
        "width": record.width,
        **{f"has_{name}": name in record.fields for name in FIELDS},
        **{
            f"{name}_frames": len(getattr(record, f"{name}_frames"))
            for name in ("depth", "normal", "segm")
        },
        "action": record.action_id,
        "action_time": record.action_time,
        "boxes": -1,
        "people": record.people if record.pose_frames else -1,
    }


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa

    return pa.table(
        {name: pa.array([row[name] for row in rows], kind) for name, kind in _schema().items()}
    )


def _write(table: Any, sizes: dict[str, int]) -> bytes:
    import pyarrow.parquet as pq

    head = json.dumps({"version": VERSION, "shards": sizes}, sort_keys=True)
    table = table.replace_schema_metadata({"pvit": head})
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, row_group_size=ROW_GROUP, compression="zstd", write_page_checksum=True
    )
    return buffer.getvalue()


def _schema() -> dict[str, Any]:
    import pyarrow as pa

    numbers = {
        name: getattr(pa, {"bool": "bool_"}.get(kind, kind))() for name, kind in NUMBERS.items()
    }
    lists = dict(zip(MEMBERS, (pa.string(), pa.int64(), pa.int64(), pa.uint32()), strict=True))
    return {
        **{n: pa.string() for n in TEXT},
        **numbers,
        **{n: pa.list_(kind) for n, kind in lists.items()},
    }


class ForeignIndex:
    """The opened index.

    Args:
        storage: the folder of the shards.

    Raises:
        CorruptShardError: if the file is damaged or no such index.
        StorageError: if it cannot be read.
    """

    def __init__(self, storage: Storage) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = storage.read(NAME)
        try:
            self.table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
            self.table.validate(full=True)
            head = parse_json((self.table.schema.metadata or {}).get(b"pvit", b""), NAME)
        except Exception as error:  # a damaged file may raise anything inside the library
            raise CorruptShardError(
                f"{NAME} is damaged, run 'pvit-data index' again: {plain(error)}"
            ) from error
        version = head.get("version") if isinstance(head, dict) else None
        schema = {f.name: f.type for f in self.table.schema}
        if (
            version != VERSION
            or schema != _schema()
            or any(self.table[n].null_count for n in schema)
        ):
            raise CorruptShardError(
                f"{NAME} is {version!r}, expected {VERSION!r}: run 'pvit-data index' again"
            )
        sizes = head.get("shards")
        if not isinstance(sizes, dict) or not all(type(size) is int for size in sizes.values()):
            raise CorruptShardError(f"{NAME} lists no shards: run 'pvit-data index' again")
        self.shards: dict[str, int] = sizes
        self._columns: dict[str, Shaped[np.ndarray, "n"]] = {}

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
            self._columns[name] = np.asarray(self.table[name].to_numpy(zero_copy_only=False))
        return self._columns[name]

    def _places(self) -> dict[str, Shaped[np.ndarray, "n"]]:
        """The columns that our own index has for each member, of what is understood."""
        found = {
            n: np.full(len(self.table), -1 if n.endswith("_offset") else 0, kind)
            for n, kind in PLACES.items()
        }
        for row in range(len(self.table)):
            for name, place in self.members(row).items():
                member = MEMBER_OF_EXTENSION.get(name) or (
                    "rgb" if name.rpartition(".")[2] in _MEDIA else None
                )
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


def place_of(shard: str) -> tuple[str, str]:
    """Source and split that a shard is counted to: its folder, and the first word of its name that says so."""
    folder, _, base = shard.rpartition("/")
    name = _NO_SAMPLE.sub("_", folder.lower())[:40] or "webdataset"
    words = (
        split for word, split in _SPLITS if word in re.split(r"[^a-z]+", f"{folder}/{base}".lower())
    )
    named = (split for word, split in _SPLITS if word in base.lower())
    return name, next(words, None) or next(named, "train")


class ForeignPart:
    """The samples of one source and split of an indexed folder; looks like a part of a PViT dataset."""

    def __init__(
        self, storage: Storage, index: ForeignIndex, place: tuple[str, str], rows: list[int]
    ) -> None:
        self.storage, self._index, self._rows = storage, index, np.array(rows, np.int64)
        self.spec, self.split = SourceSpec(name=place[0]), place[1]

    @property
    def samples(self) -> int:
        """Their number."""
        return len(self._rows)

    @property
    def shards(self) -> dict[str, int]:
        """Bytes of every shard of the folder when it was indexed."""
        return self._index.shards

    def key(self, row: int) -> str:
        """The key as the archive has it."""
        return str(self._index.table["key"][int(self._rows[row])].as_py())

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """A column of the index."""
        if name in VIRTUAL:
            return np.full(self.samples, self.spec.name if name == "source" else self.split, object)
        return self._index.column(name)[self._rows]

    def members(self, row: int) -> dict[str, int]:
        """Bytes of every member by extension."""
        return {
            name: size for name, (_, size, _) in self._index.members(int(self._rows[row])).items()
        }

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """Contents of members, compared with their CRC.

        Raises:
            UsageError: if there is no such member.
            CorruptShardError: if one differs from what was indexed.
        """
        number = int(self._rows[row])
        places, shard = self._index.members(number), str(self._index.table["shard"][number].as_py())
        if shard not in self._index.shards:
            raise CorruptShardError(
                f"{NAME} names the shard {shard[:100]!r}, which it does not list"
            )
        out = {}
        for name in places if names is None else names:
            if name not in places:
                raise UsageError(
                    f"sample {self.key(row)!r} has no member {name!r}: it has {', '.join(places)}"
                )
            offset, size, crc = places[name]
            out[name] = self.storage.read_range(shard, offset, size)
            if (
                zlib.crc32(out[name]) != crc and self.storage.root is None
            ):  # on the way, or in the cache
                out[name] = self.storage.read_range(shard, offset, size, again=True)
            if len(out[name]) != size or zlib.crc32(out[name]) != crc:
                raise CorruptShardError(
                    f"{shard}: member {name} of sample {self.key(row)!r} is damaged or was changed"
                )
        return out

    def record(self, row: int) -> Record:
        """The record of a sample of ours, or one made from the index."""
        members = self.members(row)
        return self._record(row, self.files(row, ["json"] if "json" in members else []))

    def _record(self, row: int, files: dict[str, bytes]) -> Record:
        meta: Any = {}
        if "json" in files:
            try:
                return read_record(files["json"])
            except FormatError:
                with_meta = files["json"]
            try:
                meta = parse_json(with_meta, "json")
            except FormatError:
                meta = {"json": with_meta[:10000].decode("utf-8", "replace")}
        values = {
            name: self._index.table[name][int(self._rows[row])].as_py()
            for name in (*TEXT, *NUMBERS)
        }
        key = values["key"]
        meta = meta if isinstance(meta, dict) else {"json": meta}
        return Record(
            key=plain_key(key),
            group=plain_key(key),
            fields=[f for f in ("action", "rgb") if values[f"has_{f}"]],
            action_id=values["action"],
            meta=json.dumps(meta if KEY_PATTERN.match(key) else {**meta, "key": key}),
            **{name: values[name] for name in ("frames", "fps", "height", "width", "rgb_encoding")},
        )

    def read(
        self,
        row: int,
        fields: Collection[str] | None,
        frames: Integer[np.ndarray, "n"] | None,
        grid: Grid | None,
        window: Window | None,
    ) -> Sample:
        """Decodes a sample; see `ShardDataset.read`."""
        members = self.members(row)
        head = self.files(row, ["json"] if "json" in members else [])
        record = self._record(row, head)
        record.source, record.split = self.spec.name, self.split
        wanted = [f for f in record.fields if fields is None or f in fields]
        known = {MEMBER_OF_EXTENSION[name]: name for name in members if name in MEMBER_OF_EXTENSION}
        names = {known[m]: known[m] for f in wanted for m in FIELDS.get(f, ()) if m in known}
        if "rgb" in wanted and "rgb" not in known:
            ends = [n for n in members if _MEDIA.get(n.rpartition(".")[2]) == record.rgb_encoding]
            names |= {RGB_EXTENSIONS[record.rgb_encoding]: ends[0]} if ends else {}
        contents = self.files(row, list(names.values()))
        files = {extension: contents[name] for extension, name in names.items()}
        return decode_sample(record, files, fields, frames, {}, grid, window, checked=False)


def plain_key(key: str) -> str:
    """A foreign key in the characters of ours; changed ones get a piece of their hash, so that they stay unique."""
    if KEY_PATTERN.match(key):
        return key
    return f"{_NO_SAMPLE.sub('_', key.lower())[-63:]}-{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:12]}"


def foreign_parts(
    storage: Storage, source: str | None = None, split: str | None = None
) -> list[ForeignPart]:
    """The parts of an indexed folder, by source and split; only those asked for.

    Raises:
        UsageError: if there is no such part.
        CorruptShardError: if the index is damaged.
    """
    index = ForeignIndex(storage)
    places: dict[tuple[str, str], list[int]] = {}
    split_of = {shard: place_of(shard) for shard in index.shards}
    for row, shard in enumerate(index.column("shard")):
        places.setdefault(split_of.get(shard) or place_of(shard), []).append(row)
    found = {
        p: rows
        for p, rows in sorted(places.items())
        if source in (None, p[0]) and split in (None, p[1])
    }
    if places and not found:
        known = ", ".join("/".join(place) for place in sorted(places))
        raise UsageError(
            f"{storage.url} has no split {split!r} of {source or 'any source'}: it has {known}"
        )
    return [ForeignPart(storage, index, place, rows) for place, rows in found.items()]
