"""`ShardWriter`: samples in, a complete dataset on exit. All or nothing: after an exception nothing is published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import ValidationError

from pvit_data.errors import UsageError
from pvit_data.format.index import Index, index_name, open_index
from pvit_data.format.manifest import (
    NAME,
    BaseRef,
    LayerSpec,
    SourceEntry,
    SourceSpec,
    SplitInfo,
    read_manifest,
)
from pvit_data.format.names import receipt_name
from pvit_data.format.receipts import store_source
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rights import told_by_layer
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.words import first_problem
from pvit_data.writing.base_rows import BaseRows, base_of
from pvit_data.writing.finish import write_manifest
from pvit_data.writing.grown_shards import GrownShards
from pvit_data.writing.keys import Taken
from pvit_data.writing.layer_shards import LayerShards, publish_layers
from pvit_data.writing.licences import with_labels_of
from pvit_data.writing.room import published_alone, require_room
from pvit_data.writing.shard import ShardFile

SHARD_BYTES = 256 << 20


Spec = TypeVar("Spec", bound=SourceSpec)


def _spec(model: type[Spec], **values: Any) -> Spec:
    try:
        return model(**values)
    except ValidationError as error:
        raise UsageError(f"source '{values['name']}': {first_problem(error)}") from error


class ShardWriter:
    """Writes one split of one source; the manifest and the index appear on exit.

    A dataset that is there already gets the source added, or the split appended to. Shards stay under temporary names
    until the `with` block ends without an exception.

    Args:
        out: folder or URL of the dataset.
        source: a name, or a full `SourceSpec` (the following descriptions are then taken from it).
        split: `"train"`, `"val"` or `"test"`.
        licence: SPDX id or short name.
        redistributable: whether the shards may be published.
        spaces: label spaces by field (`"segm"`, `"boxes"`, `"action"`).
        encodings: `{"depth": "float32"}`, `{"normal": "octahedral"}`, ...
        citation, title, role, tasks: see `SourceSpec`.
        shard_bytes: start a new shard when one reaches this size, or `SHARD_SAMPLES` samples, and the group changes.
        base: makes a layer over the source of this name in the same folder, or over `URL#NAME`: samples without rgb,
            whose keys the base has; group, frames, rate and size are filled in from there.
        kind, attach, made_by, confidence, weights: of a layer, see `LayerSpec`.

    Raises:
        UsageError: if a name is wrong, the base does not exist, or the dataset has this source with other options.

    Example:
        >>> import numpy as np, pvit_data
        >>> sample = pvit_data.Sample(
        ...     key="a", rgb=np.zeros((4, 48, 64, 3), np.uint8), depth=np.ones((4, 48, 64), np.float32)
        ... )
        >>> with pvit_data.ShardWriter("data", source="mine", licence="CC-BY-4.0") as writer:
        ...     writer.write(sample)
        >>> pvit_data.open("data")[0].depth.max()
        np.float32(1.0)
    """

    def __init__(
        self,
        out: str | Path,
        source: str | SourceSpec,
        split: str = "train",
        *,
        licence: str = "",
        redistributable: bool = False,
        spaces: Mapping[str, LabelSpace] | None = None,
        encodings: Mapping[str, str] | None = None,
        citation: str = "",
        title: str = "",
        role: str = "auxiliary",
        tasks: tuple[str, ...] = (),
        shard_bytes: int = SHARD_BYTES,
        base: str = "",
        kind: str = "annotation",
        attach: str = "default",
        made_by: str = "",
        confidence: str = "",
        weights: str = "",
    ) -> None:
        told: dict[str, Any] = {
            "licence": licence,
            "redistributable": redistributable,
            "spaces": dict(spaces or {}),
            "encodings": dict(encodings or {}),
            "citation": citation,
            "title": title,
            "role": role,
            "tasks": tasks,
        }
        self._storage = Storage(out)
        self._split = split
        self._source: SourceSpec
        self._shards: GrownShards | LayerShards
        if base or isinstance(source, LayerSpec):
            made = {"made_by": made_by, "confidence": confidence, "weights": weights}
            layer = {"kind": kind, "attach": attach} | made
            self._shards = self._over(str(out), source, base, told | layer)
        else:
            self._source = (
                _spec(SourceSpec, name=source, **told) if isinstance(source, str) else source
            )
            require_room(self._storage, self._source.folder)
            keys, first = self._existing()
            self._shards = GrownShards(self._storage, self._source, split, first, keys, shard_bytes)

    def _over(
        self, out: str, source: str | SourceSpec, base: str, told: dict[str, Any]
    ) -> LayerShards:
        """The shards of a layer over a base."""
        named = source.base.source if isinstance(source, LayerSpec) else ""
        rows = BaseRows(*base_of(out, base or named))
        if isinstance(source, str):
            told |= told_by_layer(rows.spec)
            source = _spec(LayerSpec, name=source, base=BaseRef.of(rows.spec), **told)
        if not isinstance(source, LayerSpec) or source.base.source != rows.spec.name:
            raise UsageError(
                f"source '{source.name}': expected a LayerSpec over '{rows.spec.name}'"
            )
        if source.kind == "annotation" and self._split != "train":
            raise UsageError(
                f"layer '{source.name}': split={self._split!r}, but annotations have the splits of their base; "
                "splits of its own has a protocol (kind='protocol')"
            )
        self._source = with_labels_of(source, rows.spec)
        return LayerShards(self._storage, self._source, rows, self._split)

    def _existing(self) -> tuple[Taken, int]:
        """Keys of all samples in the dataset, and the number of the first new shard."""
        if not self._storage.exists(NAME):
            return Taken([]), 0
        sources = read_manifest(self._storage).sources
        indices = [
            (source, self._index(source, split, info))
            for source, entry in sources.items()
            for split, info in entry.splits.items()
        ]
        return Taken(indices), self._first(sources)

    def _first(self, sources: Mapping[str, SourceEntry]) -> int:
        """Number of the first shard that is not there."""
        own = sources.get(self._source.name)
        split = own.splits.get(self._split) if own else None
        return split.last + 1 if split else 0

    def _index(self, source: str, split: str, info: SplitInfo) -> Index:
        name = index_name(source, split)
        expected = (info.index.bytes, info.index.sha256)
        return open_index(self._storage, name, expected, info.samples)

    def __enter__(self) -> ShardWriter:
        return self

    def write(self, sample: Sample) -> None:
        """Appends a sample.

        Raises:
            FormatError: if it breaks the schema or its key is taken; the sample is not written, the writer goes on.
            StorageError: if the disk is full or fails.
        """
        self._shards.add(sample)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish(self._shards.seal())
        finally:
            self._shards.discard()

    def _publish(self, shards: list[ShardFile]) -> None:
        if not shards:
            raise UsageError(f"{self._storage.url}: no sample was written, so there is no dataset")
        if isinstance(self._shards, LayerShards):
            publish_layers(self._storage, [self._shards])
            return
        with published_alone(self._storage):
            there = self._storage.exists(NAME)
            if (
                self._first(read_manifest(self._storage).sources if there else {})
                != shards[0].number
            ):
                raise UsageError(
                    f"{self._storage.url}: '{self._source.name}' was written by somebody else meanwhile; "
                    "nothing of this writer was: run it again"
                )
            store_source(self._storage, self._source)
            self._remove_leftovers(shards[0].number)
            for shard in shards:
                shard.publish([], {})
            write_manifest(self._storage)

    def _remove_leftovers(self, number: int) -> None:
        """Receipts of a writer that was killed while publishing."""
        folder = self._source.folder
        while self._storage.exists(leftover := receipt_name(folder, self._split, number)):
            self._storage.remove(leftover)
            number += 1
