"""What a sample takes along from where it was read, when it is written again: nothing of it becomes freer thereby."""

from __future__ import annotations

import json
from dataclasses import replace

from pvit_data.sample.origins import Whose, licence_of
from pvit_data.sample.rights import DERIVED, PICTURES, RECORD, together
from pvit_data.sample.sample import Sample


def is_as_read(sample: Sample) -> bool:
    """Whether a sample was read, and its owner has said nothing since."""
    return bool(sample.origins) and sample.licence == licence_of(sample.origins)


def taken(sample: Sample) -> tuple[Whose, ...]:
    """What a sample still has of those that it was read from."""
    if not is_as_read(sample):
        return ()
    return tuple(
        (name, rights)
        for origin in sample.origins
        for name, rights in origin.rights.items()
        if name == RECORD or sample.has(PICTURES if name == DERIVED else name)
    )


def without_base(sample: Sample, base: str) -> Sample:
    """A sample for a layer: without the meta of its base, under the licences of what it has of others.

    Args:
        sample: read from the base, with other layers perhaps; or made from nothing.
        base: name of the source that the layer is over, whose meta stands there already.
    """
    meta, found = dict(sample.meta), []
    for origin in sample.origins:
        told = json.loads(origin.meta)
        repeated = [key for key in told if key in meta and meta[key] == told[key]]
        names = [name for name in origin.rights if name not in (RECORD, DERIVED)]
        if origin.name == base:
            meta = {key: value for key, value in meta.items() if key not in repeated}
        elif repeated and RECORD in origin.rights:
            names.append(RECORD)
        rights = {name: origin.rights[name] for name in names if name == RECORD or sample.has(name)}
        if rights:
            licence = together(each.licence for each in rights.values())
            found.append(replace(origin, licence=licence, rights=rights))
    if not is_as_read(sample):
        return replace(sample, meta=meta)
    source = sample.source if found else ""
    return replace(
        sample, meta=meta, origins=tuple(found), licence=licence_of(found), source=source
    )
