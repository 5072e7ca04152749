"""The samples of a base with the fields of layers: in each split one provider per field, the last that has rows of it.

Rows, order, keys, groups, splits and pictures are the base's. A row that the provider lacks is not annotated.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.errors import UsageError
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS, LABELS
from pvit_data.format.record import Record
from pvit_data.reading.layers.fields import (
    SHARED,
    SPACES,
    attributes,
    field_of_file,
    fields_of_column,
    given_with,
    not_annotated,
    said,
)
from pvit_data.reading.layers.joining import NONE, Joined
from pvit_data.reading.layers.rights import rights_over
from pvit_data.reading.part import DatasetPart, Fetched, Request
from pvit_data.reading.part_view import PartView
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.origins import Origin, licence_of
from pvit_data.sample.rights import RECORD, Rights, is_named, together
from pvit_data.sample.sample import Sample


@dataclass(frozen=True)
class Attached:
    """A layer joined to one part of its base.

    Args:
        name: of the layer, as it is attached.
        spec: its declaration.
        fields: that it gives.
        joined: its rows.
    """

    name: str
    spec: LayerSpec
    fields: frozenset[str]
    joined: tuple[Joined, ...]

    def place(self, row: int) -> tuple[DatasetPart, int] | None:
        """Where the layer has a row of the base's part."""
        for joined in self.joined:
            if (own := joined.row(row)) != NONE:
                return joined.part, own
        return None

    def has(self, field: str) -> bool:
        """Whether one of the base's rows here has a field of the layer."""
        return any(joined.known and self._carries(joined, field) for joined in self.joined)

    def _carries(self, joined: Joined, field: str) -> bool:
        return any(joined.column(f"has_{f}", False, None).any() for f in kin(field))

    def column(self, name: str, rows: Integer[np.ndarray, "k"] | None) -> Shaped[np.ndarray, "n"]:
        """A column in the order of the base's rows, or of some of them."""
        missing = not_annotated(name)
        values = self.joined[0].column(name, missing, rows)
        for joined in self.joined[1:]:
            mine = joined.rows if rows is None or joined.rows is None else joined.rows[rows]
            values = np.where(mine != NONE, joined.column(name, missing, rows), values)
        return values


class AnnotatedPart(PartView):
    """The samples of a part with the fields of layers; see `DatasetPart`.

    Args:
        base: a part of the base.
        layers: in the order in which they were named.
        notes: see `DatasetPart`.
    """

    def __init__(
        self, base: DatasetPart, layers: Sequence[Attached], notes: tuple[str, ...] = ()
    ) -> None:
        self._notes, self._attached = notes, tuple(layers)
        self.provider = providers(base, self._attached)
        self._rights = {layer.name: rights_over(layer.spec, base.spec) for layer in layers}
        super().__init__(base, joined_spec(base.spec, self.provider))

    @property
    def layers(self) -> Mapping[str, LayerSpec]:
        """See `DatasetPart`."""
        given = self.provider.items()
        return {field: layer.spec for field, layer in given if field in layer.fields}

    @property
    def notes(self) -> tuple[str, ...]:
        """See `DatasetPart`."""
        return self._notes

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`: of the base, then of the layers in order."""
        layers = [
            [layer.name, *(joined.part.digest() for joined in layer.joined)]
            for layer in self._attached
        ]
        return {**self.base.digest(), "layers": layers}

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the index, or some rows of it: of the provider of its field."""
        if name in SHARED and self.provider.keys() & set(SHARED[name]):
            return self._shared(name, rows)
        layer = self._giver(name)
        return self.base.column(name, rows) if layer is None else layer.column(name, rows)

    def value(self, name: str, row: int) -> Any:
        """One value of a column."""
        if name in SHARED:
            return self.column(name, np.array([row]))[0].item()
        layer = self._giver(name)
        if layer is None:
            return self.base.value(name, row)
        if (place := layer.place(row)) is not None:
            return place[0].value(name, place[1])
        return not_annotated(name)

    def _shared(self, name: str, rows: Integer[np.ndarray, "k"] | None) -> Shaped[np.ndarray, "n"]:
        """A column that several fields tell: of each row the first field that it has."""
        missing = not_annotated(name)
        found: Shaped[np.ndarray, "n"] | None = None
        for field in SHARED[name]:
            giver = self.provider.get(field)
            read = self.base.column if giver is None else giver.column
            values = np.where(read(f"has_{field}", rows), read(name, rows), missing)
            found = values if found is None else np.where(found != missing, found, values)
        assert found is not None
        return found

    def _giver(self, column: str) -> Attached | None:
        """The layer that gives a column; None: the base."""
        found = (
            self.provider[field] for field in fields_of_column(column) if field in self.provider
        )
        return next(found, None)

    def members(self, row: int) -> dict[str, int]:
        """Bytes of each file of a sample, of those that its view shows."""
        found = {
            name: size for name, size in self.base.members(row).items() if not self._is_hidden(name)
        }
        for layer, part, own in self._places(row):
            sizes = part.members(own)
            found |= {
                name: sizes[name]
                for name in sizes
                if self.provider.get(field_of_file(name)) is layer
            }
        return dict(sorted(found.items()))

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """Contents of files of a sample; the record is the base's."""
        known = self.members(row)
        if unknown := sorted(set(names or ()) - known.keys()):
            listed = ", ".join(known)
            raise UsageError(
                f"sample '{self.key(row)}' has no member {unknown[0]!r}: it has {listed}"
            )
        wanted = list(known if names is None else names)
        found = self.base.files(row, [name for name in wanted if not self._is_hidden(name)])
        for layer, part, own in self._places(row):
            mine = [name for name in wanted if self.provider.get(field_of_file(name)) is layer]
            found |= part.files(own, mine) if mine else {}
        return {name: found[name] for name in wanted}

    def _is_hidden(self, file: str) -> bool:
        """Whether a file of the base is not part of the view, because a layer gives its field."""
        return field_of_file(file) in self.provider

    def _places(self, row: int) -> list[tuple[Attached, DatasetPart, int]]:
        """The layers that have a row, and where."""
        found = ((layer, layer.place(row)) for layer in self._attached)
        return [(layer, *place) for layer, place in found if place is not None]

    def record(self, row: int) -> Record:
        """The record of a sample, with what layers say of the fields that they give."""
        record = self.base.record(row)
        lost = {
            key: value
            for field in self.provider
            for key, value in said(Record(key="", group=""), field).items()
        }
        fields = set(record.fields) - self.provider.keys()
        changed: dict[str, Any] = {**lost}
        licences = []
        for layer, part, own in self._places(row):
            theirs = part.record(own)
            given = {field for field in theirs.fields if self.provider.get(field) is layer}
            changed |= {key: value for field in given for key, value in said(theirs, field).items()}
            fields |= given
            licences += [self._licence(layer, theirs.licence)] if given else []
        for name, told_by in SHARED.items():
            if self.provider.keys() & set(told_by) and fields & set(told_by):
                changed[name] = self.value(name, row)
        licence = together([record.licence, *filter(None, licences)])
        return replace(record, **changed, fields=sorted(fields), licence=licence)

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """See `DatasetPart`: a layer is asked only where one of its fields is wanted."""
        wanted = _wanted(fields)
        base = self.base.request(row, self._own(wanted))
        more = [
            (number, part, part.request(theirs, names))
            for number, layer in enumerate(self._attached)
            if (names := self._of(layer, wanted)) and (place := layer.place(row)) is not None
            for part, theirs in (place,)
        ]

        def fetch() -> Fetched:
            own = base.fetch()
            given = tuple((number, part, asked.fetch()) for number, part, asked in more)
            return FetchedWithLayers(own.record, own.files, own, given)

        return Request(base.moves + sum(asked.moves for _, _, asked in more), fetch)

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """See `DatasetPart`."""
        assert isinstance(fetched, FetchedWithLayers)
        wanted = _wanted(fields)
        sample = self.base.decode(fetched.own, self._own(wanted), asked)
        changed: dict[str, Any] = {}
        numbers, notes = dict(sample.frames), dict(sample.meta.get("layers") or {})
        given_by: list[tuple[str, str, dict[str, Rights]]] = []
        for number, part, data in fetched.given:
            layer = self._attached[number]
            if not (names := self._of(layer, wanted)):
                continue
            given = part.decode(data, names, asked)
            changed |= {a: getattr(given, a) for name in names for a in attributes(name)}
            numbers |= given.frames
            notes |= {layer.name: given.meta} if given.meta else {}
            if has := [*([RECORD] if given.meta else []), *filter(given.has, names)]:
                rights = {name: self._rights[layer.name][name] for name in has}
                given_by.append((layer.name, self._licence(layer, given.licence), rights))
        changed["meta"] = {**sample.meta, "layers": notes} if notes else sample.meta
        meta = json.dumps({"layers": notes} if notes else {})
        origins = (*sample.origins, *(Origin(*told, meta) for told in given_by))
        changed |= {"origins": origins, "licence": licence_of(origins)}
        return replace(sample, **changed, frames=numbers, spaces=dict(self.spec.spaces))

    def _licence(self, layer: Attached, own: str) -> str:
        """Of what a layer gives: if it says none, that of the pictures that it was made from; "": as this base."""
        pictures = layer.spec.base.licence
        return own or ("" if is_named(pictures, self.base.spec.licence) else pictures)

    def _own(self, wanted: Sequence[str]) -> list[str]:
        return [name for name in wanted if name not in self.provider]

    def _of(self, layer: Attached, wanted: Sequence[str]) -> list[str]:
        return [name for name in wanted if self.provider.get(name) is layer]


@dataclass(frozen=True)
class FetchedWithLayers(Fetched):
    """What was fetched of a sample: its record and files are the base's.

    Args:
        own: of the base.
        given: number of the layer, its part, and what was fetched there.
    """

    own: Fetched
    given: tuple[tuple[int, DatasetPart, Fetched], ...]


def _wanted(fields: Collection[str] | None) -> list[str]:
    return [name for name in FIELDS if fields is None or name in fields]


def kin(field: str) -> frozenset[str]:
    """The fields that have one provider: labels are told together, since they share a space."""
    return LABELS if field in LABELS else frozenset({field})


def providers(base: DatasetPart, layers: Sequence[Attached]) -> dict[str, Attached]:
    """Which layer gives a field of a part: the last one that has rows of it there.

    Where no layer has such rows, the base's own stay; where it has none either, the field is the last layer's. A field
    has one label space in all splits: that of the last layer that brings one. Who has another one gives nothing.
    """
    found: dict[str, Attached] = {}
    for field in FIELDS:
        declaring = [layer for layer in layers if field in given_with(layer.fields)]
        if not declaring:
            continue
        space = next((s for v in reversed(declaring) if (s := space_of(v.spec, field))), None)
        fitting = [v for v in declaring if space_of(v.spec, field) in (None, space)]
        if len(declaring) == 1 and not carries(base, field):
            found[field] = declaring[0]
        elif having := [layer for layer in fitting if layer.has(field)]:
            found[field] = having[-1]
        elif not (carries(base, field) and space in (None, space_of(base.spec, field))):
            found[field] = declaring[-1]
    return found


def carries(base: DatasetPart, field: str) -> bool:
    """Whether some sample of a part has a field."""
    return any(base.column(f"has_{name}").any() for name in kin(field))


def space_of(spec: SourceSpec, field: str) -> LabelSpace | None:
    """The label space of a field of a source or layer."""
    return spec.spaces.get(SPACES.get(field, ""))


def whole_spec(specs: Sequence[SourceSpec]) -> SourceSpec:
    """The declaration of a source from those of its splits, to which other layers may give their fields."""
    last = specs[-1]
    others = [spec for spec in specs if spec is not last and not _declares_alike(spec, last)]
    if not others:
        return last
    changed: dict[str, Any] = {
        "spaces": {f: space for spec in (*others, last) for f, space in spec.spaces.items()},
        "encodings": {f: how for spec in (*others, last) for f, how in spec.encodings.items()},
        "tasks": tuple(dict.fromkeys(task for spec in (last, *others) for task in spec.tasks)),
    }
    return last.model_copy(update=changed)


def _declares_alike(one: SourceSpec, other: SourceSpec) -> bool:
    return all(getattr(one, n) == getattr(other, n) for n in ("spaces", "encodings", "tasks"))


def joined_spec(base: SourceSpec, provider: Mapping[str, Attached]) -> SourceSpec:
    """The base's declaration with the label spaces, encodings and tasks of the fields that layers give."""
    spaces = {field: space for field, space in base.spaces.items() if field not in provider}
    encodings = {field: how for field, how in base.encodings.items() if field not in provider}
    tasks = dict.fromkeys(base.tasks)
    for field, layer in provider.items():
        if SPACES.get(field) in layer.spec.spaces:
            spaces[SPACES[field]] = layer.spec.spaces[SPACES[field]]
        if field in layer.spec.encodings:
            encodings[field] = layer.spec.encodings[field]
        tasks |= dict.fromkeys(layer.spec.tasks)
    changed = {"spaces": spaces, "encodings": encodings, "tasks": tuple(tasks)}
    return base.model_copy(update=changed)
