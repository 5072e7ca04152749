"""Samples that say themselves under which licence they are: their source is under theirs, too, whatever it declares.

So what is copied out of a source keeps what that one's licence asks, and whoever publishes is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.members import FIELDS
from pvit_data.sample.rights import (
    FORBIDS,
    RECORD,
    SEVERAL,
    STRICT,
    Rights,
    Verdict,
    is_named,
    rights_of,
    together,
)

MOST_LICENCES = 16
"""Of other licences that are kept; those that forbid to pass the data on are among them."""


def other_licences(found: Iterable[str], declared: str) -> list[str]:
    """Those that a declaration does not name, the ones that forbid most first.

    >>> other_licences(["CC0-1.0", "", "Ours", "Theirs (no redistribution)"], "CC0-1.0")
    ['Theirs (no redistribution)', 'Ours']
    """
    others = {text for text in found if text and not is_named(text, declared)}
    return sorted(others, key=lambda text: (FORBIDS not in text.lower(), text))[:MOST_LICENCES]


def under_licences(spec: SourceSpec, found: Iterable[str]) -> SourceSpec:
    """A declaration of a source whose samples say other licences; itself, where they say none.

    Args:
        spec: the declaration.
        found: what its samples say.
    """
    others = other_licences(found, spec.licence)
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
