"""The plan is a pure function of items and settings."""

import hashlib
import random
from typing import Any

import pytest

from pvit_converters.base import Item, Listing
from pvit_converters.engine.identity import make_identity, require_equal
from pvit_converters.engine.plan import Plan, Settings, append_to, make_plan
from pvit_converters.engine.plan_file import load_plan, save_plan
from pvit_data.errors import FormatError, UsageError
from pvit_data.splitting.groups import holdout_split
from pvit_data.storage.storage import Storage


def items(groups: int, each: int, split: str = "", size: int = 100) -> list[Item]:
    return [Item(f"k{g}-{n}", f"g{g}", split, {"n": n}, size) for g in range(groups) for n in range(each)]


def plan_of(toy: Any, listing: list[Item], **settings: Any) -> Plan:
    converter = toy.ToyConverter(".", toy.ToyOptions())
    chosen = Settings(**settings)
    return make_plan(make_identity(converter, chosen), chosen, Listing(listing))


def test_order_of_the_listing_does_not_matter(toy: Any) -> None:
    listing = items(20, 4)
    shuffled = random.Random(0).sample(listing, len(listing))
    assert plan_of(toy, listing, shard_bytes=900) == plan_of(toy, shuffled, shard_bytes=900)


def test_shards_take_whole_groups_in_hash_order(toy: Any) -> None:
    plan = plan_of(toy, items(20, 4, "train"), shard_bytes=900)
    seen = []
    for shard in plan.shards:
        groups = [item.group for item in shard.items]
        assert len(groups) == 4 * len(set(groups))
        assert shard.size <= 900
        keys = [item.key for item in shard.items]
        assert keys == sorted(keys, key=lambda k: hashlib.sha256(k.encode()).hexdigest())
        seen += sorted(set(groups), key=lambda g: hashlib.sha256(g.encode()).hexdigest())
    assert seen == sorted(seen, key=lambda g: hashlib.sha256(g.encode()).hexdigest())
    assert len(seen) == 20
    assert [shard.number for shard in plan.shards] == list(range(10))


def test_a_group_larger_than_a_shard_stays_whole(toy: Any) -> None:
    plan = plan_of(toy, items(3, 30, "val"), shard_bytes=1000)
    assert [len(shard.items) for shard in plan.shards] == [30, 30, 30]


def test_shards_take_no_more_samples_than_they_may_have(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checked when a plan is made, never after the work."""
    monkeypatch.setattr("pvit_converters.engine.plan.MAX_SHARD_SAMPLES", 10)
    plan = plan_of(toy, items(20, 4, "train"))
    assert [len(shard.items) for shard in plan.shards] == [8] * 10
    with pytest.raises(UsageError, match=r"group g0 has 11 samples: .*a shard takes 10 at most"):
        plan_of(toy, items(1, 11, "train"))


def test_holdout_follows_the_hash_of_the_group(toy: Any) -> None:
    expected = {f"g{n}" for n in range(2000) if int(hashlib.sha256(f"g{n}".encode()).hexdigest(), 16) % 100 < 7}
    plan = plan_of(toy, items(2000, 1), holdout=7)
    assert {i.group for s in plan.shards if s.split == "val" for i in s.items} == expected
    assert all(holdout_split(f"g{n}", 0) == "train" for n in range(500))
    assert {holdout_split(f"g{n}", 100) for n in range(500)} == {"val"}


def test_limit_and_filters(toy: Any) -> None:
    plan = plan_of(toy, items(20, 4), limit=7)
    assert plan.num_samples == 7
    whole = [i.key for s in plan_of(toy, items(20, 4), shard_bytes=1).shards for i in s.items]
    assert {i.key for s in plan.shards for i in s.items} == set(whole[:7])
    filtered = plan_of(toy, items(20, 4), filters=("g1", "k7-*"))
    assert {i.group for s in filtered.shards for i in s.items} == {"g1", "g7"}
    with pytest.raises(UsageError, match="matches no key"):
        plan_of(toy, items(2, 2), filters=("nothing",))


def test_equal_keys_are_refused(toy: Any) -> None:
    with pytest.raises(FormatError, match="'k1-1'"):
        plan_of(toy, [*items(3, 2), Item("k1-1", "elsewhere", "", {}, 1)])


def test_append_leaves_planned_shards_alone(toy: Any) -> None:
    settings = Settings(shard_bytes=900)
    plan = plan_of(toy, items(5, 4, "train"), shard_bytes=900)
    more = [*items(8, 4, "train"), Item("k0-late", "g0", "train", {}, 100)]
    longer, notes = append_to(plan, settings, Listing(more))
    assert longer.shards[: len(plan.shards)] == plan.shards
    assert {i.group for s in longer.shards[len(plan.shards) :] for i in s.items} == {"g5", "g6", "g7"}
    assert [s.number for s in longer.shards] == list(range(len(longer.shards)))
    assert "1 new samples belong to groups" in notes[0]


def test_plans_are_stored_and_read(toy: Any, tmp_path: Any) -> None:
    storage = Storage(tmp_path)
    plan = plan_of(toy, items(5, 4), shard_bytes=900)
    save_plan(plan, storage)
    first = (tmp_path / "toy/plan.json").read_bytes()
    assert load_plan("toy", storage) == plan
    save_plan(plan, storage)
    assert (tmp_path / "toy/plan.json").read_bytes() == first
    (tmp_path / "toy/plan.json").write_bytes(first[:-20])
    with pytest.raises(FormatError, match=r"plan\.json: damaged"):
        load_plan("toy", storage)


def test_differences_are_named() -> None:
    with pytest.raises(UsageError, match=r"options \(limit: 0 there, 5 now; every: 1 there, 2 now\)"):
        require_equal({"limit": 0, "options": {"every": 1}}, {"limit": 5, "options": {"every": 2}}, "out/x")


def test_a_key_that_comes_twice_is_told_with_both_places(toy: Any) -> None:
    listing = [Item("same", "g", "train", {"file": name}, 1) for name in ("a/1.mp4", "b/1.mp4")]
    with pytest.raises(FormatError, match=r"'same'.*\(file 'a/1\.mp4'\) and \(file 'b/1\.mp4'\)"):
        plan_of(toy, [*items(2, 1), *listing])
