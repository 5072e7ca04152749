"""Whose a field is, under which licence, and whether it may be passed on, by what its source declares.

Three answers: yes, no, and unknown, which counts as no until somebody confirms the right to pass it on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, Protocol

Verdict = Literal["yes", "no", "unknown"]
RECORD = "record"
"""Called like a field: keys, splits, sizes and `meta`, which every sample has."""
DERIVED = "derived"
"""Called like a field: what may be made of the pictures."""
PICTURES = "rgb"
"""The field that annotations are made from."""
FORBIDS = "no redistribution"
"""What licences say, as converters put them, that forbid to pass the data on."""
NOT_STATED = "not stated"
"""In place of a licence: of samples, where they were read from a source that says none."""
ASKS_NOTHING = ("cc0-1.0", "cc0 1.0", "cc0")
"""Licences in lower case that what is under them need not name."""
SEVERAL = "; "
"""Stands between the licences of what is under several."""
STRICT: tuple[Verdict, ...] = ("no", "unknown", "yes")
"""The strictest first."""
_CREATIVE_COMMONS = re.compile(r"\bcc[ -]by((?:[ -](?:nc|sa|nd))*)\b")
_BY_NAME = re.compile(r"cc[ -]by(?:[ -](?:nc|sa|nd))*(?:[ -]\d\.\d)?")
_IN_WORDS = {
    "sa": re.compile(r"share.?alike", re.I),
    "nc": re.compile(r"non.?commercial", re.I),
    "nd": re.compile(r"no.?deriv", re.I),
}
_OF_ADAPTED = {
    "sa": "under the same licence",
    "nc": "for no commercial use",
    "nd": "unchanged",
}
"""How Creative Commons licences let be passed on what is made from something."""


@dataclass(frozen=True)
class Rights:
    """Of one field of a source or layer.

    Args:
        licence: SPDX id or short name.
        public: whether it may be passed on.
        why: what the licence says, in a sentence, and whether it was read.
        origin: who or what made it, where that was not the source's authors.
    """

    licence: str = ""
    public: Verdict = "unknown"
    why: str = ""
    origin: str = ""


class Declared(Protocol):
    """What a source or layer says of itself, in a manifest or in its converter; see `SourceSpec`."""

    @property
    def licence(self) -> str:
        """SPDX id or short name."""

    @property
    def redistributable(self) -> bool:
        """Whether it may be passed on."""

    @property
    def derived(self) -> Verdict:
        """Whether annotations may be that are made from its pictures."""

    @property
    def derived_clause(self) -> str:
        """What the licence says of that."""

    @property
    def rights(self) -> Mapping[str, Rights]:
        """Of fields that differ."""


def rights_of(spec: Declared, field: str) -> Rights:
    """Of a field, or of `RECORD`: its own, or those of the whole source."""
    if field in spec.rights:
        return spec.rights[field]
    return _by_licence(spec.licence, spec.redistributable)


def is_open(spec: Declared) -> bool:
    """Whether a source as a whole may be passed on: it says so, and its licence does not forbid it."""
    return _by_licence(spec.licence, spec.redistributable).public == "yes"


@lru_cache(maxsize=256)
def _by_licence(text: str, redistributable: bool) -> Rights:
    licence = text or NOT_STATED
    if FORBIDS in text.lower():  # whatever else is said
        return Rights(text, "no", f"its licence forbids it: {licence}")
    if redistributable:
        return Rights(text, "yes", f"it may be passed on; licence: {licence}")
    what = "all of it" if SEVERAL in licence else "it"
    why = f"nobody said that {what} may be passed on; licence: {licence}"
    return Rights(text, "unknown", why)


def by_words(licence: str) -> Rights:
    """Of what says nothing but its licence: those of Creative Commons let it be passed on.

    >>> [by_words(text).public for text in ("CC BY 4.0", "CC0-1.0; CC-BY-4.0", "Ours", "CC-BY-4.0; Ours", "")]
    ['yes', 'yes', 'unknown', 'unknown', 'unknown']
    """
    parts = licence.lower().split(SEVERAL)
    is_open = all(_BY_NAME.fullmatch(part) or part in ASKS_NOTHING for part in parts)
    return _by_licence(licence, is_open)


def is_named(licence: str, declared: str) -> bool:
    """Whether a declaration names a licence, or all of several; those that ask nothing are named by any.

    >>> is_named("MIT; CC0-1.0", "CC0-1.0; Ours; MIT"), is_named("MIT", "CC0-1.0"), is_named("CC0-1.0", "MIT")
    (True, False, True)
    """
    named = {*declared.split(SEVERAL)}
    return all(
        part in named or (declared and part.lower() in ASKS_NOTHING)
        for part in licence.split(SEVERAL)
    )


def together(licences: Iterable[str]) -> str:
    """The licence of what is under several, each named once; "": nothing of it says one.

    >>> together(["CC0-1.0", "MIT", "CC0-1.0; MIT"]), together(["", "MIT"]), together(["", ""])
    ('CC0-1.0; MIT', 'not stated; MIT', '')
    """
    texts = [*licences]
    named = (part for text in texts for part in (text or NOT_STATED).split(SEVERAL))
    return SEVERAL.join(dict.fromkeys(named)) if any(texts) else ""


def unlicensed(licence: str, redistributable: bool) -> list[str]:
    """A note on what may be passed on, and under no licence.

    >>> unlicensed("CC0-1.0", True), len(unlicensed("", True))
    ([], 1)
    """
    if licence or not redistributable:
        return []
    return [
        "--redistributable without --licence: nobody will know what they may do with it; give one, e.g. CC-BY-4.0"
    ]


def says_derived(spec: Declared) -> bool:
    """Whether it says anything of annotations that are made from its pictures."""
    return spec.derived != "unknown" or bool(spec.derived_clause)


def derived_rights(base: Declared) -> Rights:
    """Of annotations that are made from a source's pictures: as its licence says, or else as the pictures.

    Pictures that may not be passed on say nothing of annotations: these are unknown.
    """
    if says_derived(base):
        return Rights(base.licence, base.derived, base.derived_clause)
    pictures = rights_of(base, "rgb")
    if pictures.public == "yes":
        return Rights(base.licence, "yes", f"its pictures may be passed on: {pictures.licence}")
    return Rights(
        base.licence, "unknown", "its licence says nothing of annotations, as far as known"
    )


def terms_of(licence: str) -> set[str]:
    """The terms of licences in a text, as Creative Commons calls them: "by", "sa", "nc", "nd".

    >>> sorted(terms_of("CC BY-SA 3.0")), terms_of("Ours (non-commercial)"), terms_of("MIT")
    (['by', 'sa'], {'nc'}, set())
    """
    found = _CREATIVE_COMMONS.findall(licence.lower())
    named = {term for terms in found for term in re.findall(r"[a-z]+", terms)}
    told = {term for term, words in _IN_WORDS.items() if words.search(licence)}
    return named | told | ({"by"} if found else set())


def kept_terms(own: Rights, pictures: str, whose: str) -> Rights:
    """Rights of what was made from pictures; unknown, if its own licence lacks what theirs asks of that.

    Args:
        own: rights.
        pictures: licence of the pictures.
        whose: they are, for the reason.

    >>> kept_terms(Rights("MIT", "yes"), "CC-BY-SA-3.0", "clips").why
    "made from the pictures of 'clips': CC-BY-SA-3.0 lets that be passed on only under the same licence, not MIT"
    """
    asked, has = (terms_of(text) & _OF_ADAPTED.keys() for text in (pictures, own.licence))
    missing = (asked - has) | (asked & ({"nd"} if has == asked else {"nd", "sa"}))
    if own.public != "yes" or not missing:
        return own
    how = " and ".join(text for term, text in _OF_ADAPTED.items() if term in missing)
    own_one = f", not {own.licence}" if own.licence and "nd" not in missing else ""
    why = f"made from the pictures of '{whose}': {pictures} lets that be passed on only {how}{own_one}"
    return replace(own, public="unknown", why=why)


def strictest(own: Rights, other: Rights, whose: str) -> Rights:
    """Of what is under two licences: the stricter answer, with its reason.

    Args:
        own: rights, which stand where both answer the same.
        other: rights of what it was made from.
        whose: those are, for the reason.

    >>> mine, theirs = Rights("MIT", "yes"), Rights("Theirs", "no", "They say no.")
    >>> strictest(mine, theirs, "clips")
    Rights(licence='MIT', public='no', why="made from 'clips': They say no.", origin='')
    """
    if STRICT.index(own.public) <= STRICT.index(other.public):
        return own
    why = f"made from '{whose}': {other.why}"
    return replace(own, licence=own.licence or other.licence, public=other.public, why=why)


def told_by_layer(base: Declared) -> dict[str, str]:
    """What a layer's own declaration says of its base: `derived` and `derived_clause`, where anything is known."""
    found = derived_rights(base)
    if found.public == "unknown" and not says_derived(base):
        return {}
    return {"derived": found.public, "derived_clause": found.why}
