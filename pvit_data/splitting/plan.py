"""From what a user asks for to protocols that can be written: every choice is made, and counted, before a byte is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Integer
from pydantic import ValidationError

from pvit_data.errors import UsageError
from pvit_data.format.manifest import NAME, BaseRef, LayerSpec, read_manifest
from pvit_data.format.members import LABELS
from pvit_data.format.names import SPLITS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset, sources_in
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rights import Rights, rights_of, says_derived, told_by_layer, unlicensed
from pvit_data.splitting.division import Division
from pvit_data.splitting.groups import folds, held_out, per_class
from pvit_data.splitting.lists import read_classes
from pvit_data.splitting.matching import OUT, listed
from pvit_data.storage.storage import Storage
from pvit_data.words import counted, first_problem

VERSION = "1"

Numbers = Integer[np.ndarray, "n"]


@dataclass(frozen=True)
class Protocol:
    """A protocol that is to be written.

    Args:
        spec: its declaration.
        dataset: the samples that it chooses from.
        home: folder or URL of the base.
        splits: of each of them the number in `SPLITS`, or `OUT`.
        classes: of each of them the class, or -1.
        declares: labels are its own, not its base's.
        notes: sentences about what is left out, and what is torn.
    """

    spec: LayerSpec
    dataset: ShardDataset
    home: str
    splits: Numbers
    classes: Numbers
    declares: bool
    notes: tuple[str, ...] = ()

    def rows(self, split: str) -> list[int]:
        """Numbers of the samples of a split."""
        found: list[int] = np.flatnonzero(self.splits == SPLITS.index(split)).tolist()
        return found

    @property
    def names(self) -> list[str]:
        """Splits that have a sample."""
        return [name for name in SPLITS if (self.splits == SPLITS.index(name)).any()]

    def counts(self) -> dict[str, Any]:
        """Samples and groups by split, and samples by class and split, as JSON values."""
        groups = np.array(groups_of(self.dataset), object)
        space = self.spec.spaces.get("action") or space_of(self.dataset)
        samples, in_groups = {}, {}
        classes: dict[str, dict[str, int]] = {}
        for split in self.names:
            mine = self.rows(split)
            samples[split] = len(mine)
            in_groups[split] = len(set(groups[mine]))
            for each, number in sorted(Counter(self.classes[mine].tolist()).items()):
                if each >= 0:
                    name = space.class_name(each) if space else str(each)
                    classes.setdefault(name, {})[split] = number
        return {"samples": samples, "groups": in_groups, "classes": classes}


def plan_protocols(
    url: str, source: str, name: str, division: Division, *, base: str = "", **about: Any
) -> list[Protocol]:
    """Divides the samples of a source; writes nothing.

    Args:
        url: folder or URL of the dataset.
        source: its source, or a protocol, whose base those that are made of it name; "": the only source.
        name: of the protocol; folds are called NAME-0, NAME-1, ...
        division: how.
        base: of a protocol whose base is elsewhere: folder or URL.
        about: what the declaration says besides: `licence`, `redistributable`, `title`, `citation`, `made_by`.

    Raises:
        UsageError: if something is unknown, ambiguous, or gives an empty split.
    """
    division.require_one()
    whole = open_dataset(url, source=source or None, base=base)
    over, said, declared, labels = _base_of(url, source, whole)
    dataset = whole.where(division.where) if division.where else whole
    if not len(dataset):
        raise UsageError(f"--where {division.where!r}: no sample passes it")
    spaces, classes, notes = _labels(dataset, declared, division, name)
    rights = {"action": labels} if spaces else {}
    role = next(iter(whole.sources.values())).role
    found = []
    for number, (splits, told) in enumerate(_divided(dataset, classes, division)):
        own = f"{name}-{number}" if division.folds else name
        options = division.options() | ({"fold": number} if division.folds else {})
        made = {"converter": "split", "converter_version": VERSION, "options": options}
        spec = _spec(
            name=own, base=over, spaces=spaces, rights=rights, role=role, **made, **said, **about
        )
        _require_splits(splits, division)
        unsaid = unlicensed(spec.licence, spec.redistributable)
        notes_here = (*notes, *told, *_torn(dataset, splits), *unsaid)
        found.append(
            Protocol(spec, dataset, base or url, splits, classes, bool(spaces), notes_here)
        )
    return found


def _base_of(
    url: str, source: str, dataset: ShardDataset
) -> tuple[BaseRef, dict[str, str], Mapping[str, LabelSpace], Rights]:
    """What a protocol of these samples names as its base and tells of it, and labels that it must copy, by field.

    The rights are those of the labels that the samples have, whoever renames them.
    """
    if len(dataset.sources) > 1:
        listed = ", ".join(dataset.sources)
        raise UsageError(f"{url} has several sources, {listed}: give --source")
    storage = Storage(url)
    if not storage.exists(NAME) and not sources_in(storage):
        raise UsageError(f"{storage.url}: has no {NAME}, so it is no base of a protocol")
    (spec,) = dataset.sources.values()
    layer = read_manifest(storage).layers.get(source) if storage.exists(NAME) else None
    if layer is None:
        return BaseRef.of(spec), told_by_layer(spec), {}, rights_of(spec, "action")
    fields = {name for info in layer.splits.values() for name in info.fields} & LABELS
    if fields - {"action"}:
        raise UsageError(
            f"protocol '{source}' declares labels with times (actions), which are not copied: "
            f"divide its base, '{layer.spec.base.source}'"
        )
    said = told_by_layer(layer.spec) if says_derived(layer.spec) else {}
    spaces = dict(layer.spec.spaces) if fields else {}
    return layer.spec.base, said, spaces, rights_of(layer.spec if fields else spec, "action")


def _spec(**values: Any) -> LayerSpec:
    try:
        return LayerSpec(**values, kind="protocol")
    except ValidationError as error:
        raise UsageError(f"--name {values['name']}: {first_problem(error)}") from error


def groups_of(dataset: ShardDataset) -> list[str]:
    """The group of each sample; one that has none is a group of its own."""
    pairs = zip(dataset.column("group"), dataset.column("key"), strict=True)
    return [str(group) or f"\0{key}" for group, key in pairs]


def space_of(dataset: ShardDataset) -> LabelSpace | None:
    """The classes of the labels, if they have names."""
    (name,) = dataset.sources
    return dataset.spaces_of(name).get("action")


def _labels(
    dataset: ShardDataset, declared: Mapping[str, LabelSpace], division: Division, name: str
) -> tuple[dict[str, LabelSpace], Numbers, list[str]]:
    """Label spaces that the protocol declares, the class of each sample (-1: none), and notes."""
    own = np.where(dataset.column("has_action"), dataset.column("action"), -1).astype(np.int64)
    if division.classes is None:
        return dict(declared), own, []
    space = space_of(dataset)
    if space is None:
        raise UsageError("--classes: the samples have no classes with names (no action labels)")
    if dataset.column("has_actions").any():
        raise UsageError(
            "--classes: some samples have labels with times (actions), which are not renamed"
        )
    renamed, ids = read_classes(division.classes, space, name)
    table = np.full(space.num_ids + 1, -1, np.int64)  # the last one: no class
    table[list(ids)] = list(ids.values())
    found = table[own]
    left = int(np.count_nonzero(found < 0))
    told = f"{counted(left, 'sample')}: of no class of {division.classes.name}, left out"
    return {"action": renamed}, found, [told] if left else []


def _divided(
    dataset: ShardDataset, classes: Numbers, division: Division
) -> Iterator[tuple[Numbers, list[str]]]:
    """The splits of each protocol, and notes."""
    if division.lists:
        splits, notes = listed(dataset, division)
        if division.classes is not None:
            splits[classes < 0] = OUT
        yield splits, notes
        return
    numbers = {name: number for number, name in enumerate(SPLITS)}
    splits = np.array([numbers[name] for name in dataset.column("split")], np.int64)
    notes = []
    if division.classes is not None:
        splits[classes < 0] = OUT
    there = [name for name in SPLITS if (splits == numbers[name]).any()]
    if not there:
        raise UsageError(f"{division.classes}: no sample has one of these classes")
    if not division.makes:
        yield splits, notes
        return
    own = [numbers[name] for name in division.divided(there)]
    mine = np.flatnonzero(np.isin(splits, own))
    if division.per_class and (unlabelled := mine[classes[mine] < 0]).size:
        splits[unlabelled] = OUT
        mine = mine[classes[mine] >= 0]
        notes.append(f"{counted(unlabelled.size, 'sample')}: without a class, left out")
    for chosen in _ways(dataset, classes, mine, division):
        result = splits.copy()
        trained, tested = (numbers[name] for name in division.makes)
        result[mine] = np.where(chosen, tested, trained)
        yield result, notes + _few(classes[mine], chosen, division)


def _ways(
    dataset: ShardDataset, classes: Numbers, mine: Numbers, division: Division
) -> Iterator[Any]:
    """Of each protocol: which of the divided samples are not trained on."""
    every = groups_of(dataset)
    groups = [every[row] for row in mine.tolist()]
    if division.folds:
        fold = folds(groups, division.folds, division.seed)
        yield from (fold == number for number in range(division.folds))
    elif division.per_class:
        if not groups:
            raise UsageError("--per-class: no sample has a class (no action labels)")
        yield ~per_class(groups, classes[mine].tolist(), division.per_class, division.seed)
    else:
        assert division.holdout is not None  # the only way left
        yield held_out(groups, division.holdout, division.seed)


def _few(classes: Numbers, tested: Any, division: Division) -> list[str]:
    """A note about classes with fewer samples to train on than were asked for."""
    if not division.per_class:
        return []
    counts = Counter(classes[~tested].tolist())
    few = [number for number in counts.values() if number < division.per_class]
    told = (
        f"{counted(len(few), 'class', 'classes')} have fewer than {division.per_class} samples to train on, the least "
        f"{min(few, default=0)}: that many they have, or fit without tearing a group apart"
    )
    return [told] if few else []


def _torn(dataset: ShardDataset, splits: Numbers) -> list[str]:
    """A note about groups that are in several splits."""
    found: dict[str, set[int]] = {}
    for group, split in zip(groups_of(dataset), splits.tolist(), strict=True):
        if split != OUT:
            found.setdefault(group, set()).add(split)
    torn = [group for group, those in found.items() if len(those) > 1]
    return [f"{counted(len(torn), 'group')} in several splits, first '{torn[0]}'"] if torn else []


def _require_splits(splits: Numbers, division: Division) -> None:
    """Refuses a protocol of which a split that was asked for has no sample.

    Raises:
        UsageError: naming it.
    """
    wanted = division.makes or tuple(division.lists)
    if empty := [name for name in wanted if not (splits == SPLITS.index(name)).any()]:
        raise UsageError(f"no sample would be in {empty[0]}: the protocol is not made")
