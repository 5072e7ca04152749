"""One split of one source: rows of its index, and the members of a row by byte range.

Reading a sample has three steps: where its members lie says the index (`Request`); their bytes are fetched, in any
thread, and compared with their CRC (`Fetched`); decoding them comes last, where the sample is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.errors import CorruptShardError, FormatError, StorageError, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.format.index import VIRTUAL, Index, index_name, open_index
from pvit_data.format.manifest import LayerSpec, SourceSpec, SplitInfo
from pvit_data.format.members import FIELDS, MEMBERS, RECORD, file_of
from pvit_data.format.names import place_of
from pvit_data.format.record import Record, read_record
from pvit_data.format.rows import row_record
from pvit_data.format.shard_list import ShardList
from pvit_data.format.tar import BLOCK
from pvit_data.reading.decode import decode_sample
from pvit_data.reading.fetch import Place, fetch_members, moves
from pvit_data.sample.limits import MAX_SAMPLE_BYTES
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.words import brief, shown

Value = TypeVar("Value")


@dataclass(frozen=True)
class Fetched:
    """The record of a sample, and the contents of members as they are stored, by file name (`"depth.tif"`)."""

    record: Record
    files: Mapping[str, bytes]

    __repr__ = brief


@dataclass(frozen=True)
class Request:
    """What reading a sample fetches.

    Args:
        moves: bytes that come from a URL; 0 where the files are local.
        fetch: fetches them, in any thread; raises what reading the sample raises.
    """

    moves: int
    fetch: Callable[[], Fetched]


class DatasetPart(Protocol):
    """What a dataset is made of: the samples of one split of one source, by row.

    Attributes:
        spec: the source.
        split: its split.
        storage: where its files are.
    """

    spec: SourceSpec
    split: str
    storage: Storage

    @property
    def layers(self) -> Mapping[str, LayerSpec]:
        """The layer that gives a field, by field; of what is the source's own there is none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what is attached: what is absent, what differs."""

    @property
    def samples(self) -> int:
        """Their number."""

    def key(self, row: int) -> str:
        """The key of a sample."""

    def keys(self) -> Any:
        """All keys in order, as an Arrow array of large strings."""

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

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """What reading these fields of a sample fetches."""

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """Decodes a sample, of which at least these fields were fetched; see `ShardDataset.read`."""


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
        self._hashes: dict[str, str] = {}  # sha256 of each shard

    def __getstate__(self) -> dict[str, Any]:
        # Without what grows with the data set: whoever gets it maps the index and reads the list again.
        info = self.info.model_copy(update={"shards": []})
        return {**self.__dict__, "info": info, "_index": None, "_list": None, "_hashes": {}}

    @property
    def index(self) -> Index:
        """The opened index.

        Raises:
            CorruptShardError: if it is not the one that the manifest lists.
            StorageError: if the dataset was replaced meanwhile.
        """
        if self._index is None:
            name = index_name(self.spec.folder, self.split)
            expected = (self.info.index.bytes, self.info.index.sha256)
            try:
                self._index = open_index(self.storage, name, expected, self.info.samples)
            except FormatError:
                self._require_same_dataset()
                raise
        return self._index

    @property
    def layers(self) -> Mapping[str, LayerSpec]:
        """See `DatasetPart`."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """See `DatasetPart`."""
        return ()

    @property
    def samples(self) -> int:
        """See `DatasetPart`."""
        return self.info.samples

    def key(self, row: int) -> str:
        """See `DatasetPart`."""
        return self.index.text("key", row)

    def keys(self) -> Any:
        """See `DatasetPart`."""
        return self.index.keys()

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`."""
        return {"index": self.info.index.sha256, "shards": self._listed(lambda s: s.sha256s())}

    def shard_number(self, shard: str) -> int:
        """Number of a shard by its path in the folder of the source, as the column `shard` has it."""
        return place_of(f"{self.spec.folder}/{shard}").number

    def shard_digests(self) -> dict[int, str]:
        """sha256 of each shard by its number.

        Raises:
            CorruptShardError: if the list of shards is damaged.
        """
        return self._listed(lambda shards: {shard.number: shard.sha256 for shard in shards})

    def _listed(self, action: Callable[[ShardList], Value]) -> Value:
        """What the list of shards says.

        Raises:
            CorruptShardError: if it is not the one that the manifest lists.
            StorageError: if the dataset was replaced meanwhile.
        """
        try:
            if self._list is None:
                self._restore_shards()
                self._list = ShardList(self.storage, self.spec.folder, self.split, self.info)
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
        shards = found.entries[self.spec.folder].splits[self.split].shards
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
        places = dict(wanted.values())
        contents = self._fetch(self._shard(row, places), self.key(row), places)
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
            told = row_record(lambda name: self.value(name, row), self.spec, self.split)
            if told is not None:
                return told
            raise CorruptShardError(f"sample '{self.key(row)}' has no JSON member")
        places = {RECORD: place}
        return read_record(self._fetch(self._shard(row, places), self.key(row), places)[RECORD])

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """See `DatasetPart`."""
        wanted = [
            f
            for f in FIELDS
            if (fields is None or f in fields) and self.index.value(f"has_{f}", row)
        ]
        members = dict.fromkeys([RECORD, *(m for f in wanted for m in FIELDS[f])])
        places = {m: place for m in members if (place := self._place(m, row)) is not None}
        shard, key = self._shard(row, places), self.key(row)
        return Request(
            moves(self.storage, places), lambda: self._fetched(self._fetch(shard, key, places), key)
        )

    def _fetched(self, contents: dict[str, bytes], key: str) -> Fetched:
        record = read_record(contents.pop(RECORD, b""))
        if record.key != key:
            raise CorruptShardError(f"sample '{key}' of the index is '{record.key}' in its shard")
        record.source, record.split = self.spec.name, self.split
        record.licence = record.licence or self.spec.licence
        return Fetched(record, {file_of(m, record.rgb_encoding): d for m, d in contents.items()})

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """See `DatasetPart`."""
        spec = self.spec
        return decode_sample(fetched.record, fetched.files, fields, asked, spec.spaces, spec)

    def _place(self, member: str, row: int) -> Place | None:
        value = self.index.value
        offset = value(f"{member}_offset", row)
        if offset < 0:
            return None
        return offset, value(f"{member}_size", row), value(f"{member}_crc32", row)

    def _shard(self, row: int, places: Mapping[str, Place]) -> str:
        """The shard of a sample, in which its members do lie."""
        shard = f"{self.spec.folder}/{self.index.text('shard', row)}"
        self._require_inside(shard, row, places)
        return shard

    def _fetch(self, shard: str, key: str, places: Mapping[str, Place]) -> dict[str, bytes]:
        """The contents of members, each compared with its CRC."""
        contents, damaged = fetch_members(self.storage, shard, places, self._version(shard))
        if damaged:
            self._require_same_dataset()
            raise CorruptShardError(
                f"{shard}: member {damaged} of sample '{key}' is damaged (wrong length or CRC)"
            )
        return contents

    def _version(self, shard: str) -> str:
        """The sha256 of a shard, where a cache asks for it."""
        if self.storage.cache is None:
            return ""
        if not self._hashes:
            listed = self._listed(lambda shards: list(shards))
            self._hashes = {known.name: known.sha256 for known in listed}
        return self._hashes.get(shard, "")

    def _require_inside(self, shard: str, row: int, places: Mapping[str, Place]) -> None:
        """Compares what the index claims with the size of the shard, before anything is allocated for it.

        Raises:
            CorruptShardError: if the shard is not listed, a member lies outside, or all of them are too large.
        """
        room = self._listed(lambda shards: shards.bytes_of(shard))
        if room is None:
            raise CorruptShardError(
                f"the index of {self.spec.folder}/{self.split} names the shard {shown(shard[:100])!r}, "
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

    def _require_same_dataset(self) -> None:
        """Tells a dataset that was replaced while it was being read from a damaged one.

        Raises:
            StorageError: if the manifest is gone or another one now.
        """
        if f'"checksum": "{self.manifest}"'.encode() not in self.storage.read(manifests.NAME):
            raise self._changed()

    def _changed(self) -> StorageError:
        return StorageError(f"{self.storage.url}: was changed while it was read: open it again")
