"""What whoever looks at a dataset is shown: sources, protocols, and layers, over their bases or by themselves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.format.manifest import NAME, read_manifest
from pvit_data.format.names import SPLITS
from pvit_data.reading.dataset import SKIP_LIMIT, ShardDataset
from pvit_data.reading.layers.attach import (
    Layer,
    annotated,
    layers_in,
    layers_meant,
    protocol_parts,
    require_apart,
    require_once,
)
from pvit_data.reading.open import base_parts, open_dataset, split_parts
from pvit_data.reading.part import DatasetPart
from pvit_data.storage.storage import Storage
from pvit_data.words import did_you_mean

NO_LAYER = "none"
"""Given in place of layers: none is attached."""


def open_view(
    url: str | Path,
    source: str | None = None,
    split: str | None = None,
    where: str | None = None,
    layers: Sequence[str] = (),
    base: str | Path = "",
    *,
    alone: bool = False,
) -> ShardDataset:
    """Opens what is to be looked at.

    Args:
        url: folder or URL.
        source: a source, a protocol, or an annotation layer, which is attached to its base. Default: all sources; of a
            folder that has none its annotation layers, over their base.
        split, where: as of `open`.
        layers: names, folders or URLs, `URL#NAME`, or `"none"`; each is attached to the source that it is over.
            Default: all annotation layers that lie there, but those that are for asking only.
        base: folder or URL of the base of a protocol or of layers. Default: `url`.
        alone: layers whose base is not there are shown without it: rows and annotations, no pictures.

    Raises:
        UsageError: if there is no such thing, two layers that nobody named give the same field, or the base of a layer
            is not there.
        FormatError, StorageError: as `open`.
    """
    here = _Folder(url)
    if not here.is_ours:
        if base:
            raise UsageError(
                f"--base: {here.storage.url} has no {NAME}, so no layer that has a base"
            )
        named = [text for text in layers if text != NO_LAYER]
        return open_dataset(url, source, split, where=where, layers=named, base=base)
    shown = here.layers_shown(source, base)
    home = _Folder(base) if base else here
    parts = home.parts(shown[0].over if shown else source)
    if shown and not parts and (base or not alone):
        raise UsageError(_no_base(shown, home.storage.url))
    found: list[DatasetPart] = []
    if not parts:
        lying = shown if source is not None else [*here.layers.values()]
        found += [part for layer in lying for part in layer.parts]
    elif shown and not shown[0].annotates:
        found += protocol_parts(shown[0], _attached(here, home, parts, (), layers), None)
    else:
        always = shown if source is not None or not layers else ()
        found += _attached(here, home, parts, always, layers)
    if split is not None:
        found = _of_split(found, split, here.storage.url)
    dataset = ShardDataset(found, None, None, "raise", SKIP_LIMIT)
    return dataset if where is None else dataset.where(where)


class _Folder:
    """A dataset's folder: its sources and layers.

    Args:
        url: folder or URL.
    """

    def __init__(self, url: str | Path) -> None:
        self.storage = Storage(url)
        self.storage.require_folder()
        self.is_ours = self.storage.exists(NAME)
        self._manifest = read_manifest(self.storage) if self.is_ours else None
        self.layers = layers_in(self.storage, self._manifest) if self._manifest else {}
        self._sources = self._manifest.sources if self._manifest else {}

    def fields_of(self, source: str) -> frozenset[str]:
        """What a source declares itself; nothing where it is not here."""
        return self._sources[source].fields if source in self._sources else frozenset()

    def parts(self, source: str | None) -> list[DatasetPart]:
        """All splits of a source, [] where it is not here; or those of all sources."""
        if source is not None:
            return [*base_parts(self.storage, source, self._manifest)]
        assert self._manifest is not None
        return [*split_parts(self.storage, self._manifest, None, None)]

    def layers_shown(self, source: str | None, base: str | Path) -> list[Layer]:
        """The layers that are looked at as such: the one that is named, or all of a folder of layers; [] = sources.

        Raises:
            UsageError: if nothing is called so, the layers are over several bases, or a base is given for sources.
        """
        if source in self.layers:
            return [self.layers[source or ""]]
        if source is None and self.layers and not self._sources:
            return self._all()
        if source is not None and source not in self._sources:
            hint = did_you_mean(source, [*self._sources, *self.layers])
            raise UsageError(f"--source {source}: {self.storage.url} has {self._listed()}{hint}")
        if base:
            raise UsageError(
                "--base tells where the pictures of a layer or a protocol are: name it with --source; "
                f"{self.storage.url} has {self._listed()}"
            )
        return []

    def _all(self) -> list[Layer]:
        found = [layer for layer in self.layers.values() if layer.annotates]
        found = found or [*self.layers.values()]
        if len({layer.over for layer in found}) > 1 or not (found[0].annotates or len(found) == 1):
            raise UsageError(f"{self.storage.url} has {self._listed()}: name one with --source")
        return found

    def _listed(self) -> str:
        told = [f"{layer.name} over {layer.over}" for layer in self.layers.values()]
        sources = [f"the sources {', '.join(self._sources)}"] if self._sources else []
        return " and ".join([*sources, *([f"the layers {', '.join(told)}"] if told else [])])


def _no_base(layers: Sequence[Layer], looked_in: str) -> str:
    names = ", ".join(f"'{layer.name}'" for layer in layers)
    return (
        f"{names}: the pictures are those of '{layers[0].over}', which is not in {looked_in}: "
        "give the folder or URL that holds them with --base"
    )


def _attached(
    here: _Folder,
    home: _Folder,
    parts: Sequence[DatasetPart],
    shown: Sequence[Layer],
    named: Sequence[str],
) -> list[DatasetPart]:
    """Parts of sources with their layers: those that are looked at, and those that are named or lie there."""
    sources = dict.fromkeys(part.spec.name for part in parts)
    wanted = _named(here, home, named, sources)
    lying = (home.layers | here.layers).values()  # of one name that of the folder that is looked at
    found: list[DatasetPart] = []
    for source in sources:
        own = [part for part in parts if part.spec.name == source]
        mine = [*shown, *(layer for layer in wanted if layer.over == source)]
        if not named:
            mine += [v for v in lying if v.is_default and v.over == source and not shown]
            fields = frozenset() if shown else home.fields_of(source)
            require_apart(
                source, fields, mine, own, lambda layer: f"--layer {layer.name} (or {NO_LAYER})"
            )
        require_once(mine)
        found += annotated(own, mine)
    return found


def _named(
    here: _Folder, home: _Folder, named: Sequence[str], sources: Collection[str]
) -> list[Layer]:
    """The layers over what is shown that names and addresses mean."""
    found: list[Layer] = []
    for text in named if tuple(named) != (NO_LAYER,) else ():
        room = home if text in home.layers and text not in here.layers else here
        there = layers_meant(text, room.storage, None)
        mine = [layer for layer in there if layer.over in sources]
        if not mine:
            over = " and ".join(sorted({layer.over for layer in there}))
            raise UsageError(
                f"--layer {text}: is over {over}, and what is shown is {', '.join(sources)}: give --source {over}"
            )
        found += mine
    return found


def _of_split(parts: Sequence[DatasetPart], split: str, url: str) -> list[DatasetPart]:
    found = [part for part in parts if part.split == split]
    if not found:
        there = sorted({part.split for part in parts}, key=SPLITS.index)
        raise UsageError(f"--split {split}: {url} has {', '.join(there)} of what is shown")
    return found
