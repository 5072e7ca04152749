"""`ShardWriter`: samples in, a complete dataset on exit. All or nothing: after an exception nothing is published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.index import Index, index_name, open_index
from pvit_data.format.manifest import NAME, SourceSpec, SplitInfo, read_manifest
from pvit_data.format.names import receipt_name
from pvit_data.format.receipts import MAX_SHARD_SAMPLES, store_source
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.words import first_problem
from pvit_data.writing.finish import write_manifest
from pvit_data.writing.keys import Taken
from pvit_data.writing.shard import ShardFile

SHARD_BYTES = 256 << 20
SHARD_SAMPLES = MAX_SHARD_SAMPLES // 2  # with room for the rest of a group


def _spec(**values: Any) -> SourceSpec:
    try:
        return SourceSpec(**values)
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

    Raises:
        UsageError: if a name is wrong, or the dataset has this source with other options.

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
    ) -> None:
        if isinstance(source, str):
            source = _spec(
                name=source,
                licence=licence,
                redistributable=redistributable,
                spaces=dict(spaces or {}),
                encodings=dict(encodings or {}),
                citation=citation,
                title=title,
                role=role,
                tasks=tasks,
            )
        self._storage = Storage(out)
        self._source = source
        self._split = split
        self._shard_bytes = shard_bytes
        self._keys, self._first = self._existing()
        self._done: list[ShardFile] = []
        self._shard: ShardFile | None = None
        self._group = ""

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
        own = sources.get(self._source.name)
        split = own.splits.get(self._split) if own else None
        return Taken(indices), split.last + 1 if split else 0

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
        if (shard := self._keys.place(sample.key)) is not None:
            raise FormatError(f"sample '{sample.key}' is in {shard} already: keys must be unique")
        if self._shard is not None and self._is_full(self._shard) and sample.group != self._group:
            self._shard.seal()
            self._done.append(self._shard)
            self._shard = None
        if self._shard is None:
            number = self._first + len(self._done)
            self._shard = ShardFile(self._storage, self._source, self._split, number)
        self._shard.add(sample)
        self._group = sample.group
        self._keys.add(sample.key, self._shard.name)

    def _is_full(self, shard: ShardFile) -> bool:
        return shard.size >= self._shard_bytes or shard.samples >= SHARD_SAMPLES

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shards = [*self._done, *([self._shard] if self._shard else [])]
        try:
            if kind is None:
                self._publish(shards)
        finally:
            for shard in shards:
                shard.discard()

    def _publish(self, shards: list[ShardFile]) -> None:
        if not shards:
            raise UsageError(f"{self._storage.url}: no sample was written, so there is no dataset")
        store_source(self._storage, self._source)
        number = self._first
        while self._storage.exists(
            leftover := receipt_name(self._source.name, self._split, number)
        ):
            self._storage.remove(leftover)  # of a writer that was killed while publishing
            number += 1
        for shard in shards:
            shard.publish([], {})
        write_manifest(self._storage)
