"""The shards of a layer: one per shard of its base, rows in the base's order, in whatever order samples come.

Encoded samples wait in a temporary file until all are there; so a layer's shards line up with its base's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.index import Index, index_name, open_index
from pvit_data.format.manifest import NAME, LayerSpec, SplitInfo, read_manifest
from pvit_data.format.members import RECORD
from pvit_data.format.names import IN_SOURCE, SPLITS, place_of, split_folder
from pvit_data.format.receipts import receipts_in, store_source
from pvit_data.format.record import read_record
from pvit_data.format.shard_list import ShardList
from pvit_data.sample.origins import Whose
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.writing.base_rows import BaseRow, BaseRows
from pvit_data.writing.encode import Encoded
from pvit_data.writing.finish import write_layers
from pvit_data.writing.keys import Taken
from pvit_data.writing.room import published_alone, require_room
from pvit_data.writing.shard import ShardFile, encode_for, encoding_of


class _Waiting(NamedTuple):
    """A sample in the temporary file: where its base row is, where it lies, bytes of its files, whose they are."""

    order: tuple[int, int, int]  # base split, base shard, place
    start: int
    files: tuple[tuple[str, int], ...]
    num_boxes: int
    taken: tuple[Whose, ...]


class LayerShards:
    """Collects the rows of one layer.

    Args:
        storage: the dataset of the layer.
        spec: its declaration.
        base: the rows that it is made over.
        split: of a protocol's rows; an annotation layer's are those of its base.
        replaces: what the layer has by now does not count, since it will be removed.

    Attributes:
        shards: what `seal` wrote.

    Raises:
        UsageError: if the split is unknown.
    """

    def __init__(
        self,
        storage: Storage,
        spec: LayerSpec,
        base: BaseRows,
        split: str,
        *,
        replaces: bool = False,
    ) -> None:
        require_room(storage, spec.folder)
        self.storage, self.spec, self.base, self.split = storage, spec, base, split
        self._replaces = replaces
        self._keys = Taken([] if replaces else self._indices())
        self._encodings = {name: encoding_of(spec, name) for name in {split, *base.splits}}
        self._spool = tempfile.TemporaryFile(prefix="pvit-layer-")  # noqa: SIM115  closed by `discard`
        self._waiting: list[_Waiting] = []
        self._size = 0
        self.shards: list[ShardFile] = []

    def add(self, sample: Sample) -> None:
        """Encodes a sample; what its base tells (group, frames, rate, size) is filled in.

        Raises:
            FormatError: if the base lacks its key, it says otherwise than the base, or it breaks the schema.
        """
        if (shard := self._keys.place(sample.key)) is not None:
            raise FormatError(
                f"sample '{sample.key}' is in {shard} already: a layer has one row for each"
            )
        row = self.base.find(sample.key)
        own = {sample.key: row}
        encoded = encode_for(self.spec, sample, self._encodings[self._split_of(row)], own)
        files = tuple((name, len(data)) for name, data in encoded.files.items())
        for data in encoded.files.values():
            self._spool.write(data)
        order = (SPLITS.index(row.split), row.shard, row.place)
        boxes = 0 if sample.boxes is None else len(sample.boxes)
        self._waiting.append(_Waiting(order, self._size, files, boxes, encoded.taken))
        self._size += sum(size for _, size in files)
        self._keys.add(sample.key, f"{self.spec.folder}/{self._split_of(row)}")

    def _split_of(self, row: BaseRow) -> str:
        return self.split if self.spec.kind == "protocol" else row.split

    def seal(self) -> list[ShardFile]:
        """Writes all shards, still under their temporary names.

        Raises:
            UsageError: if the layer has one of the shards already.
            StorageError: if one cannot be written.
        """
        is_protocol = self.spec.kind == "protocol"
        there, first = self._existing()
        self._waiting.sort()
        of_shard = groupby(self._waiting, lambda row: row.order[:2])
        for number, ((split, base_shard), rows) in enumerate(of_shard, first):
            place = (self.split, number) if is_protocol else (SPLITS[split], base_shard)
            shard = ShardFile(self.storage, self.spec, *place)
            self.shards.append(shard)
            if shard.name in there:
                raise UsageError(
                    f"{self.storage.where(shard.name)} is there: the rows of a base shard are written at once; "
                    f"to make the layer again remove {self.spec.folder} and run 'pvit-data finish'"
                )
            for row in rows:
                shard.append(self._read(row), row.num_boxes)
            shard.seal()
        return self.shards

    def _listed(self) -> Mapping[str, SplitInfo]:
        """What the layer has already, by split."""
        if not self.storage.exists(NAME):
            return {}
        entry = read_manifest(self.storage).layers.get(self.spec.name)
        return entry.splits if entry else {}

    def _indices(self) -> list[tuple[str, Index]]:
        found = []
        for split, info in self._listed().items():
            expected = (info.index.bytes, info.index.sha256)
            name = index_name(self.spec.folder, split)
            found.append((self.spec.folder, open_index(self.storage, name, expected, info.samples)))
        return found

    def require_still_free(self) -> None:
        """Compares once more with what the layer has, since others may have published since.

        Raises:
            UsageError: if a shard or a key of these is there now.
        """
        if self._replaces:
            return
        there, keys = self._existing()[0], Taken(self._indices())
        taken = [shard.name for shard in self.shards if shard.name in there]
        taken += [key for key in self._keys.own if keys.place(key) is not None]
        if taken:
            raise UsageError(
                f"{self.storage.where(self.spec.folder)}: {taken[0]} was written by somebody else meanwhile; "
                "nothing of this writer was: run it again"
            )

    def _existing(self) -> tuple[set[str], int]:
        """Names of the shards that the layer has, and the number of a protocol's first new one."""
        splits = {} if self._replaces else self._listed()
        folder = self.spec.folder
        lists = (ShardList(self.storage, folder, name, info) for name, info in splits.items())
        first = splits[self.split].last + 1 if self.split in splits else 0
        return {shard.name for shards in lists for shard in shards}, first

    def _read(self, row: _Waiting) -> Encoded:
        self._spool.seek(row.start)
        files = {name: self._spool.read(size) for name, size in row.files}
        return Encoded(read_record(files[RECORD]), files, row.taken)

    def discard(self) -> None:
        """Removes what is temporary."""
        self._spool.close()
        for shard in self.shards:
            shard.discard()


def publish_layers(
    storage: Storage, layers: Sequence[LayerShards], replaced: Collection[str] = ()
) -> None:
    """Gives all shards of layers their names, and lists them; what lies beside them stays byte for byte.

    Args:
        storage: the dataset.
        layers: sealed; several may be splits of one layer.
        replaced: folders of layers that are removed before that.

    Raises:
        UsageError: if the dataset has one of the layers with another declaration.
        StorageError: if a file cannot be written.
    """
    specs = {layer.spec.folder: layer.spec for layer in layers}
    with published_alone(storage):
        for layer in layers:
            layer.require_still_free()
        for folder in replaced:
            remove_layer(storage, folder)
        if replaced:
            write_layers(storage, replaced)
        for folder, spec in specs.items():
            _remove_unlisted(storage, folder)
            store_source(storage, spec)
        for layer in layers:
            for shard in layer.shards:
                shard.publish([], {})
        write_layers(storage, specs)


def _remove_unlisted(storage: Storage, folder: str) -> None:
    """Receipts of somebody who was killed while publishing."""
    manifest = read_manifest(storage) if storage.exists(NAME) else None
    entry = manifest.entries.get(folder) if manifest else None
    splits = entry.splits if entry else {}
    lists = (ShardList(storage, folder, split, info) for split, info in splits.items())
    listed = {place_of(shard.name) for shards in lists for shard in shards}
    for name in receipts_in(storage.listing(), folder):
        split, _, number = name.rpartition("/")[2].removesuffix(".json").partition("-")
        if (folder, split, int(number)) not in listed:
            storage.remove(name)


def remove_layer(storage: Storage, folder: str) -> None:
    """Removes what makers wrote of a layer, and nothing else; its declaration last. The manifest stays as it is.

    Raises:
        StorageError: if a file cannot be removed.
        UsageError: if a folder on the way is a link.
    """
    own = [name for name in storage.listing() if split_folder(name)[0] == folder]
    marks = [f"{folder}/receipts/source.json"]
    inside = [n for n in own if IN_SOURCE.fullmatch(split_folder(n)[1]) and n not in marks]
    for name in (*receipts_in(inside), *inside, *marks):
        storage.remove(name)
