"""`plan.json`: a plan as it is stored beside the shards, so that any run continues it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pvit_converters.base import Item, Listing
from pvit_converters.engine.plan import Plan, ShardPlan
from pvit_data.errors import FormatError
from pvit_data.format.names import SPLITS
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage
from pvit_data.words import shown

PLAN_START = b'{"absent":{'
"""How every stored plan begins, and nothing else does."""


def plan_name(source: str) -> str:
    """Where a source's plan lies in the dataset."""
    return f"{source}/plan.json"


def save_plan(plan: Plan, storage: Storage) -> None:
    """Stores a plan; the same bytes for the same plan."""
    shards = [
        {
            "split": shard.split,
            "number": shard.number,
            "items": [[i.key, i.group, i.split, i.ref, i.size] for i in shard.items],
        }
        for shard in plan.shards
    ]
    value = {
        "identity": plan.identity,
        "absent": plan.absent,
        "notes": plan.notes,
        "shards": shards,
    }
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    storage.write(plan_name(plan.identity["source"]), utf8(text))


def load_plan(source: str, storage: Storage) -> Plan | None:
    """A stored plan, or None.

    Raises:
        FormatError: if it is damaged.
    """
    name = plan_name(source)
    if not storage.exists(name):
        return None
    try:
        plan = _parse(json.loads(storage.read(name)))
        if plan.identity.get("source") != source:
            raise ValueError(f"of the source {plan.identity.get('source')!r:.60}")
        return plan
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        where = f"{storage.url}/{name}"
        raise FormatError(
            f"{where}: damaged ({error!r}); --overwrite converts the source again"
        ) from error


def _parse(value: Any) -> Plan:
    """The plan that a JSON value is; whoever writes beside the shards may have written it."""
    shards = tuple(
        ShardPlan(s["split"], s["number"], tuple(Item(*fields) for fields in s["items"]))
        for s in value["shards"]
    )
    for shard in shards:
        if shard.split not in SPLITS or type(shard.number) is not int or shard.number < 0:
            raise ValueError(f"a shard {shard.split!r:.60}, {shard.number!r:.60}")
        if odd := next((item for item in shard.items if not _is_item(item)), None):
            raise ValueError(f"a sample {odd!r:.200}")
    absent = {str(reason): int(count) for reason, count in value["absent"].items()}
    return Plan({**value["identity"]}, shards, absent, tuple(map(str, value["notes"])))


def _is_item(item: Item) -> bool:
    texts = (item.key, item.group, item.split)
    is_count = type(item.size) is int and item.size >= 0
    return all(isinstance(t, str) for t in texts) and isinstance(item.ref, dict) and is_count


def find_unlisted(shards: Iterable[ShardPlan], listing: Listing, where: str) -> dict[str, str]:
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
            out[item.key] = (
                f"{shown(item.key)}: {where} names {shown(odd[0])}, which is not what lies in the raw data now; "
                "--overwrite converts the source again"
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
