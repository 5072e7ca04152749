"""What may be published: by what each source declares of itself, and what its owner says."""

from importlib.metadata import entry_points

import pytest

from pvit_data.errors import LicenceError, UsageError
from pvit_data.format.manifest import (
    BaseRef,
    FileInfo,
    LayerEntry,
    LayerSpec,
    Manifest,
    SourceEntry,
    SourceSpec,
    SplitInfo,
)
from pvit_data.publishing.card import published_card
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.guard import Consent, require_allowed

NONE = FileInfo(bytes=0, sha256="")
EMPTY = SplitInfo(samples=0, frames=0, bytes=0, fields={}, members=[], index=NONE, shards=[])


def manifest(*specs: SourceSpec) -> Manifest:
    layers = {s.name: LayerEntry(spec=s, splits={"train": EMPTY}) for s in specs if isinstance(s, LayerSpec)}
    sources = {s.name: SourceEntry(spec=s, splits={"train": EMPTY}) for s in specs if s.name not in layers}
    return Manifest(sources=sources, layers=layers, checksum="").sealed()


OURS = SourceSpec(name="ours", licence="CC0-1.0", redistributable=True)
CLOSED = SourceSpec(name="closed", licence="Some research licence (no redistribution)")
UNSAID = SourceSpec(name="unsaid", licence="unknown (see example.org)")
LAYER = LayerSpec(name="splits", base=BaseRef(source="closed"), licence="CC-BY-4.0", redistributable=True)
BOXES = LayerSpec(name="boxes", base=BaseRef(source="closed"))


def refusal(found: Manifest, consent: Consent | None = None) -> str:
    with pytest.raises(LicenceError) as caught:
        require_allowed(found, consent or Consent())
    return str(caught.value)


def test_refusals_name_source_reason_and_ways_out() -> None:
    assert require_allowed(manifest(OURS, LAYER), Consent()) == []
    assert refusal(manifest(OURS, CLOSED)) == (
        "cannot be published in public: source 'closed': its licence forbids it: Some research licence (no "
        "redistribution). What you can do: publish only the rest (--sources ours), or use a private repository for "
        "those who may have it (--private --i-accept)"
    )
    assert refusal(manifest(CLOSED, LAYER)).count("publish only the rest (--layers-only)") == 1
    assert "publish only the rest (--sources ours --layers splits)" in refusal(manifest(OURS, CLOSED, LAYER, BOXES))
    text = refusal(manifest(UNSAID, BOXES))
    assert "source 'unsaid': nobody said that it may be passed on; licence: unknown (see example.org)" in text
    assert "layer 'boxes': nobody said that it may be passed on; licence: not stated" in text
    assert "confirm that you may pass it on (--rights-confirmed boxes)" in text
    assert "publish only the rest" not in text


def test_ways_out() -> None:
    mixed = manifest(OURS, CLOSED, UNSAID)
    private = Consent(private=True, accepted=True)
    assert require_allowed(mixed, private) == []
    assert "(--i-accept)" in refusal(mixed, Consent(private=True))
    with pytest.raises(UsageError, match="--i-accept is for private repositories"):
        require_allowed(mixed, Consent(accepted=True))
    assert require_allowed(Choice(sources=("ours",)).of(mixed), Consent()) == []
    assert require_allowed(Choice(layers_only=True).of(manifest(CLOSED, LAYER)), Consent()) == []


def test_a_confirmed_right_stands_in_the_card_and_a_forbidden_source_stays_out() -> None:
    found = manifest(OURS, UNSAID)
    (sentence,) = require_allowed(found, Consent(confirmed=("unsaid",)))
    said = "unsaid: whoever published this confirmed to have the right to pass it on (licence: unknown"
    assert sentence.startswith(said)
    card = published_card(found, "me/mine", [sentence]).decode()
    assert f"## Rights\n\n- {sentence}\n" in card
    assert "## Rights" not in published_card(found, "me/mine", []).decode()
    text = refusal(manifest(OURS, CLOSED), Consent(confirmed=("closed",)))
    assert "its licence forbids it" in text
    with pytest.raises(UsageError, match="nothing of this name is published; did you mean 'unsaid'"):
        require_allowed(found, Consent(confirmed=("unsad",)))


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("hypersim", "public"),
        ("surreact", "never"),
        ("ego4d", "never"),
        ("ssv2", "never"),
        ("something-else", "confirm"),
        ("something-else-boxes", "confirm"),
        ("ava", "never"),
        ("ava-detections", "confirm"),
        ("kinetics400", "never"),
        ("diving48", "never"),
        ("phav", "confirm"),
        ("synadl", "confirm"),
        ("ehoi", "confirm"),
        ("videos", "confirm"),
    ],
)
def test_what_each_source_declares(name: str, verdict: str) -> None:
    """With pixels never where the licence forbids it; where nobody knows, only with a word of whoever publishes."""
    (entry,) = entry_points(group="pvit.converters", name=name)
    info = entry.load().info
    spec = SourceSpec(name=name, licence=info.licence, redistributable=info.redistributable)
    found = manifest(spec)
    if verdict == "public":
        assert require_allowed(found, Consent()) == []
        return
    assert ("--rights-confirmed" in refusal(found)) == (verdict == "confirm")
    if verdict == "confirm":
        assert len(require_allowed(found, Consent(confirmed=(name,)))) == 1
    assert require_allowed(found, Consent(private=True, accepted=True)) == []
