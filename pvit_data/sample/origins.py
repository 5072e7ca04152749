"""Where what a sample has was read, and whose it is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pvit_data.sample.rights import (
    DERIVED,
    PICTURES,
    RECORD,
    Declared,
    Rights,
    by_words,
    derived_rights,
    rights_of,
    together,
)

Whose = tuple[str, Rights]
"""A field that was read elsewhere (or `RECORD`, `DERIVED`), and whose it was there."""


@dataclass(frozen=True)
class Origin:
    """What a sample has of one source or layer.

    Args:
        name: of the source or layer; "": not known.
        licence: that the sample has there; "" where nobody says one.
        rights: of its fields, of `RECORD`, which stands for its meta, and of `DERIVED`.
        meta: what it says there, JSON text.
    """

    name: str
    licence: str
    rights: Mapping[str, Rights]
    meta: str


def rights_in(spec: Declared | None, licence: str, fields: Sequence[str]) -> dict[str, Rights]:
    """Whose the fields of a sample are.

    Args:
        spec: what its source declares; None: not known.
        licence: that the sample says; where it is not its source's, only what that declares of a field holds besides.
        fields: that were read.
    """
    own = by_words(licence)
    derived = replace(own, public="unknown") if own.public == "no" else own
    found = dict.fromkeys((*fields, RECORD), own)
    if spec is not None:
        is_same = licence == spec.licence
        found |= {n: rights_of(spec, n) for n in found if is_same or n in spec.rights}
        derived = derived_rights(spec) if is_same or spec.derived == "no" else derived
    return found | ({DERIVED: derived} if PICTURES in fields else {})


def licence_of(origins: Sequence[Origin]) -> str:
    """The licence of what has several origins: that of the first, with those that the others say."""
    own = [origin.licence for origin in origins[:1]]
    more = [origin.licence for origin in origins[1:] if origin.licence]
    return together([*own, *more]) if more else "".join(own)
