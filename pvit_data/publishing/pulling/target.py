"""The folder that a pull writes into: whose files lie there, and what of them would be lost.

What a pull brought may be replaced by another state of it. So each pull notes, in a hidden file, which shards of each
source it left; shards that are others by now, or never came from a pull, are their owner's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pvit_data.errors import FormatError, PvitError, StorageError, UsageError
from pvit_data.format.manifest import (
    FORMAT,
    MAX_MANIFEST_BYTES,
    Manifest,
    ShardInfo,
    check_version,
    read_manifest,
)
from pvit_data.format.manifest import NAME as MANIFEST
from pvit_data.format.names import SHARD_NAME, split_folder
from pvit_data.format.receipts import read_receipt, receipts_in
from pvit_data.format.shard_list import ShardList
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.files import File
from pvit_data.publishing.pulling.fetching import is_here
from pvit_data.reading.open import split_parts
from pvit_data.reading.part import SplitPart
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_data.writing.card import CARD_NAME

NOTE = ".pulled.json"
"""What earlier pulls left: a hash of the shards of each source and layer, by its folder."""


def manifest_in(target: Storage) -> Manifest | None:
    """The manifest of a folder; None where there is none, or a damaged one, which is made again.

    Raises:
        UsageError: if a file of this name is somebody else's, or of a newer format.
    """
    if not target.exists(MANIFEST):
        return None
    try:
        return read_manifest(target)
    except FormatError as error:
        if _is_damaged(target):
            return None
        raise UsageError(
            f"{error}; pull into another folder, or remove the file if it is not needed"
        ) from None


def _is_damaged(target: Storage) -> bool:
    """Whether a manifest that cannot be read is one of ours, of a format that is known here."""
    try:
        data = target.read(MANIFEST, MAX_MANIFEST_BYTES)
        values = parse_json(data, MANIFEST, MAX_MANIFEST_BYTES)
    except FormatError:  # cut off, or never one: the rest of the folder tells
        return bool(receipts_in(target.listing()))
    try:
        check_version(str(values["version"]), MANIFEST)
    except (FormatError, LookupError, TypeError):
        return False
    return bool(values.get("format") == FORMAT)


def fits(target: Storage, there: Manifest | None, whole: Manifest) -> bool:
    """Whether a folder holds nothing else than a dataset does, so that its manifest may lie there."""
    listing = target.listing() if target.root is not None and target.root.is_dir() else {}
    folders = {split_folder(name)[0] for name in receipts_in(listing)}
    return folders | {*(there.entries if there else ())} <= whole.entries.keys()


def require_own(target: Storage, there: Manifest | None, files: Sequence[File]) -> None:
    """Refuses to write over files of a folder that is no dataset: what a stopped pull left there is whole.

    Raises:
        UsageError: naming the first one.
    """
    assert target.root is not None
    if there is not None:
        return
    taken = (file for file in files if os.path.lexists(target.root / file.name))
    name = next((file.name for file in taken if not is_here(target, file)), "")
    if not name and target.exists(CARD_NAME):
        name = "" if utf8(FORMAT) in target.read(CARD_NAME, MAX_MANIFEST_BYTES) else CARD_NAME
    if name:
        raise UsageError(
            f"{target.root / name}: is there with other contents, in a folder without a sound {MANIFEST}: choose "
            "another folder, or remove the file if it is not needed"
        )


def require_state(
    source: Storage,
    target: Storage,
    folder: str,
    manifests: tuple[Manifest, Manifest | None],
    wanted: Collection[str],
) -> None:
    """Refuses to mix two states of a source, and to replace shards that are nowhere else.

    Args:
        source: the dataset.
        target: the folder.
        folder: of the source or layer.
        manifests: of the whole dataset, and the one that lies in the folder.
        wanted: names of files that are pulled.

    Raises:
        UsageError: naming the first file that would stay, and is not as the dataset lists it; or the first shard that
            would be replaced, and is of another state, which no pull left there.
    """
    assert target.root is not None
    files = target.listing() if target.root.is_dir() else ()
    names = [name for name in files if split_folder(name)[0] == folder]
    receipts = receipts_in(names)
    told: dict[str, ShardInfo] = {}
    for name in receipts:
        with suppress(PvitError):
            told[name] = read_receipt(target, name).shard
    whole, there = manifests
    theirs = _shards(source, whole, folder)
    same = {
        each
        for name, shard in told.items()
        if theirs.get(shard.name) == shard
        for each in (name, shard.name)
    }
    shards = [name for name in names if SHARD_NAME.match(name)]
    if others := sorted({*receipts, *shards} - same - {*wanted}):
        raise UsageError(
            f"{target.root / others[0]}: is of another state of '{folder}' than {source.url} has, or did not come to "
            f"its end: pull into another folder, or remove {target.root / folder} if it is not needed, and pull again"
        )
    listed: dict[str, ShardInfo] = {}
    with suppress(PvitError):
        listed = _shards(target, there, folder) if there is not None else {}
    own = listed | {shard.name: shard for shard in told.values()}
    replaced = [name for name in sorted({*shards} & own.keys()) if own[name] != theirs.get(name)]
    is_pulled = all(listed.get(name) == own[name] for name in replaced)
    if replaced and not (is_pulled and _noted(target).get(folder) == _hash(listed)):
        raise UsageError(
            f"{target.root / replaced[0]}: is of another state of '{folder}' than {source.url} has, did not come from "
            f"a pull, and would be lost: pull into another folder, or remove {target.root / folder} if it is not "
            "needed, and pull again"
        )


def _shards(storage: Storage, manifest: Manifest, folder: str) -> dict[str, ShardInfo]:
    """Those of a source or layer that a manifest lists; {} where it lists no such folder."""
    entry = manifest.entries.get(folder)
    splits = entry.splits.items() if entry is not None else ()
    return {s.name: s for split, info in splits for s in ShardList(storage, folder, split, info)}


def note(target: Storage, manifest: Manifest, folders: Iterable[str]) -> None:
    """Notes which shards a pull left, where the folder can be written to; else they count as their owner's.

    Args:
        target: the folder.
        manifest: that lies in it now.
        folders: of the sources and layers that were pulled.
    """
    before = _noted(target)
    now = before | {folder: _hash(_shards(target, manifest, folder)) for folder in folders}
    if now != before:
        with suppress(StorageError):
            target.write(NOTE, utf8(json.dumps(now, indent=2, sort_keys=True) + "\n"))


def _noted(target: Storage) -> dict[str, Any]:
    """What earlier pulls noted; {} where there is nothing that can be read."""
    with suppress(PvitError):
        values = parse_json(target.read(NOTE, MAX_JSON_BYTES), NOTE)
        return values if isinstance(values, dict) else {}
    return {}


def _hash(shards: Mapping[str, ShardInfo]) -> str:
    lines = (f"{name} {shards[name].sha256}\n" for name in sorted(shards))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def require_other_keys(
    source: Storage,
    target: Storage,
    manifests: tuple[Manifest, Manifest | None],
    choice: Choice,
) -> None:
    """Refuses samples whose keys those of other sources in the folder have, from the indices alone.

    Args:
        source: the dataset.
        target: the folder.
        manifests: of what is pulled, and the one that lies in the folder.
        choice: which shards of it.

    Raises:
        UsageError: naming the first one.
        FormatError: if an index is damaged.
    """
    import pyarrow.compute as pc

    manifest, there = manifests
    pulled = split_parts(source, manifest, None, None) if manifest.sources else []
    others = there.sources.keys() - manifest.sources.keys() if there is not None else ()
    for other in sorted(others):
        own = _own_keys(target, there, other)
        for part in pulled:
            keys = _keys(part, choice)
            again = keys.filter(pc.is_in(keys, value_set=own))
            if len(again):
                raise UsageError(
                    f"sample '{again[0].as_py()}' of '{part.spec.name}' in {source.url} is in '{other}' in "
                    f"{target.url} as well, and keys are unique in a dataset: pull into another folder"
                )


def _own_keys(target: Storage, manifest: Manifest | None, name: str) -> Any:
    """Keys of a source that lies in the folder; none where its index is damaged or gone, which is made again."""
    import pyarrow as pa

    found = []
    with suppress(PvitError):
        parts = split_parts(target, manifest, name, None) if manifest is not None else []
        found = [part.keys() for part in parts]
    return pa.chunked_array(found, pa.large_string())


def _keys(part: SplitPart, choice: Choice) -> Any:
    """Keys of the samples in those shards of a split that are wanted."""
    import pyarrow as pa

    if not choice.shards:
        return part.keys()
    wanted = [choice.has_shard(part.shard_number(name)) for name in part.column("shard").tolist()]
    return part.keys().filter(pa.array(wanted, pa.bool_()))
