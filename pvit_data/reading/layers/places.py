"""Where the sources of a mixture are, and which layers belong to them: found in the folders that a user names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pvit_data.errors import UsageError
from pvit_data.format.manifest import NAME, SourceEntry, read_manifest
from pvit_data.format.members import LABELS
from pvit_data.format.names import SOURCE_NAME
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.layers.attach import (
    Layer,
    annotated,
    find_layers,
    layers_in,
    named_layer,
    protocol_parts,
    require_apart,
)
from pvit_data.reading.layers.protocol import ProtocolPart
from pvit_data.reading.open import open_dataset, split_parts
from pvit_data.reading.part import DatasetPart
from pvit_data.storage.storage import Storage
from pvit_data.words import counted, plain_url

WHERE_IT_LIES = "?"
"""At the end of a layer's name: attached only where it lies in the folders that are given."""


@dataclass(frozen=True)
class FoundSource:
    """A source where it lies, opened once for everybody who reads it.

    Args:
        url: folder or URL that holds it, as it was given.
        name: of the source.
        ds: its samples, of all splits.
        layers: what is attached to it, as `URL#NAME`.
        over: of a protocol, the name of its base.
        pictures: folder or URL that holds the pictures.
        labels: of a protocol, the labels that it declares in place of its base's.
    """

    url: str = field(repr=False)  # which may hold a password
    name: str
    ds: ShardDataset
    layers: tuple[str, ...] = field(default=(), repr=False)
    over: str = ""
    pictures: str = field(default="", repr=False)
    labels: tuple[str, ...] = ()

    def presence(self, split: str) -> str:
        """Of a protocol, how many rows of a split have a sample in the base, in words; else ""."""
        own = (p for p in self.ds.parts if isinstance(p, ProtocolPart) and p.split == split)
        return next((part.presence for part in own), "")

    def told(self, ds: ShardDataset) -> list[str]:
        """What is attached to it, which field comes from which layer, and what does not fit, in sentences.

        Args:
            ds: the samples of it that are counted.
        """
        lines = []
        if self.over:
            own = f", with {', '.join(self.labels)} of its own" if self.labels else ""
            lines.append(f"{self.name} is a protocol over {self.over}{own}")
        given: dict[str, list[str]] = {}
        made_by: dict[str, str] = {}
        for name, layer in ds.layers_of(self.name).items():
            count = int(np.count_nonzero(ds.column(f"has_{name}")))
            given.setdefault(layer.name, []).append(f"{name} of {counted(count, 'sample')}")
            made_by[layer.name] = f", made by {layer.made_by}" if layer.made_by else ""
        lines += [
            f"{self.name}: {', '.join(fields)} (from {layer}{made_by[layer]})"
            for layer, fields in given.items()
        ]
        return [*lines, *self._by_split(), *ds.notes]

    def _by_split(self) -> list[str]:
        """Which layer gives a field in which split, of fields that splits have from elsewhere than others."""
        first = self.ds.parts[0] if self.ds.parts else None
        parts = first.bases if isinstance(first, ProtocolPart) else self.ds.parts
        lines = []
        for name in dict.fromkeys(given for part in parts for given in part.layers):
            splits: dict[str, list[str]] = {}
            for part in (part for part in parts if part.column(f"has_{name}").any()):
                layer = part.layers.get(name)
                giver = "its own" if layer is None else f"those of {layer.name}"
                splits.setdefault(giver, []).append(part.split)
            if len(splits) > 1:
                told = (f"{giver} in {' and '.join(where)}" for giver, where in splits.items())
                lines.append(f"{self.over or self.name}: {name} are {', '.join(told)}")
        return lines

    def split(self, split: str, where: str = "") -> ShardDataset | None:
        """Its samples of one split that pass a filter, or None where there are none."""
        ds = self.ds.in_split(split)
        if ds is not None and where:
            ds = ds.where(where)
        return ds if ds is not None and len(ds) else None


@dataclass
class _There:
    """What the folders hold: the parts of sources, and layers, each with its folder."""

    urls: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[DatasetPart]] = field(default_factory=dict)
    entries: dict[str, SourceEntry] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    layers: list[tuple[str, Layer]] = field(default_factory=list)

    def add(self, url: str) -> None:
        storage = Storage(url)
        storage.require_folder()
        parts: dict[str, list[DatasetPart]] = {}
        if storage.exists(NAME):
            manifest = read_manifest(storage)
            self.entries |= manifest.sources
            self.layers += [(url, layer) for layer in layers_in(storage, manifest).values()]
            found: Iterable[DatasetPart] = (
                split_parts(storage, manifest, None, None) if manifest.sources else ()
            )
        else:
            found = open_dataset(url).parts
        for part in found:
            parts.setdefault(part.spec.name, []).append(part)
        for name, mine in parts.items():
            if name in self.urls:
                raise UsageError(
                    f"source '{name}' is in both '{plain_url(self.urls[name])}' and '{plain_url(url)}'; "
                    "give one of them"
                )
            self.urls[name], self.parts[name], self.storages[name] = url, mine, storage

    def attached(self, source: str, named: Sequence[str] | None) -> list[tuple[str, Layer]]:
        """The layers of a source: those that are named, else those that are there."""
        if named is None:
            return self._defaults(source)
        found: list[tuple[str, Layer]] = []
        for text in named:
            if text.endswith(WHERE_IT_LIES) and not SOURCE_NAME.match(text[:-1]):
                raise UsageError(
                    f"layer '{plain_url(text)}' of '{source}': a name with '{WHERE_IT_LIES}' is attached where the "
                    "shards hold it, but this is an address, which is attached wherever it is; leave the "
                    f"'{WHERE_IT_LIES}' out, or give the name alone and its folder with --shards"
                )
            if (here := self._called(text.removesuffix(WHERE_IT_LIES), source)) is not None:
                found.append(here)
            elif not text.endswith(WHERE_IT_LIES):
                own = find_layers([text], source, self.storages[source], None)
                found += [(layer.url, layer) for layer in own]
        return found

    def _called(self, name: str, source: str) -> tuple[str, Layer] | None:
        """The layer of a name over a source: in the folder of the source, else in the only other one that has it.

        Raises:
            UsageError: if several others have it, or it is a protocol.
        """
        mine = [
            (url, layer)
            for url, layer in self.layers
            if layer.name == name and layer.over == source
        ]
        beside = [at for at in mine if at[0] == self.urls[source]]
        chosen = beside or mine
        if len(chosen) > 1:
            listed = " and ".join(f"'{plain_url(url)}'" for url, _ in chosen)
            first = f"{plain_url(chosen[0][0])}#{name}"
            raise UsageError(f"layer '{name}' is in {listed}: say which one, {first}")
        if not chosen:
            return None
        url, layer = chosen[0]
        return url, named_layer({name: layer}, name, url)

    def _defaults(self, source: str) -> list[tuple[str, Layer]]:
        """All annotation layers over it, but those for asking only.

        Raises:
            UsageError: if two of them, or one and the source itself, give the same field in a split.
        """
        found = [
            (url, layer) for url, layer in self.layers if layer.is_default and layer.over == source
        ]
        own = self.entries.get(source)
        require_apart(
            source,
            own.fields if own else (),
            [layer for _, layer in found],
            self.parts.get(source, ()),
            lambda layer: (
                f"--set 'data.layers={{{source}: [{self._address(layer)}]}}' (or [] for none)"
            ),
        )
        return found

    def _address(self, layer: Layer) -> str:
        """What means this layer and no other one."""
        is_only = sum(other.name == layer.name for _, other in self.layers) == 1
        return layer.name if is_only else f"{plain_url(layer.url)}#{layer.name}"

    def protocols(self, named: Collection[str]) -> dict[str, tuple[str, Layer]]:
        """The protocols that are named.

        Raises:
            UsageError: if two folders have one of a name.
        """
        found: dict[str, tuple[str, Layer]] = {}
        for url, layer in self.layers:
            if layer.annotates or layer.name not in named:
                continue
            if layer.name in found:
                raise UsageError(
                    f"protocol '{layer.name}' is in both '{plain_url(found[layer.name][0])}' and "
                    f"'{plain_url(url)}'; give one of them"
                )
            found[layer.name] = url, layer
        return found


def find_sources(
    urls: Iterable[str],
    layers: Mapping[str, Sequence[str]] | None = None,
    named: Collection[str] = (),
    *,
    strict: bool = False,
) -> dict[str, FoundSource]:
    """The sources of folders or URLs, each of which is opened once, with the layers that belong to them.

    Args:
        urls: folders and URLs.
        layers: by source, the layers to attach, in order; `"NAME?"`: where it is there. Default: all annotation layers
            over it that are there, but those that are for asking only.
        named: sources that the user names: of protocols only these are used, in place of their bases.
        strict: other bytes of the pictures than a layer was made from are an error.

    Raises:
        UsageError: if no folder is given, two hold the same source, two layers that nobody named give the same field,
            or a protocol's base is not there.
        FormatError: if a layer does not fit.
    """
    wanted = layers or {}
    there = _There()
    places: dict[str, str] = {}
    for url in urls:
        places.setdefault(_place(url), url)
    for url in places.values():
        there.add(url)
    protocols = there.protocols([name for name in named if name not in there.parts])
    bases = {layer.entry.spec.base.source for _, layer in protocols.values()}
    found = {
        name: _source(name, there, wanted, strict)
        for name in there.parts
        if name in named or name not in bases
    }
    found |= {name: _protocol(at, there, wanted, strict) for name, at in protocols.items()}
    if not found and there.layers:
        _, layer = there.layers[0]
        raise UsageError(
            f"the shards hold layers only, such as '{layer.name}' over '{layer.over}': add the folder of "
            f"'{layer.over}' with --shards"
        )
    if not found:
        raise UsageError(
            "no shards given; pass a folder written by `pvit-data convert` with --shards"
        )
    return found


def _place(url: str) -> str:
    """One text for all ways to write where a folder is."""
    root = Storage(url).root
    return url.rstrip("/") if root is None else os.path.realpath(root)


def _source(
    name: str, there: _There, layers: Mapping[str, Sequence[str]], strict: bool
) -> FoundSource:
    attached = there.attached(name, layers.get(name))
    parts = annotated(there.parts[name], [layer for _, layer in attached], strict=strict)
    url = there.urls[name]
    return FoundSource(url, name, _dataset(parts), _told(attached), "", url)


def _protocol(
    at: tuple[str, Layer], there: _There, layers: Mapping[str, Sequence[str]], strict: bool
) -> FoundSource:
    url, layer = at
    over = layer.entry.spec.base.source
    if over not in there.parts:
        raise UsageError(
            f"protocol '{layer.name}' is over '{over}', which is not in the shards: add its folder with --shards"
        )
    attached = there.attached(over, layers.get(layer.name, layers.get(over)))
    bases = annotated(there.parts[over], [found for _, found in attached], strict=strict)
    parts = protocol_parts(layer, bases, None)
    labels = tuple(sorted(layer.fields & LABELS))
    home = there.urls[over]
    return FoundSource(url, layer.name, _dataset(parts), _told(attached), over, home, labels)


def _dataset(parts: Sequence[DatasetPart]) -> ShardDataset:
    return ShardDataset(parts, None, None, "raise", SKIP_LIMIT)


def _told(attached: Sequence[tuple[str, Layer]]) -> tuple[str, ...]:
    return tuple(f"{url}#{layer.name}" for url, layer in attached)
