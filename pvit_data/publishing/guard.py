"""What may be published, field by field, as the lineage says.

What may not be passed on stays out of public repositories. Where nobody knows, and no licence forbids it, whoever
publishes may confirm the right to do so; that is then said in the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pvit_data.errors import LicenceError, UsageError
from pvit_data.format.manifest import Manifest, SourceSpec
from pvit_data.lineage.fields import FieldLineage, lineage_of
from pvit_data.sample.rights import RECORD
from pvit_data.words import did_you_mean


@dataclass(frozen=True)
class Consent:
    """What whoever publishes has said.

    Args:
        private: the repository is private.
        accepted: that what may not be passed on goes into a private one.
        confirmed: sources and layers that one has the right to pass on.
    """

    private: bool = False
    accepted: bool = False
    confirmed: tuple[str, ...] = ()


def require_allowed(manifest: Manifest, consent: Consent) -> dict[str, str]:
    """Refuses what may not be published.

    Args:
        manifest: of what shall be published.
        consent: see `Consent`.

    Returns:
        What was confirmed, a sentence for each source and layer by its name, for card and description.

    Raises:
        LicenceError: naming all sources, layers and fields that are refused, with the reason of each, and the ways out.
        UsageError: if a confirmed name is not published, or acceptance is given for a public repository.
    """
    specs = {entry.spec.name: entry.spec for entry in manifest.entries.values()}
    for name in consent.confirmed:
        if name not in specs:
            raise UsageError(
                f"--rights-confirmed {name}: nothing of this name is published{did_you_mean(name, specs)}"
            )
    if consent.accepted and not consent.private:
        raise UsageError("--i-accept is for private repositories: give --private as well")
    if consent.private and consent.accepted:
        return {}
    fields = lineage_of(manifest)
    closed = [field for field in fields if field.public != "yes"]
    unknown = [f for f in closed if f.public == "unknown" and f.name in consent.confirmed]
    if refused := [field for field in closed if field not in unknown]:
        raise LicenceError(_refusal(fields, refused, consent))
    confirmed = sorted({field.name for field in unknown})
    return {name: _sentence(specs[name], unknown) for name in confirmed}


def _sentence(spec: SourceSpec, confirmed: Sequence[FieldLineage]) -> str:
    licences = dict.fromkeys(f.licence or "not stated" for f in confirmed if f.name == spec.name)
    return (
        f"{spec.name}: whoever published this confirmed to have the right to pass it on "
        f"(licence: {'; '.join(licences)})."
    )


def _refusal(
    fields: Sequence[FieldLineage], refused: Sequence[FieldLineage], consent: Consent
) -> str:
    """What is refused and why, then what may be done."""
    names = {field.name for field in refused}
    reasons = [
        _reason(name, [f for f in fields if f.name == name], [f for f in refused if f.name == name])
        for name in dict.fromkeys(field.name for field in refused)
    ]
    ways = []
    if options := _others(fields, names):
        ways.append(f"publish only the rest ({options})")
    if options := _open_fields(fields, names):
        ways.append(f"publish what of it may be passed on ({options})")
    forbidden = {field.name for field in refused if field.public == "no"}
    if open_ones := sorted(names - forbidden):
        words = " ".join(f"--rights-confirmed {name}" for name in open_ones)
        if forbidden:
            words = f"{_others(fields, forbidden)} {words}"
        without = f", without {', '.join(sorted(forbidden))}" if forbidden else ""
        ways.append(f"confirm that you may pass it on{without} ({words})")
    private = "--i-accept" if consent.private else "--private --i-accept"
    ways.append(f"use a private repository for those who may have it ({private})")
    where = "" if consent.private else " in public"
    return (
        f"cannot be published{where}: {'; '.join(reasons)}. What you can do: {', or '.join(ways)}"
    )


def _reason(name: str, fields: Sequence[FieldLineage], refused: Sequence[FieldLineage]) -> str:
    """Why something is refused; its fields are named where they are not all refused for one reason."""
    kind = "source" if fields[0].kind == "source" else "layer"
    by_why = sorted(refused, key=lambda field: field.why)
    groups = [(why, [f.field for f in group]) for why, group in groupby(by_why, lambda f: f.why)]
    order = [field.field for field in fields]
    groups.sort(key=lambda pair: order.index(pair[1][0]))
    if len(groups) == 1 and len(refused) == len(fields):
        return f"{kind} '{name}': {_plain(groups[0][0])}"
    told = [f"{', '.join(names)}: {_plain(why)}" for why, names in groups]
    return f"{kind} '{name}', {'; '.join(told)}"


def _plain(why: str) -> str:
    return why.removesuffix(".")


def _others(fields: Sequence[FieldLineage], refused: set[str]) -> str:
    """The options that publish all but those sources and layers."""
    sources = sorted({f.name for f in fields if f.kind == "source"} - refused)
    layers = sorted({f.name for f in fields if f.kind != "source"} - refused)
    all_layers = len(layers) == len({f.name for f in fields if f.kind != "source"}) > 0
    if not sources and all_layers:
        return "--layers-only"
    named = {"--sources": sources, "--layers": layers}
    return " ".join(f"{option} {','.join(names)}" for option, names in named.items() if names)


def _open_fields(fields: Sequence[FieldLineage], refused: set[str]) -> str:
    """The options that publish of the first of those what is not forbidden; "" where nothing is, or nothing is left."""
    for name in sorted(refused):
        mine = [field for field in fields if field.name == name]
        allowed = [field for field in mine if field.public != "no"]
        has_record = any(field.field == RECORD for field in allowed)
        wanted = [field.field for field in allowed if field.field != RECORD]
        if not has_record or len(allowed) == len(mine):
            continue
        if not wanted and mine[0].kind == "protocol":  # which splits are in
            wanted = [RECORD]
        if not wanted:
            continue
        option = "--sources" if mine[0].kind == "source" else "--layers"
        confirm = any(field.public == "unknown" for field in allowed)
        more = f" --rights-confirmed {name}" if confirm else ""
        return f"{option} {name} --fields {','.join(wanted)}{more}"
    return ""
