"""The lineage of each field of each source and layer, as a manifest tells it.

A layer is under its own licence and under what its base's says of annotations made from its pictures; the stricter
one holds. Annotations that declare nothing are as their base's pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pvit_data.format.manifest import LayerSpec, Manifest, SourceEntry, SourceSpec
from pvit_data.format.members import FIELDS
from pvit_data.format.names import SPLITS
from pvit_data.lineage.declared import declared_by
from pvit_data.sample.rights import (
    NOT_STATED,
    RECORD,
    STRICT,
    Declared,
    Rights,
    Verdict,
    derived_rights,
    kept_terms,
    rights_of,
    says_derived,
    strictest,
    together,
)

DIVISION = "it holds keys and names of splits alone, by a rule of its maker's"


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
        self._base = _of_base(spec, manifest) if isinstance(spec, LayerSpec) else []
        self.pictures = _pictures_of_base(spec, manifest)

    def rights(self, field: str) -> Rights:
        """Of one field."""
        others = {} if self._declared is None else self._declared.rights
        own = others[field] if field in others else rights_of(self.spec, field)
        spec = self.spec
        if not isinstance(spec, LayerSpec):
            return own
        if field == RECORD and _is_division(spec):
            if own.public == "unknown":
                own = replace(own, public="yes", why=DIVISION)
            closed = [(name, rights) for name, rights in self._base if rights.public == "no"]
            return _under(own, closed)
        if spec.kind == "annotation" and own == rights_of(spec, field) and not spec.licence:
            own = self._as_base(own)
        own = _under(own, self._base)
        return kept_terms(own, self.pictures.licence, spec.base.source)

    def _as_base(self, own: Rights) -> Rights:
        """What holds of annotations that declare no licence: that of the pictures, if these may be passed on."""
        pictures = self.pictures
        if pictures.public != "yes":
            return own
        why = f"as the pictures that it was made from; licence: {pictures.licence or NOT_STATED}"
        return replace(own, licence=pictures.licence, public="yes", why=why)


def told_alone(layer: LayerSpec, manifest: Manifest) -> LayerSpec:
    """The declaration of a layer that is to go without its base: with what that says now, where it is stricter."""
    nothing = manifest.model_copy(update={"sources": {}, "layers": {}})
    changed: dict[str, Any] = {}
    own, both = (min(_of_base(layer, m), key=_strict)[1] for m in (nothing, manifest))
    if _strictness(both.public) < _strictness(own.public):
        changed |= {"derived": both.public, "derived_clause": both.why}
    own, both = (_pictures_of_base(layer, m) for m in (nothing, manifest))
    if (both.licence, both.public) != (own.licence, own.public):
        pictures = {"licence": both.licence, "redistributable": both.public == "yes"}
        changed["base"] = layer.base.model_copy(update=pictures)
    return layer.model_copy(update=changed) if changed else layer


def _strict(said: tuple[str, Rights]) -> int:
    return _strictness(said[1].public)


def _is_division(spec: LayerSpec) -> bool:
    """Whether a protocol divides samples by a rule, not by somebody's lists."""
    return spec.kind == "protocol" and spec.converter == "split" and not {*SPLITS} & {*spec.options}


def _under(own: Rights, others: Iterable[tuple[str, Rights]]) -> Rights:
    for name, rights in others:
        own = strictest(own, rights, name)
    return own


def _pictures_of_base(spec: SourceSpec, manifest: Manifest) -> Rights:
    """Of the pictures that annotations were made from; nothing of others.

    A source of the base's name may be another one: what the layer was told when it was made holds as well.
    """
    if not isinstance(spec, LayerSpec) or spec.kind != "annotation":
        return Rights()
    told = spec.base
    declared = None if told.licence else declared_by(told.converter)
    own = Rights(told.licence, "yes" if told.redistributable else "unknown")
    own = own if declared is None else rights_of(declared, "rgb")
    if told.source not in manifest.sources:
        return own
    there = rights_of(manifest.sources[told.source].spec, "rgb")
    licence = together(filter(None, [own.licence, there.licence]))
    return replace(strictest(own, there, told.source), licence=licence)


def _of_base(layer: LayerSpec, manifest: Manifest) -> list[tuple[str, Rights]]:
    """What is said of annotations from the base's pictures: by the layer, and by a source of its base's name."""
    told = layer.base
    said: list[Declared] = [layer] if says_derived(layer) else []
    for converter in (layer.converter, told.converter):
        declared = None if said else declared_by(converter)
        if declared is not None and says_derived(declared):
            said.append(declared)
    is_unsaid = not said and bool(told.licence) and not told.redistributable
    if told.source in manifest.sources:  # perhaps another one than it was made over
        said.append(_with_derived(manifest.sources[told.source].spec))
    found = [(told.source, derived_rights(each)) for each in said]
    if is_unsaid or not found:
        found.append(
            (told.source, Rights(why="nobody said what its licence allows of annotations"))
        )
    return found


def _with_derived(spec: SourceSpec) -> Declared:
    """A source's declaration, or its converter's where that alone speaks of annotations."""
    if says_derived(spec):
        return spec
    declared = declared_by(spec.converter)
    return declared if declared is not None and says_derived(declared) else spec


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
