"""The loader's promises: the same batches for any ranks and workers, exact resume, honest targets, clear failures."""

from __future__ import annotations

import itertools
import os
import pickle
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

import pvit_data
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError, FormatError, PvitError
from pvit_data.loading.batch import Batch
from pvit_data.loading.build import TrainingBatches
from pvit_data.loading.clip_reader import ClipReader
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.sources import MixtureSource
from pvit_data.testing import assert_equal_batches, assert_exact_resume
from tests.pvit_data.memory_set import MemorySet, real, still, synthetic

CLIP = ClipConfig(num_frames=4, size=(16, 16), map_size=(4, 4), flip=0.5, colour=0.5, normal_axes="camera")
TASKS = {"synth": ("depth", "normal", "segm", "pose3d", "boxes"), "stills": ("depth",), "real": ("action",)}
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose
LOADERS = [(1, 0), (1, 1), (1, 3), (2, 0), (2, 1), (4, 1)]


def mixture(batch_size: int = 4, **options: object) -> Mixture:
    return Mixture(
        [
            MixtureSource(MemorySet([real(f"r{i}") for i in range(7)], TASKS)),
            MixtureSource(MemorySet([synthetic(f"s{i}") for i in range(5)], TASKS), "auxiliary"),
            MixtureSource(MemorySet([still(f"i{i}") for i in range(4)], TASKS), "auxiliary"),
        ],
        batch_size,
        seed=1,
        **options,  # type: ignore[arg-type]
    )


def rows_of(batch: Batch) -> dict[str, torch.Tensor]:
    """Pixels by key: what a batch holds, whatever the order of its rows."""
    return dict(zip(batch.keys, batch.video, strict=True))


@pytest.mark.parametrize(("world_size", "workers"), LOADERS)
def test_global_batches_do_not_depend_on_ranks_and_workers(world_size: int, workers: int) -> None:
    steps = mixture().steps_per_epoch + 3  # over an epoch boundary
    truth = list(pvit_data.loader(mixture(), num_steps=steps, clip=CLIP))
    ranks = [
        list(pvit_data.loader(mixture(), workers, rank, world_size, num_steps=steps, clip=CLIP))
        for rank in range(world_size)
    ]
    for step, expected in enumerate(truth):
        parts = [rank[step] for rank in ranks]
        assert [key for part in parts for key in part.keys] == expected.keys
        torch.testing.assert_close(torch.cat([part.video for part in parts]), expected.video, rtol=0, atol=0)
        for name, target in expected.targets.items():
            value = torch.cat([part.targets[name].value for part in parts])
            torch.testing.assert_close(value, target.value, rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_is_exact_at_every_step(workers: int) -> None:
    steps = 10 if workers == 0 else 6
    assert_exact_resume(lambda start: pvit_data.loader(mixture(), workers, start_step=start, clip=CLIP), steps)


def test_resume_at_random_steps_on_another_world_size() -> None:
    truth = list(pvit_data.loader(mixture(), num_steps=60, clip=CLIP))
    for start in random.Random(0).sample(range(58), 10):
        for rank in range(2):
            loader = pvit_data.loader(mixture(), 0, rank, 2, start_step=start, num_steps=2, clip=CLIP)
            for batch in loader:
                assert batch.keys == truth[batch.step].keys[2 * rank : 2 * rank + 2]


def test_the_checker_finds_a_loader_that_forgets_its_place() -> None:
    with pytest.raises(AssertionError, match="resumed at 1, batch 1: step is 0, expected 1"):
        assert_exact_resume(lambda start: pvit_data.loader(mixture(), clip=CLIP), 3)
    with pytest.raises(AssertionError, match="ended after 2 of 3"):
        assert_exact_resume(lambda start: pvit_data.loader(mixture(), num_steps=2, clip=CLIP), 3)
    one, two = pvit_data.loader(mixture(), num_steps=2, clip=CLIP)
    with pytest.raises(AssertionError, match="step is 1, expected 0"):
        assert_equal_batches(two, one)


def test_the_global_random_state_is_untouched() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]
    list(pvit_data.loader(mixture(), workers=1, num_steps=1, clip=CLIP))
    list(pvit_data.loader(mixture(), num_steps=1, clip=CLIP))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]
    assert random.getstate() == before[2]


def test_targets_are_packed_to_the_rows_that_carry_them() -> None:
    for batch in pvit_data.loader(mixture(), num_steps=12, clip=CLIP):
        assert tuple(batch.video.shape) == (4, 3, 4, 16, 16)
        by_source = {name: [i for i, s in enumerate(batch.sources) if s == name] for name in TASKS}
        assert set(batch.targets) == {"action", "depth", "normal", "segm/rooms", "pose3d", "boxes"}
        assert batch.targets["action"].rows.tolist() == by_source["real"]
        assert set(batch.targets["pose3d"].rows.tolist()) <= set(by_source["synth"])  # a crop may lose the person
        assert batch.targets["depth"].rows.tolist() == sorted(by_source["synth"] + by_source["stills"])
        assert tuple(batch.targets["depth"].value.shape[1:]) == (2, 4, 4)
        for target in batch.targets.values():
            assert len(target.value) == len(target.valid) == len(target.rows)
            assert target.valid.any() or len(target.rows) == 0


def test_a_batch_without_a_label_has_empty_targets_of_the_right_shape() -> None:
    sources = mixture().sources
    flooded = Mixture([sources[0], MixtureSource(sources[1].ds, "auxiliary", 0.01)], 2)
    batch = next(iter(pvit_data.loader(flooded, clip=CLIP)))
    assert set(batch.sources) == {"real"}
    assert tuple(batch.targets["depth"].value.shape) == (0, 2, 4, 4)
    assert tuple(batch.targets["pose3d"].valid.shape) == (0, 2, 25)


def test_only_the_downstream_source_has_action_targets() -> None:
    both = MemorySet([real(f"a{i}", source="other") for i in range(3)], {"other": ("action",)})
    mixed = Mixture([mixture().sources[0], MixtureSource(both, "auxiliary")], 4)
    for batch in pvit_data.loader(mixed, num_steps=3, clip=CLIP):
        assert [batch.sources[row] for row in batch.targets["action"].rows] == ["real", "real"]
    named = CLIP.model_copy(update={"downstream": "other"})
    for batch in pvit_data.loader(mixed, num_steps=3, clip=named):
        assert {batch.sources[row] for row in batch.targets["action"].rows} == {"other"}


def test_pixels_are_normalised_and_stills_repeat_their_frame() -> None:
    plain = ClipConfig(num_frames=4, size=(36, 36), jitter=(1, 1), mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    grey = real("g")
    grey.rgb = np.full((9, 36, 50, 3), 51, np.uint8)  # 0.2
    batch = next(iter(pvit_data.loader(Mixture([MixtureSource(MemorySet([grey]))], 1), clip=plain)))
    for channel, value in enumerate((0.2, 0.0, -0.1)):
        torch.testing.assert_close(batch.video[0, channel], torch.full((4, 36, 36), value), atol=1e-6, rtol=0)
    batch = next(iter(pvit_data.loader(Mixture([MixtureSource(MemorySet([still("i")], TASKS))], 1), clip=CLIP)))
    assert (batch.video[0] == batch.video[0, :, :1]).all()
    assert batch.targets["depth"].valid.all()


def test_world_normals_are_never_flipped_and_other_targets_are() -> None:
    sample = synthetic("s")
    ds = MemorySet([sample], TASKS)
    whole = {"num_frames": 2, "size": (40, 60), "map_size": (40, 60), "jitter": (1.0, 1.0), "flip": 1.0}
    world = ClipReader(ds, ClipConfig(**whole), TASKS).train(0, 0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(world.targets["depth"].value[0], sample.depth[0])  # type: ignore[index]
    camera = ClipReader(ds, ClipConfig(normal_axes="camera", **whole), TASKS).train(0, 0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(camera.rgb, world.rgb[:, :, ::-1])
    np.testing.assert_array_equal(camera.targets["depth"].value, world.targets["depth"].value[:, :, ::-1])
    without = ClipReader(ds, ClipConfig(**whole), {"synth": ("depth",)}).train(0, 0)  # type: ignore[arg-type]
    np.testing.assert_array_equal(without.rgb, camera.rgb)


def test_epochs_draw_anew_and_seeds_matter() -> None:
    ds = MemorySet([synthetic("s", frames=40)], TASKS)
    reader = ClipReader(ds, CLIP, TASKS, seed=0)
    assert not np.array_equal(reader.train(0, 0).rgb, reader.train(0, 1).rgb)
    np.testing.assert_array_equal(reader.train(0, 1).rgb, ClipReader(ds, CLIP, TASKS, seed=0).train(0, 1).rgb)
    assert not np.array_equal(reader.train(0, 0).rgb, ClipReader(ds, CLIP, TASKS, seed=1).train(0, 0).rgb)


def test_a_source_may_have_its_own_transforms() -> None:
    """Its clips are those of a configuration with its values for all; other sources keep the common ones."""
    ds = MemorySet([synthetic("s", frames=40), still("i"), real("r", frames=40)], TASKS)
    own = {"rate": 2, "jitter": (1.0, 1.0), "colour": 0.0}
    mixed = ClipReader(ds, ClipConfig(**{**CLIP.model_dump(), "per_source": {"synth": own}}), TASKS)
    common, alone = ClipReader(ds, CLIP, TASKS), ClipReader(ds, CLIP.model_copy(update=own), TASKS)
    for row, expected in ((0, alone), (1, common), (2, common)):
        np.testing.assert_array_equal(mixed.train(row, 0).rgb, expected.train(row, 0).rgb)
    assert not np.array_equal(common.train(0, 0).rgb, alone.train(0, 0).rgb)
    with pytest.raises(ValueError, match="not an ascending range"):
        ClipConfig(per_source={"synth": {"jitter": (2, 1)}})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="Extra inputs"):
        ClipConfig(per_source={"synth": {"jiter": (1, 1)}})  # type: ignore[dict-item]


def test_shuffled_labels_come_from_other_rows_and_stay_the_same() -> None:
    ds = MemorySet([synthetic(f"s{i}") for i in range(5)], TASKS)
    plain = ClipReader(ds, CLIP.model_copy(update={"flip": 0.0, "jitter": (1, 1)}), TASKS)
    control = ClipReader(ds, CLIP.model_copy(update={"shuffle_labels": True, "flip": 0.0, "jitter": (1, 1)}), TASKS)
    true = [plain.view(row).targets["depth"].value[0] for row in range(5)]
    first = [control.train(row, 0) for row in range(5)]
    donors = [[np.array_equal(clip.targets["depth"].value[0], t) for t in true].index(True) for clip in first]
    assert sorted(donors) == list(range(5))
    assert donors != list(range(5))
    again = [control.train(row, 3).targets["depth"].value[0] for row in range(5)]
    assert [[np.array_equal(value, t) for t in true].index(True) for value in again] == donors


def test_shuffled_annotations_come_from_rows_that_have_them() -> None:
    """As many are supervised as without shuffling, and the same rows."""
    samples = [synthetic(f"s{i}") for i in range(9)]
    for sample in samples[::2]:
        sample.depth = None
    control = ClipReader(MemorySet(samples, TASKS), CLIP.model_copy(update={"shuffle_labels": True}), TASKS)
    clips = [control.train(row, 0) for row in range(9)]
    assert ["depth" in clip.targets for clip in clips] == [row % 2 == 1 for row in range(9)]
    donors = [{want for want, fields in control.needs(row, True) if "depth" in fields} for row in range(9)]
    assert all(not found for found in donors[::2])
    assert sorted(row for found in donors for row in found) == [1, 3, 5, 7]


def broken_mixture(broken: set[str]) -> Mixture:
    return Mixture([MixtureSource(MemorySet([real(f"r{i}") for i in range(7)], TASKS, broken))], 4, seed=1)


def test_unreadable_samples_raise_by_default() -> None:
    with pytest.raises(FormatError, match="sample 'r3': broken on purpose"):
        list(pvit_data.loader(broken_mixture({"r3"}), num_steps=2, clip=CLIP))
    with pytest.raises(FormatError, match="sample 'r3': broken on purpose"):
        list(pvit_data.loader(broken_mixture({"r3"}), workers=1, num_steps=2, clip=CLIP))


@pytest.mark.parametrize("workers", [0, 2])
def test_skipped_samples_are_replaced_counted_and_the_same_everywhere(workers: int) -> None:
    loader = pvit_data.loader(broken_mixture({"r3"}), workers, num_steps=14, clip=CLIP, on_corrupt="skip")
    keys = Counter(key for batch in loader for key in batch.keys)
    assert sum(keys.values()) == 14 * 4
    assert "r3" not in keys
    assert loader.skipped["real"] >= 8  # drawn once per epoch of 7 rows, or as a substitute of itself
    assert "sample 'r3': broken on purpose" in loader.problems[0]
    again = pvit_data.loader(broken_mixture({"r3"}), 0, num_steps=14, clip=CLIP, on_corrupt="skip")
    assert Counter(key for batch in again for key in batch.keys) == keys


def test_too_many_unreadable_samples_stop_the_run() -> None:
    loader = pvit_data.loader(broken_mixture({"r3"}), clip=CLIP, on_corrupt="skip")
    with pytest.raises(FormatError, match=r"1[12] of \d+ samples cannot be read, more than the limit of 1.0%"):
        list(itertools.islice(loader, 200))
    everything = broken_mixture({f"r{i}" for i in range(7)})
    with pytest.raises(FormatError, match="100 samples in a row cannot be read"):
        list(pvit_data.loader(everything, num_steps=1, clip=CLIP, on_corrupt="skip"))


def sabotaged(action: object) -> Mixture:
    samples = [real(f"r{i}") for i in range(6)]
    return Mixture([MixtureSource(MemorySet(samples, TASKS, hook=action))], 3)  # type: ignore[arg-type]


def die(number: int) -> object:
    return lambda key: os.kill(os.getpid(), number) if key == "r4" else None


def stuck(key: str) -> None:
    if key == "r4":
        time.sleep(600)


def wrong(key: str) -> None:
    if key == "r4":
        raise KeyError("a bug")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (die(signal.SIGKILL), "worker 0 \\(killed by SIGKILL, as the system does when memory runs out\\)"),
        (die(signal.SIGSEGV), "worker 0 \\(killed by SIGSEGV\\)"),
        (die(signal.SIGBUS), "worker 0 \\(killed by SIGBUS: /dev/shm is full; give the container more"),
        (stuck, "no worker died, one is stuck"),
        (wrong, "loader worker 0 failed in batch \\d on sample 'r4': KeyError: 'a bug'"),
    ],
)
def test_a_failing_worker_is_named_with_its_last_sample_in_time(action: object, message: str) -> None:
    begin = time.monotonic()
    with pytest.raises(PvitError, match=message) as caught:
        list(pvit_data.loader(sabotaged(action), workers=1, num_steps=3, clip=CLIP, timeout=3))
    assert "'r4'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 3 + 10


def test_workers_survive_the_signals_that_stop_training() -> None:
    batches = iter(pvit_data.loader(mixture(), workers=1, num_steps=6, clip=CLIP))
    next(batches)
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text(encoding="utf-8")
    children = [int(p) for p in listed.split()]
    for child in children:
        os.kill(child, signal.SIGINT)
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGTERM)
    assert len(list(batches)) == 5


def test_ranks_need_equal_slices() -> None:
    with pytest.raises(ConfigError, match="batch_size 4, rank 0 of 3: expected a multiple"):
        pvit_data.loader(mixture(), world_size=3)
    with pytest.raises(ConfigError, match="rank 2 of 2"):
        pvit_data.loader(mixture(), rank=2, world_size=2)
    with pytest.raises(TypeError, match="no end"):
        len(pvit_data.loader(mixture()))


def test_evaluation_shows_each_sample_once_per_view_in_order() -> None:
    ds = MemorySet([real(f"r{i}") for i in range(5)], TASKS)
    batches = list(pvit_data.eval_loader(ds, CLIP, batch_size=4, views=(1, 3)))
    assert [len(batch.keys) for batch in batches] == [3] * 5  # the views of a sample stay together
    assert [key for batch in batches for key in batch.keys] == [f"r{i}" for i in range(5) for _ in range(3)]
    left, centre, right = batches[0].video[:3]
    whole = next(iter(pvit_data.eval_loader(ds, CLIP, batch_size=1)))
    torch.testing.assert_close(whole.video[0], centre, rtol=0, atol=0)
    assert not torch.equal(left, right)
    assert [int(t) for batch in batches for t in batch.targets["action"].value][::3] == [s.action for s in ds.samples]
    parts = [list(pvit_data.eval_loader(ds, CLIP, rank=rank, world_size=2, workers=1)) for rank in range(2)]
    assert sorted(key for part in parts for batch in part for key in batch.keys) == [f"r{i}" for i in range(5)]


def test_evaluation_builds_the_asked_tasks() -> None:
    ds = MemorySet([synthetic(f"s{i}") for i in range(3)], TASKS)
    (default,) = pvit_data.eval_loader(ds, CLIP)
    assert {"depth", "normal", "segm/rooms", "pose3d", "boxes"} <= set(default.targets)
    (one,) = pvit_data.eval_loader(ds, CLIP, tasks=("pose3d",))
    assert set(one.targets) == {"pose3d"}
    broken = MemorySet(ds.samples, TASKS, broken={"s1"})
    loader = pvit_data.eval_loader(broken, CLIP, on_corrupt="skip")
    assert [batch.keys for batch in loader] == [["s0", "s2"]]
    assert loader.skipped["synth"] == 1
    bad = MemorySet(ds.samples, TASKS, {"s0", "s1", "s2"})
    for workers in (0, 1):
        (nothing,) = pvit_data.eval_loader(bad, CLIP, workers=workers, on_corrupt="skip")
        assert tuple(nothing.video.shape) == (0, 3, 4, 16, 16)


@pytest.mark.parametrize("workers", [0, 1])
def test_memory_and_files_do_not_grow(workers: int) -> None:
    import psutil

    process = psutil.Process()
    loader = iter(pvit_data.loader(mixture(), workers, clip=CLIP))
    list(itertools.islice(loader, 30))
    family = [process, *process.children(recursive=True)]
    memory, files = sum(p.memory_info().rss for p in family), [p.num_fds() for p in family]
    list(itertools.islice(loader, 150))
    assert sum(p.memory_info().rss for p in family) - memory < 20e6
    assert all(abs(now.num_fds() - then) < 40 for now, then in zip(family, files, strict=True))


def test_a_mixture_of_real_shards_with_default_settings(tmp_path: Path) -> None:
    for name, make in (("real", real), ("synth", synthetic)):
        samples = [make(f"{name}-{i}", height=64, width=80) for i in range(4)]
        role = "downstream" if name == "real" else "auxiliary"
        writer = pvit_data.ShardWriter(
            tmp_path / name, source=name, split="train", licence="CC0-1.0", redistributable=True,
            spaces=dict(samples[0].spaces), role=role, tasks=TASKS[name],
        )  # fmt: skip
        with writer:
            for sample in samples:
                writer.write(sample)
    sources = [
        pvit_data.MixtureSource(pvit_data.open(tmp_path / "real", split="train"), role="downstream", weight=1.0),
        pvit_data.MixtureSource(pvit_data.open(tmp_path / "synth", split="train"), role="auxiliary"),
    ]
    mixed = pvit_data.Mixture(sources, batch_size=4, seed=0, quotas={"pose3d": 1}, cap=3.0)
    for batch in itertools.islice(pvit_data.loader(mixed), 2):
        assert tuple(batch.video.shape) == (4, 3, 16, 224, 224)
        assert len(batch.targets["action"].rows) == 2
        assert tuple(batch.targets["depth"].value.shape) == (2, 8, 56, 56)
    small = ClipConfig(num_frames=4, size=(64, 64), flip=0.5)
    builder = TrainingBatches(mixed, small)
    spawned = pickle.loads(pickle.dumps(builder))  # as a worker that is not forked gets it
    assert torch.equal(spawned.build(3, str).frames, builder.build(3, str).frames)
    assert_exact_resume(lambda start: pvit_data.loader(mixed, 1, start_step=start, clip=small), 4, [0, 3])
