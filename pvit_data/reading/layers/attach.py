"""Which layers belong to a source, and the parts that show it with them: the one place where names become layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pvit_data.errors import FormatError, UsageError
from pvit_data.format.manifest import NAME, LayerEntry, Manifest, read_manifest
from pvit_data.format.members import LABELS
from pvit_data.format.names import SOURCE_NAME, SPLITS, split_address
from pvit_data.reading.foreign.part import ForeignPart
from pvit_data.reading.layers.annotated import AnnotatedPart, Attached, carries, space_of
from pvit_data.reading.layers.fields import given_with
from pvit_data.reading.layers.joining import Joined, require_common, require_fit, row_map
from pvit_data.reading.layers.protocol import ProtocolPart
from pvit_data.reading.part import DatasetPart, SplitPart
from pvit_data.storage.ahead import Blocks
from pvit_data.storage.storage import Storage
from pvit_data.words import counted, did_you_mean


@dataclass(frozen=True)
class Layer:
    """A layer where it lies.

    Args:
        name: as it is attached.
        url: folder or URL that holds it.
        entry: of its manifest.
        parts: its splits.
    """

    name: str
    url: str
    entry: LayerEntry
    parts: tuple[SplitPart, ...]

    @property
    def fields(self) -> frozenset[str]:
        """Fields that it declares."""
        return self.entry.fields

    @property
    def over(self) -> str:
        """Name of its base."""
        return self.entry.spec.base.source

    @property
    def annotates(self) -> bool:
        """Whether it brings annotations, and is no protocol."""
        return self.entry.spec.kind == "annotation"

    @property
    def is_default(self) -> bool:
        """Whether it is attached although nobody named it."""
        return self.annotates and self.entry.spec.attach == "default"


def layers_in(storage: Storage, manifest: Manifest) -> dict[str, Layer]:
    """The layers of a dataset, by name."""
    found = {}
    for name, entry in sorted(manifest.layers.items()):
        parts = tuple(
            SplitPart(storage, entry.spec, split, entry.splits[split], manifest.checksum)
            for split in SPLITS
            if split in entry.splits
        )
        found[name] = Layer(name, storage.url, entry, parts)
    return found


def find_layers(
    wanted: Iterable[str], source: str, beside: Storage, cache: Blocks | None
) -> list[Layer]:
    """The annotation layers that a list of names and addresses means, in its order.

    Args:
        wanted: a name (in the base's folder), a folder or URL (every annotation layer over the source in it, by
            name), or `URL#NAME`.
        source: the base.
        beside: the base's dataset.
        cache: for bytes of URLs.

    Raises:
        UsageError: if one does not exist, is over another source, or is a protocol.
    """
    found: list[Layer] = []
    for text in wanted:
        there = layers_meant(text, beside, cache)
        mine = [layer for layer in there if layer.over == source]
        if not mine and SOURCE_NAME.match(text.rpartition("#")[2]):
            raise UsageError(
                f"layer '{there[0].name}' is over '{there[0].over}', not over '{source}'"
            )
        if not mine:
            raise UsageError(f"{text}: holds no annotation layer over '{source}'")
        found += mine
    require_once(found)
    return found


def layers_meant(text: str, beside: Storage, cache: Blocks | None) -> list[Layer]:
    """The annotation layers that a name or an address means, over whatever base; see `find_layers`.

    Raises:
        UsageError: if there is none, or it is a protocol.
    """
    if SOURCE_NAME.match(text):
        there = layers_in(beside, read_manifest(beside)) if beside.exists(NAME) else {}
        return [named_layer(there, text, beside.url)]
    url, name = split_address(text)
    if not url:
        raise UsageError(f"layer {text!r}: expected a name, a folder or URL, or URL#NAME")
    storage = Storage(url, cache)
    storage.require_folder()
    if not storage.exists(NAME):
        raise UsageError(f"layer {storage.url}: has no {NAME}, so there is no layer")
    there = layers_in(storage, read_manifest(storage))
    if name:
        return [named_layer(there, name, storage.url)]
    found = [layer for layer in there.values() if layer.annotates]
    if not found:
        raise UsageError(f"{storage.url}: holds no annotation layer")
    return found


def require_once(layers: Sequence[Layer]) -> None:
    """Refuses two layers of one name.

    Raises:
        UsageError: if there are.
    """
    names = [layer.name for layer in layers]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"layer '{twice}' is named twice: attach one of them")


def named_layer(there: Mapping[str, Layer], name: str, where: str) -> Layer:
    """The annotation layer of a name.

    Args:
        there: the layers by name.
        name: that is asked for.
        where: they are, for messages.

    Raises:
        UsageError: if there is none, or it is a protocol.
    """
    if name not in there:
        listed = ", ".join(there) or "none"
        hint = did_you_mean(name, there)
        raise UsageError(f"{where} has no layer '{name}': it has {listed}{hint}")
    layer = there[name]
    if not layer.annotates:
        raise UsageError(
            f"'{name}' is a protocol, which is opened by its name as source ({name}), not attached as a layer"
        )
    return layer


def require_apart(
    source: str,
    own: Collection[str],
    layers: Iterable[Layer],
    bases: Sequence[DatasetPart],
    remedy: Callable[[Layer], str],
) -> None:
    """Refuses layers that nobody named, of which two, or one and the source itself, give a field in the same split.

    Args:
        source: that they are over.
        own: fields that it declares itself.
        layers: over it.
        bases: all of its parts.
        remedy: which option names the layer to use; told one.

    Raises:
        UsageError: if there are such layers, or two that have other label spaces for a field.
    """
    given: dict[str, list[Layer | None]] = {field: [None] for field in given_with(own)}
    for layer in layers:
        for name in sorted(layer.fields):
            for other in reversed(given.get(name, [])):
                if not any(_both_give(name, layer, other, base) for base in bases):
                    continue
                told = source if other is None else other.name
                raise UsageError(
                    f"layer '{layer.name}' and '{told}' both give {name} of '{source}': name the layers to "
                    f"use, the last one wins: {remedy(layer)}"
                )
        for field in given_with(layer.fields):
            given.setdefault(field, []).append(layer)


def _both_give(field: str, layer: Layer, other: Layer | None, base: DatasetPart) -> bool:
    """Whether a layer and another one, or the base itself (None), have a field of a part, or other classes in it."""
    spaces = [layer.entry.spec, base.spec if other is None else other.entry.spec]
    mine, theirs = (space_of(spec, field) for spec in spaces)
    if None not in (mine, theirs) and mine != theirs:
        return True
    has = carries(base, field) if other is None else _attached(other, base).has(field)
    return has and _attached(layer, base).has(field)


def _attached(layer: Layer, base: DatasetPart) -> Attached:
    return Attached(layer.name, layer.entry.spec, layer.fields, _joined(layer, base))


def annotated(
    bases: Sequence[DatasetPart], layers: Sequence[Layer], *, strict: bool = False
) -> list[DatasetPart]:
    """The parts of a base with layers attached.

    Args:
        bases: all parts of one source that are wanted.
        layers: in order; of those that have a field of a split the last one gives it there.
        strict: other bytes of the pictures are an error.

    Raises:
        FormatError: if a layer does not fit (see `joining.require_fit`), has no sample in common, or the base has two
            samples of one key.
        UsageError: if a layer brings labels where the base has its own.
    """
    if not layers:
        return list(bases)
    _require_unique(bases)
    joined: list[list[Attached]] = [[] for _ in bases]
    notes: list[str] = []
    for layer in layers:
        names = (layer.name, bases[0].spec.name)
        _require_no_labels(layer, bases)
        found = [_attached(layer, base) for base in bases]
        known = require_common([one for own in found for one in own.joined], names)
        others = 0
        for mine, base, own in zip(joined, bases, found, strict=True):
            others += sum(require_fit(base, pair, layer.fields, names) for pair in own.joined)
            mine.append(own)
        _tell_others(others, names, strict)
        notes += _told(layer, known, others, names)
    return [AnnotatedPart(base, own, tuple(notes)) for base, own in zip(bases, joined, strict=True)]


def _require_unique(bases: Sequence[DatasetPart]) -> None:
    """Refuses foreign shards in which a key comes twice; of ours a manifest is only made where none does."""
    if not any(isinstance(base, ForeignPart) for base in bases):
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = pa.concat_arrays([base.keys() for base in bases]).value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        raise FormatError(
            f"'{bases[0].spec.name}' in {bases[0].storage.url} has {counted(len(twice), 'key')} more than once, first "
            f"'{twice[0].as_py()}': layers are joined by key, so it is no base"
        )


def _told(layer: Layer, known: int, others: int, names: tuple[str, str]) -> list[str]:
    """What of a layer found no sample, or pictures with other bytes."""
    lost = sum(part.samples for part in layer.parts) - known
    told = f"layer '{names[0]}': "
    return [
        *([f"{told}{lost} of its {lost + known} samples are not in '{names[1]}'"] if lost else []),
        *([f"{told}{others} pictures of '{names[1]}' have other bytes"] if others else []),
    ]


def _joined(layer: Layer, base: DatasetPart) -> tuple[Joined, ...]:
    """The rows that a layer has of a base: of the split of the same name, and where that lacks some, of the others."""
    same = [row_map(base, part) for part in layer.parts if part.split == base.split]
    if same and same[0].is_whole:
        return tuple(same)
    others = [row_map(base, part) for part in layer.parts if part.split != base.split]
    found = [*same, *others]
    return tuple(joined for joined in found if joined.known) or tuple(found[:1])


def _require_no_labels(layer: Layer, bases: Sequence[DatasetPart]) -> None:
    labels = sorted(layer.fields & LABELS)
    if labels and any(base.column(f"has_{name}").any() for base in bases for name in LABELS):
        raise UsageError(
            f"layer '{layer.name}' brings {labels[0]}, and '{bases[0].spec.name}' has labels of its own: "
            "labels in place of the base's are a protocol's business"
        )


def _tell_others(count: int, names: tuple[str, str], strict: bool) -> None:
    if not count:
        return
    text = (
        f"layer '{names[0]}': {count} samples of '{names[1]}' have other bytes than those that it was made from, with "
        "the same frames and sizes"
    )
    if strict:
        raise FormatError(f"{text}; --strict-layers refuses that")
    warnings.warn(text, stacklevel=3)


def protocol_parts(
    layer: Layer, bases: Sequence[DatasetPart], split: str | None
) -> list[ProtocolPart]:
    """The splits of a protocol over the parts of its base.

    Raises:
        FormatError: if the base has none of its samples, or two samples of one key.
    """
    _require_unique(bases)
    labels = given_with(layer.fields) & LABELS
    found = [
        ProtocolPart(part, bases, layer.entry.spec, labels)
        for part in layer.parts
        if split in (None, part.split)
    ]
    if found and not any(part.samples for part in found):
        raise FormatError(
            f"protocol '{layer.name}': '{bases[0].spec.name}' has none of its {sum(p.lost for p in found)} samples"
        )
    return found
