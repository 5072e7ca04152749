"""What else is in the folder: the card, keys and groups across sources, and files that do not belong there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pvit_data.errors import ConfigError, FormatError, PvitError
from pvit_data.format import manifest as manifests
from pvit_data.format.manifest import LayerSpec, Manifest, SourceSpec
from pvit_data.format.names import (
    CROISSANT,
    GALLERY,
    IN_SOURCE,
    PART_FOLDER,
    PICTURE,
    SHARD_FILE,
    SHARD_NAME,
    split_folder,
)
from pvit_data.storage.files import PART, is_litter
from pvit_data.storage.storage import Storage
from pvit_data.storage.values import parse_yaml
from pvit_data.validate.problems import Problem
from pvit_data.validate.shard import ShardFacts
from pvit_data.validate.survey import Survey
from pvit_data.writing.card import CARD_NAME, configured, features, shards_of
from pvit_data.writing.loading_lines import is_table

# Notes of `energon prepare`.
_ENERGON = re.compile(rf"[^/]+/(\.nv-meta/[^/]+|(?:{PART_FOLDER}/)?{SHARD_FILE}\.tar\.idx)\Z")
MAX_CARD_BYTES, MAX_HEAD_BYTES = 1 << 24, 500_000  # YAML takes seconds a megabyte


def check_folder(storage: Storage, found: Survey) -> Iterator[Problem]:
    """Findings about everything but the contents of shards and tables."""
    if found.manifest is not None:
        yield from _card(storage, found.manifest)
    yield from _keys(found)
    yield from _groups(found)
    yield from _files(found)


def read_head(data: bytes) -> Any:
    """The YAML values at the head of a card.

    Raises:
        FormatError: if there are none, they are too many, or no plain values.
    """
    parts = data.split(b"---\n", 2)
    if len(parts) < 3 or len(parts[1]) > MAX_HEAD_BYTES:
        raise FormatError(f"no YAML of at most {MAX_HEAD_BYTES} bytes between two lines '---'")
    try:
        return parse_yaml(parts[1].decode(), CARD_NAME)
    except (ConfigError, UnicodeDecodeError) as error:
        raise FormatError(str(error)) from error


def _card(storage: Storage, manifest: Manifest) -> Iterator[Problem]:
    """The declared features of every source: without them `load_dataset` silently loses fields."""
    try:
        if not storage.exists(CARD_NAME):
            yield Problem("card-missing", CARD_NAME, "", "no such file")
            return
        declared, splits = declared_in(storage.read(CARD_NAME, MAX_CARD_BYTES))
    except PvitError as error:
        yield Problem("card-differs", CARD_NAME, "", f"its head cannot be read: {error}")
        return
    for name, entry in configured(manifest).items():
        if is_table(entry):
            continue
        if declared.get(name) not in (features(entry), features(entry, later=False)):
            yield Problem(
                "card-differs", CARD_NAME, "", f"the features of {name} are not those of its shards"
            )
        if splits.get(name) != {split: shards_of(entry, split) for split in entry.splits}:
            yield Problem(
                "card-differs", CARD_NAME, "", f"the data files of {name} are not its shards"
            )


def declared_in(card: bytes) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The features and the files of each split that a card declares, by source.

    Raises:
        FormatError: if its head is no YAML, or declares nothing.
    """
    try:
        head = read_head(card)
        declared = {info["config_name"]: info["features"] for info in head.get("dataset_info", ())}
        splits = {
            c["config_name"]: {f["split"]: f["path"] for f in c["data_files"]}
            for c in head["configs"]
        }
    except (LookupError, TypeError, AttributeError):
        raise FormatError(
            "it declares no configurations as 'pvit-data finish' writes them"
        ) from None
    return declared, splits


def _keys(found: Survey) -> Iterator[Problem]:
    """Keys that come twice: among all sources, or within a layer."""
    for scope in dict.fromkeys(map(_scope, found.shards)):
        yield from _twice([facts for facts in found.shards if _scope(facts) == scope])


def _scope(facts: ShardFacts) -> str:
    return facts.spec.folder if isinstance(facts.spec, LayerSpec) else ""


def _twice(shards: Sequence[ShardFacts]) -> Iterator[Problem]:
    # Numbers of eight bytes instead of millions of keys; only keys whose number comes again are kept.
    numbers = [np.fromiter(map(hash, f.rows["key"]), np.int64, len(f)) for f in shards]
    values, counts = np.unique(
        np.concatenate([*numbers, np.empty(0, np.int64)]), return_counts=True
    )
    again = set(values[counts > 1].tolist())
    places: dict[str, str] = {}
    for facts in shards if again else ():
        for key in facts.rows["key"]:
            if hash(key) not in again:
                continue
            if key in places:
                yield Problem("duplicate-key", facts.name, key, f"also in {places[key]}")
            places[key] = facts.name


def _groups(found: Survey) -> Iterator[Problem]:
    """Groups in two splits; those of an annotation layer are its base's, of which they are told."""
    shards = [facts for facts in found.shards if not _takes_splits(facts.spec)]
    splits = {(facts.spec.folder, facts.split) for facts in shards}
    of_several = {name for name, count in Counter(n for n, _ in splits).items() if count > 1}
    firsts: dict[str, dict[str, str]] = {name: {} for name in of_several}
    for facts in (facts for facts in shards if facts.spec.folder in of_several):
        for group in dict.fromkeys(facts.rows["group"]):
            first = firsts[facts.spec.folder].setdefault(group, facts.split)
            if first != facts.split:
                yield Problem(
                    "group-split", facts.name, "", f"group '{group}' is in {first} as well"
                )


def _takes_splits(spec: SourceSpec) -> bool:
    return isinstance(spec, LayerSpec) and spec.kind == "annotation"


def _files(found: Survey) -> Iterator[Problem]:
    shards = {facts.name for facts in found.shards}
    folders = {facts.spec.folder for facts in found.shards}
    for name in (n for n in sorted(found.listing) if not any(map(is_litter, n.split("/")))):
        folder, _, base = name.rpartition("/")
        if PART in base:
            yield Problem("partial-file", name, "", "a temporary file")
        elif (
            name in shards
            or name in (manifests.NAME, CARD_NAME, CROISSANT, PICTURE, GALLERY)
            or base.endswith(".in-work")
            or _ENERGON.match(name)
        ):
            continue
        elif SHARD_NAME.match(name):
            yield Problem("stray-shard", name, "", "not listed in manifest, index or receipts")
        elif split_folder(name)[0] in folders and not base.startswith("."):
            if not IN_SOURCE.fullmatch(split_folder(name)[1]):
                yield Problem("stray-file", name, "", "not a file of the format")
        elif not folder.startswith(".") and not base.startswith("."):
            yield Problem("unknown-file", name, "", "not a file of the format")
