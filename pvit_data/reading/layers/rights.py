"""What holds of a layer's fields: its own licence, and what its base's says of annotations made from its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS
from pvit_data.format.names import SPLITS
from pvit_data.sample.rights import (
    NOT_STATED,
    RECORD,
    Declared,
    Rights,
    derived_rights,
    kept_terms,
    rights_of,
    says_derived,
    strictest,
    together,
)

DIVISION = "it holds keys and names of splits alone, by a rule of its maker's"
Said = tuple[str, Rights]
"""Name of a source, and what is said of annotations from its pictures."""
Ask = Callable[[str], Declared | None]
"""The declaration of a converter's source, by the converter's name."""


def nobody(converter: str) -> None:
    """In place of converters, which are not asked."""


def rights_over(layer: LayerSpec, base: SourceSpec) -> dict[str, Rights]:
    """Whose the fields of a layer are that is joined to a base, and its `RECORD`."""
    said, pictures = said_of_base(layer, base, nobody), pictures_of_base(layer, base, nobody)
    return {
        field: layer_rights(layer, field, rights_of(layer, field), said, pictures)
        for field in (RECORD, *FIELDS)
    }


def layer_rights(
    layer: LayerSpec, field: str, own: Rights, said: Sequence[Said], pictures: Rights
) -> Rights:
    """What holds of one field of a layer.

    Args:
        layer: its declaration.
        field: of it.
        own: what the layer itself says of the field.
        said: see `said_of_base`.
        pictures: see `pictures_of_base`.
    """
    if field == RECORD and _is_division(layer):
        if own.public == "unknown":
            own = replace(own, public="yes", why=DIVISION)
        return _under(own, [(name, rights) for name, rights in said if rights.public == "no"])
    is_plain = layer.kind == "annotation" and not layer.licence and field not in layer.rights
    if is_plain and own == rights_of(layer, field) and pictures.public == "yes":
        why = f"as the pictures that it was made from; licence: {pictures.licence or NOT_STATED}"
        own = replace(own, licence=pictures.licence, public="yes", why=why)
    own = _under(own, said)
    return kept_terms(own, pictures.licence, layer.base.source)


def _is_division(spec: LayerSpec) -> bool:
    """Whether a protocol divides samples by a rule, not by somebody's lists."""
    return spec.kind == "protocol" and spec.converter == "split" and not {*SPLITS} & {*spec.options}


def _under(own: Rights, others: Iterable[Said]) -> Rights:
    for name, rights in others:
        own = strictest(own, rights, name)
    return own


def pictures_of_base(spec: SourceSpec, there: SourceSpec | None, ask: Ask) -> Rights:
    """Of the pictures that annotations were made from; nothing of others.

    Args:
        spec: a layer's, or a source's.
        there: a source of its base's name, which may be another one: what the layer was told when it was made holds
            as well.
        ask: for what the manifest does not say.
    """
    if not isinstance(spec, LayerSpec) or spec.kind != "annotation":
        return Rights()
    told = spec.base
    declared = None if told.licence else ask(told.converter)
    own = Rights(told.licence, "yes" if told.redistributable else "unknown")
    own = own if declared is None else rights_of(declared, "rgb")
    if there is None:
        return own
    now = rights_of(there, "rgb")
    licence = together(filter(None, [own.licence, now.licence]))
    return replace(strictest(own, now, told.source), licence=licence)


def said_of_base(layer: LayerSpec, there: SourceSpec | None, ask: Ask) -> list[Said]:
    """What is said of annotations from the base's pictures: by the layer, and by a source of its base's name.

    Args:
        layer: its declaration.
        there: see `pictures_of_base`.
        ask: for what neither says.
    """
    told = layer.base
    said: list[Declared] = [layer] if says_derived(layer) else []
    for converter in (layer.converter, told.converter):
        declared = None if said else ask(converter)
        if declared is not None and says_derived(declared):
            said.append(declared)
    is_unsaid = not said and bool(told.licence) and not told.redistributable
    if there is not None:  # perhaps another one than it was made over
        said.append(_with_derived(there, ask))
    found = [(told.source, derived_rights(each)) for each in said]
    if is_unsaid or not found:
        found.append(
            (told.source, Rights(why="nobody said what its licence allows of annotations"))
        )
    return found


def _with_derived(spec: SourceSpec, ask: Ask) -> Declared:
    """A source's declaration, or its converter's where that alone speaks of annotations."""
    if says_derived(spec):
        return spec
    declared = ask(spec.converter)
    return declared if declared is not None and says_derived(declared) else spec
