"""`plan.json`: a plan as it is stored beside the shards, so that any run continues it.

The samples of a small plan lie in it; those of a large one in parts of their own, and it says where (`plan_parts`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pvit_converters.base import Listing
from pvit_converters.engine.plan import Plan, PlannedShard
from pvit_converters.engine.plan_parts import (
    damage_named,
    is_count,
    line_of,
    parse_runs,
    parse_shard,
    runs_of,
    shard_values,
    to_json,
    write_parts,
)
from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.storage import MAX_READ_BYTES, Storage
from pvit_data.words import shown

PLAN_START = b'{"absent":{'
"""How every stored plan begins, and nothing else does."""
MOST_IN_ONE_FILE = 100_000
"""Samples: of more a run would notice the reading, so that they are stored in parts."""


def plan_name(source: str) -> str:
    """Where a source's plan lies in the dataset."""
    return f"{source}/plan.json"


def save_plan(plan: Plan, storage: Storage) -> Plan:
    """Stores a plan, parts first; the same bytes for the same plan.

    Returns:
        The same plan; of a large one the samples are read from its parts, and held by nobody.

    Raises:
        UsageError: if a shard has more samples, or the plan more shards, than can be read again.
        StorageError: if it cannot be written.
    """
    source = plan.identity["source"]
    value: dict[str, Any] = {
        "identity": plan.identity,
        "absent": plan.absent,
        "notes": plan.notes,
    }
    if _is_large(plan):
        stored = write_parts(storage, source, plan.shards)
        plan = replace(plan, shards=stored)
        value["parts"] = runs_of(stored)
    else:
        value["shards"] = [shard_values(shard) for shard in plan.shards]
    data = to_json(value)
    if len(data) > MAX_READ_BYTES:
        raise UsageError(
            f"{len(plan.shards):,} shards are more than a plan may have: choose a larger --shard-size"
        )
    storage.write(plan_name(source), data)
    return plan


def require_storable(plan: Plan) -> None:
    """Refuses a plan that could not be stored, before anything makes room for it.

    Raises:
        UsageError: if a shard has more samples than can be read again.
    """
    if _is_large(plan):
        for shard in plan.shards:
            line_of(shard)


def _is_large(plan: Plan) -> bool:
    return plan.num_samples > MOST_IN_ONE_FILE


def load_plan(source: str, storage: Storage) -> Plan | None:
    """A stored plan, or None.

    Raises:
        FormatError: if it is damaged.
    """
    name = plan_name(source)
    if not storage.exists(name):
        return None
    data = storage.read(name)
    with damage_named(storage.where(name)):
        plan = _parse(source, json.loads(data), storage)
        if plan.identity.get("source") != source:
            raise ValueError(f"of the source {plan.identity.get('source')!r:.60}")
    return plan


def _parse(source: str, value: Any, storage: Storage) -> Plan:
    """The plan that a JSON value is; whoever writes beside the shards may have written it."""
    shards: tuple[PlannedShard, ...]
    if "parts" in value:
        shards = tuple(parse_runs(storage, source, value["parts"]))
    else:
        shards = tuple(map(parse_shard, value["shards"]))
    absent = value["absent"]
    if not isinstance(absent, dict) or not all(map(is_count, absent.values())):
        raise ValueError(f"absent {absent!r:.60}")
    return Plan({**value["identity"]}, shards, absent, tuple(map(str, value["notes"])))


def find_unlisted(shards: Iterable[PlannedShard], listing: Listing, where: str) -> dict[str, str]:
    """Samples whose raw data are not what the listing gives: what a plan names is read only where it is listed too.

    Args:
        shards: of a stored plan.
        listing: of the raw tree as it is now.
        where: the plan, for messages.

    Returns:
        Why each of them is not read, by key.

    Raises:
        FormatError: if the plan names a place outside the raw tree, as no listing does.
    """
    listed = {item.key: item.ref for item in listing.items}
    out = {}
    for item in (item for shard in shards for item in shard.items):
        ref = listed.get(item.key)
        if ref is None:
            out[item.key] = f"{shown(item.key)}: is in {where} and not in the raw data any more"
        elif item.ref != ref and (odd := sorted(_texts(item.ref) - _texts(ref))):
            if outside := next(filter(_leads_out, odd), None):
                raise FormatError(
                    f"{where}: names {shown(outside)}, which is not in the raw data; "
                    "--overwrite converts the source again"
                )
            new = sorted(_texts(ref) - _texts(item.ref))
            out[item.key] = (
                f"{shown(item.key)}: {where} names {shown(max(odd, key=len))}, the raw data now give "
                f"{shown(max(new, key=len)) if new else 'something else'}: bring them back as they were (if both are "
                "there, take the new one away until this is finished), or --overwrite converts the source again"
            )
    return out


def _texts(value: Any) -> set[str]:
    """All texts in JSON values; paths are among them."""
    if isinstance(value, Mapping):
        return set().union(*map(_texts, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_texts, value))
    return {value} if isinstance(value, str) else set()


def _leads_out(text: str) -> bool:
    """Whether a text, taken as a path, is absolute or goes up."""
    return text.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", text)
