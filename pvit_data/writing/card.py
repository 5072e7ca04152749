"""`README.md`: the dataset's card, with every field declared so that `load_dataset` and the Hub's viewer see all.

Without declared features `datasets` takes the columns of the first five samples, and drops what appears later.
Videos are declared undecoded (decoding needs torchcodec); TIFF members are images: `seek(n)` reaches page n.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pvit_data.codecs.pictures import STILL
from pvit_data.format.index import index_name
from pvit_data.format.manifest import CONVENTIONS, LayerEntry, Manifest, SourceEntry, SourceSpec
from pvit_data.format.members import MEMBER_OF_EXTENSION, RECORD
from pvit_data.format.names import PART_FOLDERS, PER_FOLDER
from pvit_data.format.record import LAYER_TYPES, TYPES
from pvit_data.sample.rights import is_open
from pvit_data.sample.sample import CONTAINERS, is_later
from pvit_data.storage.files import utf8
from pvit_data.words import size_text
from pvit_data.writing.loading_lines import (
    Place,
    is_table,
    layer_lines,
    recipes,
    splits_of,
)

CARD_NAME = "README.md"
MAX_LICENCE_NAME = 80

# Identifiers that the Hub knows among those that video and depth datasets use; all others are "other".
HUB_LICENCES = frozenset(
    {
        "apache-2.0", "mit", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0",
        "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    }
)  # fmt: skip
TASK_CATEGORIES = {
    "action": "video-classification",
    "actions": "video-classification",
    "depth": "depth-estimation",
    "segm": "image-segmentation",
    "boxes": "object-detection",
    "pose3d": "keypoint-detection",
    "pose2d": "keypoint-detection",
}
"""What the Hub calls what a field is for."""
Said = Mapping[str, tuple[Collection[str], str]]
_STEPS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_SIZES = [
    (10 ** (number + 3), f"{_STEPS[number - 1]}<n<{step}" if number else f"n<{step}")
    for number, step in enumerate(_STEPS)
]
_SCALARS = {int: "int64", float: "float64", str: "string"}
_LISTS = {list[int]: "int64", list[float]: "float64", list[str]: "string"}
# Data type and rank of the .npy members.
_ARRAYS = {
    "boxes": ("float32", 2),
    "boxes_id": ("int32", 2),
    "boxes_labels": ("int32", 2),
    "boxes_score": ("float32", 1),
    "camera_k": ("float32", 3),
    "camera_pose": ("float32", 3),
    "pose2d": ("float32", 4),
    "pose3d": ("float32", 4),
    "pose3d_valid": ("uint8", 3),
}


def write_card(manifest: Manifest, said: Said | None = None, repo: str = "") -> bytes:
    """The card of a dataset, as UTF-8 Markdown with a YAML head.

    Args:
        manifest: of the dataset.
        said: licences of each source and layer, and whether it may be passed on. Default: what they declare.
        repo: owner/name of where it is published, for the lines that load it.
    """
    import yaml

    entries = {entry.spec.name: entry for entry in _entries(manifest)}
    said = said or {name: _declared(entry.spec) for name, entry in entries.items()}
    fields = {field for entry in entries.values() for field in entry.fields}
    tasks = [task for field, task in TASK_CATEGORIES.items() if field in fields]
    head = {
        **licence_head({licence for licences, _ in said.values() for licence in licences}),
        "pretty_name": ", ".join(entries),
        **({"task_categories": [*dict.fromkeys(tasks)]} if tasks else {}),
        "size_categories": [_size(manifest)],
        "tags": ["video", "multi-task", "webdataset", "pvit-shards"],
        **_configs(configured(manifest)),
    }
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    return utf8(f"---\n{front}---\n{_body(manifest, said, Place(repo))}")


def configured(manifest: Manifest) -> dict[str, SourceEntry]:
    """What `load_dataset` can load by name: all that lies in archives, or protocols, whose tables are Parquet files.

    `datasets` reads one kind of files in a folder, so protocols have configurations where there is nothing else.
    """
    entries = {entry.spec.name: entry for entry in _entries(manifest)}
    archives = {name: entry for name, entry in entries.items() if not is_table(entry)}
    return archives or entries


def _configs(entries: dict[str, SourceEntry]) -> dict[str, Any]:
    configs = [
        {
            "config_name": name,
            "data_files": [{"split": s, "path": _files_of(entry, s)} for s in splits_of(entry)],
            **({} if number else {"default": True}),
        }
        for number, (name, entry) in enumerate(entries.items())
    ]
    declared = [
        {"config_name": name, "features": features(entry)}
        for name, entry in entries.items()
        if not is_table(entry)
    ]
    return {"configs": configs, **({"dataset_info": declared} if declared else {})}


def _files_of(entry: SourceEntry, split: str) -> str | list[str]:
    """What `load_dataset` reads of a split."""
    return index_name(entry.spec.folder, split) if is_table(entry) else shards_of(entry, split)


def shards_of(entry: SourceEntry, split: str) -> str | list[str]:
    """The pattern of a split's shards; two of them where there are more than one folder holds."""
    name = entry.spec.folder
    first = f"{name}/{split}-*.tar"
    return (
        first
        if entry.splits[split].last < PER_FOLDER
        else [first, f"{name}/{PART_FOLDERS}/{split}-*.tar"]
    )


def features(entry: SourceEntry, later: bool = True) -> list[dict[str, Any]]:
    """Declared columns of one source, in the notation of `dataset_info.features`.

    Args:
        entry: of the manifest.
        later: with the record's keys of fields that format 1.0 does not have.
    """
    found = {member for split in entry.splits.values() for member in split.members}
    members = sorted(found & MEMBER_OF_EXTENSION.keys())  # a newer minor version may know more
    return [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        *({"name": m, **_feature(m, later, isinstance(entry, LayerEntry))} for m in members),
    ]


def _feature(member: str, later: bool, of_layer: bool) -> dict[str, Any]:
    name, _, extension = member.partition(".")
    if member == RECORD:
        types = LAYER_TYPES if of_layer else TYPES
        keys = {key: kind for key, kind in types.items() if later or not is_later(key)}
        return {"struct": [{"name": key, **_value(kind)} for key, kind in keys.items()]}
    if extension in ("tif", STILL):
        return {"dtype": "image"}
    if extension in CONTAINERS:
        return {"dtype": {"video": {"decode": False}}}
    feature: Any
    feature, rank = _ARRAYS[name]
    for _ in range(rank):
        feature = {"list": feature}
    return dict(feature)


def _value(kind: Any) -> dict[str, Any]:
    return {"dtype": _SCALARS[kind]} if kind in _SCALARS else {"list": _LISTS[kind]}


def licence_head(licences: Iterable[str]) -> dict[str, str | list[str]]:
    """What a card's head says of licences: identifiers that the Hub knows, or `other` with a name.

    >>> licence_head(["CC-BY-4.0"]), licence_head(["Ours (research only)"])["license_name"]
    ({'license': 'cc-by-4.0'}, 'ours-research-only')
    """
    found = sorted({licence.lower() for licence in licences})
    if set(found) <= HUB_LICENCES:
        return {"license": found[0] if len(found) == 1 else found}
    return other_licence(found)


def other_licence(licences: Iterable[str]) -> dict[str, str | list[str]]:
    """The same for licences that the Hub has no identifier for: a name, and where they are told of."""
    texts = sorted({licence.lower() for licence in licences})
    named = [re.sub(r"[^a-z0-9.]+", "-", text).strip("-.") or "not-stated" for text in texts]
    name = "-and-".join(named)
    name = name if len(name) <= MAX_LICENCE_NAME else "several-licences"
    return {"license": "other", "license_name": name, "license_link": CARD_NAME}


def _size(manifest: Manifest) -> str:
    """How many samples there are, as the Hub says it."""
    entries = manifest.sources or manifest.layers
    samples = sum(info.samples for e in entries.values() for info in e.splits.values())
    below = [(limit, name) for limit, name in _SIZES if samples < limit]
    return below[0][1] if below else "n>1T"


def _body(manifest: Manifest, said: Said, place: Place) -> str:
    entries = _entries(manifest)
    first = next(iter(configured(manifest).values()))
    rows = [_row(entry, *said[entry.spec.name]) for entry in entries]
    citations = [
        f"```bibtex\n{e.spec.citation.strip().replace('```', '')}\n```"
        for e in entries
        if e.spec.citation
    ]
    notes = [f"- {entry.spec.name}: {note}" for entry in entries for note in entry.spec.notes]
    parts = [
        f"\n# {', '.join(entry.spec.title or entry.spec.name for entry in entries)}\n",
        f"PViT shards, format version {manifest.version}: plain WebDataset archives with an index beside them.\n",
        "| source | split | samples | frames | size | annotations (samples) | licence | may be shared |",
        "| --- | --- | ---: | ---: | ---: | --- | --- | --- |",
        *(line for row in rows for line in row),
        "\n## Load\n",
        recipes(manifest, first, place),
        "## Conventions\n",
        *(f"- **{name}**: {text}" for name, text in CONVENTIONS.items()),
        *layer_lines(manifest, place),
        *(["\n## Notes\n", *notes] if notes else []),
        *(["\n## Citation\n", *citations] if citations else []),
    ]
    return "\n".join(parts) + "\n"


def _entries(manifest: Manifest) -> list[SourceEntry]:
    """Sources, then layers, each by name."""
    layers = [manifest.layers[name] for name in sorted(manifest.layers)]
    return [*(manifest.sources[name] for name in sorted(manifest.sources)), *layers]


def _declared(spec: SourceSpec) -> tuple[tuple[str], str]:
    is_free = is_open(spec) and all(rights.public == "yes" for rights in spec.rights.values())
    return (spec.licence,), "yes" if is_free else "no"


def _row(entry: SourceEntry, licences: Collection[str], shared: str) -> list[str]:
    tail = f"{'; '.join(licence or 'not stated' for licence in licences)} | {shared} |"
    rows = []
    for name in splits_of(entry):
        split = entry.splits[name]
        fields = ", ".join(f"{field} ({count})" for field, count in sorted(split.fields.items()))
        size = size_text(split.bytes)
        rows.append(
            f"| {entry.spec.name} | {name} | {split.samples} | {split.frames} | {size} | {fields} | {tail}"
        )
    return rows
