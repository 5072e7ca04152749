"""The licence of weights: the strictest of the code's, the data's and the starting weights'; who must say yes.

Weights are made from data. Where no licence lets be passed on what is made from it, whoever publishes confirms to have
the right to do so; that is then said in the card.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pvit_data.errors import LicenceError
from pvit_data.sample.rights import terms_of
from pvit_data.writing.card import licence_head, other_licence
from pvit_model.runs.learned import Rights

CODE = "apache-2.0"
"""Of this toolkit, which defines the network."""
STRICTNESS = ("cc0", "mit", "apache", "cc-by", "cc-by-sa", "cc-by-nc", "cc-by-nc-sa", "cc-by-nc-nd")
"""Licences that can be ordered, the strictest last; versions are left out."""
_KNOWN = re.compile(rf"({'|'.join(STRICTNESS)})-?[\d.]*")
NO_DERIVATIVES = "nd"
"""The term of licences that let be passed on only what was not changed: weights are made from it."""


def strictest(rights: Sequence[Rights]) -> dict[str, str | list[str]]:
    """What the head of the card says of the licence.

    Where the licences cannot be ordered, or the weights were made from something without any, it is `other`, with
    the names of all.

    >>> strictest([Rights(name="a", licence="CC0-1.0"), Rights(name="b", licence="CC BY-NC 4.0")])
    {'license': 'cc-by-nc-4.0'}
    >>> strictest([Rights(name="a", licence="CC0-1.0"), Rights(name="b")])["license"]
    'other'
    """
    named = {as_identifier(each.licence) for each in rights}
    places = {name: _place(name) for name in named | {CODE}}
    if None in places.values() or (named and _conflict(named)):
        return other_licence(name or "unknown" for name in named)
    return licence_head([max(places, key=lambda name: (places[name] or 0, name))])


def as_identifier(licence: str) -> str:
    """`"CC BY-NC 4.0"` as `"cc-by-nc-4.0"`."""
    return re.sub(r"\s+", "-", licence.strip().lower())


def _place(name: str) -> int | None:
    """How strict a licence is; None: unknown."""
    found = _KNOWN.fullmatch(name)
    return STRICTNESS.index(found[1]) if found else None


def _conflict(names: set[str]) -> bool:
    """Whether one asks for its own terms, and another one is stricter."""
    kinds = {found[1] for name in names if (found := _KNOWN.fullmatch(name))}
    return "cc-by-sa" in kinds and any(kind.startswith("cc-by-nc") for kind in kinds)


def require_allowed(rights: Sequence[Rights], private: bool, confirmed: bool) -> list[str]:
    """Refuses to publish weights for all, unless what they were made from allows it, or one has the right.

    Args:
        rights: of all that they were made from; empty: nothing is known.
        private: into a repository that only its members see.
        confirmed: whoever publishes has the right.

    Returns:
        Sentences for the card.

    Raises:
        LicenceError: naming each source, with the reason, and the ways out.
    """
    found = [(each.name, reason) for each in rights if (reason := refusal(each))]
    unknown = ("its training", "nothing tells what it was trained on, and under which licence")
    open_ones = dict.fromkeys(found if rights else [unknown])
    if private or not open_ones:
        return []
    if confirmed:
        named = ", ".join(dict.fromkeys(name for name, _ in open_ones))
        return [
            f"Whoever published this confirmed to have the right to pass on weights made from: {named}."
        ]
    reasons = "; ".join(f"{name}: {reason}" for name, reason in open_ones)
    raise LicenceError(
        f"cannot be published in public: {reasons}. What you can do: confirm that you may pass such weights on "
        "(--rights-confirmed), or use a private repository (--private)"
    )


def refusal(each: Rights) -> str:
    """Why weights that were made from something are not simply for all; "": they may be."""
    if not each.licence:
        return "its licence is unknown"
    keeps_form = NO_DERIVATIVES in terms_of(each.licence) and each.derived != "yes"
    clause = f", {each.derived_clause.removesuffix('.')}" if each.derived_clause else ""
    if each.derived == "no" or keeps_form:
        return f"its licence does not let be passed on what is made from it: {each.licence}{clause}"
    if each.derived == "yes" or each.redistributable:
        return ""
    return (
        f"nobody said that what is made from it may be passed on; licence: {each.licence}{clause}"
    )
