"""`croissant.json`: valid Croissant 1.1 whose PROV-O and ODRL triples are those of the lineage, and no others."""

import json
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_data.format.manifest import BaseRef, LayerSpec, Manifest, SourceSpec, read_manifest
from pvit_data.lineage.fields import FieldLineage, lineage_of
from pvit_data.publishing.describing.croissant import croissant
from pvit_data.sample.rights import Rights
from pvit_data.storage.storage import Storage
from tests.pvit_data.publishing.test_guard import manifest as of

PROV, ODRL = "http://www.w3.org/ns/prov#", "http://www.w3.org/ns/odrl/2/"
CC, USAGE = "http://creativecommons.org/ns#", "https://schema.org/usageInfo"
Triples = set[tuple[str, ...]]
"""Paths of properties from a field to a text or an address."""


@pytest.fixture(scope="module")
def found() -> Manifest:
    """Of all answers, with a converter and without, with weights, over a base, under several licences."""
    films = SourceSpec(
        name="films", title="Films", licence="films (no redistribution)", derived="yes", citation="@misc{films}",
        converter="films", converter_version="2", options={"every": 3, "name": "Zoë"},
        rights={
            "boxes": Rights("CC-BY-NC-SA-4.0", "yes", "Ours.", "students"),
            "action": Rights("unknown", "unknown", "Nobody knows."),
        },
    )  # fmt: skip
    depths = LayerSpec(
        name="depths", base=BaseRef(source="films"), made_by="net 2", weights="net2.st", licence="MIT",
        redistributable=True, rights={"normal": Rights("MIT", "yes", "Ours.")},
    )  # fmt: skip
    return of(films, depths, fields=("rgb", "boxes", "action", "depth", "normal"))


def expected(line: FieldLineage, is_confirmed: bool) -> Triples:
    """What the lineage of a field says."""
    found: Triples = {
        (f"{PROV}wasAttributedTo", f"{PROV}label", line.origin),
        (f"{PROV}wasAttributedTo", "type", f"{PROV}Agent"),
        (f"{PROV}wasDerivedFrom", "id", f"urn:pvit:source:{line.base or line.name}"),
        (f"{PROV}wasDerivedFrom", "type", f"{PROV}Entity"),
    }
    made = f"{PROV}wasGeneratedBy"
    if line.converter or line.weights:
        found.add((made, "type", f"{PROV}Activity"))
    if line.converter:
        agent = f"{line.converter} {line.converter_version}"
        found |= {
            (made, f"{PROV}label", f"converted by {agent}"),
            (made, f"{PROV}value", json.dumps(dict(line.options), sort_keys=True)),
            (made, f"{PROV}wasAssociatedWith", f"{PROV}label", agent),
            (made, f"{PROV}wasAssociatedWith", "type", f"{PROV}SoftwareAgent"),
        }
    if line.weights:
        used = (made, f"{PROV}used")
        found |= {(*used, f"{PROV}label", line.weights), (*used, "type", f"{PROV}Entity")}
        if not line.converter:
            found.add((made, f"{PROV}label", f"made by {line.origin}"))
    may = line.public == "yes" or (line.public == "unknown" and is_confirmed)
    rule, kind = ("permission", "Permission") if may else ("prohibition", "Prohibition")
    found |= {
        (USAGE, "type", f"{ODRL}Offer"),
        (USAGE, f"{ODRL}{rule}", "type", f"{ODRL}{kind}"),
        (USAGE, f"{ODRL}{rule}", f"{ODRL}action", "id", f"{ODRL}distribute"),
    }
    if may and line.licence == "CC-BY-NC-SA-4.0":
        duty = (USAGE, f"{ODRL}permission", f"{ODRL}duty")
        found |= {
            (*duty, "type", f"{ODRL}Duty"),
            (*duty, f"{ODRL}action", "id", f"{ODRL}attribute"),
            (*duty, f"{ODRL}action", "id", f"{CC}ShareAlike"),
            (USAGE, f"{ODRL}prohibition", "type", f"{ODRL}Prohibition"),
            (USAGE, f"{ODRL}prohibition", f"{ODRL}action", "id", f"{CC}CommercialUse"),
        }
    return found


def is_lineage(path: tuple[str, ...]) -> bool:
    """Whether a path says provenance or policy; the words beside a policy are for people."""
    return any(part.startswith((PROV, ODRL)) for part in path)


def paths(values: dict[str, Any], context: dict[str, Any]) -> Triples:
    """Those from a node of JSON-LD, with the context's prefixes written out."""

    def whole(name: str) -> str:
        prefix, is_there, rest = name.partition(":")
        return f"{context[prefix]}{rest}" if is_there and prefix in context else name

    found: Triples = set()
    for key, value in values.items():
        name = {"@type": "type", "@id": "id"}.get(key)
        name = name or (whole(key) if ":" in key else context["@vocab"] + key)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                found |= {(name, *path) for path in paths(each, context)}
            else:
                found.add((name, whole(each) if key.startswith("@") else each))
    return found


SENTENCE = "films: somebody confirmed it."


@pytest.mark.parametrize("confirmed", [{}, {"films": SENTENCE}])
def test_its_triples_are_those_of_the_lineage(found: Manifest, confirmed: dict[str, str]) -> None:
    values = json.loads(croissant(found, "me/films", confirmed))
    fields = {field["@id"]: field for record in values["recordSet"] for field in record["field"]}
    lineage = {f"{line.name}/{line.field}": line for line in lineage_of(found)}
    assert [*fields] == [*lineage]
    assert {line.public for line in lineage.values()} == {"yes", "no", "unknown"}
    for name, line in lineage.items():
        told = {path for path in paths(fields[name], values["@context"]) if is_lineage(path)}
        assert told == expected(line, line.name in confirmed), name
        assert fields[name]["usageInfo"]["name"] == line.licence
        assert fields[name]["usageInfo"]["description"].startswith(line.why)
        is_said = SENTENCE in fields[name]["usageInfo"]["description"]
        assert is_said == (line.public == "unknown" and line.name in confirmed)


def test_it_has_what_croissant_asks_for(dataset: Path) -> None:
    values = json.loads(croissant(read_manifest(Storage(dataset)), "me/mine"))
    assert (values["@type"], values["conformsTo"]) == ("sc:Dataset", "http://mlcommons.org/croissant/1.1")
    assert (values["name"], values["license"]) == ("mine", ["CC0-1.0"])
    assert values["url"] == "https://huggingface.co/datasets/me/mine"
    ids = [node["@id"] for node in values["distribution"]]
    ids += [node["@id"] for record in values["recordSet"] for node in (record, *record["field"])]
    assert len(ids) == len(set(ids))
    for record in values["recordSet"]:
        assert record["key"]["@id"] in ids
        for field in record["field"]:
            assert field["source"]["fileSet"]["@id"] in ids
    for node in values["distribution"]:
        if "containedIn" in node:
            assert node["containedIn"]["@id"] in ids
            includes = node["includes"]
            for pattern in [includes] if isinstance(includes, str) else includes:
                assert [*dataset.glob(pattern)], pattern
    assert croissant(read_manifest(Storage(dataset)), "me/mine") == croissant(
        read_manifest(Storage(dataset)), "me/mine"
    )


def test_mlcroissant_takes_it(dataset: Path, found: Manifest, tmp_path: Path) -> None:
    """It validates, its reader gives the samples of the index, and an RDF library expands it to the same triples."""
    import mlcroissant

    file = tmp_path / "croissant.json"
    file.write_bytes(croissant(read_manifest(Storage(dataset)), "me/mine"))
    read = mlcroissant.Dataset(jsonld=file, mapping={"repo": dataset})
    assert not read.metadata.ctx.issues.errors
    rows = [*read.records("clips")]
    assert sorted(row["clips/record"].decode() for row in rows) == sorted(
        pvit_data.open(dataset, source="clips").keys().to_pylist()
    )
    assert all(bool(row["clips/rgb"]) for row in rows)
    rdflib = pytest.importorskip("rdflib")
    data = croissant(found, "me/films")
    graph = rdflib.Graph().parse(data=data, format="json-ld", publicID="http://here/")
    for line in lineage_of(found):
        node = rdflib.URIRef(f"http://here/{line.name}/{line.field}")
        assert {p for p in walked(graph, node) if is_lineage(p)} == expected(line, False)


def walked(graph: Any, node: Any) -> Triples:
    """The paths from a node of an RDF graph."""
    from rdflib import RDF, BNode, Literal

    found: Triples = set()
    for _, name, value in graph.triples((node, None, None)):
        key = "type" if name == RDF.type else str(name)
        if isinstance(value, Literal) or key == "type":
            found.add((key, str(value)))
            continue
        if not isinstance(value, BNode):
            found.add((key, "id", str(value)))
        if key.startswith((PROV, ODRL)) or key == USAGE:
            found |= {(key, *path) for path in walked(graph, value)}
    return found
