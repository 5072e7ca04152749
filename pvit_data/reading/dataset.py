"""`open` and `ShardDataset`: random access to the samples of a dataset, decoding only what is asked for.

Every member is compared with its CRC before it is decoded. What is damaged raises, or is skipped and counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import deflate
import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Window
from pvit_data.errors import CorruptShardError, FormatError, StorageError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import VIRTUAL, Index, index_name
from pvit_data.format.manifest import SPLITS, SourceSpec, SplitInfo, read_manifest
from pvit_data.format.members import FIELDS, MEMBERS, RGB_EXTENSIONS
from pvit_data.format.record import Record, read_record
from pvit_data.reading import foreign
from pvit_data.reading.decode import Grid, decode_sample
from pvit_data.reading.foreign import ForeignPart
from pvit_data.reading.where import evaluate
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.storage.cache import Cache
from pvit_data.storage.storage import Storage

SKIP_LIMIT = 0.01  # of the samples read
SKIP_GRACE = 10  # that many may always be skipped, or a first bad sample would end the run
MAX_GAP = 1 << 20  # unwanted bytes between two members that are still fetched with them from a URL


def open_dataset(
    url: str | Path,
    source: str | None = None,
    split: str | None = None,
    tasks: Collection[str] | None = None,
    where: str | None = None,
    on_corrupt: Literal["raise", "skip"] = "raise",
    skip_limit: float = SKIP_LIMIT,
    cache: Cache | str | Path | None = None,
) -> ShardDataset:
    """Opens a dataset; public as `pvit_data.open`.

    Args:
        url: folder or URL (`s3://`, `gs://`, `hf://`, `https://`, ...).
        source: only this source. Default: all.
        split: only this split: `"train"`, `"val"` or `"test"`. Default: all.
        tasks: fields that samples are decoded with: `"rgb"`, `"depth"`, ... Default: all.
        where: filter over index columns, such as `"has_depth and frames >= 16"`.
        on_corrupt: what iteration does with a damaged sample: raise, or skip and count.
        skip_limit: largest share of damaged samples that iteration skips.
        cache: local folder in which bytes from a URL are kept, of bounded size (`Cache` sets it).
            Without one, exactly the asked bytes are fetched, every time.

    Returns:
        The samples, by source, split, shard and place. A folder of shards without a manifest can only be iterated,
        unless 'pvit-data index' has indexed it.

    Raises:
        UsageError: if source, split, task or filter is unknown.
        FormatError: if the dataset is of a newer major version, or manifest or index are damaged.
        StorageError: if it cannot be read.
    """
    if unknown := sorted(set(tasks or ()) - FIELDS.keys()):
        raise UsageError(f"unknown task {unknown[0]!r}: expected some of {', '.join(FIELDS)}")
    if on_corrupt not in ("raise", "skip"):
        raise UsageError(f"on_corrupt is {on_corrupt!r}, expected 'raise' or 'skip'")
    storage = Storage(url, cache)
    storage.require_folder()
    if not storage.exists(manifests.NAME):
        from pvit_data.reading.stream import open_stream

        if storage.exists(foreign.NAME):
            parts = foreign.foreign_parts(storage, source, split)
            indexed = ShardDataset(_Shared([*parts]), None, _tuple(tasks), on_corrupt, skip_limit)
            return indexed if where is None else indexed.where(where)
        return open_stream(storage, source, split, _tuple(tasks), where, on_corrupt)
    manifest = read_manifest(storage)
    if source is not None and source not in manifest.sources:
        raise UsageError(f"{url} has no source {source!r}: it has {', '.join(manifest.sources)}")
    found = [
        _Part(storage, entry.spec, name, entry.splits[name], manifest.checksum)
        for entry in (manifest.sources[n] for n in sorted(manifest.sources))
        for name in SPLITS
        if name in entry.splits and source in (None, entry.spec.name) and split in (None, name)
    ]
    if not found:
        splits = sorted({s for e in manifest.sources.values() for s in e.splits}, key=SPLITS.index)
        raise UsageError(
            f"{url} has no split {split!r} of {source or 'any source'}: it has {', '.join(splits)}"
        )
    dataset = ShardDataset(_Shared([*found]), None, _tuple(tasks), on_corrupt, skip_limit)
    return dataset if where is None else dataset.where(where)


def _tuple(tasks: Collection[str] | None) -> tuple[str, ...] | None:
    return None if tasks is None else tuple(tasks)


class _Part:
    """One split of one source, with its index, read when first needed.

    Args:
        storage, spec, split, info: where and what it is.
        manifest: checksum of the manifest that says so.
    """

    def __init__(
        self, storage: Storage, spec: SourceSpec, split: str, info: SplitInfo, manifest: str
    ) -> None:
        self.storage, self.spec, self.split, self.info, self.manifest = (
            storage,
            spec,
            split,
            info,
            manifest,
        )
        self._index: Index | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None}

    @property
    def index(self) -> Index:
        if self._index is None:
            name, root = index_name(self.spec.name, self.split), self.storage.root
            data = self.storage.read(name) if root is None else b""  # a remote file is fetched once
            found = (
                (len(data), hashlib.sha256(data).hexdigest())
                if root is None
                else self.storage.hash(name)
            )
            if found != (self.info.index.bytes, self.info.index.sha256):
                self._require_same_dataset()
                raise CorruptShardError(
                    f"{name} is not the file that the manifest lists: run 'pvit-data finish'"
                )
            self._index = Index(data if root is None else root / name, name)
            if self._index.num_rows != self.info.samples:
                raise CorruptShardError(
                    f"{name} has {self._index.num_rows} rows, the manifest says {self.info.samples}"
                )
        return self._index

    @property
    def samples(self) -> int:
        return self.info.samples

    def key(self, row: int) -> str:
        return self.index.text("key", row)

    def members(self, row: int) -> dict[str, int]:
        return {name: place[1] for name, (_, place) in self._named(row).items()}

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        found = self._named(row)
        if unknown := sorted(set(names or ()) - found.keys()):
            raise UsageError(
                f"sample '{self.key(row)}' has no member {unknown[0]!r}: it has {', '.join(found)}"
            )
        wanted = {name: found[name] for name in (found if names is None else names)}
        contents = self._fetch(row, dict(wanted.values()))
        return {name: contents[member] for name, (member, _) in wanted.items()}

    def _named(self, row: int) -> dict[str, tuple[str, tuple[int, int, int]]]:
        """Member and place by extension."""
        found = {}
        for member, extensions in MEMBERS.items():
            if (place := self._place(member, row)) is not None:
                rgb = RGB_EXTENSIONS.get(self.index.text("rgb_encoding", row), "rgb")
                found[rgb if member == "rgb" else extensions[0]] = (member, place)
        return found

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        if name in VIRTUAL:
            value = self.spec.name if name == "source" else self.split
            return np.full(self.info.samples, value, object)
        return self.index.column(name)

    def record(self, row: int) -> Record:
        place = self._place("json", row)
        if place is None:
            raise CorruptShardError(f"sample '{self.index.text('key', row)}' has no JSON member")
        return read_record(self._fetch(row, {"json": place})["json"])

    def read(
        self,
        row: int,
        fields: Collection[str] | None,
        frames: Integer[np.ndarray, "n"] | None,
        grid: Grid | None,
        window: Window | None,
    ) -> Sample:
        key = self.index.text("key", row)
        wanted = [
            f
            for f in FIELDS
            if (fields is None or f in fields) and self.index.column(f"has_{f}")[row]
        ]
        members = dict.fromkeys(["json", *(m for f in wanted for m in FIELDS[f])])
        places = {m: place for m in members if (place := self._place(m, row)) is not None}
        files = self._fetch(row, places)
        record = read_record(files.pop("json", b""))
        if record.key != key:
            raise CorruptShardError(f"sample '{key}' of the index is '{record.key}' in its shard")
        named = {_extension(member, record): data for member, data in files.items()}
        record.source, record.split = self.spec.name, self.split
        record.licence = record.licence or self.spec.licence
        return decode_sample(record, named, fields, frames, self.spec.spaces, grid, window)

    def _place(self, member: str, row: int) -> tuple[int, int, int] | None:
        offset = int(self.index.column(f"{member}_offset")[row])
        if offset < 0:
            return None
        return (
            offset,
            int(self.index.column(f"{member}_size")[row]),
            int(self.index.column(f"{member}_crc32")[row]),
        )

    def _fetch(self, row: int, places: Mapping[str, tuple[int, int, int]]) -> dict[str, bytes]:
        """The contents of members, each compared with its CRC."""
        shard = f"{self.spec.name}/{self.index.text('shard', row)}"
        out = dict[str, bytes]()
        for run in _runs(places, -1 if self.storage.root is not None else MAX_GAP):
            found, damaged = self._fetch_run(shard, {member: places[member] for member in run})
            if damaged and self.storage.root is None:  # on the way, or in the cache
                found, damaged = self._fetch_run(
                    shard, {member: places[member] for member in run}, again=True
                )
            if damaged:
                self._require_same_dataset()
                key = self.index.text("key", row)
                raise CorruptShardError(
                    f"{shard}: member {damaged} of sample '{key}' is damaged (wrong length or CRC)"
                )
            out |= found
        return out

    def _fetch_run(
        self, shard: str, places: Mapping[str, tuple[int, int, int]], again: bool = False
    ) -> tuple[dict[str, bytes], str]:
        """The contents of neighbouring members, and the first one that is damaged."""
        start, end = (
            min(place[0] for place in places.values()),
            max(sum(place[:2]) for place in places.values()),
        )
        block, out = (
            self.storage.read_range(shard, start, end - start, again=again),
            dict[str, bytes](),
        )
        for member, (offset, size, crc) in places.items():
            out[member] = block[offset - start : offset - start + size]
            if len(out[member]) != size or deflate.crc32(out[member]) != crc:
                return out, member
        return out, ""

    def _require_same_dataset(self) -> None:
        """Tells a dataset that was replaced while it was being read from a damaged one.

        Raises:
            StorageError: if the manifest is gone or another one now.
        """
        if f'"checksum": "{self.manifest}"'.encode() not in self.storage.read(manifests.NAME):
            raise StorageError(
                f"{self.storage.url}: was changed while it was being read: open it again"
            )


def _runs(places: Mapping[str, tuple[int, int, int]], gap: int) -> list[list[str]]:
    """Members that are fetched together: those with at most `gap` bytes between them, in file order."""
    runs: list[list[str]] = []
    for member in sorted(places, key=lambda m: places[m][0]):
        if runs and places[member][0] - sum(places[runs[-1][-1]][:2]) <= gap:
            runs[-1].append(member)
        else:
            runs.append([member])
    return runs


def _extension(member: str, record: Record) -> str:
    if member == "rgb":
        return RGB_EXTENSIONS.get(record.rgb_encoding, "rgb")
    return f"{member}.tif" if member in ("depth", "normal", "segm") else f"{member}.npy"


@dataclass
class _Shared:
    """The parts of a dataset in order; shared by all its selections."""

    parts: list[_Part | ForeignPart]

    @property
    def starts(self) -> list[int]:
        """Number of the first row of each part, and the number of all rows."""
        return [0, *np.cumsum([p.samples for p in self.parts]).tolist()]


class ShardDataset(Sequence[Sample]):
    """Samples of one or more sources in a fixed order. Made by `pvit_data.open`; selections share one index.

    Attributes:
        skipped: keys of samples that iteration skipped as damaged, with the message of each.
    """

    def __init__(
        self,
        shared: _Shared,
        rows: Integer[np.ndarray, "n"] | None,
        fields: tuple[str, ...] | None,
        on_corrupt: Literal["raise", "skip"],
        skip_limit: float,
    ) -> None:
        self._shared, self._rows, self._fields = shared, rows, fields
        self._on_corrupt, self._skip_limit = on_corrupt, skip_limit
        self._starts = np.array(shared.starts)
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        names = ", ".join(sorted({f"{p.spec.name}/{p.split}" for p in self._shared.parts}))
        return f"ShardDataset({len(self)} samples of {names})"

    @property
    def sources(self) -> dict[str, SourceSpec]:
        """Declarations of the sources, by name."""
        return {part.spec.name: part.spec for part in self._shared.parts}

    def spaces_of(self, source: str) -> dict[str, LabelSpace]:
        """Label spaces of a source, by field.

        Raises:
            UsageError: if there is no such source.
        """
        if source not in self.sources:
            raise UsageError(f"no source {source!r}: there is {', '.join(self.sources)}")
        return dict(self.sources[source].spaces)

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        """Reads and decodes one sample; negative numbers count from the end.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        return self.read(index)

    def read(
        self,
        index: int,
        fields: Collection[str] | None = None,
        frames: Integer[np.ndarray, "n"] | Sequence[int] | None = None,
        grid: Grid | None = None,
        window: Window | None = None,
    ) -> Sample:
        """Reads one sample, decoding only some fields, frames and pixels.

        Args:
            index: number in this dataset.
            fields: names such as `"rgb"`, `"depth"`. Default: the tasks given to `open`, or all.
            frames: frame numbers, in any order, repeats allowed; per-frame fields hold those that exist, in this
                order, and `Sample.frames` says which; box rows of other frames are left out, cameras kept.
                Default: all.
            grid: row numbers and column numbers at which dense maps are sampled, which costs a fraction of decoding
                them whole. Default: all.
            window: the part of rgb to decode; rgb then has its size (a still: divided by its `shrink`, where that
                saves time). Default: everything.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        part, row = self._locate(index)
        picks = None if frames is None else np.asarray(frames, np.int64).reshape(-1)
        return part.read(row, self._fields if fields is None else fields, picks, grid, window)

    def record(self, index: int) -> Record:
        """The JSON member of one sample.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        part, row = self._locate(index)
        return part.record(row)

    def members(self, index: int) -> dict[str, int]:
        """Bytes of every file of one sample, by extension (`"depth.tif"`), without reading them.

        Raises:
            IndexError: if there is no such sample.
        """
        part, row = self._locate(index)
        return part.members(row)

    def files(self, index: int, names: Collection[str] | None = None) -> dict[str, bytes]:
        """Contents of the files of one sample as they are stored, each compared with its CRC.

        Args:
            index: number in this dataset.
            names: extensions wanted (see `members`). Default: all.

        Raises:
            IndexError: if there is no such sample.
            UsageError: if it has no such file.
            CorruptShardError: if its bytes are damaged.
        """
        part, row = self._locate(index)
        return part.files(row, names)

    def __iter__(self) -> Iterator[Sample]:
        """All samples in order; damaged ones raise or are skipped, as `on_corrupt` says.

        Raises:
            CorruptShardError: if more than the limit are damaged.
        """
        for index in range(len(self)):
            try:
                sample = self.read(index)
            except FormatError as error:
                if self._on_corrupt == "raise":
                    raise
                self._skip(index, error)
                continue
            yield sample

    def _skip(self, index: int, error: FormatError) -> None:
        part, row = self._locate(index)
        self.skipped[part.key(row)] = str(error)
        if len(self.skipped) > max(SKIP_GRACE, self._skip_limit * len(self)):
            raise CorruptShardError(
                f"{len(self.skipped)} of {len(self)} samples are damaged, limit {self._skip_limit:.1%}; last: {error}"
            ) from error

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """A column of the index: `key`, `group`, `source`, `split`, `shard`, `frames`, `fps`, `height`, `width`,
        `action`, `has_rgb`, `has_depth`, ... (see `pvit_data.format.index`).

        Raises:
            UsageError: if there is no such column.
        """
        whole = np.concatenate([part.column(name) for part in self._shared.parts])
        return whole if self._rows is None else whole[self._rows]

    def where(self, text: str) -> ShardDataset:
        """The samples that fulfil a filter such as `"has_depth and frames >= 16"`.

        Raises:
            UsageError: if the filter cannot be parsed or names an unknown column.
        """
        return self.select(np.flatnonzero(evaluate(text, self.column, len(self))))

    def select(self, rows: Integer[np.ndarray, "n"] | Sequence[int]) -> ShardDataset:
        """The samples of the given numbers, in this order.

        Raises:
            IndexError: if there is no such sample.
        """
        picks = np.asarray(rows, np.int64).reshape(-1)
        if picks.size and not -len(self) <= picks.min() <= picks.max() < len(self):
            raise IndexError(f"row {picks.max()} of a dataset of {len(self)} samples")
        own = (picks + len(self)) % len(self) if picks.size else picks
        chosen = own if self._rows is None else self._rows[own]
        return ShardDataset(self._shared, chosen, self._fields, self._on_corrupt, self._skip_limit)

    def _locate(self, index: int) -> tuple[_Part | ForeignPart, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a dataset of {len(self)}")
        own = index % len(self)
        row = own if self._rows is None else int(self._rows[own])
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._shared.parts[number], row - int(self._starts[number])
