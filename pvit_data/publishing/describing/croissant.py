"""`croissant.json`: the dataset in Croissant 1.1, for programs that look for data, with the lineage of each field.

Provenance is told in PROV-O, what may be done in ODRL, as Croissant recommends. Each source and layer is a record set
over its index, with a field for each of its fields and one, `record`, for what every sample has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pvit_data.format.index import index_name
from pvit_data.format.manifest import Manifest, SourceEntry
from pvit_data.lineage.fields import FieldLineage, lineage_of
from pvit_data.sample.rights import RECORD, terms_of
from pvit_data.storage.files import utf8
from pvit_data.writing.card import shards_of

HUB = "https://huggingface.co/datasets"
VERSION = "http://mlcommons.org/croissant/1.1"
CREATIVE_COMMONS = {
    "by": "odrl:attribute",
    "sa": "cc:ShareAlike",
}
"""What the parts of a Creative Commons licence ask of whoever passes the data on."""

_CROISSANT = (
    "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileProperty",
    "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
    "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in _CROISSANT},
    "cc": "http://creativecommons.org/ns#",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
"""That of the specification, and the vocabularies of lineage."""


def croissant(
    manifest: Manifest, repo: str, confirmed: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The description, as UTF-8 JSON-LD; the same for the same arguments.

    Args:
        manifest: of what is published.
        repo: owner/name.
        confirmed: what whoever publishes confirmed, as the card says it, by name of source or layer.
    """
    entries = [*manifest.sources.values(), *manifest.layers.values()]
    entries.sort(key=lambda entry: (entry.spec.folder != entry.spec.name, entry.spec.name))
    lineage = lineage_of(manifest)
    citations = [entry.spec.citation.strip() for entry in entries if entry.spec.citation]
    titles = ", ".join(entry.spec.title or entry.spec.name for entry in entries)
    values = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": repo.rpartition("/")[2],
        "description": f"{titles}: PViT shards, WebDataset archives with an index beside them.",
        "url": f"{HUB}/{repo}",
        "license": [*dict.fromkeys(line.licence or "not stated" for line in lineage)],
        **({"citeAs": "\n\n".join(citations)} if citations else {}),
        "distribution": [_repository(repo), *(f for entry in entries for f in _files(entry))],
        "recordSet": [_records(entry, lineage, confirmed) for entry in entries],
    }
    return utf8(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _repository(repo: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": "repo",
        "name": "repo",
        "description": "The repository on the Hugging Face Hub; manifest.json has the sha256 of each file.",
        "contentUrl": f"{HUB}/{repo}",
        "encodingFormat": "git+https",
        "sha256": "see manifest.json",
    }


def _files(entry: SourceEntry) -> Iterator[dict[str, Any]]:
    """Sets of files: its indices, and its shards."""
    folder = entry.spec.folder
    shards = [shards_of(entry, split) for split in sorted(entry.splits)]
    patterns = [each for one in shards for each in ([one] if isinstance(one, str) else one)]
    indices = [index_name(folder, split) for split in sorted(entry.splits)]
    for what, kind, includes in (
        ("index", "application/x-parquet", indices),
        ("shards", "application/x-tar", patterns),
    ):
        yield {
            "@type": "cr:FileSet",
            "@id": f"{folder}/{what}",
            "name": f"{folder}/{what}",
            "containedIn": {"@id": "repo"},
            "encodingFormat": kind,
            "includes": includes if len(includes) > 1 else includes[0],
        }


def _records(
    entry: SourceEntry, lineage: Sequence[FieldLineage], confirmed: Mapping[str, str]
) -> dict[str, Any]:
    name = entry.spec.name
    mine = [line for line in lineage if line.name == name]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The samples of {entry.spec.title or name}, by its index.",
        "key": {"@id": f"{name}/{RECORD}"},
        "field": [_field(line, entry, confirmed.get(name, "")) for line in mine],
    }


def _field(line: FieldLineage, entry: SourceEntry, confirmed: str) -> dict[str, Any]:
    """A field with its lineage; its value says whether a sample has it, `record` is the sample's key."""
    is_record = line.field == RECORD
    column = "key" if is_record else f"has_{line.field}"
    text = "key, and with it split, sizes and meta" if is_record else f"whether it has {line.field}"
    return {
        "@type": "cr:Field",
        "@id": f"{line.name}/{line.field}",
        "name": f"{line.name}/{line.field}",
        "description": f"{text}; {line.samples} samples",
        "dataType": "sc:Text" if is_record else "sc:Boolean",
        "source": {
            "fileSet": {"@id": f"{entry.spec.folder}/index"},
            "extract": {"column": column},
        },
        **_provenance(line),
        "usageInfo": _policy(line, confirmed),
    }


def _provenance(line: FieldLineage) -> dict[str, Any]:
    """Who made it, from what, and how it came into shards."""
    made_by = {"@type": "prov:Agent", "prov:label": line.origin}
    source = {"@type": "prov:Entity", "@id": f"urn:pvit:source:{line.base or line.name}"}
    found: dict[str, Any] = {"prov:wasAttributedTo": made_by, "prov:wasDerivedFrom": source}
    used = {"@type": "prov:Entity", "prov:label": line.weights}
    if line.converter:
        agent = f"{line.converter} {line.converter_version}".strip()
        found["prov:wasGeneratedBy"] = {
            "@type": "prov:Activity",
            "prov:label": f"converted by {agent}",
            "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "prov:label": agent},
            "prov:value": json.dumps(dict(line.options), sort_keys=True),
            **({"prov:used": used} if line.weights else {}),
        }
    elif line.weights:
        label = f"made by {line.origin}"
        found["prov:wasGeneratedBy"] = {
            "@type": "prov:Activity",
            "prov:label": label,
            "prov:used": used,
        }
    return found


def _policy(line: FieldLineage, confirmed: str) -> dict[str, Any]:
    """Whether it may be passed on, and what for; what nobody knows may not, unless somebody confirmed it."""
    distribute = {"odrl:action": {"@id": "odrl:distribute"}}
    is_confirmed = bool(confirmed) and line.public == "unknown"
    reason = f"{line.why.removesuffix('.')}. {confirmed}" if is_confirmed else line.why
    rule: dict[str, Any] = {"odrl:prohibition": {"@type": "odrl:Prohibition", **distribute}}
    if line.public == "yes" or is_confirmed:
        parts = terms_of(line.licence)
        asked = [action for part, action in CREATIVE_COMMONS.items() if part in parts]
        duties = [{"@type": "odrl:Duty", "odrl:action": {"@id": action}} for action in asked]
        permission = {"@type": "odrl:Permission", **distribute}
        rule = {"odrl:permission": permission | ({"odrl:duty": duties} if duties else {})}
        if "nc" in parts:
            action = {"odrl:action": {"@id": "cc:CommercialUse"}}
            rule["odrl:prohibition"] = {"@type": "odrl:Prohibition", **action}
    return {
        "@type": ["sc:CreativeWork", "odrl:Offer"],
        "name": line.licence or "not stated",
        "description": reason,
        **rule,
    }
