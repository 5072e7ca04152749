"""A dataset without some of its fields, in a folder of its own: shards are written anew, of the same members' bytes.

So a source can be published whose annotations may be passed on and whose pictures may not. The same dataset gives the
same bytes each time; so what was published of it before is not sent again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from pvit_data.errors import StorageError
from pvit_data.format.manifest import (
    LayerSpec,
    Manifest,
    SourceEntry,
    SourceSpec,
    read_manifest,
)
from pvit_data.format.members import FIELDS, RECORD
from pvit_data.format.receipts import store_source
from pvit_data.format.record import LAYER_TYPES, Record, write_record
from pvit_data.lineage.fields import FieldLineage, fields_of, lineage_of, pictures_of
from pvit_data.publishing.choice import Choice, chosen
from pvit_data.publishing.guard import Consent, require_allowed
from pvit_data.reading.layers.fields import SPACES, field_of_file, said
from pvit_data.reading.part import SplitPart
from pvit_data.sample.rights import RECORD as WHOLE_RECORD
from pvit_data.sample.rights import Rights, rights_of, together
from pvit_data.storage.storage import Storage
from pvit_data.writing.encode import Encoded
from pvit_data.writing.finish import write_manifest
from pvit_data.writing.shard import ShardFile

Progress = Callable[[int, int], None]
ABOUT_FILES = ("split", "fps", "height", "width", "num_frames", "is_still", "reencoded")
ABOUT_IDS = ("unique_id", "video_id", "vid_name", "youtube_id", "id")
ABOUT_TIMES = (
    *("start", "end", "unit", "time_start", "time_end", "second", "key_frame", "grid", "range"),
    *(f"parent_{end}_{unit}" for end in ("start", "end") for unit in ("frame", "sec")),
)
NEUTRAL = (*ABOUT_FILES, *ABOUT_IDS, *ABOUT_TIMES)
"""Entries of `meta` that repeat no label: where a field is left out, no others stay, unless `record` is wanted."""


def _nothing(done: int, total: int) -> None:
    """Shows no progress."""


@contextmanager
def only_fields(
    storage: Storage,
    choice: Choice,
    consent: Consent,
    shown: Callable[[], AbstractContextManager[Progress]] = lambda: nullcontext(_nothing),
) -> Iterator[tuple[Storage, Choice]]:
    """What is to be published, and the choice of it; where fields are chosen, that is a dataset made for the moment.

    Args:
        storage: the dataset.
        choice: what of it is wanted.
        consent: asked first, so that nothing is written in vain.
        shown: what shows progress while it is written: samples that are, and all.

    Raises:
        UsageError: if a name is not there.
        LicenceError: if something of it may not be published so.
        CorruptShardError: if a sample is damaged.
        StorageError: if the folder for temporary files is full.
    """
    if not choice.fields:
        yield storage, choice
        return
    wanted = chosen(storage, choice)
    require_allowed(wanted, consent)
    with tempfile.TemporaryDirectory(prefix="pvit-fields-") as folder:
        out = Storage(Path(folder))
        try:
            with shown() as progress:
                write_fields(storage, wanted, out, progress, WHOLE_RECORD in choice.fields)
        except StorageError as error:
            if folder not in str(error):
                raise
            raise StorageError(
                f"--fields writes its shards into {folder} first, and that failed ({error}): "
                "set TMPDIR to a folder with more room"
            ) from None
        yield out, Choice()


def write_fields(
    storage: Storage, wanted: Manifest, out: Storage, progress: Progress, has_record: bool = False
) -> None:
    """Writes a dataset that has only the fields that a manifest lists.

    Args:
        storage: the dataset.
        wanted: its manifest, without what shall not be there.
        out: gets it; empty.
        progress: is told samples that are written, and all.
        has_record: all of `meta` stays; else of samples that lose a field only `NEUTRAL`.

    Raises:
        CorruptShardError: if a sample is damaged.
        StorageError: if one cannot be read or written.
    """
    whole = sum(info.samples for e in wanted.entries.values() for info in e.splits.values())
    done = 0
    lineage = lineage_of(wanted)
    there = read_manifest(storage).entries
    for folder, entry in wanted.entries.items():
        kept = fields_of(entry)
        meta = None if has_record or there[folder].fields <= entry.fields else NEUTRAL
        spec = _narrowed(entry.spec, [line for line in lineage if line.name == entry.spec.name])
        spec = _with_pictures(spec, pictures_of(entry.spec, wanted))
        store_source(out, spec)
        for part in _parts(storage, entry, wanted):
            for shard in _shards(out, spec, part, kept, meta):
                done += shard.samples
                progress(done, whole)
    write_manifest(out)


def _parts(storage: Storage, entry: SourceEntry, manifest: Manifest) -> Iterator[SplitPart]:
    for split, info in entry.splits.items():
        yield SplitPart(storage, entry.spec, split, info, manifest.checksum)


def _narrowed(spec: SourceSpec, lines: Sequence[FieldLineage]) -> SourceSpec:
    """A declaration that says nothing of fields that are gone, and of the others what their lineage says."""
    kept = [line.field for line in lines]
    spaces = {SPACES[name] for name in kept if name in SPACES}
    gone = FIELDS.keys() - set(kept)
    changed = {
        "licence": together(filter(None, (line.licence for line in lines))),
        "redistributable": all(line.public == "yes" for line in lines),
        "spaces": {name: space for name, space in spec.spaces.items() if name in spaces},
        "encodings": {name: text for name, text in spec.encodings.items() if name not in gone},
        "rights": {name: rights for name, rights in spec.rights.items() if name not in gone},
        "tasks": tuple(task for task in spec.tasks if task not in gone),
    }
    narrowed = spec.model_copy(update=changed)
    rights = {line.field: rights_of(narrowed, line.field) for line in lines}
    others = {
        line.field: Rights(line.licence, line.public, line.why, rights[line.field].origin)
        for line in lines
        if (line.licence, line.public) != (rights[line.field].licence, rights[line.field].public)
    }
    return narrowed.model_copy(update={"rights": {**narrowed.rights, **others}})


def _with_pictures(spec: SourceSpec, rights: Rights) -> SourceSpec:
    """A declaration of a source that says what holds of its pictures, gone or not: layers are made from them."""
    if isinstance(spec, LayerSpec) or rights_of(spec, "rgb") == rights:
        return spec
    return spec.model_copy(update={"rights": {**spec.rights, "rgb": rights}})


def _shards(
    out: Storage,
    spec: SourceSpec,
    part: SplitPart,
    kept: Collection[str],
    meta: Collection[str] | None,
) -> Iterator[ShardFile]:
    """The shards of a split, each published before it is told."""
    shard: ShardFile | None = None
    try:
        for row in range(part.info.samples):
            number = part.shard_number(str(part.value("shard", row)))
            if shard is None or shard.number != number:
                if shard is not None:
                    shard.publish([], {})
                    yield shard
                shard = ShardFile(out, spec, part.split, number)
            sample = _sample(part, row, spec, kept, meta)
            shard.append(sample, max(int(part.value("boxes", row)), 0))
        if shard is not None:
            shard.publish([], {})
            yield shard
    finally:
        if shard is not None:
            shard.discard()


def _sample(
    part: SplitPart,
    row: int,
    spec: SourceSpec,
    kept: Collection[str],
    meta: Collection[str] | None,
) -> Encoded:
    """A sample with the bytes that it has of these fields."""
    record = replace(without(part.record(row), kept), licence=spec.licence)
    if meta is not None:
        staying = {*meta, spec.clips_within}
        told = {key: value for key, value in json.loads(record.meta).items() if key in staying}
        record = replace(record, meta=json.dumps(told, sort_keys=True, ensure_ascii=False))
    names = [file for file in part.members(row) if field_of_file(file) in kept]
    files = {**(part.files(row, names) if names else {}), RECORD: write_record(record)}
    return Encoded(record, dict(sorted(files.items())))


def without(record: Record, kept: Collection[str]) -> Record:
    """A record as that of a sample that has no other fields than these."""
    nothing = type(record)(key="", group="")
    staying = {key for field in kept if field in FIELDS for key in _keys(record, field)}
    leaving = {key for field in FIELDS if field not in kept for key in _keys(record, field)}
    blank = {key: getattr(nothing, key) for key in leaving - staying}
    return replace(record, **blank, fields=[field for field in record.fields if field in kept])


def _keys(record: Record, field: str) -> set[str]:
    """Keys of a record that belong to a field."""
    more = {key for key in LAYER_TYPES if key.startswith(f"{field}_") and hasattr(record, key)}
    return {*said(record, field), *more}
