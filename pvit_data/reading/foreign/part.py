"""Samples of indexed foreign tars: records of ours as such; of others pictures, a class, and the metadata.

Everything else is reached by its name with `ShardDataset.files`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format.index import NUMBERS, SAME, VIRTUAL
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS, MEMBER_OF_EXTENSION, RECORD, RGB, file_of
from pvit_data.format.record import Record, parse_json, read_record
from pvit_data.reading.decode import decode_sample
from pvit_data.reading.fetch import Place, fetch_members, moves
from pvit_data.reading.foreign.index import CLASS, UNDERSTOOD, ForeignIndex, container_of
from pvit_data.reading.foreign.names import place_of, plain_key
from pvit_data.reading.foreign.table import NAME
from pvit_data.reading.part import Fetched, Request
from pvit_data.sample.limits import MAX_SAMPLE_BYTES
from pvit_data.sample.sample import KEY_PATTERN, Sample
from pvit_data.storage.storage import Storage


class ForeignPart:
    """The samples of one source and split of an indexed folder; see `DatasetPart`."""

    def __init__(
        self,
        storage: Storage,
        index: ForeignIndex,
        place: tuple[str, str],
        rows: Int64[np.ndarray, "n"],
    ) -> None:
        self.storage = storage
        self._index = index
        self._rows = rows
        space = index.classes
        self.spec = SourceSpec(name=place[0], spaces={} if space is None else {CLASS: space})
        self.split = place[1]

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
        """Their number."""
        return len(self._rows)

    def only(self, rows: Integer[np.ndarray, "k"]) -> ForeignPart:
        """Some of its samples."""
        place = (self.spec.name, self.split)
        return ForeignPart(self.storage, self._index, place, self._rows[rows])

    def by_shard(self) -> dict[str, ForeignPart]:
        """The samples of each of its shards."""
        rows: dict[str, list[int]] = {}
        for row, shard in enumerate(self.column("shard").tolist()):
            rows.setdefault(shard, []).append(row)
        return {shard: self.only(np.array(mine, np.int64)) for shard, mine in rows.items()}

    @property
    def shards(self) -> dict[str, int]:
        """Bytes of every shard of the folder when it was indexed."""
        return self._index.shards

    def key(self, row: int) -> str:
        """The key as the archive has it."""
        return str(self._index.table["key"][int(self._rows[row])].as_py())

    def keys(self) -> Any:
        """See `DatasetPart`; as samples have them (`plain_key`)."""
        import pyarrow as pa

        found = self._index.table["key"].take(self._rows).to_pylist()
        return pa.array([plain_key(str(key)) for key in found], pa.large_string())

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`: keys, members and their CRCs of its samples."""
        table = self._index.table
        found = hashlib.sha256()
        for batch in table.take(self._rows).to_batches(max_chunksize=4096):
            found.update(json.dumps(batch.to_pylist(), sort_keys=True).encode())
        return {"index": found.hexdigest()}

    def shard_number(self, shard: str) -> int:
        """Number of a shard among those of this part, by name."""
        return self._numbers[shard]

    def shard_digests(self) -> dict[int, str]:
        """A hash of what the index says of each shard, by its number."""
        return {self._numbers[n]: p.digest()["index"] for n, p in self.by_shard().items()}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        names = sorted(set(self.column("shard").tolist()))
        return {name: number for number, name in enumerate(names)}

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the index, or some rows of it."""
        own = self._rows if rows is None else self._rows[rows]
        if name in VIRTUAL:
            return np.full(len(own), self.spec.name if name == "source" else self.split, object)
        return np.asarray(self._index.column(name)[own])

    def value(self, name: str, row: int) -> Any:
        """One value of a column."""
        return self.column(name, np.array([row])).tolist()[0]

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
        shard, places = self._located(row, names)
        return self._fetch(shard, self.key(row), places)

    def _located(self, row: int, names: Collection[str] | None) -> tuple[str, dict[str, Place]]:
        """The shard of a sample, and where members lie in it."""
        number = int(self._rows[row])
        places = self._index.members(number)
        shard = str(self._index.table["shard"][number].as_py())
        if shard not in self._index.shards:
            raise CorruptShardError(
                f"{NAME} names the shard {shard[:100]!r}, which it does not list"
            )
        wanted = list(places if names is None else names)
        if unknown := [name for name in wanted if name not in places]:
            raise UsageError(
                f"sample {self.key(row)!r} has no member {unknown[0]!r}: it has {', '.join(places)}"
            )
        found = {name: places[name] for name in wanted}
        self._require_inside(shard, row, found.values())
        return shard, found

    def _fetch(self, shard: str, key: str, places: Mapping[str, Place]) -> dict[str, bytes]:
        contents, damaged = fetch_members(self.storage, shard, places)
        if damaged:
            raise CorruptShardError(
                f"{shard}: member {damaged} of sample {key!r} is damaged or was changed"
            )
        return {name: contents[name] for name in places}

    def _require_inside(
        self, shard: str, row: int, places: Collection[tuple[int, int, int]]
    ) -> None:
        """Compares what the index claims with the size of the shard, before anything is allocated for it."""
        room = self._index.shards[shard]
        outside = any(size < 0 or not 0 <= offset <= room - size for offset, size, _ in places)
        if outside or sum(size for _, size, _ in places) > min(room, MAX_SAMPLE_BYTES):
            raise CorruptShardError(
                f"{NAME}: the members of sample {self.key(row)!r} do not fit into {shard}"
            )

    def record(self, row: int) -> Record:
        """The record of a sample of ours, or one made from the index."""
        has_head = RECORD in self.members(row)
        return self._record(row, self.files(row, [RECORD])[RECORD] if has_head else None)

    def _record(self, row: int, head: bytes | None) -> Record:
        if head is not None:
            with suppress(FormatError):
                return read_record(head)
        table = self._index.table
        number = int(self._rows[row])
        values = {name: table[name][number].as_py() for name in (*SAME, *NUMBERS)}
        key = values["key"]
        meta = _meta(head)
        return Record(
            **{name: values[name] for name in SAME}
            | {"key": plain_key(key), "group": plain_key(key)},
            fields=[name for name in UNDERSTOOD if values[f"has_{name}"]],
            action_id=values["action"],
            meta=json.dumps(meta if KEY_PATTERN.match(key) else {**meta, "key": key}),
        )

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """See `DatasetPart`."""
        names = self._names(row, fields)
        own = [RECORD] if RECORD in self.members(row) else []
        shard, places = self._located(row, list(dict.fromkeys([*own, *names.values()])))
        key = self.key(row)

        def fetch() -> Fetched:
            contents = self._fetch(shard, key, places)
            record = self._record(row, contents.get(RECORD))
            record.source, record.split = self.spec.name, self.split
            return Fetched(record, {file: contents[name] for file, name in names.items()})

        return Request(moves(self.storage, places), fetch)

    def _names(self, row: int, fields: Collection[str] | None) -> dict[str, str]:
        """The members of some fields, by the file names that they have with us."""
        members, number, table = self.members(row), int(self._rows[row]), self._index.table
        known = {MEMBER_OF_EXTENSION[name]: name for name in members if name in MEMBER_OF_EXTENSION}
        asked = [f for f in FIELDS if fields is None or f in fields]
        wanted = [f for f in asked if table[f"has_{f}"][number].as_py()]
        names = {known[m]: known[m] for f in wanted for m in FIELDS[f] if m in known}
        if RGB in wanted and RGB not in known:
            encoding = table["rgb_encoding"][number].as_py()
            alike = [n for n in members if container_of(n) == encoding]
            names |= {file_of(RGB, encoding): name for name in alike[:1]}
        return names

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """See `DatasetPart`."""
        record, files = fetched.record, fetched.files
        asked, spec = asked._replace(checked=False), self.spec
        return decode_sample(record, files, fields, asked, spec.spaces, spec)


def _meta(head: bytes | None) -> dict[str, Any]:
    """The JSON member of a sample that is not ours, as metadata."""
    if head is None:
        return {}
    try:
        found = parse_json(head, RECORD)
    except FormatError:
        found = head[:10000].decode("utf-8", "replace")
    return found if isinstance(found, dict) else {RECORD: found}


def foreign_parts(
    storage: Storage, source: str | None = None, split: str | None = None
) -> list[ForeignPart]:
    """The parts of an indexed folder, by source and split; only those asked for.

    Raises:
        UsageError: if there is no such part.
        CorruptShardError: if the index is damaged.
    """
    index = ForeignIndex(storage)
    coded = index.table["shard"].combine_chunks().dictionary_encode()
    place_of_shard = [place_of(shard) for shard in coded.dictionary.to_pylist()]
    places = sorted(set(place_of_shard))
    numbers = np.array([places.index(place) for place in place_of_shard], np.int32)
    number_of_row = numbers[coded.indices.to_numpy()]
    found = {
        place: np.flatnonzero(number_of_row == number)
        for number, place in enumerate(places)
        if source in (None, place[0]) and split in (None, place[1])
    }
    if places and not found:
        known = ", ".join("/".join(place) for place in places)
        raise UsageError(
            f"{storage.url} has no split {split!r} of {source or 'any source'}: it has {known}"
        )
    return [ForeignPart(storage, index, place, rows) for place, rows in found.items()]
