"""`plan.json`: a plan as it is stored beside the shards, so that any run continues it."""

from __future__ import annotations

import json

from pvit_converters.base import Item
from pvit_converters.engine.plan import Plan, ShardPlan
from pvit_data.errors import FormatError
from pvit_data.storage.files import utf8
from pvit_data.storage.storage import Storage


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
        value = json.loads(storage.read(name))
        shards = tuple(
            ShardPlan(s["split"], s["number"], tuple(Item(*fields) for fields in s["items"]))
            for s in value["shards"]
        )
        return Plan(value["identity"], shards, value["absent"], tuple(value["notes"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        where = f"{storage.url}/{name}"
        raise FormatError(
            f"{where}: damaged ({error!r}); --overwrite converts the source again"
        ) from error
