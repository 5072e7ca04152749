"""Augmentation of clips: numbered fields stay where their map says, or the operation is refused; one draw per clip."""

import numpy as np
import pytest

import pvit_data
from pvit_data.clips import augmentation
from pvit_data.clips.config import ClipConfig, SourceClip
from pvit_data.errors import ConfigError
from pvit_data.loading.clip_reader import ClipReader
from pvit_data.mixing.mixture import Mixture
from pvit_data.mixing.order import seeded
from pvit_data.mixing.sources import MixtureSource
from pvit_data.tasks.table import require_places
from pvit_data.testing import assert_exact_resume
from tests.pvit_data.memory_set import MemorySet, real, synthetic

SIDE, FIELD, NUMBER = 64, 8, 64
NUMBERS = np.arange(NUMBER).reshape(8, 8).repeat(FIELD, 0).repeat(FIELD, 1)
"""Which field each pixel belongs to, as a map of annotations would have it."""
INTERIOR = np.zeros((SIDE, SIDE), bool)
INTERIOR[np.ix_(*[[n for n in range(SIDE) if n % FIELD not in (0, FIELD - 1)]] * 2)] = True
OFF = ClipConfig(size=(SIDE, SIDE))


def numbered(frames: int = 3) -> np.ndarray:
    """Fields of distinct colours, the same in all frames."""
    colours = np.random.default_rng(0).permutation(np.linspace(0, 255, 3 * NUMBER)).reshape(NUMBER, 3)
    return np.repeat(colours.astype(np.uint8)[NUMBERS][None], frames, 0)


def applied(name: str, sign: float, strength: float = 1.0) -> np.ndarray:
    import torch

    frames = torch.from_numpy(numbered()).permute(0, 3, 1, 2)
    return augmentation.operations(True)[name](frames, strength, sign).permute(0, 2, 3, 1).numpy()


def fields_fit(rgb: np.ndarray) -> bool:
    """Each numbered field still is where the map has it: one colour inside, other colours in most neighbours."""
    inside = [rgb[0][INTERIOR & (n == NUMBERS)] for n in range(NUMBER)]
    one_each = all(int(np.ptp(pixels, axis=0).max()) <= 1 for pixels in inside)
    return one_each and len({tuple(pixels[0]) for pixels in inside}) > NUMBER / 2


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", augmentation.operations(False))
def test_colours_leave_every_field_in_its_place(name: str, sign: float) -> None:
    for strength in (0.3, 0.9):
        rgb = applied(name, sign, strength)
        assert rgb.shape == numbered().shape
        assert rgb.dtype == np.uint8
        assert fields_fit(rgb)
        assert (rgb == rgb[:1]).all()
    if name not in ("identity", "autocontrast"):  # the contrast is full as it is
        assert not np.array_equal(rgb, numbered())


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", sorted(set(augmentation.operations(True)) - set(augmentation.operations(False))))
def test_operations_that_move_fields_are_refused_where_something_should_follow(name: str, sign: float) -> None:
    assert not fields_fit(applied(name, sign, 0.5))
    config = ClipConfig(rand_ops=1, rand_geometry=True)
    with pytest.raises(ConfigError, match=r"source 'scenes' trains depth, boxes, which would not follow .*--set clip"):
        require_places(config, "scenes", ("depth", "action", "boxes"))
    require_places(config, "labels", ("action",))
    own = {"scenes": SourceClip(rand_geometry=False)}
    require_places(config.model_copy(update={"per_source": own}), "scenes", ("depth",))


def test_a_loader_refuses_them() -> None:
    source = MixtureSource(MemorySet([synthetic("a"), synthetic("b")], {"synth": ("depth",)}), "auxiliary")
    mixture = Mixture([source], 2)
    with pytest.raises(ConfigError, match="rand_geometry: source 'synth' trains depth"):
        pvit_data.loader(mixture, clip=ClipConfig(rand_geometry=True))


def test_a_rectangle_is_erased_in_all_frames() -> None:
    shares = []
    for number in range(40):
        rgb = augmentation.augment(numbered(), OFF.model_copy(update={"erase": 1.0}), seeded(number))
        changed = (rgb != numbered()).any(axis=(0, 3))
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = np.zeros_like(changed)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        assert changed[box].mean() > 0.97  # noise may hit the colour that was there
        shares.append(box.mean())
        assert (rgb == rgb[:1]).all()
    assert 0.01 < min(shares) < max(shares) < 0.5
    none = augmentation.augment(numbered(), OFF, seeded(0))
    assert np.array_equal(none, numbered())


def test_annotations_are_those_of_the_clip_without() -> None:
    """Colours, noise: pixels change, what they are labelled with does not by a bit."""
    tasks = {"synth": ("depth", "normal", "segm", "pose3d", "boxes")}
    plain = ClipConfig(num_frames=4, size=(32, 32), normal_axes="camera", flip=0.5)
    strong = plain.model_copy(update={"rand_ops": 2, "rand_magnitude": 9.0, "erase": 0.5})
    ds = MemorySet([synthetic(f"s{i}") for i in range(3)], tasks)
    for row in range(3):
        one, two = (ClipReader(ds, config, tasks).train(row, 1) for config in (plain, strong))
        assert not np.array_equal(one.rgb, two.rgb)
        assert np.array_equal(one.order, two.order)
        assert one.targets.keys() == two.targets.keys()
        for name, target in one.targets.items():
            np.testing.assert_array_equal(target.value, two.targets[name].value)
            np.testing.assert_array_equal(target.valid, two.targets[name].valid)


def test_a_clip_is_a_pure_function_of_seed_epoch_key_and_copy() -> None:
    tasks = {"real": ("action",)}
    config = ClipConfig(num_frames=4, size=(32, 32), rand_ops=2, rand_geometry=True, erase=0.5)

    def clip(seed: int = 0, epoch: int = 0, copy: int = 0, rows: int = 1) -> bytes:
        reader = ClipReader(MemorySet([real(f"r{i}") for i in range(rows)], tasks), config, tasks, seed)
        for row in range(rows):  # whatever was read before
            found = reader.train(rows - 1 - row, epoch, copy)
        return found.rgb.tobytes()

    assert clip() == clip(rows=3)
    assert len({clip(), clip(seed=1), clip(epoch=1), clip(copy=1)}) == 4


def repeated(repeats: int, nodes: int = 1) -> Mixture:
    tasks = {"real": ("action",), "synth": ("depth",)}
    return Mixture(
        [
            MixtureSource(MemorySet([real(f"r{i}") for i in range(6)], tasks)),
            MixtureSource(MemorySet([synthetic(f"s{i}") for i in range(4)], tasks), "auxiliary"),
        ],
        8,
        seed=1,
        nodes=nodes,
        repeats=repeats,
    )


@pytest.mark.parametrize("nodes", [1, 2])
def test_each_downstream_clip_comes_so_often_in_a_pass(nodes: int) -> None:
    mixture = repeated(3, nodes)
    assert mixture.steps_per_epoch == 5  # 18 clips, 4 in each batch
    draws = [draw for step in range(2 * mixture.steps_per_epoch) for draw in mixture.draws(step)]
    own = [(draw.row, draw.copy) for draw in draws if draw.source == 0 and draw.epoch == 0]
    assert sorted(own) == [(row, copy) for row in range(6) for copy in range(3)]
    assert {draw.copy for draw in draws if draw.source == 1} == {0}


def test_augmented_and_repeated_batches_resume_exactly() -> None:
    config = ClipConfig(num_frames=2, size=(16, 16), rand_ops=2, erase=0.5, normal_axes="camera")

    def make(start: int, number: int) -> object:
        return pvit_data.loader(repeated(2), start_step=start, num_steps=number, clip=config)

    clips = {video.numpy().tobytes() for batch in make(0, 4) for video in batch.video}
    assert len(clips) == 4 * 8  # no two alike
    assert_exact_resume(lambda step: make(step, 4 - step), 4)
