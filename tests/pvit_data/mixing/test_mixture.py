"""Global batches: composition, quotas, cap, epochs, order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvit_data.errors import ConfigError, UsageError
from pvit_data.mixing.composition import MixturePart, Schedule, shares
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.nodes import NodeBlocks, dealt
from pvit_data.mixing.order import EpochOrder, seeded
from pvit_data.mixing.sources import MixtureSource
from pvit_data.sample.sample import Sample
from tests.pvit_data.memory_set import MemorySet


def light(number: int, source: str, **fields: object) -> list[Sample]:
    """Samples without real pixels: a mixture reads only the index."""
    tiny = np.zeros((1, 1, 1, 3), np.uint8)
    return [
        Sample(key=f"{source}-{i}", source=source, rgb=tiny, num_frames=1, **fields)  # type: ignore[arg-type]
        for i in range(number)
    ]


DEPTH = {"depth": np.ones((1, 1, 1), np.float32)}
POSE = {"pose3d": np.ones((1, 1, 25, 3), np.float32)}


def three(batch_size: int = 8, **options: object) -> Mixture:
    return Mixture(
        [
            MixtureSource(MemorySet(light(30, "real", action=1))),
            MixtureSource(MemorySet(light(20, "deep", **DEPTH), {"deep": ("depth",)}), "auxiliary"),
            MixtureSource(MemorySet(light(10, "posed", **POSE), {"posed": ("pose3d",)}), "auxiliary"),
        ],
        batch_size,
        **options,  # type: ignore[arg-type]
    )


def composition(mixture: Mixture, step: int) -> Counter[int]:
    return Counter(source for source, _ in mixture.plan(step))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=8), st.integers(1, 40))
def test_each_batch_and_each_running_total_is_as_close_as_integers_allow(weights: list[float], batch: int) -> None:
    wanted = np.array(weights) / sum(weights) * batch
    schedule = Schedule(wanted)
    total = np.zeros(len(wanted))
    for step in range(60):
        counts = schedule.counts(step)
        assert counts.sum() == batch
        assert (np.abs(counts - wanted) < 1 + 1 / 2048).all()
        total += counts
        assert (np.abs(total - wanted * (step + 1)) < 1 + (step + 1) / 2048).all()
        np.testing.assert_array_equal(schedule.drawn_before(step + 1), total)


def test_a_far_step_is_looked_up() -> None:
    schedule = Schedule([4 / 3, 8 / 3])
    assert schedule.drawn_before(3_000_000).tolist() == [4_000_000, 8_000_000]


def test_default_is_half_downstream_and_half_auxiliary_by_size() -> None:
    mixture = three(12)
    assert mixture.wanted.tolist() == [6, 4, 2]
    assert all(composition(mixture, s) == {0: 6, 1: 4, 2: 2} for s in range(20))
    assert mixture.steps_per_epoch == 5


def test_weights_portion_and_cap() -> None:
    sources = three().sources
    weighted = [replace(s, weight=w) for s, w in zip(sources, (1.0, 1.0, 2.0), strict=True)]
    np.testing.assert_allclose(Mixture(weighted, 8).wanted, [2, 2, 4])
    np.testing.assert_allclose(Mixture(sources, 9, portion=0.5).wanted, [6, 2, 1])
    flooded = [replace(s, weight=w) for s, w in zip(sources, (1.0, 50.0, 50.0), strict=True)]
    for batch in (8, 10, 13):
        mixture = Mixture(flooded, batch, cap=3)
        for step in range(30):
            counts = composition(mixture, step)
            assert counts[1] + counts[2] <= 3 * counts[0]
    assert Mixture(flooded, 8, cap=3).wanted.tolist() == [2, 3, 3]


def test_each_epoch_visits_every_row_once_and_epochs_differ() -> None:
    mixture = three(8, seed=5)
    rows: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for step in range(60):
        for source, row in mixture.plan(step):
            rows[source].append(row)
    for source, number in enumerate((30, 20, 10)):
        epochs = [rows[source][i : i + number] for i in range(0, len(rows[source]) - number, number)]
        # The draws of an epoch are a set: inside a batch they are dealt out in another order.
        flat = [draw for step in range(60) for draw in mixture.draws(step) if draw.source == source]
        for epoch in range(len(epochs)):
            seen = [draw.row for draw in flat if draw.epoch == epoch]
            assert sorted(seen) == list(range(number))
        assert epochs[0] != epochs[1]


def test_the_plan_is_a_pure_function_of_seed_and_step() -> None:
    forward = three(seed=3)
    plans = [forward.plan(s) for s in range(30)]
    backward = three(seed=3)
    assert [backward.plan(s) for s in reversed(range(30))] == plans[::-1]
    assert [three(seed=4).plan(s) for s in range(3)] != plans[:3]


def test_quotas_hold_in_every_batch_and_touch_the_downstream_last() -> None:
    mixture = three(8, quotas={"pose3d": 3})
    for step in range(40):
        counts = composition(mixture, step)
        assert counts[2] >= 3
        assert counts[0] == 4
    both = three(8, quotas={"pose3d": 3, "depth": 3})
    assert all(composition(both, s) == {0: 2, 1: 3, 2: 3} for s in range(10))


def test_quotas_see_rows_not_sources() -> None:
    """Half the rows of one source carry depth, and a quota asks for more than chance would give."""
    mixed = light(10, "aux", **DEPTH) + [replace(s, key=f"x-{s.key}") for s in light(30, "aux")]
    aux = MemorySet(mixed, {"aux": ("depth",)})
    sources = [MixtureSource(MemorySet(light(10, "real", action=0))), MixtureSource(aux, "auxiliary")]
    mixture = Mixture(sources, 8, quotas={"depth": 3})
    for step in range(20):
        assert sum(source == 1 and row < 10 for source, row in mixture.plan(step)) >= 3


def test_quotas_that_do_not_fit_name_the_arithmetic() -> None:
    with pytest.raises(ConfigError, match=r"quotas \(pose3d 4, depth 4\) need at least 8 auxiliary samples per batch, "
                       r"but a batch of 8 has room for 6: cap 3"):  # fmt: skip
        three(8, quotas={"pose3d": 4, "depth": 4})
    for count in (9, 1 << 62):  # told at once, however many
        with pytest.raises(ConfigError, match=f"quota depth={count}: a batch has 8 samples"):
            three(8, quotas={"depth": count})
    with pytest.raises(ConfigError, match="quota boxes=1: no source of the mixture supervises 'boxes'"):
        three(8, quotas={"boxes": 1})
    with pytest.raises(UsageError, match="unknown task 'flow'"):
        three(8, quotas={"flow": 1})


def test_a_task_that_a_source_is_not_used_for_does_not_count() -> None:
    with pytest.raises(ConfigError, match="no source of the mixture supervises 'depth'"):
        three(8, quotas={"depth": 1}, tasks={"deep": ()})


def test_bad_mixtures_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs sources and a batch size"):
        Mixture([], 8)
    blind = MemorySet([Sample(key="a", source="blind", num_frames=1)])
    with pytest.raises(ConfigError, match="'blind' has no sample with rgb"):
        Mixture([MixtureSource(blind)], 8)
    with pytest.raises(ConfigError, match="weight 0 is not positive"):
        Mixture([replace(three().sources[0], weight=0.0)], 8)
    with pytest.raises(ConfigError, match="portion 0 is not positive"):
        three(portion=0.0)


def test_samples_without_pixels_are_never_drawn() -> None:
    samples = light(6, "real", action=0)
    samples[2] = replace(samples[2], rgb=None)
    mixture = Mixture([MixtureSource(MemorySet(samples))], 5)
    assert {row for step in range(9) for _, row in mixture.plan(step)} == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("world", [1, 2, 4, 8])
def test_slices_of_a_batch_are_composed_alike(world: int) -> None:
    mixture = three(16, quotas={"pose3d": 3})
    for step in range(10):
        plan = mixture.plan(step)
        share = 16 // world
        for source, total in composition(mixture, step).items():
            for rank in range(world):
                count = sum(s == source for s, _ in plan[rank * share : (rank + 1) * share])
                assert total // world <= count <= -(-total // world)


@given(st.integers(1, 64))
def test_dealing_is_a_permutation(number: int) -> None:
    assert sorted(dealt(list(range(number)))) == list(range(number))


def test_shuffling_reads_few_blocks_at_a_time_and_still_mixes_well() -> None:
    rows, block, window = 200_000, 64, 64 * 256
    order = EpochOrder(0, "a", 0, rows, block, window).array()
    assert sorted(order) == list(range(rows))
    assert not (order == EpochOrder(0, "a", 1, rows, block, window).array()).all()
    neighbours = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(rows) + 0.005
    blocks = [len(set(order[i : i + window] // block)) for i in range(0, rows, window)]
    assert max(blocks) <= window // block + 2  # each window touches its own blocks, each a sequential read
    # A batch of 64 comes from 64 different blocks, nearly: 64 draws of 256 blocks give 57 different ones by chance.
    distinct = np.mean([len(set(order[i : i + 64] // block)) for i in range(0, rows - 64, 640)])
    assert distinct > 50
    # Any window covers the whole source: its block numbers are spread like a uniform sample.
    quarter = np.histogram(order[:window], bins=4, range=(0, rows))[0] / window
    assert np.abs(quarter - 0.25).max() < 0.12


def whole_order(seed: int, part: str, epoch: int, num_rows: int, block: int, window: int) -> np.ndarray:
    """The same permutation made at once, as a list of all rows."""
    rng = seeded(seed, "order", part, epoch)
    if num_rows <= window:
        return rng.permutation(num_rows)
    starts = rng.permutation(np.arange(0, num_rows, block))
    order = (starts[:, None] + np.arange(block)).ravel()
    order = order[order < num_rows]
    for begin in range(0, num_rows, window):
        rng.shuffle(order[begin : begin + window])
    return order


@given(st.integers(1, 3000), st.sampled_from([1, 3, 8]), st.sampled_from([16, 64, 100]), st.integers(0, 5))
def test_an_order_looked_up_place_by_place_is_the_whole_one(rows: int, block: int, window: int, epoch: int) -> None:
    expected = whole_order(3, "part", epoch, rows, block, window)
    np.testing.assert_array_equal(EpochOrder(3, "part", epoch, rows, block, window).array(), expected)
    places = np.random.default_rng(0).integers(0, rows, 50)
    order = EpochOrder(3, "part", epoch, rows, block, window)
    assert [order[int(place)] for place in places] == expected[places].tolist()


@given(st.integers(1, 2000), st.sampled_from([1, 8, 32]), st.sampled_from([2, 3, 8]))
def test_nodes_share_all_rows_in_whole_blocks(rows: int, block: int, nodes: int) -> None:
    blocks = NodeBlocks(0, "a", rows, block, nodes)
    assert blocks.sizes.sum() == rows
    own = [[blocks.row(node, i) for i in range(size)] for node, size in enumerate(blocks.sizes.tolist())]
    assert sorted(row for mine in own for row in mine) == list(range(rows))
    owners = [{row // block for row in mine} for mine in own]
    assert sum(map(len, owners)) == -(-rows // block)
    places = [blocks.place(p) for p in range(rows)]
    assert len(set(places)) == rows
    assert all(0 <= place < blocks.sizes[node] for node, place in places)
    turns = [node for node, _ in places[: int(blocks.sizes.min()) * nodes]]
    assert turns == [i % nodes for i in range(len(turns))]


@pytest.mark.parametrize("nodes", [4, 8])
def test_nodes_change_who_reads_what_and_nothing_else(nodes: int) -> None:
    """Every row once per epoch, batches composed as before, and the rows of a part nearly all of its own blocks."""
    sizes = {"real": 3000, "deep": 1700}
    sources = [
        MixtureSource(MemorySet(light(sizes["real"], "real", action=1))),
        MixtureSource(MemorySet(light(sizes["deep"], "deep", **DEPTH), {"deep": ("depth",)}), "auxiliary"),
    ]
    one = Mixture(sources, 32, seed=1, block=8, window=64)
    several = Mixture(sources, 32, seed=1, block=8, window=64, nodes=nodes)
    share = 32 // nodes
    seen: dict[tuple[int, int], list[int]] = {}
    readers: dict[tuple[int, int], Counter[int]] = {}
    for step in range(3 * one.steps_per_epoch):
        draws = several.draws(step)
        assert Counter(d.source for d in draws) == Counter(d.source for d in one.draws(step))
        assert [d for i in range(0, 32, share) for d in several.draws(step, slice(i, i + share))] == draws
        for place, draw in enumerate(draws):
            seen.setdefault((draw.source, draw.epoch), []).append(draw.row)
            readers.setdefault((draw.source, draw.row // 8), Counter())[place // share] += 1
    total = sum(sum(counts.values()) for counts in readers.values())
    strange = total - sum(max(counts.values()) for counts in readers.values())
    assert strange <= 0.06 * total
    for (source, epoch), rows in seen.items():
        assert len(set(rows)) == len(rows)
        if (source, epoch + 1) in seen:
            assert sorted(rows) == list(range(list(sizes.values())[source]))


def test_nodes_must_divide_the_batch() -> None:
    with pytest.raises(ConfigError, match="batch_size 32 cannot be cut into 5 equal parts"):
        Mixture([MixtureSource(MemorySet(light(40, "real", action=1)))], 32, nodes=5)


def test_shares_are_exact_where_weights_are() -> None:
    parts = [MixturePart("a", 1, True), MixturePart("b", 1, False), MixturePart("c", 1, False)]
    np.testing.assert_allclose(shares(parts, 10, {}, 3.0), [10 / 3] * 3)
