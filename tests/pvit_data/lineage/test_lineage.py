"""Lineage: whose each field is, by manifests that say it, manifests of before, and layers over bases that restrict."""

import json
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data.format.manifest import (
    BaseRef,
    FileInfo,
    LayerEntry,
    LayerSpec,
    Manifest,
    SourceEntry,
    SourceSpec,
    SplitInfo,
    dump,
    read_manifest,
)
from pvit_data.lineage.fields import FieldLineage, lineage_of, strictest_public
from pvit_data.publishing.card import published_card
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.sample.rights import RECORD, Rights, told_by_layer
from pvit_data.storage.storage import Storage

NONE = FileInfo(bytes=0, sha256="")


def manifest(*specs: SourceSpec, **fields: tuple[str, ...]) -> Manifest:
    """With no samples; fields by name of the source."""

    def split(spec: SourceSpec) -> dict[str, SplitInfo]:
        counts = dict.fromkeys(fields.get(spec.name, ()), 0)
        info = SplitInfo(samples=0, frames=0, bytes=0, fields=counts, members=[], index=NONE, shards=[])
        return {"train": info}

    layers = {s.name: LayerEntry(spec=s, splits=split(s)) for s in specs if isinstance(s, LayerSpec)}
    sources = {s.name: SourceEntry(spec=s, splits=split(s)) for s in specs if s.name not in layers}
    return Manifest(sources=sources, layers=layers, checksum="").sealed()


def by_field(found: Manifest) -> dict[tuple[str, str], FieldLineage]:
    return {(line.name, line.field): line for line in lineage_of(found)}


def test_a_field_has_the_rights_of_its_source_or_its_own() -> None:
    own = Rights("CC-BY-4.0", "yes", "The annotations are ours.", "three students")
    films = SourceSpec(name="films", title="Films", licence="Films (no redistribution)", rights={"boxes": own})
    lines = by_field(manifest(films, films=("rgb", "boxes")))
    assert [*lines] == [("films", RECORD), ("films", "rgb"), ("films", "boxes")]
    rgb, boxes = lines["films", "rgb"], lines["films", "boxes"]
    assert (rgb.public, rgb.licence, rgb.origin) == ("no", "Films (no redistribution)", "Films")
    assert (boxes.public, boxes.licence, boxes.origin, boxes.why) == ("yes", own.licence, own.origin, own.why)
    assert strictest_public(lines.values()) == "no"
    assert strictest_public([boxes]) == "yes"


@pytest.mark.parametrize(
    ("base", "layer", "public"),
    [
        ({"redistributable": True, "licence": "CC0-1.0"}, {"redistributable": True}, "yes"),
        ({"redistributable": True, "licence": "CC0-1.0"}, {"licence": "MIT"}, "unknown"),  # nobody said it of the layer
        ({"redistributable": True, "derived": "no", "derived_clause": "No."}, {"redistributable": True}, "no"),
        ({"licence": "X (no redistribution)", "derived": "yes"}, {"redistributable": True}, "yes"),
        ({"licence": "X (no redistribution)"}, {"redistributable": True}, "unknown"),
        ({"derived": "no"}, {}, "no"),
        ({"derived": "no"}, {"redistributable": True, "derived": "yes"}, "no"),  # the base itself is asked too
        ({"derived": "yes"}, {"redistributable": True, "derived": "no"}, "no"),
        ({"derived": "yes"}, {"licence": "Y (no redistribution)"}, "no"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["annotation", "protocol"])
def test_a_layer_is_under_its_own_licence_and_under_what_its_base_says(
    base: dict[str, object], layer: dict[str, object], public: str, kind: str
) -> None:
    over = SourceSpec(name="clips", **base)
    spec = LayerSpec(name="later", base=BaseRef(source="clips"), kind=kind, made_by="net 2", weights="w.st", **layer)
    line = by_field(manifest(over, spec, later=("depth",)))["later", "depth"]
    assert (line.public, line.kind, line.base, line.origin) == (public, kind, "clips", "net 2")
    assert line.weights == "w.st"
    if base.get("derived") == "no":
        assert line.why.startswith("made from 'clips': ")


@pytest.mark.parametrize(
    ("pictures", "own", "public", "licence"),
    [
        ("CC BY-SA 3.0", "CC0-1.0", "unknown", "CC0-1.0"),
        ("CC-BY-SA-3.0", "CC-BY-4.0", "unknown", "CC-BY-4.0"),
        ("CC-BY-SA-3.0", "CC BY-SA 3.0", "yes", "CC BY-SA 3.0"),
        ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0", "unknown", "CC-BY-NC-SA-4.0"),  # the same, not a narrower one
        ("CC-BY-SA-3.0", "", "yes", "CC-BY-SA-3.0"),
        ("CC-BY-NC-4.0", "MIT", "unknown", "MIT"),
        ("CC-BY-NC-4.0", "CC-BY-SA-4.0", "unknown", "CC-BY-SA-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0", "yes", "CC-BY-NC-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0", "unknown", "CC-BY-NC-4.0"),
        ("CC-BY-NC-ND-4.0", "CC-BY-NC-ND-4.0", "unknown", "CC-BY-NC-ND-4.0"),
        ("CC-BY-ND-4.0", "", "unknown", "CC-BY-ND-4.0"),
        ("Ours (non-commercial)", "MIT", "unknown", "MIT"),
        ("Creative Commons Attribution-ShareAlike 3.0", "CC-BY-SA-3.0", "yes", "CC-BY-SA-3.0"),
        ("CC-BY-4.0", "MIT", "yes", "MIT"),
        ("CC0-1.0", "", "yes", "CC0-1.0"),
    ],
)
def test_a_layer_keeps_the_terms_of_its_pictures_or_somebody_confirms(
    pictures: str, own: str, public: str, licence: str
) -> None:
    """With its base beside it, and alone; one that declares nothing is as the pictures are."""
    clips = SourceSpec(name="clips", licence=pictures, redistributable=True)
    spec = LayerSpec(
        name="later", base=BaseRef.of(clips), licence=own, redistributable=bool(own), **told_by_layer(clips)
    )
    for found in (manifest(clips, spec, later=("depth",)), manifest(spec, later=("depth",))):
        line = by_field(found)["later", "depth"]
        assert (line.public, line.licence, line.base_licence) == (public, licence, pictures)
        assert line.made_from == f"later, derived from the pictures of clips under {pictures}"
        told = f"made from the pictures of 'clips': {pictures} lets that be passed on only "
        assert line.why.startswith(told) == (public == "unknown")
        card = published_card(found, "me/mine", []).decode()
        assert f"derived from the pictures of clips under {pictures}" in card
        assert f"| depth (0) | {licence} | {public} |" in card
        confirmed = require_allowed(found, Consent(confirmed=("later",)))
        assert bool(confirmed) == (public == "unknown")


def test_what_declares_nothing_over_closed_pictures_is_not_for_all() -> None:
    closed = SourceSpec(name="clips", licence="L (no redistribution)", derived="yes", derived_clause="Own ones may go.")
    spec = LayerSpec(name="later", base=BaseRef.of(closed), **told_by_layer(closed))
    (line,) = lineage_of(manifest(spec))
    assert (line.public, line.why) == ("unknown", "nobody said that it may be passed on; licence: not stated")


FREE = SourceSpec(name="clips", licence="CC0-1.0", redistributable=True)


@pytest.mark.parametrize(
    ("made_over", "own"),
    [
        (SourceSpec(name="clips", licence="CC-BY-NC-4.0"), {}),
        (SourceSpec(name="clips", licence="CC-BY-NC-4.0"), {"licence": "MIT", "redistributable": True}),
        (SourceSpec(name="clips"), {}),  # somebody's own, of which nothing was said
        (
            SourceSpec(name="clips", licence="CC-BY-SA-3.0", redistributable=True),
            {"licence": "MIT", "redistributable": True},
        ),
    ],
)
def test_another_source_of_the_bases_name_opens_nothing(made_over: SourceSpec, own: dict[str, object]) -> None:
    """Whoever copies a layer beside it: what the layer was told holds as well, and what this one says, too."""
    spec = LayerSpec(name="later", base=BaseRef.of(made_over), **told_by_layer(made_over), **own)
    for beside in ([], [made_over], [FREE]):
        assert by_field(manifest(*beside, spec, later=("boxes",)))["later", "boxes"].public == "unknown"
    spec = LayerSpec(name="later", base=BaseRef.of(FREE), **told_by_layer(FREE), **own)
    found = [by_field(manifest(*b, spec, later=("boxes",)))["later", "boxes"] for b in ([], [FREE], [made_over])]
    assert [line.public for line in found] == ["yes", "yes", "unknown"]


@pytest.mark.parametrize(
    ("derived", "options", "public"),
    [
        ("yes", {"folds": 5}, "yes"),
        ("unknown", {"per_class": 5}, "yes"),
        ("no", {"folds": 5}, "no"),
        ("yes", {"train": "sha256:0"}, "unknown"),  # somebody's lists
    ],
)
def test_a_division_by_a_rule_is_its_makers_own(derived: str, options: dict[str, object], public: str) -> None:
    """Keys and names of splits; labels that it repeats are not."""
    base = SourceSpec(name="clips", licence="L (no redistribution)", derived=derived)
    made = {"kind": "protocol", "converter": "split", "options": options}
    spec = LayerSpec(name="few", base=BaseRef.of(base), **made, **told_by_layer(base))
    lines = by_field(manifest(spec, few=("action",)))
    assert lines["few", RECORD].public == public
    assert lines["few", "action"].public in ("no", "unknown")


def test_a_layer_alone_knows_what_it_was_told_of_its_base() -> None:
    told = LayerSpec(
        name="later", base=BaseRef(source="clips"), redistributable=True, derived="no", derived_clause="Not at all."
    )
    (line,) = lineage_of(manifest(told))
    assert (line.public, line.why) == ("no", "made from 'clips': Not at all.")
    (line,) = lineage_of(manifest(LayerSpec(name="later", base=BaseRef(source="clips"), redistributable=True)))
    assert (line.public, line.why) == (
        "unknown",
        "made from 'clips': nobody said what its licence allows of annotations",
    )
    closed = BaseRef(source="people", converter="surreact", converter_version="1")
    (line,) = lineage_of(manifest(LayerSpec(name="later", base=closed, redistributable=True)))
    assert line.public == "no"  # as the converter of the base declares
    assert "SURREAL licence forbids" in line.why


def test_a_manifest_of_before_is_answered_by_the_converter() -> None:
    """It has no rights of fields, and nothing about annotations."""
    licence = "annotations CC-BY-4.0; movies of third parties (no redistribution)"
    old = SourceSpec(name="ava", licence=licence, converter="ava", converter_version="1")
    over = LayerSpec(name="later", base=BaseRef(source="ava"), licence="MIT", redistributable=True)
    lines = by_field(manifest(old, over, ava=("rgb", "boxes"), later=("depth",)))
    assert lines["ava", "rgb"].public == "no"
    assert (lines["ava", "boxes"].public, lines["ava", "boxes"].licence) == ("yes", "CC-BY-4.0")
    assert lines["later", "depth"].public == "yes"
    nobody = SourceSpec(name="ava", licence=licence, converter="gone", converter_version="1")
    assert by_field(manifest(nobody, ava=("boxes",)))["ava", "boxes"].public == "no"


def test_rights_are_stored_where_they_say_something_and_older_readers_pass_them_by() -> None:
    plain = json.loads(dump(SourceSpec(name="a")))
    assert "rights" not in plain
    spec = SourceSpec(name="a", rights={"boxes": Rights("MIT", "yes", "so", "us")})
    stored = json.loads(dump(spec))
    assert stored["rights"] == {"boxes": {"licence": "MIT", "public": "yes", "why": "so", "origin": "us"}}
    assert SourceSpec.model_validate(stored) == spec
    stored["rights"]["boxes"]["later"] = 1
    assert SourceSpec.model_validate(stored) == spec
    assert "weights" not in json.loads(dump(LayerSpec(name="b", base=BaseRef(source="a"))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source whose licence lets annotations be passed on, a layer and a protocol over it."""
    out = tmp_path_factory.mktemp("lineage") / "data"
    spec = SourceSpec(
        name="clips", licence="L (no redistribution)", derived="yes", derived_clause="Annotations may go.",
        rights={"action": Rights("MIT", "yes", "The labels are ours.", "us")}, converter="mine", converter_version="3",
        options={"size": 2},
    )  # fmt: skip
    spaces = {"action": pvit_data.LabelSpace("verbs", ("push", "pull"))}
    with pvit_data.ShardWriter(out, spec.model_copy(update={"spaces": spaces})) as writer:
        for i in range(3):
            rgb = np.full((1, 16, 16, 3), i, np.uint8)
            writer.write(pvit_data.Sample(key=f"k{i}", rgb=rgb, action=i % 2 if i else None, meta={"id": f"X{i}"}))
    made = {"made_by": "net 2", "weights": "net2.safetensors", "licence": "MIT", "redistributable": True}
    with pvit_data.ShardWriter(out, "later", base="clips", **made) as writer:
        writer.write(pvit_data.Sample(key="k1", depth=np.ones((1, 16, 16), np.float32)))
    assert main(["split", str(out), "--name", "half", "--holdout", "50"]) == 0
    return out


def test_makers_of_layers_tell_what_their_base_says(folder: Path) -> None:
    found = read_manifest(Storage(folder))
    for spec in (found.layers["later"].spec, found.layers["half"].spec):
        assert (spec.derived, spec.derived_clause) == ("yes", "Annotations may go.")
    assert {line.public for line in lineage_of(found) if line.kind != "source"} == {"yes"}


def test_the_command_tells_it_of_all_and_of_one_sample(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = {(f["name"], f["field"]): f for f in told["fields"]}
    assert told["together"] == "no"
    assert lines["clips", "action"] | {"public": "yes", "origin": "us", "samples": 2} == lines["clips", "action"]
    assert (
        lines["clips", "rgb"] | {"converter": "mine", "converter_version": "3", "options": {"size": 2}}
        == (lines["clips", "rgb"])
    )
    assert lines["later", "depth"] | {"base": "clips", "weights": "net2.safetensors"} == lines["later", "depth"]
    assert main(["lineage", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "net 2, derived from the pictures of clips under L (no redistribution), weights net2.safetensors" in out
    assert "clips, action: The labels are ours." in out
    assert 'clips: converter mine 3, options {"size": 2}' in out

    assert main(["lineage", str(folder), "k1", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert [*rows] == ["clips", "half", "later"]
    assert [f["field"] for f in rows["clips"]["fields"]] == ["record", "rgb", "action"]
    assert rows["clips"] | {"shard": "clips/train-00000.tar", "meta": {"id": "X1"}} == rows["clips"]
    assert [f["field"] for f in rows["later"]["fields"]] == ["record", "depth"]
    assert main(["lineage", str(folder), "k0"]) == 0
    out = capsys.readouterr().out
    assert "later" not in out
    assert '{"id": "X0"}' in out
    assert "action" not in out
    assert main(["lineage", str(folder), "k7"]) == 2
    assert "no sample 'k7'" in capsys.readouterr().err
