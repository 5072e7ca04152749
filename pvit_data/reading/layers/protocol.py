"""A protocol: the samples of a base under another name, with splits, and where it declares them labels, of its own."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int32, Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.errors import CorruptShardError
from pvit_data.format.index import VIRTUAL
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.record import Record
from pvit_data.reading.layers.annotated import whole_spec
from pvit_data.reading.layers.fields import LABEL_OF, SPACES, fields_of_column, said
from pvit_data.reading.layers.joining import NONE
from pvit_data.reading.layers.rights import rights_over
from pvit_data.reading.part import DatasetPart, Fetched, Request, SplitPart
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.origins import Origin, licence_of
from pvit_data.sample.rights import RECORD, together
from pvit_data.sample.sample import Sample


class ProtocolPart:
    """One split of a protocol over its base; see `DatasetPart`. Rows by base split, base shard and place.

    Args:
        own: the protocol's rows.
        bases: all parts of the base, with whatever is attached to them.
        spec: the protocol's declaration.
        labels: fields of `action` and `actions` that the protocol declares.

    Attributes:
        lost: rows of which the base has no sample.
    """

    def __init__(
        self, own: SplitPart, bases: Sequence[DatasetPart], spec: LayerSpec, labels: frozenset[str]
    ) -> None:
        import pyarrow.compute as pc

        self.own, self.bases, self.split, self.labels = own, tuple(bases), own.split, labels
        self.spec = _spec(spec, whole_spec([part.spec for part in bases]), labels)
        wanted = own.keys()
        starts = np.cumsum([0, *(part.samples for part in bases)])
        found = np.full(own.samples, NONE, np.int64)
        for part, start in zip(bases, starts, strict=False):
            rows = pc.fill_null(pc.index_in(wanted, value_set=part.keys()), NONE).to_numpy(
                zero_copy_only=False
            )
            found[rows != NONE] = start + rows[rows != NONE]
        order = np.argsort(found, kind="stable")[int(np.count_nonzero(found == NONE)) :]
        self.lost = own.samples - len(order)
        self.storage = bases[0].storage
        self._rights = rights_over(spec, bases[0].spec)
        self._starts = starts
        self._own: Int32[np.ndarray, "n"] = order.astype(np.int32)
        self._base: Int32[np.ndarray, "n"] = found[order].astype(np.int32)

    @property
    def layers(self) -> Mapping[str, LayerSpec]:
        """See `DatasetPart`."""
        found = [(f, layer) for part in self.bases for f, layer in part.layers.items()]
        return {field: layer for field, layer in found if field not in self.labels}

    @property
    def notes(self) -> tuple[str, ...]:
        """See `DatasetPart`."""
        if not self.lost:
            return self.bases[0].notes
        return *self.bases[0].notes, f"{self.presence}; the others are not in its base"

    @property
    def presence(self) -> str:
        """How many of its rows have a sample in the base, in words."""
        present = f"{self.own.samples - self.lost} of {self.own.samples} rows present"
        return f"protocol '{self.spec.name}', split {self.split}: {present}"

    @property
    def samples(self) -> int:
        """Their number."""
        return len(self._base)

    def place(self, row: int) -> tuple[DatasetPart, int]:
        """The base's part and row of a sample."""
        number = int(np.searchsorted(self._starts, self._base[row], side="right")) - 1
        return self.bases[number], int(self._base[row] - self._starts[number])

    def key(self, row: int) -> str:
        """The key of a sample."""
        part, theirs = self.place(row)
        return part.key(theirs)

    def keys(self) -> Any:
        """See `DatasetPart`."""
        return self.own.keys().take(self._own)

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`: of the protocol's rows and of the base's parts."""
        return {**self.own.digest(), "base": [part.digest() for part in self.bases]}

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the index: splits and declared labels are the protocol's, all else the base's."""
        theirs = self._base if rows is None else self._base[rows]
        if name in VIRTUAL:
            return np.full(len(theirs), self._told(name), object)
        if self._is_own(name):
            return self.own.column(name, self._own if rows is None else self._own[rows])
        found: Shaped[np.ndarray, "n"] | None = None
        for part, first, end in zip(self.bases, self._starts, self._starts[1:], strict=False):
            mine = (theirs >= first) & (theirs < end)
            values = part.column(name, theirs[mine] - first)
            found = np.empty(len(theirs), values.dtype) if found is None else found
            found[mine] = values
        assert found is not None  # a base has a part
        return found

    def value(self, name: str, row: int) -> Any:
        """One value of a column."""
        if name in VIRTUAL:
            return self._told(name)
        if self._is_own(name):
            return self.own.value(name, int(self._own[row]))
        part, theirs = self.place(row)
        return part.value(name, theirs)

    def _is_own(self, column: str) -> bool:
        return any(field in self.labels for field in fields_of_column(column))

    def _told(self, name: str) -> str:
        return self.spec.name if name == "source" else self.split

    def members(self, row: int) -> dict[str, int]:
        """Bytes of each file of a sample, of the base."""
        part, theirs = self.place(row)
        return part.members(theirs)

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """Contents of files of a sample, of the base."""
        part, theirs = self.place(row)
        return part.files(theirs, names)

    def record(self, row: int) -> Record:
        """The record of a sample: the base's, with what the protocol says of split and label."""
        part, theirs = self.place(row)
        mine = self.own.record(int(self._own[row]))
        record = part.record(theirs)
        labels = {key: value for field in self.labels for key, value in said(mine, field).items()}
        fields = (set(record.fields) - self.labels) | (set(mine.fields) & self.labels)
        own: dict[str, Any] = {"source": self.spec.name, "split": self.split}
        if set(mine.fields) & self.labels:
            own["licence"] = self._licence(record.licence)
        return replace(record, **labels, **own, fields=sorted(fields))

    def _licence(self, base: str) -> str:
        """Of a sample that has something of the protocol's own."""
        return together([base, *filter(None, [self.own.spec.licence])])

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """See `DatasetPart`: a protocol's own record is fetched only for what its index does not have."""
        part, theirs = self.place(row)
        base = part.request(theirs, fields)
        mine = int(self._own[row])
        from_record = [
            name
            for name in self.labels
            if name not in LABEL_OF and _is_in(name, fields) and self.own.value(f"has_{name}", mine)
        ]
        asked = None
        if from_record or self.own.value("meta_bytes", mine):
            asked = self.own.request(mine, from_record)

        def fetch() -> Fetched:
            own = base.fetch()
            return FetchedOfProtocol(
                own.record, own.files, own, part, mine, None if asked is None else asked.fetch()
            )

        return Request(base.moves + (0 if asked is None else asked.moves), fetch)

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """See `DatasetPart`."""
        assert isinstance(fetched, FetchedOfProtocol)
        sample = fetched.part.decode(fetched.own, fields, asked)
        changed: dict[str, Any] = {
            "source": self.spec.name,
            "split": self.split,
            "spaces": self._spaces_of(sample),
        }
        told = None
        if fetched.told is not None:
            told = self.own.decode(fetched.told, self.labels, Asked())
            changed["meta"] = {**sample.meta, **told.meta}
        for field in self.labels:
            value = None
            if _is_in(field, fields):
                in_index = LABEL_OF.get(field)
                value = in_index(self.own, fetched.row) if in_index else getattr(told, field, None)
            changed[field] = value
        meta = {} if told is None else told.meta
        given = [field for field in self.labels if changed[field] is not None]
        origins = self._origins(sample, given, meta)
        return replace(sample, **changed, origins=origins, licence=licence_of(origins))

    def _origins(
        self, sample: Sample, given: Sequence[str], meta: Mapping[str, Any]
    ) -> tuple[Origin, ...]:
        """Where what a sample has is from: labels that the protocol declares are not the base's."""
        found = []
        for origin in sample.origins:
            rights = {f: rights for f, rights in origin.rights.items() if f not in self.labels}
            found.append(replace(origin, rights=rights))
        if has := [*([RECORD] if meta else []), *given]:
            rights = {name: self._rights[name] for name in has}
            found.append(
                Origin(self.spec.name, self.own.spec.licence, rights, json.dumps({**meta}))
            )
        return tuple(found)

    def _spaces_of(self, sample: Sample) -> dict[str, LabelSpace]:
        """Those of the base's sample, and of the labels that the protocol declares."""
        own = {SPACES[field] for field in self.labels}
        told = self.spec.spaces.items()
        return {f: space for f, space in told if f in own or f in sample.spaces}


@dataclass(frozen=True)
class FetchedOfProtocol(Fetched):
    """What was fetched of a sample: its record and files are the base's.

    Args:
        own: of the base.
        part: of the base.
        row: of the protocol.
        told: the protocol's own record, where it was needed.
    """

    own: Fetched
    part: DatasetPart
    row: int
    told: Fetched | None


def _is_in(name: str, fields: Collection[str] | None) -> bool:
    return fields is None or name in fields


def _spec(spec: LayerSpec, base: SourceSpec, labels: frozenset[str]) -> SourceSpec:
    """The base's declaration under the protocol's name, with its role, title and labels."""
    if spec.base.source != base.name:
        raise CorruptShardError(
            f"protocol '{spec.name}' is over '{spec.base.source}', not over '{base.name}'"
        )
    spaces = dict(base.spaces)
    for field in labels:
        if SPACES[field] in spec.spaces:
            spaces[SPACES[field]] = spec.spaces[SPACES[field]]
    own = {
        "name": spec.name,
        "role": spec.role,
        "title": spec.title or base.title,
        "spaces": spaces,
        "sampler": spec.sampler or base.sampler,
        "citation": "\n".join(filter(None, (base.citation, spec.citation))),
    }
    return base.model_copy(update=own)
