"""The rows of a base as makers of layers need them: what a layer's record takes over, and where its row belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pvit_data.errors import FormatError, UsageError
from pvit_data.format import manifest
from pvit_data.format.manifest import SourceSpec
from pvit_data.format.members import FIELDS, LABELS
from pvit_data.format.names import split_address
from pvit_data.reading.foreign import table as foreign_table
from pvit_data.reading.open import base_parts, sources_in
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
        url: folder or URL of the base: a dataset, or foreign tars that are indexed.
        source: its name there.

    Raises:
        UsageError: if there is no such source.
    """

    def __init__(self, url: str, source: str) -> None:
        self.storage = Storage(url)
        parts = base_parts(self.storage, source)
        if not parts:
            known = sources_in(self.storage)
            if not known:
                raise UsageError(
                    f"{self.storage.url}: has no {manifest.NAME} and no {foreign_table.NAME}, "
                    "so it is no base of a layer"
                )
            raise UsageError(
                f"{self.storage.url} has no source '{source}' to make a layer over: "
                f"it has {', '.join(known)}{did_you_mean(source, known)}"
            )
        self.spec: SourceSpec = parts[0].spec
        self._parts = {part.split: part for part in parts}

    @property
    def state(self) -> str:
        """A hash that changes with what is there."""
        names = (manifest.NAME, foreign_table.NAME)
        found = next(name for name in names if self.storage.exists(name))
        return hashlib.sha256(self.storage.read(found)).hexdigest()

    @property
    def splits(self) -> tuple[str, ...]:
        """Those of the base, in their order."""
        return tuple(self._parts)

    @cached_property
    def shards(self) -> dict[tuple[str, int], str]:
        """sha256 of its shards, by split and number: of their bytes, or of what an index of foreign tars says of them.

        Raises:
            CorruptShardError: if a list of shards is damaged.
        """
        return {
            (split, number): digest
            for split, part in self._parts.items()
            for number, digest in part.shard_digests().items()
        }

    @cached_property
    def places(self) -> dict[str, tuple[str, int]]:
        """Split and row of every key."""
        return {
            key: (split, place)
            for split, part in self._parts.items()
            for place, key in enumerate(part.keys().to_pylist())
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
        for split, part in self._parts.items():
            mine = part.keys()
            is_in = pc.is_in(mine, value_set=wanted).to_numpy(zero_copy_only=False)
            for place in np.flatnonzero(is_in).tolist():
                found[str(mine[place])] = self.row(split, place)
        return found

    def shard_of(self, split: str, place: int) -> int:
        """Number of the shard that a row lies in."""
        part = self._parts[split]
        return part.shard_number(str(part.value("shard", place)))

    def group_of(self, split: str, place: int) -> str:
        """The group of a row."""
        return str(self._parts[split].value("group", place))

    def row(self, split: str, place: int) -> BaseRow:
        """A row by its place."""
        value = self._parts[split].value
        group, frames, fps, height, width, has_rgb, crc = (value(name, place) for name in _COLUMNS)
        crc32 = f"{int(crc):08x}" if has_rgb else ""
        size = (int(frames), float(fps), int(height), int(width))
        return BaseRow(split, self.shard_of(split, place), place, str(group), *size, crc32)


def base_of(out: str, base: str) -> tuple[str, str]:
    """Folder or URL, and source, of what `base=` names: a source beside the layer, or `URL#SOURCE`."""
    url, source = split_address(base)
    return (url, source) if source else (out, base)
