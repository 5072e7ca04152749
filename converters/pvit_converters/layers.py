"""What a converter is that makes a layer: its raw data are a data set of ours, or annotations of one.

Annotations, or splits and labels, of samples whose pictures stay where they are. The engine plans one shard of the
layer for each shard of its base, and fills in what the base tells: group, frames, rate and size.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.base import Converter, Item, Listing, OptionsT
from pvit_data.errors import UsageError
from pvit_data.format.manifest import NAME
from pvit_data.format.names import split_address
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset, sources_in
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.writing.base_rows import BaseRow, BaseRows


@dataclass(frozen=True)
class LayerInfo:
    """What a layer says of itself, besides what its converter's `info` says.

    Args:
        name: of the layer; "": that of the converter.
        kind: `"annotation"`: fields for samples of the base; `"protocol"`: splits, and labels.
        attach: `"default"`, or `"on-request"`: detections to be scored, a model's output.
        made_by: the tool or people that made it, with version.
        confidence: what its scores mean, or how sure it is, in a sentence.
        weights: of the model that made it, by name or address, with a hash.
        licence, redistributable: of the layer; None: those of the converter.
    """

    name: str = ""
    kind: str = "annotation"
    attach: str = "default"
    made_by: str = ""
    confidence: str = ""
    weights: str = ""
    licence: str | None = None
    redistributable: bool | None = None


class Base:
    """The data set that a layer is made over.

    Args:
        text: folder or URL, or `URL#SOURCE` where it has several sources.
        over: the source that the layer is for; "": whichever is there.

    Attributes:
        url, source: where it is.

    Raises:
        UsageError: if there is no such data set or source, or it is not clear which one is meant.
    """

    def __init__(self, text: str, over: str = "") -> None:
        url, named = split_address(text)
        self.url = url if "://" in url else os.path.abspath(url)
        self.source = _source_of(Storage(self.url), named, over)
        self._known: dict[str, BaseRow] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "source": self.source, "_known": {}}

    @cached_property
    def rows(self) -> BaseRows:
        """Its index, by key."""
        return BaseRows(self.url, self.source)

    @cached_property
    def dataset(self) -> ShardDataset:
        """Its samples, as `pvit_data.open` gives them."""
        return open_dataset(self.url, source=self.source)

    def __contains__(self, key: str) -> bool:
        return key in self._known or key in self.rows.places

    def look_up(self, keys: Collection[str]) -> dict[str, BaseRow]:
        """The rows of some keys, which are found at once when they are read next."""
        self._known = self.rows.of(keys)
        return self._known

    def sample(self, key: str, fields: Collection[str] | None = None, **parts: Any) -> Sample:
        """Reads a sample of the base.

        Args:
            key: of the sample.
            fields: what to decode, such as `("rgb",)`. Default: all.
            parts: frames, grid, window: see `ShardDataset.read`.

        Raises:
            FormatError: if the base lacks it.
            CorruptShardError: if its bytes are damaged.
            StorageError: if it cannot be read.
        """
        row = self._known[key] if key in self._known else self.rows.find(key)
        return self.dataset.read(self._starts[row.split] + row.place, fields, **parts)

    @cached_property
    def _starts(self) -> dict[str, int]:
        """Number of the first sample of each split."""
        splits, first = np.unique(self.dataset.column("split").astype(str), return_index=True)
        return dict(zip(splits.tolist(), first.tolist(), strict=True))

    def items(self) -> list[Item]:
        """All its samples, to be annotated one by one; their size is that of their pictures."""
        columns = (self.dataset.column(name) for name in ("group", "split", "rgb_size"))
        keys = self.dataset.keys().to_pylist()
        return [
            Item(key, str(group), str(split), {}, int(size))
            for key, group, split, size in zip(keys, *columns, strict=True)
        ]


def _source_of(storage: Storage, named: str, over: str) -> str:
    """The source that is meant.

    Raises:
        UsageError: if it is not there, or could be several.
    """
    storage.require_folder()
    sources = sources_in(storage)
    if not sources:
        raise UsageError(
            f"{storage.url}: has no {NAME}, so it is no base of a layer, which --base names; foreign tars are one "
            "once 'pvit-data index' has indexed them"
        )
    if named and over and named != over:
        raise UsageError(f"#{named}: this layer is made over '{over}'")
    source = named or over or (sources[0] if len(sources) == 1 else "")
    if not source:
        raise UsageError(
            f"{storage.url}: has several sources, {', '.join(sources)}: say which one, {storage.url}#SOURCE"
        )
    if source not in sources:
        raise UsageError(
            f"{storage.url}: has no source '{source}' to make a layer over: it has {', '.join(sources)}"
        )
    return source


class LayerConverter(Converter[OptionsT]):
    """Makes a layer over a data set; registered and run like every converter.

    `load` gives samples without rgb whose keys the base has; group, frames, rate and size are filled in.

    Args:
        root: folder of raw annotations, or of the base, whose address it may be too.
        options: an instance of `Options`.
        base: what the layer is made over.

    Attributes:
        over: name of the source that it is for; "": of any.
    """

    over = ""

    def __init__(self, root: Path | str, options: OptionsT, base: Base) -> None:
        super().__init__(Path(root), options)
        self.base = base

    @abstractmethod
    def layer(self) -> LayerInfo:
        """What this layer says of itself; it may depend on the options."""

    def list_items(self) -> Listing:
        """All samples of the base; whoever has raw annotations lists those that are there, by the base's keys.

        An item's group is the base's, and its split the base's too unless a protocol names another.
        """
        return Listing(self.base.items())
