"""Writing protocols: their records are encoded first, then all of them appear; the base is not touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pvit_data.errors import UsageError
from pvit_data.format.manifest import NAME, read_manifest
from pvit_data.sample.sample import Sample
from pvit_data.splitting.plan import Protocol
from pvit_data.storage.storage import Storage
from pvit_data.writing.base_rows import BaseRows
from pvit_data.writing.layer_shards import LayerShards, publish_layers
from pvit_data.writing.room import require_room as require_room_for

Progress = Callable[[int, int], None]


def require_room(out: str, protocols: Sequence[Protocol], overwrite: bool) -> None:
    """Refuses names that are taken.

    Raises:
        UsageError: naming the first one.
    """
    storage = Storage(out)
    manifest = read_manifest(storage) if storage.exists(NAME) else None
    for spec in (protocol.spec for protocol in protocols):
        require_room_for(storage, spec.folder)
        is_taken = manifest is not None and spec.name in manifest.layers
        if not overwrite and (is_taken or storage.exists(f"{spec.folder}/plan.json")):
            raise UsageError(
                f"{storage.url} has a layer '{spec.name}': give another --name, or --overwrite to replace it"
            )


def write_protocols(
    out: str, protocols: Sequence[Protocol], *, overwrite: bool = False, progress: Progress
) -> None:
    """Writes protocols of one base; the same ones give the same bytes.

    Args:
        out: folder or URL of the dataset, that of the base or another.
        protocols: of `plan_protocols`.
        overwrite: replace layers of these names.
        progress: called with (samples done, samples in all).

    Raises:
        UsageError: if a name is taken, or nothing can be written there.
        StorageError: if a file cannot be read or written.
    """
    require_room(out, protocols, overwrite)
    storage = Storage(out)
    first = protocols[0]
    rows = BaseRows(first.home, first.spec.base.source)
    total = sum(len(p.rows(split)) for p in protocols for split in p.names)
    done = 0
    with ExitStack() as stack:
        layers = []
        for protocol in protocols:
            for split in protocol.names:
                shards = LayerShards(storage, protocol.spec, rows, split, replaces=overwrite)
                stack.callback(shards.discard)
                layers.append(shards)
                keys = protocol.dataset.keys()
                for row in protocol.rows(split):
                    shards.add(_sample(protocol, row, str(keys[row])))
                    done += 1
                    progress(done, total)
        for shards in layers:
            shards.seal()
        replaced = [protocol.spec.folder for protocol in protocols] if overwrite else ()
        publish_layers(storage, layers, replaced)


def _sample(protocol: Protocol, row: int, key: str) -> Sample:
    """What the protocol says of a sample."""
    if not protocol.declares:
        return Sample(key=key)
    label: int | float = int(protocol.classes[row])
    if label < 0 and protocol.dataset.value("has_action", row):
        label = float(protocol.dataset.value("action_time", row))
    return Sample(key=key, action=label if label >= 0 else None)
