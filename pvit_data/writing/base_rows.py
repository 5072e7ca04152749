"""The rows of a base as makers of layers need them: what a layer's record takes over, and where its row belongs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.index import Index, index_name, open_index
from pvit_data.format.manifest import NAME, SourceSpec, read_manifest
from pvit_data.format.members import FIELDS, LABELS
from pvit_data.format.names import SPLITS, place_of
from pvit_data.format.shard_list import ShardList
from pvit_data.sample.sample import Sample
from pvit_data.storage.storage import Storage
from pvit_data.words import did_you_mean, shown

_COLUMNS = ("group", "frames", "fps", "height", "width", "has_rgb", "rgb_crc32")


class BaseRow(NamedTuple):
    """A row of a base.

    Args:
        split, shard, place: where it lies: its split, the number of its shard, its row in the split.
        group, frames, fps, height, width: as in its index.
        crc32: of its pictures, 8 hexadecimal digits; "" where it has none.
    """

    split: str
    shard: int
    place: int
    group: str
    frames: int
    fps: float
    height: int
    width: int
    crc32: str

    def fill(self, sample: Sample, kind: str) -> Sample:
        """A sample of a layer with what its base tells.

        Args:
            sample: of the layer.
            kind: of the layer.

        Raises:
            FormatError: if the sample says otherwise, has pictures of its own, or a protocol's has annotations.
        """
        if sample.rgb is not None:
            raise FormatError(
                f"sample '{sample.key}': has rgb, which a layer takes from its base: leave it out"
            )
        odd = [name for name in FIELDS if sample.has(name) and name not in LABELS]
        if kind == "protocol" and odd:
            raise FormatError(
                f"sample '{sample.key}': has {', '.join(odd)}; a protocol holds splits and labels only, "
                "annotations go into a layer of kind 'annotation'"
            )
        told = {"num_frames": self.frames, "height": self.height, "width": self.width}
        for name, own in told.items():
            if getattr(sample, name) not in (0, max(own, 0)):
                raise FormatError(
                    f"sample '{sample.key}': has {name} {getattr(sample, name)}, its base {own}"
                )
        if sample.fps and abs(sample.fps - self.fps) > 0.01 * max(sample.fps, self.fps):
            raise FormatError(
                f"sample '{sample.key}': has fps {sample.fps:g}, its base {self.fps:g}"
            )
        return replace(
            sample,
            group=self.group,
            fps=self.fps,
            num_frames=self.frames,
            height=max(self.height, 0),
            width=max(self.width, 0),
        )


class BaseRows:
    """Finds the rows of a base by key.

    Args:
        url: folder or URL of the base's dataset.
        source: its name there.

    Raises:
        UsageError: if there is no such source.
    """

    def __init__(self, url: str, source: str) -> None:
        self.storage = Storage(url)
        if not self.storage.exists(NAME):
            raise UsageError(f"{self.storage.url}: has no {NAME}, so it is no base of a layer")
        sources = read_manifest(self.storage).sources
        if source not in sources:
            raise UsageError(
                f"{self.storage.url} has no source '{source}' to make a layer over: "
                f"it has {', '.join(sources)}{did_you_mean(source, sources)}"
            )
        entry = sources[source]
        self.spec: SourceSpec = entry.spec
        self._infos = {split: entry.splits[split] for split in SPLITS if split in entry.splits}

    @cached_property
    def _indices(self) -> dict[str, Index]:
        """Read when the first row is asked for."""
        found = {}
        for split, info in self._infos.items():
            expected = (info.index.bytes, info.index.sha256)
            name = index_name(self.spec.name, split)
            found[split] = open_index(self.storage, name, expected, info.samples)
        return found

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the base, in their order."""
        return tuple(self._infos)

    @cached_property
    def shards(self) -> dict[tuple[str, int], str]:
        """sha256 of its shards, by split and number.

        Raises:
            CorruptShardError: if a list of shards is damaged.
        """
        lists = {
            split: ShardList(self.storage, self.spec.name, split, info)
            for split, info in self._infos.items()
        }
        return {
            (split, shard.number): shard.sha256 for split, mine in lists.items() for shard in mine
        }

    @cached_property
    def places(self) -> dict[str, tuple[str, int]]:
        """Split and row of every key."""
        return {
            key: (split, place)
            for split, index in self._indices.items()
            for place, key in enumerate(index.keys().to_pylist())
        }

    def lacks(self, key: str) -> FormatError:
        """The error about a key that it does not have."""
        return FormatError(
            f"sample '{shown(key)}' is not in '{self.spec.name}' of {self.storage.url}, over which the layer is made"
        )

    def find(self, key: str) -> BaseRow:
        """The row of a key.

        Raises:
            FormatError: if the base lacks it.
        """
        if key not in self.places:
            raise self.lacks(key)
        return self.row(*self.places[key])

    def of(self, keys: Collection[str]) -> dict[str, BaseRow]:
        """The rows of some keys, those that it has; nothing is kept of the others."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = pa.array(list(keys), pa.large_string())
        found = {}
        for split, index in self._indices.items():
            is_in = pc.is_in(index.keys(), value_set=wanted).to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(is_in).tolist():
                found[index.text("key", place)] = self.row(split, place)
        return found

    def shard_of(self, split: str, place: int) -> int:
        """Number of the shard that a row lies in."""
        return number_of(self._indices[split].text("shard", place))

    def group_of(self, split: str, place: int) -> str:
        """The group of a row."""
        return self._indices[split].text("group", place)

    def row(self, split: str, place: int) -> BaseRow:
        """A row by its place."""
        index = self._indices[split]
        group, frames, fps, height, width, has_rgb, crc = (
            index.value(name, place) for name in _COLUMNS
        )
        crc32 = f"{int(crc):08x}" if has_rgb else ""
        size = (int(frames), float(fps), int(height), int(width))
        return BaseRow(split, self.shard_of(split, place), place, str(group), *size, crc32)


@lru_cache(maxsize=1024)
def number_of(shard: str) -> int:
    """Number of a shard by its path in the folder of its source."""
    return place_of(f"base/{shard}").number


def base_of(out: str, base: str) -> tuple[str, str]:
    """Folder or URL, and source, of what `base=` names: a source beside the layer, or `URL#SOURCE`."""
    url, found, source = base.rpartition("#")
    return (url, source) if found else (out, base)
