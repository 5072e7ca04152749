"""What may be published, by what each source and layer declares of itself.

A source that may not be passed on stays out of public repositories. Where nobody said so, and its licence does not
forbid it, whoever publishes may confirm the right to do so; that is then said in the card.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pvit_data.errors import LicenceError, UsageError
from pvit_data.format.manifest import Manifest, SourceSpec
from pvit_data.words import did_you_mean

FORBIDS = "no redistribution"
"""What licences say, as converters put them, that forbid to pass the data on."""


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


def require_allowed(manifest: Manifest, consent: Consent) -> list[str]:
    """Refuses what may not be published.

    Args:
        manifest: of what shall be published.
        consent: see `Consent`.

    Returns:
        Sentences for the card: what was confirmed.

    Raises:
        LicenceError: naming all sources and layers that are refused, with the reason of each, and the ways out.
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
    closed = {name: spec for name, spec in specs.items() if not spec.redistributable}
    if consent.private and consent.accepted:
        return []
    confirmed = [n for n, spec in closed.items() if n in consent.confirmed and not forbids(spec)]
    if refused := [spec for name, spec in closed.items() if name not in confirmed]:
        raise LicenceError(_refusal(manifest, refused, consent))
    return [_sentence(specs[name]) for name in sorted(confirmed)]


def forbids(spec: SourceSpec) -> bool:
    """Whether a licence says itself that the data may not be passed on."""
    return FORBIDS in spec.licence.lower()


def _sentence(spec: SourceSpec) -> str:
    return f"{spec.name}: whoever published this confirmed to have the right to pass it on (licence: {_licence(spec)})."


def _licence(spec: SourceSpec) -> str:
    return spec.licence or "not stated"


def _refusal(manifest: Manifest, refused: Collection[SourceSpec], consent: Consent) -> str:
    """Who is refused and why, then what may be done."""
    reasons = "; ".join(
        f"{_kind(spec, manifest)} '{spec.name}': {_reason(spec)}" for spec in refused
    )
    names = {spec.name for spec in refused}
    ways = []
    if options := _others(manifest, names):
        ways.append(f"publish only the rest ({options})")
    if open_ones := sorted(spec.name for spec in refused if not forbids(spec)):
        ways.append(f"confirm that you may pass it on (--rights-confirmed {open_ones[0]})")
    private = "--i-accept" if consent.private else "--private --i-accept"
    ways.append(f"use a private repository for those who may have it ({private})")
    where = "" if consent.private else " in public"
    return f"cannot be published{where}: {reasons}. What you can do: {', or '.join(ways)}"


def _others(manifest: Manifest, refused: Collection[str]) -> str:
    """The options that publish all but those."""
    sources = sorted(manifest.sources.keys() - refused)
    layers = sorted(manifest.layers.keys() - refused)
    if not sources and len(layers) == len(manifest.layers) > 0:
        return "--layers-only"
    named = {"--sources": sources, "--layers": layers}
    return " ".join(f"{option} {','.join(names)}" for option, names in named.items() if names)


def _kind(spec: SourceSpec, manifest: Manifest) -> str:
    return "layer" if spec.name in manifest.layers else "source"


def _reason(spec: SourceSpec) -> str:
    if forbids(spec):
        return f"its licence forbids it: {spec.licence}"
    return f"nobody said that it may be passed on; licence: {_licence(spec)}"
