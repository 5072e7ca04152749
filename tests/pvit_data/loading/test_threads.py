"""Clips that several threads of one process read: the same batches, errors in their order, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import pvit_data
from pvit_data.errors import FormatError
from pvit_data.loading.threads import side_by_side
from pvit_data.testing import assert_equal_batches
from tests.pvit_data.samples import SPACES, full_sample

CLIP = pvit_data.ClipConfig(num_frames=4, size=(16, 16), map_size=(4, 4), normal_axes="camera")
TASKS = {"mine": ("depth", "normal", "pose3d", "boxes")}


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_things_are_made_side_by_side_and_given_in_order() -> None:
    together = threading.Barrier(3, timeout=20)

    def make(number: int) -> int:
        together.wait()  # nobody gets on before three are at it
        return number * number

    assert [take() for take in side_by_side(make, range(6), 3)] == [0, 1, 4, 9, 16, 25]
    assert [take() for take in side_by_side(lambda n: -n, range(3), 1)] == [0, -1, -2]


def test_an_error_comes_at_its_place_and_ends_the_threads() -> None:
    made = []

    def make(number: int) -> int:
        made.append(number)
        if number == 2:
            raise FormatError("the third")
        return number

    results = side_by_side(make, range(1000), 2)
    assert [next(results)(), next(results)()] == [0, 1]
    with pytest.raises(FormatError, match="the third"):
        next(results)()
    results.close()  # type: ignore[attr-defined]
    for thread in [t for t in threading.enumerate() if t.name == "pvit-build"]:
        thread.join(20)
        assert not thread.is_alive()


def test_damaged_samples_are_replaced_alike_by_any_number_of_threads(tmp_path: Path, threads: None) -> None:
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        for seed in range(24):
            writer.write(full_sample(seed))
    ds = pvit_data.open(tmp_path)
    shard = tmp_path / "mine/train-00000.tar"
    data = bytearray(shard.read_bytes())
    for row in (3, 11, 17):
        data[int(ds.column("rgb_offset")[row]) + 60] ^= 255
    shard.write_bytes(data)
    mixed = pvit_data.Mixture([pvit_data.MixtureSource(ds, "auxiliary")], 24, tasks=TASKS)
    found = []
    for number in (4, 1):
        torch.set_num_threads(number)
        loader = pvit_data.loader(mixed, num_steps=3, clip=CLIP, on_corrupt="skip")
        found.append((list(loader), loader.problems, loader.skipped))
        with pytest.raises(FormatError) as error:
            list(pvit_data.loader(mixed, num_steps=3, clip=CLIP))
        found[-1][1].append(str(error.value))
    (batches, told, skipped), (batches_too, *others) = found
    assert [told, skipped] == others
    assert skipped["mine"] >= 9
    for batch, too in zip(batches, batches_too, strict=True):
        assert_equal_batches(batch, too)
