"""The lineage of each field of each source and layer, as a manifest tells it.

A layer is under its own licence and under what its base's says of annotations made from its pictures; the stricter
one holds. Annotations that declare nothing are as their base's pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pvit_data.format.manifest import LayerSpec, Manifest, SourceEntry, SourceSpec
from pvit_data.format.members import FIELDS
from pvit_data.lineage.declared import declared_by
from pvit_data.reading.layers.rights import (
    Said,
    layer_rights,
    pictures_of_base,
    said_of_base,
)
from pvit_data.sample.rights import RECORD, STRICT, Rights, Verdict, rights_of


@dataclass(frozen=True)
class FieldLineage:
    """Where a field comes from, and what may be done with it.

    Args:
        name: of its source or layer.
        kind: `"source"`, `"annotation"` or `"protocol"`.
        field: a field of a sample, or `"record"`.
        samples: that carry it.
        origin: who or what made it.
        base: source whose pictures it was made from; "": its own.
        base_licence: of these pictures; "" where it is a source's, or not known, or holds nothing of them.
        converter, converter_version, options: what put it into shards.
        weights: of the model that made it; "".
        licence: it is under.
        public: whether it may be passed on.
        why: it may, or not.
    """

    name: str
    kind: str
    field: str
    samples: int
    origin: str
    base: str
    base_licence: str
    converter: str
    converter_version: str
    options: Mapping[str, Any]
    weights: str
    licence: str
    public: Verdict
    why: str

    @property
    def made_from(self) -> str:
        """Who made it, from what, in words."""
        licence = f" under {self.base_licence}" if self.base_licence else ""
        over = f", derived from the pictures of {self.base}{licence}" if self.base else ""
        weights = f", weights {self.weights}" if self.weights else ""
        return f"{self.origin}{over}{weights}"


def lineage_of(manifest: Manifest) -> list[FieldLineage]:
    """Of all fields, sources before layers, each by name; `record` before its fields."""
    found = []
    for entries in (manifest.sources, manifest.layers):
        for _, entry in sorted(entries.items()):
            own = _Own(entry.spec, manifest)
            found += [_lineage(entry, field, own) for field in fields_of(entry)]
    return found


def pictures_of(spec: SourceSpec, manifest: Manifest) -> Rights:
    """What holds of a source's pictures, which annotations may be made from."""
    return _Own(spec, manifest).rights("rgb")


def fields_of(entry: SourceEntry) -> list[str]:
    """`record`, and the fields that a sample of it carries, in their order."""
    return [RECORD, *(field for field in FIELDS if field in entry.fields)]


def strictest_public(fields: Iterable[FieldLineage]) -> str:
    """Whether all of them may be passed on together: the strictest answer."""
    return min((field.public for field in fields), key=_strictness)


def _strictness(public: str) -> int:
    return [str(verdict) for verdict in STRICT].index(public)


class _Own:
    """What holds of a source or layer, asked of its manifest first, of its converter where that says nothing.

    Args:
        spec: its declaration.
        manifest: that lists it, and its base perhaps.
    """

    def __init__(self, spec: SourceSpec, manifest: Manifest) -> None:
        self.spec = spec
        self._declared = None if spec.rights else declared_by(spec.converter)
        self._said = _said(spec, manifest) if isinstance(spec, LayerSpec) else []
        self.pictures = _pictures(spec, manifest)

    def rights(self, field: str) -> Rights:
        """Of one field."""
        others = {} if self._declared is None else self._declared.rights
        own = others[field] if field in others else rights_of(self.spec, field)
        if not isinstance(self.spec, LayerSpec):
            return own
        return layer_rights(self.spec, field, own, self._said, self.pictures)


def told_alone(layer: LayerSpec, manifest: Manifest) -> LayerSpec:
    """The declaration of a layer that is to go without its base: with what that says now, where it is stricter."""
    nothing = manifest.model_copy(update={"sources": {}, "layers": {}})
    changed: dict[str, Any] = {}
    own, both = (min(_said(layer, m), key=_strict)[1] for m in (nothing, manifest))
    if _strictness(both.public) < _strictness(own.public):
        changed |= {"derived": both.public, "derived_clause": both.why}
    own, both = (_pictures(layer, m) for m in (nothing, manifest))
    if (both.licence, both.public) != (own.licence, own.public):
        pictures = {"licence": both.licence, "redistributable": both.public == "yes"}
        changed["base"] = layer.base.model_copy(update=pictures)
    return layer.model_copy(update=changed) if changed else layer


def _strict(said: Said) -> int:
    return _strictness(said[1].public)


def _said(layer: LayerSpec, manifest: Manifest) -> list[Said]:
    return said_of_base(layer, _there(layer, manifest), declared_by)


def _pictures(spec: SourceSpec, manifest: Manifest) -> Rights:
    there = _there(spec, manifest) if isinstance(spec, LayerSpec) else None
    return pictures_of_base(spec, there, declared_by)


def _there(layer: LayerSpec, manifest: Manifest) -> SourceSpec | None:
    """The source of its base's name."""
    found = manifest.sources.get(layer.base.source)
    return None if found is None else found.spec


def _lineage(entry: SourceEntry, field: str, own: _Own) -> FieldLineage:
    spec, rights = entry.spec, own.rights(field)
    layer = spec if isinstance(spec, LayerSpec) else None
    made_by = "" if layer is None else layer.made_by
    samples = sum(
        info.samples if field == RECORD else info.fields.get(field, 0)
        for info in entry.splits.values()
    )
    return FieldLineage(
        name=spec.name,
        kind="source" if layer is None else layer.kind,
        field=field,
        samples=samples,
        origin=rights.origin or made_by or spec.title or spec.name,
        base="" if layer is None else layer.base.source,
        base_licence=own.pictures.licence,
        converter=spec.converter,
        converter_version=spec.converter_version,
        options=spec.options,
        weights="" if layer is None else layer.weights,
        licence=rights.licence,
        public=rights.public,
        why=rights.why,
    )
