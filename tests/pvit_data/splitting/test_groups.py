"""Divisions by group against plain loops: nothing is torn, shares are even, the same everywhere."""

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvit_data.errors import UsageError
from pvit_data.splitting.groups import folds, held_out, per_class, place_of_group

GROUPS = st.lists(st.integers(0, 12).map(lambda n: f"g{n}"), min_size=1, max_size=60)


def test_the_hash_is_that_of_conversions() -> None:
    assert place_of_group("kitchen") == hashlib.sha256(b"kitchen").hexdigest()
    assert place_of_group("kitchen", 3) == hashlib.sha256(b"3 kitchen").hexdigest()


@given(GROUPS, st.integers(2, 6), st.integers(0, 3))
def test_folds_hold_whole_groups_evenly(groups: list[str], count: int, seed: int) -> None:
    if len(set(groups)) < count:
        with pytest.raises(UsageError, match="and none is torn"):
            folds(groups, count, seed)
        return
    found = folds(groups, count, seed)
    sizes = Counter(found.tolist())
    assert set(sizes) == set(range(count))
    assert len(set(zip(groups, found.tolist(), strict=True))) == len(set(groups))
    assert max(sizes.values()) - min(sizes.values()) <= max(Counter(groups).values())
    order = np.random.default_rng(0).permutation(len(groups))
    assert np.array_equal(folds([groups[i] for i in order], count, seed), found[order])


@given(GROUPS, st.sampled_from([1, 5, 33.3, 50, 99]))
def test_held_out_groups_are_those_of_conversions(groups: list[str], percent: float) -> None:
    wanted = [int(hashlib.sha256(g.encode()).hexdigest(), 16) % 100 < percent for g in groups]
    if all(wanted) or not any(wanted):
        with pytest.raises(UsageError, match="would be held out"):
            held_out(groups, percent)
        return
    assert held_out(groups, percent).tolist() == wanted


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 5))
def test_per_class_takes_whole_groups_up_to_the_number(pairs: list[tuple[int, int]], number: int) -> None:
    groups, classes = [f"g{g}" for g, _ in pairs], [c for _, c in pairs]
    try:
        chosen = per_class(groups, classes, number)
    except UsageError:  # tested below
        return
    taken = {g for g, c in zip(groups, chosen, strict=True) if c}
    assert all((g in taken) == c for g, c in zip(groups, chosen, strict=True))
    counts = Counter(c for c, is_in in zip(classes, chosen, strict=True) if is_in)
    assert set(counts) == set(classes)
    assert max(counts.values()) <= number
    for group in set(groups) - taken:  # no other group would have found room
        own = Counter(c for g, c in zip(groups, classes, strict=True) if g == group)
        assert any(counts[each] + n > number for each, n in own.items())


def test_single_samples_give_the_number_exactly() -> None:
    groups = [f"v{i}" for i in range(60)]
    classes = [i % 3 for i in range(60)]
    chosen = per_class(groups, classes, 5)
    assert Counter(c for c, is_in in zip(classes, chosen, strict=True) if is_in) == {0: 5, 1: 5, 2: 5}
    assert not np.array_equal(chosen, per_class(groups, classes, 5, seed=1))


def test_a_class_without_a_sample_is_named() -> None:
    with pytest.raises(UsageError, match=r"first class 1, whose smallest group has 3 samples.*larger number"):
        per_class(["a", "b", "b", "b"], [0, 1, 1, 1], 2)
