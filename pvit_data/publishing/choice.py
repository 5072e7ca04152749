"""Which sources, layers, splits and shards of a dataset are wanted: as a manifest that lists no others.

What the manifest declares of a source is under the licences of all its samples; of some of its splits under theirs. A
layer that is chosen without its base declares itself what that says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from pvit_data.errors import UsageError
from pvit_data.format.manifest import Manifest, SourceEntry, SourceSpec, SplitInfo, read_manifest
from pvit_data.format.receipts import read_receipts, read_source
from pvit_data.lineage.fields import told_alone
from pvit_data.publishing.files import spec_name
from pvit_data.sample.rights import RECORD
from pvit_data.storage.storage import Storage
from pvit_data.words import did_you_mean
from pvit_data.writing.licences import as_samples_say

Entry = TypeVar("Entry", bound=SourceEntry)


@dataclass(frozen=True)
class Choice:
    """What is wanted; with nothing said, all.

    Args:
        sources: names of sources. With these or layers given, nothing else is in.
        layers: names of layers.
        layers_only: no source; layers may be narrowed by their names.
        splits: names of splits.
        shards: numbers of shards, `(first, last)` each.
        fields: names of fields, or `"record"` alone; what declares none of them is out.
        having: the same, but what declares one of them is in with all its fields.
    """

    sources: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    layers_only: bool = False
    splits: tuple[str, ...] = ()
    shards: tuple[tuple[int, int], ...] = ()
    fields: tuple[str, ...] = ()
    having: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Choice()

    def has_shard(self, number: int) -> bool:
        """Whether shards of this number are in."""
        return not self.shards or any(first <= number <= last for first, last in self.shards)

    def of(self, manifest: Manifest) -> Manifest:
        """The manifest of what is chosen, sealed; shards are not looked at.

        Raises:
            UsageError: if a name is not there, or nothing is left.
        """
        _require_known("source", self.sources, manifest.sources)
        _require_known("layer", self.layers, manifest.layers)
        if self.sources and self.layers_only:
            raise UsageError(
                f"--sources {','.join(self.sources)} with --layers-only: no source is in then; give one of both"
            )
        named = bool(self.sources or self.layers)
        sources = {} if self.layers_only else _named(manifest.sources, self.sources, named)
        narrowed = bool(self.layers) if self.layers_only else named
        layers = _named(manifest.layers, self.layers, narrowed)
        chosen_ones = [*sources.values(), *layers.values()]
        _require_known(
            "split", self.splits, {n for e in manifest.entries.values() for n in e.splits}
        )
        wanted = (*self.fields, *self.having)
        _require_known("field", wanted, {RECORD, *(n for e in chosen_ones for n in e.fields)})
        chosen = manifest.model_copy(
            update={"sources": self._cut(sources), "layers": self._cut(layers)}
        )
        if not chosen.entries:
            raise UsageError(f"nothing is left: the dataset has {_contents(manifest)}")
        return chosen.sealed()

    def _cut(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        """With the chosen splits and fields alone, and without what has none of them."""
        found = {}
        for name, entry in entries.items():
            if self.fields and RECORD not in self.fields and not entry.fields & {*self.fields}:
                continue
            if self.having and not entry.fields & {*self.having}:
                continue
            splits = {
                split: self._with_fields(info)
                for split, info in entry.splits.items()
                if not self.splits or split in self.splits
            }
            if splits:
                found[name] = entry.model_copy(update={"splits": splits})
        return found

    def left_out(self, manifest: Manifest) -> list[str]:
        """What is out since it has none of the chosen fields, for people."""
        every, mine = replace(self, fields=()).of(manifest), self.of(manifest)
        return [
            f"{'layer' if name in every.layers else 'source'} '{name}'"
            for entries, kept in ((every.sources, mine.sources), (every.layers, mine.layers))
            for name in sorted(entries.keys() - kept.keys())
        ]

    def _with_fields(self, info: SplitInfo) -> SplitInfo:
        if not self.fields:
            return info
        kept = {name: number for name, number in info.fields.items() if name in self.fields}
        return info.model_copy(update={"fields": kept})


def chosen(storage: Storage, choice: Choice) -> Manifest:
    """The manifest of what is chosen of a local dataset, sealed.

    Args:
        storage: the dataset.
        choice: of it.

    Raises:
        UsageError: if a name is not there, or nothing is left.
        FormatError: if manifest or receipts are damaged.
    """
    whole = read_manifest(storage)
    found = choice.of(whole)
    sources = {n: _declared_anew(storage, e, whole.sources[n]) for n, e in found.sources.items()}
    layers = {n: _declared_anew(storage, e, whole.layers[n]) for n, e in found.layers.items()}
    found = found.model_copy(update={"sources": sources, "layers": layers})
    bases = {name: _under_layers(storage, choice, whole, name) for name in whole.sources}
    return with_told(found, whole, whole.model_copy(update={"sources": bases}))


def _under_layers(storage: Storage, choice: Choice, whole: Manifest, name: str) -> SourceEntry:
    """A source as layers over its chosen splits are to know it."""
    entry = whole.sources[name]
    mine = {split: info for split, info in entry.splits.items() if split in choice.splits}
    if not mine:
        return entry
    cut = _declared_anew(storage, entry.model_copy(update={"splits": mine}), entry)
    return entry.model_copy(update={"spec": cut.spec})


def with_told(chosen: Manifest, whole: Manifest, of_splits: Manifest | None = None) -> Manifest:
    """A choice, sealed, in which layers that go without their base declare what that says now.

    Args:
        chosen: of a dataset.
        whole: all of it.
        of_splits: all of it, with sources as their chosen splits let them declare; those of protocols are others.
    """
    layers = dict(chosen.layers)
    for name, entry in chosen.layers.items():
        if entry.spec.base.source not in chosen.sources:
            there = of_splits if of_splits and entry.spec.kind == "annotation" else whole
            told = told_alone(entry.spec, there)
            layers[name] = entry.model_copy(update={"spec": told})
    return chosen.model_copy(update={"layers": layers}).sealed()


def _declared_anew(storage: Storage, entry: Entry, whole: SourceEntry) -> Entry:
    """Some splits of a source, under the licences of their own samples where the receipts tell these."""
    folder = entry.spec.folder
    if entry.splits.keys() == whole.splits.keys() or not storage.exists(spec_name(folder)):
        return entry
    declared, receipts = read_source(storage, folder), [*read_receipts(storage, folder)]

    def under(splits: Collection[str]) -> SourceSpec:
        return as_samples_say(declared, [each for each in receipts if each.split in splits])

    listed = Counter({split: _shards(info) for split, info in whole.splits.items()})
    is_known = Counter(receipt.split for receipt in receipts) == listed
    if not is_known or under(whole.splits) != whole.spec:
        return entry
    return entry.model_copy(update={"spec": under(entry.splits)})


def _shards(info: SplitInfo) -> int:
    return info.shard_list.count if info.shard_list is not None else len(info.shards)


def shard_numbers(text: str) -> tuple[int, int]:
    """The shards that a number, or two with a hyphen between them, mean.

    Raises:
        UsageError: if it is neither.

    >>> shard_numbers("7"), shard_numbers("0-99")
    ((7, 7), (0, 99))
    """
    found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text.strip())
    if found is None or int(found[2] or found[1]) < int(found[1]):
        raise UsageError(f"--shards {text!r}: expected a number or FIRST-LAST, such as 0-99")
    return int(found[1]), int(found[2] or found[1])


def _named(entries: dict[str, Entry], names: Collection[str], narrowed: bool) -> dict[str, Entry]:
    return {name: entry for name, entry in entries.items() if not narrowed or name in names}


def _require_known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise UsageError(f"no {kind} '{name}' (there: {there}){did_you_mean(name, known)}")


def _contents(manifest: Manifest) -> str:
    """What a dataset has, for people."""
    parts = [f"source '{name}'" for name in sorted(manifest.sources)]
    return ", ".join([*parts, *(f"layer '{name}'" for name in sorted(manifest.layers))])
