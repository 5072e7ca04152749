"""Samples that say themselves under which licence they are: their source is under theirs, too, whatever it declares.

So what is copied out of a source keeps what that one's licence asks, and whoever publishes is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS, LABELS
from pvit_data.format.receipts import Receipt
from pvit_data.sample.origins import Whose
from pvit_data.sample.rights import (
    DERIVED,
    FORBIDS,
    RECORD,
    SEVERAL,
    STRICT,
    Rights,
    Verdict,
    derived_rights,
    is_named,
    rights_of,
    together,
)

ACTION = "action"
"""The labels of a row, and their space."""
MOST_LICENCES = 16
"""Of other licences that are kept; those that forbid to pass the data on are among them."""


def other_licences(found: Iterable[str], declared: str) -> list[str]:
    """Those that a declaration does not name, the ones that forbid most first.

    >>> other_licences(["CC0-1.0", "", "Ours", "Theirs (no redistribution)"], "CC0-1.0")
    ['Theirs (no redistribution)', 'Ours']
    """
    others = {text for text in found if text and not is_named(text, declared)}
    return sorted(others, key=lambda text: (FORBIDS not in text.lower(), text))[:MOST_LICENCES]


def stricter_ones(spec: SourceSpec, found: Iterable[Whose]) -> dict[str, list[Rights]]:
    """By field: whose what samples have was where it was read, if the source declares it freer, or otherwise."""
    kept: dict[str, list[Rights]] = {}
    for name, rights in sorted(set(found), key=_order):
        mine = kept.setdefault(name, [])
        if len(mine) < MOST_LICENCES and _under(_declared(spec, name), rights) is not None:
            mine.append(rights)
    return {name: mine for name, mine in kept.items() if mine}


def as_samples_say(spec: SourceSpec, receipts: Collection[Receipt]) -> SourceSpec:
    """A declaration of a source as far as its samples let it be so, which may come from elsewhere.

    Args:
        spec: the declaration.
        receipts: of its shards.
    """
    under = under_licences(spec, {text for receipt in receipts for text in receipt.licences})
    found = {
        (name, rights)
        for receipt in receipts
        for name, all_rights in receipt.taken.items()
        for rights in all_rights
    }
    return _under_rights(under, sorted(found, key=_order))


def with_labels_of(spec: LayerSpec, base: SourceSpec) -> LayerSpec:
    """A declaration of a layer whose labels are no freer than its base's, if they are in the base's own classes."""
    own, theirs = (each.spaces.get(ACTION) for each in (spec, base))
    if own is None or theirs is None or own.classes != theirs.classes:
        return spec
    there = rights_of(base, ACTION)
    if there.public == "yes":
        return spec
    rights = {name: _under(_declared(spec, name), there) for name in LABELS}
    changed = {name: under for name, under in rights.items() if under is not None}
    return spec.model_copy(update={"rights": {**spec.rights, **changed}}) if changed else spec


def _order(pair: Whose) -> tuple[str, int, str, str, str]:
    name, rights = pair
    return name, STRICT.index(rights.public), rights.licence, rights.why, rights.origin


def as_declared(spec: SourceSpec) -> SourceSpec:
    """A declaration with what holds of an annotation layer that says no licence: that of its base's pictures."""
    if not isinstance(spec, LayerSpec) or spec.kind != "annotation" or spec.licence:
        return spec
    pictures = {"licence": spec.base.licence, "redistributable": spec.base.redistributable}
    return spec.model_copy(update=pictures)


def _declared(spec: SourceSpec, name: str) -> Rights:
    return derived_rights(spec) if name == DERIVED else rights_of(as_declared(spec), name)


def _under(own: Rights, other: Rights) -> Rights | None:
    """What is declared of a field, as far as it was so where it was read; None: as declared."""
    is_stricter = STRICT.index(other.public) < STRICT.index(own.public)
    is_named_too = not other.licence or is_named(other.licence, own.licence)
    if own.public == "no" or (is_named_too and not is_stricter):
        return None
    licence = own.licence if is_named_too else together(filter(None, [own.licence, other.licence]))
    origin = own.origin or other.origin
    if is_stricter:
        return Rights(licence, other.public, f"as where it was read: {other.why}", origin)
    why = f"it was under {other.licence} where it was read, and nobody said that both let it be passed on"
    return Rights(licence, "unknown", why, origin)


def _under_rights(spec: SourceSpec, found: Iterable[Whose]) -> SourceSpec:
    """A declaration whose fields are no freer than where samples have them from."""
    for name, other in found:
        rights = _under(_declared(spec, name), other)
        if rights is None:
            continue
        changed: dict[str, Any] = {"rights": {**spec.rights, name: rights}}
        if name == DERIVED:  # of which the licence is the source's
            if rights.public == spec.derived:
                continue
            changed = {"derived": rights.public, "derived_clause": rights.why}
        spec = spec.model_copy(update=changed)
    return spec


def under_licences(spec: SourceSpec, found: Iterable[str]) -> SourceSpec:
    """A declaration of a source whose samples say other licences; itself, where they say none.

    Args:
        spec: the declaration.
        found: what its samples say.
    """
    others = other_licences(found, as_declared(spec).licence)
    if not others:
        return spec
    named = [RECORD, *FIELDS] if spec.converter else []  # of which its converter may speak
    rights = {name: _stricter(rights_of(spec, name), others) for name in spec.rights or named}
    both = together(filter(None, [spec.licence, *others]))
    note = f"Samples say another licence than the source, and both hold: {SEVERAL.join(others)}"
    changed: dict[str, Any] = {
        "licence": both,
        "redistributable": False,
        "rights": rights,
        "notes": [*spec.notes, note],
    }
    if spec.derived == "yes" and not isinstance(spec, LayerSpec):  # a layer's speaks of its base
        changed["derived"] = "unknown"
        changed["derived_clause"] = (
            f"its samples say: {others[0]}; nobody said what that allows of annotations"
        )
    return spec.model_copy(update=changed)


def _stricter(own: Rights, others: list[str]) -> Rights:
    public: Verdict = "no" if FORBIDS in others[0].lower() else "unknown"
    if STRICT.index(own.public) <= STRICT.index(public):
        return own
    licence = together(filter(None, [own.licence, *others]))
    return replace(own, licence=licence, public=public, why=f"its samples say: {others[0]}")
