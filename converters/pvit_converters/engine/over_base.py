"""Conversions that make a layer: one shard per shard of the base, rows in the base's order.

So what is written follows from the base and the listing, a shard is the unit of work and of resuming, and the base is
read in its own order. Each planned shard says of which bytes of the base it is: it is only ever made of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from pvit_converters.base import Converter, Item, Listing
from pvit_converters.engine.plan import Plan, Settings, ShardPlan, require_unmoved
from pvit_converters.layers import Base, LayerConverter
from pvit_data.errors import FormatError, SourceError, UsageError
from pvit_data.format.manifest import BaseRef, LayerSpec
from pvit_data.format.names import SPLITS
from pvit_data.format.receipts import Receipt
from pvit_data.sample.rights import says_derived, told_by_layer
from pvit_data.words import first_problem, shown
from pvit_data.writing.base_rows import BaseRows
from pvit_data.writing.licences import with_labels_of


class BaseAt(NamedTuple):
    """Where the base of a layer is.

    Args:
        address: `URL#SOURCE`.
        state: a hash that changes with what is there; so nobody keeps rows of another time.
    """

    address: str
    state: str

    def rows(self) -> BaseRows:
        """The base as it is now."""
        url, _, source = self.address.rpartition("#")
        return BaseRows(url, source)


_OF_LAYER = ("kind", "attach", "made_by", "confidence", "weights")
OVER = "over"
"""Where a receipt says of which shard of the base its own was made."""


def make_converter(
    kind: type[Converter[Any]], root: Any, options: Any, base: str
) -> Converter[Any]:
    """An instance of a converter; one that makes a layer gets its base.

    Raises:
        UsageError: if the base is not there.
        SourceError: if the raw data are not there.
    """
    if not issubclass(kind, LayerConverter):
        return kind(root, options)
    return kind(root, options, Base(base or str(root), kind.over))


def places_of(kind: type[Converter[Any]], root: Path | str, options: Any) -> list[Path]:
    """The folders and files that the user named; the address of a base is none of them."""
    found = kind.places(Path(root), options)
    return [place for place in found if place != Path(root)] if "://" in str(root) else found


def base_at(converter: Converter[Any]) -> BaseAt | None:
    """Where the base is; None for the converter of a source."""
    if not isinstance(converter, LayerConverter):
        return None
    base = converter.base
    return BaseAt(f"{base.url}#{base.source}", base.rows.state)


def layer_spec(converter: LayerConverter[Any], values: Mapping[str, Any]) -> LayerSpec:
    """The declaration of a layer.

    Args:
        converter: that makes it.
        values: what would be said of a source.

    Raises:
        UsageError: if the converter says what no layer can be.
    """
    info = converter.layer()
    own = {name: getattr(info, name) for name in _OF_LAYER}
    told = {"name": info.name, "licence": info.licence, "redistributable": info.redistributable}
    own |= {name: value for name, value in told.items() if value not in ("", None)}
    base = converter.base.rows.spec
    if not says_derived(converter.source()):
        own |= told_by_layer(base)
    try:
        return with_labels_of(LayerSpec(**{**values, **own, "base": BaseRef.of(base)}), base)
    except (ValidationError, UsageError) as error:
        said = first_problem(error) if isinstance(error, ValidationError) else error
        raise UsageError(f"layer of {converter.info.name}: {said}") from error


def plan_layer(
    identity: dict[str, Any], settings: Settings, listing: Listing, base: BaseRows
) -> Plan:
    """Plans all shards of a layer; `identity` says of which conversion.

    Raises:
        FormatError: if a key comes twice, or is not in the base.
    """
    found = _by_shard(_select(listing.items, settings, base), identity["layer"]["kind"])
    shards = _shards(found, {}, identity["layer"]["kind"], base)
    return Plan(identity, tuple(shards), listing.absent, tuple(listing.notes))


def append_layer(
    plan: Plan, settings: Settings, listing: Listing, base: BaseRows
) -> tuple[Plan, list[str]]:
    """The plan with further shards, for shards of the base that it does not know yet.

    Returns:
        The longer plan, and notes about new samples that were left out because their shard is planned.

    Raises:
        UsageError: if a planned sample is of another split now.
    """
    kind = plan.identity["layer"]["kind"]
    planned = {(shard.split, shard.over.partition(":")[0]): shard for shard in plan.shards}
    first: dict[str, int] = {}
    for shard in plan.shards:
        first[shard.split] = max(first.get(shard.split, 0), shard.number + 1)
    found = _by_shard(_select(listing.items, settings, base), kind)
    if kind == "protocol":  # else a split is the base's
        before = {item.key: shard.split for shard in plan.shards for item in shard.items}
        require_unmoved(before, ((i.key, i.split) for items in found.values() for i in items))
    late = 0
    for place in [place for place in found if place in planned]:
        known = {item.key for item in planned[place].items}
        late += sum(item.key not in known for item in found.pop(place))
    notes = [
        f"{late} new samples are of shards of the base that are planned already; --overwrite takes them"
    ]
    shards = (*plan.shards, *_shards(found, first, kind, base))
    return Plan(plan.identity, shards, listing.absent, tuple(listing.notes)), notes if late else []


Place = tuple[str, str]
"""Split of the layer's shard, and name of the shard of the base (`train-00003`)."""


def _select(
    items: Iterable[Item], settings: Settings, base: BaseRows
) -> list[tuple[str, str, Item]]:
    """The items that filters and limit leave, in the base's order, each with split and shard of its row there."""
    found = []
    unknown = []
    for item in items:
        if item.key not in base.places:
            unknown.append(item.key)
            continue
        split, row = base.places[item.key]
        own = replace(item, group=base.group_of(split, row))
        if not settings.filters or any(_is_like(own, pattern) for pattern in settings.filters):
            found.append((SPLITS.index(split), row, own))
    if unknown:
        raise FormatError(
            f"{len(unknown)} of {len(unknown) + len(found)} listed samples have keys that are not in "
            f"'{base.spec.name}' of {base.storage.url}, over which the layer is made, first '{shown(unknown[0])}'"
        )
    if not found and settings.filters:
        raise UsageError(f"--filter {' '.join(settings.filters)}: matches no key and no group")
    found.sort(key=lambda each: each[:2])
    for one, other in pairwise(found):
        if one[:2] == other[:2]:
            raise FormatError(
                f"two raw samples have the key '{shown(one[2].key)}'; keys must be unique"
            )
    chosen = found[: settings.limit or None]
    return [
        (SPLITS[split], f"{SPLITS[split]}-{base.shard_of(SPLITS[split], row):05d}", item)
        for split, row, item in chosen
    ]


def _is_like(item: Item, pattern: str) -> bool:
    return fnmatchcase(item.key, pattern) or fnmatchcase(item.group, pattern)


def _by_shard(rows: Iterable[tuple[str, str, Item]], kind: str) -> dict[Place, list[Item]]:
    """Items by the shard that they belong into: a protocol names the split, else it is the base's."""
    found: dict[Place, list[Item]] = {}
    for of_base, shard, item in rows:
        split = (item.split or of_base) if kind == "protocol" else of_base
        if split not in SPLITS:
            raise FormatError(
                f"sample '{shown(item.key)}' has split '{shown(split)}', expected one of {', '.join(SPLITS)}"
            )
        found.setdefault((split, shard), []).append(replace(item, split=split))
    return found


def _shards(
    found: Mapping[Place, list[Item]], first: Mapping[str, int], kind: str, base: BaseRows
) -> list[ShardPlan]:
    """The shards, by split and number: an annotation layer has those of its base, a protocol counts its own."""
    numbers = dict.fromkeys(SPLITS, 0) | dict(first)
    shards = []
    for split in SPLITS:
        for (mine, name), items in found.items():
            if mine != split:
                continue
            of_base, _, digits = name.partition("-")
            number = numbers[split] if kind == "protocol" else int(digits)
            numbers[split] += 1
            over = f"{name}:{base.shards[of_base, int(digits)]}"
            shards.append(ShardPlan(split, number, tuple(items), over))
    return shards


def require_same(over: str, base: BaseRows) -> None:
    """Refuses a base of which a planned shard has changed.

    Args:
        over: what the plan, or a receipt, says of the shard of the base.
        base: as it is now.

    Raises:
        SourceError: naming the shard.
    """
    name, _, sha256 = over.partition(":")
    split, _, digits = name.partition("-")
    now = base.shards.get((split, int(digits) if digits.isdecimal() else -1))
    if now != sha256:
        is_gone = "is not there any more" if now is None else "was changed"
        raise SourceError(
            f"{shown(name)} of the base '{base.spec.name}' in {base.storage.url} {is_gone} since this layer was begun: "
            "--overwrite makes the layer again",
            reason="base-changed",
        )


def of_this_base(receipts: Iterable[Receipt], base: BaseAt | None) -> Iterator[Receipt]:
    """Receipts as they are; each of a layer's shard is compared with the base as it is now.

    Raises:
        SourceError: if a shard of the base is another one than that which a shard was made of.
    """
    rows = None if base is None else base.rows()
    for receipt in receipts:
        if rows is not None:
            require_same(str(receipt.extra.get(OVER, "")), rows)
        yield receipt
