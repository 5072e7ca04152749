"""One split of one source: rows of its index, and the members of a row by byte range.

Every member is compared with its CRC before it is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

import deflate
import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Grid, Window
from pvit_data.errors import CorruptShardError, FormatError, StorageError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import VIRTUAL, Index, index_name, open_index
from pvit_data.format.manifest import SourceSpec, SplitInfo
from pvit_data.format.members import FIELDS, MEMBERS, RECORD, file_of
from pvit_data.format.record import Record, read_record
from pvit_data.format.shard_list import ShardList
from pvit_data.format.tar import BLOCK
from pvit_data.reading.decode import decode_sample
from pvit_data.sample.limits import MAX_SAMPLE_BYTES
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.words import shown

MAX_GAP = 1 << 20  # unwanted bytes between two members that are still fetched with them from a URL
MAX_RUN = 1 << 26  # bytes of several members that are fetched at once, and then held twice

Value = TypeVar("Value")
Place = tuple[int, int, int]
"""Offset, size and CRC of a member."""


class DatasetPart(Protocol):
    """What a dataset is made of: the samples of one split of one source, by row.

    Attributes:
        spec: the source.
        split: its split.
    """

    spec: SourceSpec
    split: str

    @property
    def samples(self) -> int:
        """Their number."""

    def key(self, row: int) -> str:
        """The key of a sample."""

    def digest(self) -> dict[str, Any]:
        """Hashes of its index and shards as JSON values: equal where its samples are, whatever stands beside them."""

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the index, or some rows of it; not to be written to."""

    def value(self, name: str, row: int) -> Any:
        """One value of a column."""

    def members(self, row: int) -> dict[str, int]:
        """Bytes of each file of a sample."""

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """Contents of files of a sample, compared with their CRC; None = all."""

    def record(self, row: int) -> Record:
        """The record of a sample."""

    def read(
        self,
        row: int,
        fields: Collection[str] | None,
        frames: Integer[np.ndarray, "n"] | None,
        grid: Grid | None,
        window: Window | None,
    ) -> Sample:
        """Decodes a sample; see `ShardDataset.read`."""


class SplitPart:
    """One split of one source of ours, with its index, read when first needed.

    Args:
        storage: the dataset.
        spec: the source.
        split: its split.
        info: the split's entry in the manifest.
        manifest: checksum of that manifest.
    """

    def __init__(
        self, storage: Storage, spec: SourceSpec, split: str, info: SplitInfo, manifest: str
    ) -> None:
        self.storage = storage
        self.spec = spec
        self.split = split
        self.info = info
        self.manifest = manifest
        self._index: Index | None = None
        self._list: ShardList | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Without what grows with the data set: whoever gets it maps the index and reads the list again.
        info = self.info.model_copy(update={"shards": []})
        return {**self.__dict__, "info": info, "_index": None, "_list": None}

    @property
    def index(self) -> Index:
        """The opened index.

        Raises:
            CorruptShardError: if it is not the one that the manifest lists.
            StorageError: if the dataset was replaced meanwhile.
        """
        if self._index is None:
            name = index_name(self.spec.name, self.split)
            expected = (self.info.index.bytes, self.info.index.sha256)
            try:
                self._index = open_index(self.storage, name, expected, self.info.samples)
            except FormatError:
                self._require_same_dataset()
                raise
        return self._index

    @property
    def samples(self) -> int:
        """See `DatasetPart`."""
        return self.info.samples

    def key(self, row: int) -> str:
        """See `DatasetPart`."""
        return self.index.text("key", row)

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`."""
        return {"index": self.info.index.sha256, "shards": self._listed(lambda s: s.sha256s())}

    def _listed(self, action: Callable[[ShardList], Value]) -> Value:
        """What the list of shards says.

        Raises:
            CorruptShardError: if it is not the one that the manifest lists.
            StorageError: if the dataset was replaced meanwhile.
        """
        try:
            if self._list is None:
                self._restore_shards()
                self._list = ShardList(self.storage, self.spec.name, self.split, self.info)
            return action(self._list)
        except FormatError:
            self._require_same_dataset()
            raise

    def _restore_shards(self) -> None:
        """In another process: the list that was left behind, from the manifest.

        Raises:
            StorageError: if the dataset was replaced meanwhile.
        """
        if self.info.shards or self.info.shard_list is not None or not self.info.samples:
            return
        found = manifests.read_manifest(self.storage)
        if found.checksum != self.manifest:
            raise self._changed()
        shards = found.sources[self.spec.name].splits[self.split].shards
        self.info = self.info.model_copy(update={"shards": shards})

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """See `DatasetPart`."""
        if name in VIRTUAL:
            # Not as many as the manifest says, but as there are.
            number = self.index.num_rows if rows is None else len(rows)
            return np.full(number, self._own(name), object)
        return self.index.column(name, rows)

    def value(self, name: str, row: int) -> Any:
        """See `DatasetPart`."""
        return self._own(name) if name in VIRTUAL else self.index.value(name, row)

    def _own(self, name: str) -> str:
        """What holds for all of its samples."""
        return self.spec.name if name == "source" else self.split

    def members(self, row: int) -> dict[str, int]:
        """See `DatasetPart`."""
        return {file: size for file, (_, (_, size, _)) in self._files(row).items()}

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """See `DatasetPart`."""
        found = self._files(row)
        if unknown := sorted(set(names or ()) - found.keys()):
            raise UsageError(
                f"sample '{self.key(row)}' has no member {unknown[0]!r}: it has {', '.join(found)}"
            )
        wanted = {name: found[name] for name in (found if names is None else names)}
        contents = self._fetch(row, dict(wanted.values()))
        return {name: contents[member] for name, (member, _) in wanted.items()}

    def _files(self, row: int) -> dict[str, tuple[str, Place]]:
        """Member and place of each file."""
        encoding = self.index.text("rgb_encoding", row)
        places = {member: self._place(member, row) for member in MEMBERS}
        return {
            file_of(member, encoding): (member, place)
            for member, place in places.items()
            if place is not None
        }

    def record(self, row: int) -> Record:
        """See `DatasetPart`."""
        place = self._place(RECORD, row)
        if place is None:
            raise CorruptShardError(f"sample '{self.key(row)}' has no JSON member")
        return read_record(self._fetch(row, {RECORD: place})[RECORD])

    def read(
        self,
        row: int,
        fields: Collection[str] | None,
        frames: Integer[np.ndarray, "n"] | None,
        grid: Grid | None,
        window: Window | None,
    ) -> Sample:
        """See `DatasetPart`."""
        wanted = [
            f
            for f in FIELDS
            if (fields is None or f in fields) and self.index.value(f"has_{f}", row)
        ]
        members = dict.fromkeys([RECORD, *(m for f in wanted for m in FIELDS[f])])
        places = {m: place for m in members if (place := self._place(m, row)) is not None}
        contents = self._fetch(row, places)
        record = read_record(contents.pop(RECORD, b""))
        key = self.key(row)
        if record.key != key:
            raise CorruptShardError(f"sample '{key}' of the index is '{record.key}' in its shard")
        files = {file_of(m, record.rgb_encoding): data for m, data in contents.items()}
        record.source, record.split = self.spec.name, self.split
        record.licence = record.licence or self.spec.licence
        return decode_sample(record, files, fields, frames, self.spec.spaces, grid, window)

    def _place(self, member: str, row: int) -> Place | None:
        value = self.index.value
        offset = value(f"{member}_offset", row)
        if offset < 0:
            return None
        return offset, value(f"{member}_size", row), value(f"{member}_crc32", row)

    def _fetch(self, row: int, places: Mapping[str, Place]) -> dict[str, bytes]:
        """The contents of members, each compared with its CRC."""
        shard = f"{self.spec.name}/{self.index.text('shard', row)}"
        self._require_inside(shard, row, places)
        out: dict[str, bytes] = {}
        for run in _runs(places, -1 if self.storage.root is not None else MAX_GAP):
            found, damaged = self._fetch_run(shard, run)
            if damaged and self.storage.root is None:  # on the way, or in the cache
                found, damaged = self._fetch_run(shard, run, again=True)
            if damaged:
                self._require_same_dataset()
                raise CorruptShardError(
                    f"{shard}: member {damaged} of sample '{self.key(row)}' is damaged (wrong length or CRC)"
                )
            out |= found
        return out

    def _require_inside(self, shard: str, row: int, places: Mapping[str, Place]) -> None:
        """Compares what the index claims with the size of the shard, before anything is allocated for it.

        Raises:
            CorruptShardError: if the shard is not listed, a member lies outside, or all of them are too large.
        """
        room = self._listed(lambda shards: shards.bytes_of(shard))
        if room is None:
            raise CorruptShardError(
                f"the index of {self.spec.name}/{self.split} names the shard {shown(shard[:100])!r}, "
                "which the manifest does not list"
            )
        for member, (offset, size, _) in places.items():
            if size < 0 or offset < BLOCK or offset + size > room:
                raise CorruptShardError(
                    f"{shard}: member {member} of sample '{self.key(row)}' lies at {offset} + {size} of {room} bytes"
                )
        if sum(size for _, size, _ in places.values()) > MAX_SAMPLE_BYTES:
            raise CorruptShardError(
                f"{shard}: sample '{self.key(row)}' has more than {MAX_SAMPLE_BYTES} bytes"
            )

    def _fetch_run(
        self, shard: str, places: Mapping[str, Place], again: bool = False
    ) -> tuple[dict[str, bytes], str]:
        """The contents of neighbouring members, and the first one that is damaged."""
        start = min(offset for offset, _, _ in places.values())
        end = max(offset + size for offset, size, _ in places.values())
        block = self.storage.read_range(shard, start, end - start, again=again)
        out: dict[str, bytes] = {}
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
            raise self._changed()

    def _changed(self) -> StorageError:
        return StorageError(
            f"{self.storage.url}: was changed while it was being read: open it again"
        )


def _runs(places: Mapping[str, Place], gap: int) -> list[dict[str, Place]]:
    """Members that are fetched together, in file order: with at most `gap` bytes between them, and `MAX_RUN` in all."""
    runs: list[dict[str, Place]] = []
    start = end = 0
    for member, place in sorted(places.items(), key=lambda item: item[1][0]):
        if not runs or place[0] - end > gap or place[0] + place[1] - start > MAX_RUN:
            runs.append({})
            start = place[0]
        runs[-1][member] = place
        end = place[0] + place[1]
    return runs
