"""What may be published: by what each source declares of itself, and what its owner says."""

from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_data import Sample, ShardWriter
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
    read_manifest,
)
from pvit_data.publishing.card import published_card
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.sample.rights import Rights, told_by_layer
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate

NONE = FileInfo(bytes=0, sha256="")


def split(*fields: str) -> dict[str, SplitInfo]:
    counts = dict.fromkeys(fields, 0)
    return {"train": SplitInfo(samples=0, frames=0, bytes=0, fields=counts, members=[], index=NONE, shards=[])}


def manifest(*specs: SourceSpec, fields: tuple[str, ...] = ()) -> Manifest:
    layers = {s.name: LayerEntry(spec=s, splits=split(*fields)) for s in specs if isinstance(s, LayerSpec)}
    sources = {s.name: SourceEntry(spec=s, splits=split(*fields)) for s in specs if s.name not in layers}
    return Manifest(sources=sources, layers=layers, checksum="").sealed()


OURS = SourceSpec(name="ours", licence="CC0-1.0", redistributable=True)
CLOSED = SourceSpec(name="closed", licence="Some research licence (no redistribution)", derived="yes")
UNSAID = SourceSpec(name="unsaid", licence="unknown (see example.org)")
LAYER = LayerSpec(
    name="splits", base=BaseRef(source="closed"), licence="CC-BY-4.0", redistributable=True, derived="yes"
)
BOXES = LayerSpec(name="boxes", base=BaseRef(source="closed"))


def refusal(found: Manifest, consent: Consent | None = None) -> str:
    with pytest.raises(LicenceError) as caught:
        require_allowed(found, consent or Consent())
    return str(caught.value)


def test_refusals_name_source_reason_and_ways_out() -> None:
    assert require_allowed(manifest(OURS, LAYER), Consent()) == {}
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
    assert "confirm that you may pass it on (--rights-confirmed boxes --rights-confirmed unsaid)" in text
    assert "publish only the rest" not in text


def test_ways_out() -> None:
    mixed = manifest(OURS, CLOSED, UNSAID)
    private = Consent(private=True, accepted=True)
    assert require_allowed(mixed, private) == {}
    assert "(--i-accept)" in refusal(mixed, Consent(private=True))
    with pytest.raises(UsageError, match="--i-accept is for private repositories"):
        require_allowed(mixed, Consent(accepted=True))
    assert require_allowed(Choice(sources=("ours",)).of(mixed), Consent()) == {}
    assert require_allowed(Choice(layers_only=True).of(manifest(CLOSED, LAYER)), Consent()) == {}


def test_a_confirmed_right_stands_in_the_card_and_a_forbidden_source_stays_out() -> None:
    found = manifest(OURS, UNSAID)
    (sentence,) = require_allowed(found, Consent(confirmed=("unsaid",))).values()
    said = "unsaid: whoever published this confirmed to have the right to pass it on (licence: unknown"
    assert sentence.startswith(said)
    card = published_card(found, "me/mine", [sentence]).decode()
    assert f"## Rights\n\n- {sentence}\n" in card
    assert "## Rights" not in published_card(found, "me/mine", []).decode()
    text = refusal(manifest(OURS, CLOSED), Consent(confirmed=("closed",)))
    assert "its licence forbids it" in text
    with pytest.raises(UsageError, match="nothing of this name is published; did you mean 'unsaid'"):
        require_allowed(found, Consent(confirmed=("unsad",)))


MIXED = SourceSpec(
    name="films",
    licence="Films (no redistribution)",
    rights={
        "boxes": Rights("CC-BY-4.0", "yes", "Ours."),
        "action": Rights("unknown", "unknown", "Nobody knows whose the labels are."),
        "record": Rights("CC-BY-4.0", "yes", "Ours."),
    },
)


def test_fields_that_are_refused_are_named_with_their_reasons() -> None:
    text = refusal(manifest(MIXED, fields=("rgb", "boxes", "action")))
    assert text.startswith(
        "cannot be published in public: source 'films', rgb: its licence forbids it: Films (no redistribution); "
        "action: Nobody knows whose the labels are. What you can do: publish what of it may be passed on "
        "(--sources films --fields boxes,action --rights-confirmed films), or use a private repository"
    )
    text = refusal(manifest(MIXED, fields=("rgb", "boxes")))
    assert "(--sources films --fields boxes), or" in text
    assert require_allowed(manifest(MIXED, fields=("boxes",)), Consent()) == {}
    some = manifest(MIXED, fields=("boxes", "action"))
    assert "--rights-confirmed films" in refusal(some)
    (sentence,) = require_allowed(some, Consent(confirmed=("films",))).values()
    assert sentence.endswith("(licence: unknown).")


def test_a_mixture_takes_the_strictest() -> None:
    """One forbidden field among many that are free holds all of it back, whatever is confirmed of others."""
    found = manifest(OURS, UNSAID, MIXED, fields=("rgb", "boxes"))
    text = refusal(found, Consent(confirmed=("unsaid", "films")))
    assert "source 'films', rgb: its licence forbids it" in text
    assert "unsaid" not in text.partition("What you can do")[0]


N, Y, U = "no", "yes", "unknown"
DECLARED = {
    "hypersim": {"rgb": Y, "depth": Y, "normal": Y, "segm": Y, "boxes": Y, "camera": Y, "record": Y, "+": U},
    "surreact": {"rgb": N, "segm": N, "pose3d": N, "pose2d": N, "depth": N, "action": N, "record": N, "+": N},
    "ego4d": {"rgb": N, "action": N, "actions": N, "record": N, "+": N},
    "ssv2": {"rgb": N, "action": N, "record": N, "+": Y},
    "something-else": {"action": U, "record": Y},
    "something-else-boxes": {"boxes": U, "record": U},
    "ssv2-no-empty-boxes": {"record": U},
    "ava": {"rgb": N, "boxes": Y, "record": Y, "+": Y},
    "ava-detections": {"boxes": U, "record": U},
    "ava-train": {"boxes": U, "record": U},
    "kinetics400": {"rgb": N, "action": Y, "record": Y, "+": Y},
    "diving48": {"rgb": N, "action": U, "record": U, "+": U},
    "phav": {"rgb": U, "depth": U, "segm": U, "boxes": U, "action": U, "record": U, "+": U},
    "synadl": {"rgb": U, "pose3d": U, "pose2d": U, "action": U, "camera": U, "record": U, "+": U},
    "ehoi": {"rgb": U, "boxes": U, "segm": U, "depth": U, "record": U, "+": U},
    "videos": {"rgb": U, "action": U, "record": U, "+": U},
}
"""What may be published of each source, by field; "+": a layer over it that is under MIT."""


def test_every_source_is_in_the_table() -> None:
    assert {entry.name for entry in entry_points(group="pvit.converters")} >= DECLARED.keys()
    ours = {e.name for e in entry_points(group="pvit.converters") if e.value.startswith("pvit_converters.")}
    assert ours == DECLARED.keys()


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in DECLARED for field in DECLARED[name]])
def test_what_may_be_published_of_each_source(name: str, field: str) -> None:
    """Forbidden: never in public. Unknown: with a word of whoever publishes. In private: for those who accept."""
    (entry,) = entry_points(group="pvit.converters", name=name)
    info = entry.load().info
    told = {key: getattr(info, key) for key in ("licence", "redistributable", "derived", "derived_clause", "rights")}
    spec = SourceSpec(name=name, **told)
    if field == "+":
        layer = LayerSpec(name="later", base=BaseRef.of(spec), licence="MIT", redistributable=True)
        layer = layer.model_copy(update=told_by_layer(spec))
        found, name, verdict = manifest(layer, fields=("depth",)), "later", DECLARED[name]["+"]
    else:
        verdict = DECLARED[name][field]
        free = {} if field == "record" else {"record": Rights(public="yes")}  # so that one thing is asked
        alone = spec.model_copy(update={"rights": {**info.rights, **free}})
        found = manifest(alone, fields=() if field == "record" else (field,))
    if verdict == "yes":
        assert require_allowed(found, Consent()) == {}
    elif verdict == "unknown":
        assert "--rights-confirmed" in refusal(found)
        (sentence,) = require_allowed(found, Consent(confirmed=(name,))).values()
        assert sentence.startswith(f"{name}: whoever published this confirmed")
    else:
        assert "--rights-confirmed" not in refusal(found)
        assert refusal(found, Consent(confirmed=(name,))) == refusal(found)
    assert require_allowed(found, Consent(private=True, accepted=True)) == {}


def test_fields_of_surreact_are_refused_for_their_own_reasons() -> None:
    (entry,) = entry_points(group="pvit.converters", name="surreact")
    info = entry.load().info
    spec = SourceSpec(name="surreact", licence=info.licence, rights=dict(info.rights))
    text = refusal(manifest(spec, fields=("rgb", "pose3d", "action")))
    assert "record, rgb: its licence forbids it: SURREAL licence" in text
    assert "pose3d: It is read off the SMPL body model" in text
    assert "action: The labels are those of the recordings" in text


@pytest.mark.parametrize("licence", ["Theirs (no redistribution)", "Theirs"])
@pytest.mark.parametrize("declared", [{}, {"licence": "CC0-1.0", "redistributable": True}], ids=["unsaid", "free"])
def test_copied_samples_take_their_licence_along(licence: str, declared: dict[str, Any], tmp_path: Path) -> None:
    """Whatever the source declares that they are written into, and however often they are copied."""
    with ShardWriter(tmp_path / "theirs", "theirs", licence=licence) as writer:
        writer.write(Sample(key="a", num_frames=1))
    where = tmp_path / "theirs"
    for name in ("once", "twice"):
        with ShardWriter(tmp_path / name, "mine", **declared) as writer:
            writer.write(Sample(key="own", num_frames=1))
            for sample in pvit_data.open(where, split="train"):
                writer.write(replace(sample, key=f"{name}-{sample.key}"))
        where = tmp_path / name
        found = read_manifest(Storage(where))
        confirmed = Consent(confirmed=("mine",))
        assert licence in refusal(found)
        if "no redistribution" in licence:
            assert licence in refusal(found, confirmed)
        else:
            assert licence in require_allowed(found, confirmed)["mine"]
        assert validate(where).ok
    with ShardWriter(where, "mine", "val", **declared) as writer:  # as before
        writer.write(Sample(key="more", num_frames=1))
    assert licence in refusal(read_manifest(Storage(where)))


def test_own_samples_say_nothing_else(tmp_path: Path) -> None:
    free = {"licence": "CC0-1.0", "redistributable": True}
    for name in ("one", "other"):
        with ShardWriter(tmp_path / name, "mine", **free) as writer:
            there = pvit_data.open(tmp_path / "one") if name == "other" else [Sample(key="a", num_frames=1)]
            for sample in there:
                writer.write(sample)
        found = read_manifest(Storage(tmp_path / name))
        assert require_allowed(found, Consent()) == {}
        assert found.sources["mine"].spec.notes == []
