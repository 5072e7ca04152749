"""What may be published: by what each source declares of itself, and what its owner says."""

import json
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_cli.data import main
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
from pvit_data.lineage.fields import lineage_of
from pvit_data.publishing.card import published_card
from pvit_data.publishing.choice import Choice, chosen
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.publishing.publish import Options, plan_files
from pvit_data.publishing.pulling.pull import plan_pull, pull
from pvit_data.sample.origins import Origin
from pvit_data.sample.rights import Rights, derived_rights, told_by_layer
from pvit_data.storage.storage import Storage
from pvit_data.validate import validate
from pvit_data.writing.base_rows import BaseRow
from pvit_data.writing.finish import write_manifest
from pvit_data.writing.licences import under_licences
from pvit_data.writing.shard import encode_for, encoding_of

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


def test_ways_out_leave_out_what_stays_forbidden() -> None:
    found = manifest(OURS, CLOSED, UNSAID, LAYER, BOXES)
    way = "confirm that you may pass it on, without closed (--sources ours,unsaid --layers boxes,splits --rights-"
    assert f"{way}confirmed boxes --rights-confirmed unsaid)" in refusal(found)
    rest = Choice(sources=("ours", "unsaid"), layers=("boxes", "splits")).of(found)
    assert require_allowed(rest, Consent(confirmed=("boxes", "unsaid"))).keys() == {"boxes", "unsaid"}


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
    "something-else": {"action": N, "record": Y},
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


FREE: dict[str, Any] = {"licence": "CC0-1.0", "redistributable": True}
MIT: dict[str, Any] = {"licence": "MIT", "redistributable": True}
THEIRS = "Theirs (no redistribution)"
VERBS = {"action": pvit_data.LabelSpace("verbs", ("open", "shut"))}
BOX = pvit_data.Boxes([[0.1, 0.1, 0.5, 0.5]])


def verdicts(folder: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in lineage_of(read_manifest(Storage(folder))):
        found.setdefault(line.name, set()).add(line.public)
    return found


def copy(dataset: pvit_data.ShardDataset, out: Path) -> Manifest:
    """Into a source that says that all may be passed on."""
    with ShardWriter(out, "copy", spaces=dict(VERBS), **FREE) as writer:
        for sample in dataset:
            writer.write(sample)
    return read_manifest(Storage(out))


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A free source of three samples, the last one without a label."""
    with ShardWriter(tmp_path / "clips", "clips", spaces=VERBS, **FREE) as writer:
        for i, key in enumerate("abc"):
            writer.write(Sample(key=key, num_frames=2, action=i if i < 2 else None))
    return tmp_path / "clips"


def test_samples_are_under_the_licences_of_the_layers_that_they_carry(clips: Path, tmp_path: Path) -> None:
    with ShardWriter(clips, "theirs", base="clips", licence=THEIRS) as writer:
        writer.write(Sample(key="a", boxes=BOX))
        writer.write(Sample(key="b", num_frames=2))  # a row that gives nothing
    with ShardWriter(clips, "named", base="clips", kind="protocol", spaces=VERBS, **MIT) as writer:
        for key in "abc":
            writer.write(Sample(key=key, action=1 if key != "c" else None))
    both = f"CC0-1.0; {THEIRS}"
    attached = pvit_data.open(clips, source="clips", layers=["theirs"])
    assert {s.key: s.licence for s in attached} == {"a": both, "b": "CC0-1.0", "c": "CC0-1.0"}
    rows = {str(key): row for row, key in enumerate(attached.keys())}
    assert attached.record(rows["a"]).licence == both
    assert attached.record(rows["b"]).licence == "CC0-1.0"
    plain = pvit_data.open(clips, source="clips", layers=["theirs"], fields=["action"])
    assert {s.licence for s in plain} == {"CC0-1.0"}
    by_name = pvit_data.open(clips, source="named")
    assert {s.key: s.licence for s in by_name} == {"a": "CC0-1.0; MIT", "b": "CC0-1.0; MIT", "c": "CC0-1.0"}
    assert by_name.record(0).licence == "CC0-1.0; MIT"
    assert THEIRS in refusal(copy(attached, tmp_path / "b"), Consent(confirmed=("copy",)))
    assert "all of it may be passed on; licence: CC0-1.0; MIT" in refusal(copy(by_name, tmp_path / "c"))
    told = SourceSpec(name="told", licence="MIT; CC0-1.0", redistributable=True, spaces=VERBS)
    with ShardWriter(tmp_path / "d", told) as writer:  # names both, in another order
        for sample in by_name:
            writer.write(sample)
    assert require_allowed(read_manifest(Storage(tmp_path / "d")), Consent()) == {}


def test_a_layer_without_a_licence_is_under_that_of_its_own_base_beside_another(clips: Path, tmp_path: Path) -> None:
    for folder, own in (("nc", {"licence": "CC-BY-NC-4.0"}), ("free", FREE)):
        with ShardWriter(tmp_path / folder, "clips", spaces=VERBS, **own) as writer:
            writer.write(Sample(key="a", num_frames=2))
        with ShardWriter(tmp_path / folder, "boxes", base="clips") as writer:
            writer.write(Sample(key="a", boxes=BOX))
        found = pvit_data.open(clips, source="clips", layers=[f"{tmp_path / folder}#boxes"])
        told = {sample.key: sample.licence for sample in found}
        assert told["a"] == ("CC0-1.0" if folder == "free" else "CC0-1.0; CC-BY-NC-4.0")


def test_what_is_read_from_a_source_that_says_nothing_is_nobody_elses_to_give(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "mine", "mine") as writer:
        writer.write(Sample(key="a", num_frames=1))
    with ShardWriter(tmp_path / "mine", "boxes", base="mine", **FREE) as writer:
        for sample in pvit_data.open(tmp_path / "mine"):
            writer.write(replace(sample, boxes=BOX))  # the boxes are this writer's own
    with ShardWriter(tmp_path / "again", "again") as writer:
        for sample in pvit_data.open(tmp_path / "mine", source="mine"):
            writer.write(sample)
    assert read_manifest(Storage(tmp_path / "mine")).layers["boxes"].spec.licence == "CC0-1.0"
    (first,) = pvit_data.open(tmp_path / "again")
    assert first.licence == ""
    for layers, licence in (([], ""), (["boxes"], "not stated; CC0-1.0")):
        dataset = pvit_data.open(tmp_path / "mine", source="mine", layers=layers)
        assert dataset[0].licence == licence
        text = refusal(copy(dataset, tmp_path / f"copy-{len(layers)}"))
        assert "licence: CC0-1.0; not stated" in text
        assert "--rights-confirmed copy" in text


@pytest.mark.parametrize("pictures", ["", "CC0-1.0"])
def test_annotations_that_come_with_their_pictures_words_are_their_makers_own(pictures: str) -> None:
    """Of annotators that give back the sample that they were given, without its pictures."""
    spec = LayerSpec(name="later", base=BaseRef(source="clips", licence=pictures), licence="MIT")
    row = BaseRow("train", 0, 0, "a", 1, 0.0, 4, 4, "")
    for licence, told in ((pictures, "MIT"), (THEIRS, THEIRS)):
        origin = Origin("clips", licence, {"rgb": Rights(licence)}, "{}")
        if licence == THEIRS:  # the boxes are somebody else's
            origin = replace(origin, rights={"boxes": Rights(licence)})
        sample = Sample(key="a", source="clips", licence=licence, boxes=BOX, origins=(origin,))
        assert encode_for(spec, sample, encoding_of(spec, "train"), {"a": row}).record.licence == told


@pytest.mark.parametrize("other", ["CC-BY-4.0", THEIRS])
def test_what_a_licence_forbids_of_annotations_stays_forbidden_beside_others(other: str, tmp_path: Path) -> None:
    told = {"derived": "no", "derived_clause": "They forbid it."}
    spec = SourceSpec(name="clips", licence="Ours (no redistribution)", **told)
    for keys, licence in (("ab", ""), ("c", other)):
        with ShardWriter(tmp_path / "base", spec) as writer:
            for key in keys:
                writer.write(Sample(key=key, num_frames=1, licence=licence))
    mine = {"base": f"{tmp_path / 'base'}#clips", "licence": "MIT", "redistributable": True}
    for folder, licence in (("one", ""), ("two", other)):
        with ShardWriter(tmp_path / folder, "boxes", **mine) as writer:
            writer.write(Sample(key="a", boxes=BOX, licence=licence))
        text = refusal(read_manifest(Storage(tmp_path / folder)), Consent(confirmed=("boxes",)))
        assert "They forbid it" in text or THEIRS in text
    yes = SourceSpec(name="x", licence="A", derived="yes", converter="kinetics400")
    under = under_licences(yes, [other])
    assert derived_rights(under).public == "unknown"  # and the converter is not asked instead
    assert other in derived_rights(under).why


def test_a_protocol_that_copies_labels_is_under_their_rights(tmp_path: Path) -> None:
    own = Rights("Labels (no redistribution)", "no", "The labels are theirs.")
    spec = SourceSpec(name="clips", licence=THEIRS, derived="yes", rights={"action": own}, spaces=VERBS)
    with ShardWriter(tmp_path / "a", spec) as writer:
        for i, key in enumerate("abcd"):
            writer.write(Sample(key=key, num_frames=1, action=i % 2))
    (tmp_path / "classes.txt").write_text("shut\nopen\n")
    argv = ["split", str(tmp_path / "a"), "--name", "halves", "--holdout", "50", "--of", "train"]
    assert main([*argv, "--licence", "MIT", "--redistributable"]) == 0
    argv[3], argv[1:1] = "named", ["--classes", str(tmp_path / "classes.txt")]
    assert main([*argv, "--licence", "MIT", "--redistributable"]) == 0
    own_space = {"action": pvit_data.LabelSpace("own", ("mine", "yours"))}
    for name, spaces in (("copied", VERBS), ("alike", VERBS), ("own", own_space)):
        made = {"base": "clips", "kind": "protocol", "spaces": spaces, "licence": "MIT", "redistributable": True}
        with ShardWriter(tmp_path / "a", name, **made) as writer:
            for sample in pvit_data.open(tmp_path / "a", source="clips"):
                writer.write(sample if name == "copied" else Sample(key=sample.key, action=0))
    found = verdicts(tmp_path / "a")
    assert (found["halves"], found["own"], found["copied"]) == ({"yes"}, {"yes"}, {"no"})
    assert found["named"] == found["alike"] == {"yes", "no"}  # in the source's own classes
    text = refusal(Choice(layers=("alike",)).of(read_manifest(Storage(tmp_path / "a"))))
    assert "(--layers alike --fields record)" in text
    text = refusal(Choice(layers=("named",)).of(read_manifest(Storage(tmp_path / "a"))))
    assert "layer 'named', action: The labels are theirs" in text


def test_chosen_splits_are_under_the_licences_of_their_own_samples(clips: Path) -> None:
    with ShardWriter(clips, "boxes", base="clips", **FREE) as writer:
        writer.write(Sample(key="a", boxes=BOX))
    with ShardWriter(clips, "clips", "test", spaces=VERBS, **FREE) as writer:
        writer.write(Sample(key="d", num_frames=1, licence=THEIRS))
    whole = read_manifest(Storage(clips)).sources["clips"].spec
    assert THEIRS in whole.licence
    manifest, files = plan_files(Storage(clips), "me/clips", Options(Choice(splits=("train",))))
    spec = manifest.sources["clips"].spec
    assert (spec.licence, spec.redistributable, spec.notes) == ("CC0-1.0", True, [])
    assert not [file.name for file in files if "test" in file.name]
    plan_files(Storage(clips), "me/clips", Options(Choice(layers=("boxes",), splits=("train",))))
    with pytest.raises(LicenceError, match="layer 'boxes'"):
        plan_files(Storage(clips), "me/clips", Options(Choice(layers=("boxes",))))
    with pytest.raises(UsageError, match="--sources clips with --layers-only"):
        Choice(sources=("clips",), layers_only=True).of(read_manifest(Storage(clips)))
    for choice in (Choice(splits=("test",)), Choice(splits=("train", "test")), Choice()):
        with pytest.raises(LicenceError, match="no redistribution"):
            plan_files(Storage(clips), "me/clips", Options(choice))
    for receipt in (clips / "clips/receipts").glob("*-00000.json"):
        receipt.unlink()
    assert chosen(Storage(clips), Choice(splits=("train",))).sources["clips"].spec == whole  # nobody knows better


@pytest.mark.parametrize("own", [FREE, {}], ids=["free", "as the pictures"])
def test_a_layer_that_goes_without_its_base_is_under_what_that_says_now(
    clips: Path, tmp_path: Path, own: dict[str, Any]
) -> None:
    with ShardWriter(clips, "boxes", base="clips", **own) as writer:
        writer.write(Sample(key="a", boxes=BOX))
    alone = Choice(layers_only=True)
    _, before = plan_files(Storage(clips), "me/clips", Options(alone))
    again = [file.data for file in before if file.name == "layers/boxes/receipts/source.json"]
    assert again == [(clips / "layers/boxes/receipts/source.json").read_bytes()]
    with ShardWriter(clips, "clips", spaces=VERBS, **FREE) as writer:
        writer.write(Sample(key="d", num_frames=2, licence=THEIRS))
    with pytest.raises(LicenceError, match=r"layer 'boxes': .*--rights-confirmed boxes"):
        plan_files(Storage(clips), "me/clips", Options(alone))
    sure = Consent(confirmed=("boxes",))
    found, files = plan_files(Storage(clips), "me/clips", Options(alone, sure))
    for file in files:
        path = tmp_path / "there" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((clips / file.name).read_bytes() if file.data is None else file.data)
    for _ in range(2):
        there = read_manifest(Storage(tmp_path / "there"))
        assert there.layers == found.layers
        assert verdicts(tmp_path / "there") == {"boxes": {"unknown"}}
        write_manifest(tmp_path / "there")  # from receipts and declarations
    stricter = {"derived": "no", "derived_clause": "Nothing of it."}
    declared = clips / "clips/receipts/source.json"
    declared.write_text(json.dumps(json.loads(declared.read_text()) | stricter))
    write_manifest(clips)
    pull(plan_pull(str(clips), tmp_path / "pulled", alone))
    assert verdicts(tmp_path / "pulled") == {"boxes": {"no"}}
    for choice in (alone, Choice(layers=("boxes",)), Choice(fields=("boxes",), layers_only=True)):
        with pytest.raises(LicenceError, match="made from 'clips': Nothing of it"):
            plan_files(Storage(clips), "me/clips", Options(choice, sure))


def test_what_is_added_to_a_layer_names_its_base_if_that_is_under_other_licences(clips: Path) -> None:
    made = {"base": "clips", "licence": "MIT", "redistributable": True}
    with ShardWriter(clips, "boxes", **made) as writer:
        writer.write(Sample(key="a", boxes=BOX))
    with ShardWriter(clips, "clips", spaces=VERBS, **FREE) as writer:
        writer.write(Sample(key="d", num_frames=2, licence=THEIRS))
    with (
        pytest.raises(UsageError, match="so its base, 'clips', was when the layer was made"),
        ShardWriter(clips, "boxes", **made) as writer,
    ):
        writer.write(Sample(key="d", boxes=BOX))
