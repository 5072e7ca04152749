"""The plan: which sample goes into which shard, as a pure function of the items and the settings.

Groups are ordered by the hash of their name; a shard takes whole groups until its estimated size is full, or it has
as many samples as a shard may have; inside a shard samples are ordered by the hash of their key. So shards are mixed, a
scene can be converted and deleted at once, and new groups can be appended without touching finished shards.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol

from pvit_converters.base import Item, Listing
from pvit_converters.raw.reencoding import Reencoding
from pvit_data.errors import FormatError, UsageError
from pvit_data.format.names import SPLITS
from pvit_data.format.receipts import MAX_SHARD_SAMPLES
from pvit_data.splitting.groups import holdout_of_classes, holdout_split
from pvit_data.storage.files import utf8
from pvit_data.words import counted, short, shown


@dataclass(frozen=True)
class Settings:
    """What decides the content of the shards, besides the source and its own options.

    Args:
        shard_bytes: estimated size at which a shard is full.
        holdout: percentage of the groups that become `val` where a source has no split of its own.
        limit: convert at most so many samples (0: all), the first ones in the plan's order.
        filters: convert only samples whose key or group matches one of these patterns (`ai_001_*`).
        encodings: storage of fields where not by default, for example `{"depth": "float32"}`.
        reencoding: what becomes of the pictures, where they do not stay as they are.
    """

    shard_bytes: int = 256_000_000
    holdout: float = 1
    limit: int = 0
    filters: tuple[str, ...] = ()
    encodings: Mapping[str, str] = field(default_factory=dict)
    reencoding: Reencoding | None = None


class PlannedShard(Protocol):
    """A shard of a plan, wherever its samples are.

    Attributes:
        split, number: which shard it is.
        name: for messages.
        samples: how many there are.
        size: estimated bytes.
        items: the samples in order; of a stored plan they may be read again at each access.
        over: of a layer, the shard of the base that it is over, with its sha256; else "".
    """

    @property
    def split(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def items(self) -> tuple[Item, ...]: ...
    @property
    def over(self) -> str: ...


@dataclass(frozen=True)
class ShardPlan:
    """One shard to write: its split, its number within the split, and its samples in order; see `PlannedShard`."""

    split: str
    number: int
    items: tuple[Item, ...]
    over: str = ""

    @property
    def name(self) -> str:
        """For messages: `train-00003`."""
        return f"{self.split}-{self.number:05d}"

    @property
    def samples(self) -> int:
        """How many samples it gets, if none fails."""
        return len(self.items)

    @property
    def size(self) -> int:
        """Estimated bytes."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True)
class Plan:
    """All shards of a source.

    Args:
        identity: everything that decides the content; a conversion continues only under an equal one.
        shards: in order.
        absent: counts of listed samples that are not there, by reason.
        notes: sentences for the summary.
    """

    identity: dict[str, Any]
    shards: tuple[PlannedShard, ...]
    absent: dict[str, int]
    notes: tuple[str, ...]

    @property
    def num_samples(self) -> int:
        """Samples in all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def size(self) -> int:
        """Estimated bytes of all shards."""
        return sum(shard.size for shard in self.shards)


def digest(text: str) -> str:
    """The hash that orders groups and samples."""
    return _place(text).hex()


def _place(text: str) -> bytes:
    """The same in half the memory."""
    return hashlib.sha256(utf8(text)).digest()


def make_plan(identity: dict[str, Any], settings: Settings, listing: Listing) -> Plan:
    """Plans all shards of a listing; `identity` says of which conversion."""
    items = select(listing, settings)
    shards = _shards(items, settings, {})
    return Plan(identity, shards, listing.absent, tuple(listing.notes))


def append_to(plan: Plan, settings: Settings, listing: Listing) -> tuple[Plan, list[str]]:
    """The plan with further shards for the groups that it does not hold yet.

    Returns:
        The longer plan, and notes about new samples that were left out because their group is already planned.
    """
    groups: set[str] = set()
    keys: set[str] = set()
    for shard in plan.shards:
        items = shard.items
        groups.update(item.group for item in items)
        keys.update(item.key for item in items)
    fresh = [item for item in select(listing, settings) if item.group not in groups]
    late = sum(item.group in groups and item.key not in keys for item in listing.items)
    first = Counter(shard.split for shard in plan.shards)
    shards = plan.shards + _shards(fresh, settings, first)
    notes = (
        [f"{late} new samples belong to groups that are already converted; --overwrite takes them"]
        if late
        else []
    )
    return Plan(plan.identity, shards, listing.absent, tuple(listing.notes)), notes


def waiting(plan: Plan, settings: Settings, listing: Listing) -> list[str]:
    """Sentences about what `append_to` would add, and about new samples that it would leave out."""
    try:
        longer, late = append_to(plan, settings, listing)
    except UsageError:  # the filters match nothing that is still there
        return []
    added = longer.shards[len(plan.shards) :]
    groups = {item.group for shard in added for item in shard.items}
    told = []
    if groups:
        samples = counted(sum(shard.samples for shard in added), "sample")
        new = counted(len(groups), "new group")
        told.append(f"{new} ({samples}) in the raw data: --append converts them")
    if not (settings.filters or settings.limit):  # which leave out old samples of groups, too
        told += late
    return told


def _ref_of(item: Item) -> str:
    """Where a raw sample lies, for people: the texts and numbers of its reference."""
    told = (f"{name} {short(v)}" for name, v in item.ref.items() if isinstance(v, str | int))
    return f"({', '.join(told)})"


def select(listing: Listing, settings: Settings) -> list[Item]:
    """The items of a listing that filters and limit leave, each with its split, in the plan's order.

    Raises:
        FormatError: if two items have the same key.
        UsageError: if the filters match nothing.
    """
    patterns = settings.filters
    matching = [
        item
        for item in listing.items
        if not patterns
        or any(fnmatchcase(item.key, p) or fnmatchcase(item.group, p) for p in patterns)
    ]
    split_of = _holdout({i.group for i in matching if not i.split}, listing, settings.holdout)
    chosen = [
        item if item.split else replace(item, split=split_of(item.group)) for item in matching
    ]
    places = {group: _place(group) for group in {item.group for item in chosen}}
    chosen.sort(key=lambda item: (places[item.group], _place(item.key)))
    if len({item.key for item in chosen}) < len(chosen):
        twice = Counter(item.key for item in chosen).most_common(1)[0][0]
        found = " and ".join([_ref_of(item) for item in chosen if item.key == twice][:2])
        raise FormatError(
            f"two raw samples have the key '{twice}'; keys must be unique. They are {found}"
        )
    if not chosen and patterns:
        raise UsageError(
            f"--filter {' '.join(patterns)}: matches no key and no group of the source"
        )
    return chosen[: settings.limit or None]


def _holdout(groups: set[str], listing: Listing, percent: float) -> Callable[[str], str]:
    """The split of each group that has none: some of every class are held out where classes are listed."""
    if not listing.classes:
        return lambda group: holdout_split(group, percent)
    held = holdout_of_classes({group: listing.classes.get(group, ()) for group in groups}, percent)
    return lambda group: "val" if group in held else "train"


def _shards(
    items: list[Item], settings: Settings, first: Mapping[str, int]
) -> tuple[ShardPlan, ...]:
    """Fills shards with whole groups of one split; `items` are in the plan's order."""
    shards = []
    for split in SPLITS:
        bins: list[list[Item]] = []
        size = 0
        for group in _groups([item for item in items if item.split == split]):
            weight = sum(item.size for item in group)
            is_full = size + weight > settings.shard_bytes
            if not bins or is_full or len(bins[-1]) + len(group) > MAX_SHARD_SAMPLES:
                bins.append([])
                size = 0
            bins[-1] += group
            size += weight
        for number, content in enumerate(bins, first.get(split, 0)):
            shards.append(
                ShardPlan(split, number, tuple(sorted(content, key=lambda item: _place(item.key))))
            )
    return tuple(shards)


def _groups(items: list[Item]) -> list[list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    for name, group in groups.items():
        if len(group) > MAX_SHARD_SAMPLES:
            raise UsageError(
                f"group {shown(name)} has {len(group):,} samples: a group is never torn apart, and a shard takes "
                f"{MAX_SHARD_SAMPLES:,} at most; --filter leaves samples out"
            )
    return list(groups.values())
