"""Mixing clips of a batch: pixels and labels by the same share, for any number of ranks, and resumed exactly."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pvit_data.errors import ConfigError, Interrupted
from pvit_data.loading.batch import Batch, Targets
from pvit_data.mixing.config import MixtureConfig
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import Plan, make_plan
from pvit_model.tasks import LossOptions, get_task
from pvit_model.training import mixup
from pvit_model.training.mixup import ClipMixer, Share, draw_share, mix_pictures
from pvit_model.training.trainer import run_plan
from tests.pvit_model.training.test_run import assert_same_run, losses, stop_at

MIX, CUT = MixtureConfig(mixup=0.8), MixtureConfig(cutmix=1.0)
CLASSES = 5


def batch(step: int = 3, rows: int = 6) -> Batch:
    """Row i is filled with 10 i; even rows are labelled with class i / 2, all have a depth."""
    video = 10.0 * torch.arange(rows).view(-1, 1, 1, 1, 1).expand(rows, 3, 2, 20, 30).contiguous()
    labelled = torch.arange(0, rows, 2)
    everything = torch.arange(rows)
    return Batch(
        step,
        [f"k{i}" for i in range(rows)],
        ["real" if i % 2 == 0 else "synth" for i in range(rows)],
        video,
        {
            "action": Targets(labelled, labelled // 2, torch.ones(len(labelled), dtype=torch.bool)),
            "depth": Targets(everything, everything.float(), everything >= 0),
        },
    )


def part(whole: Batch, a: int, b: int) -> Batch:
    from pvit_model.training.step import _cut

    return _cut(whole, a, b)


@pytest.mark.parametrize("config", [MIX, CUT])
def test_pixels_and_labels_are_mixed_by_the_same_share(config: MixtureConfig) -> None:
    mixer = ClipMixer(config, 0, "action", CLASSES)
    for step in range(12):
        given = batch(step)
        mixed = mixer(given)
        for place, (row, other) in enumerate([(0, 2), (2, 4), (4, 0)]):
            label = mixed.targets["action"].value[place]
            own = float(label[row // 2])
            assert math.isclose(float(label.sum()), 1, abs_tol=1e-6)
            assert math.isclose(float(label[other // 2]), 1 - own, abs_tol=1e-6)
            # The mean of a picture says how much of it is of which clip, however it was mixed.
            assert math.isclose(float(mixed.video[row].mean()), own * 10 * row + (1 - own) * 10 * other, abs_tol=1e-3)
            if config is CUT:
                assert set(np.unique(mixed.video[row])) <= {10.0 * row, 10.0 * other}
        assert torch.equal(mixed.video[1::2], given.video[1::2])  # not the downstream's
        assert torch.equal(mixed.targets["depth"].value, given.targets["depth"].value)
        assert torch.equal(given.video, batch(step).video)  # what was given stays


def test_a_draw_is_a_pure_function_of_seed_and_step() -> None:
    both = MixtureConfig(mixup=0.8, cutmix=1.0)
    shares = [draw_share(both, 1, step) for step in range(200)]
    assert shares == [draw_share(both, 1, step) for step in range(200)]
    assert shares != [draw_share(both, 2, step) for step in range(200)]
    assert 0.35 < np.mean([share.box is None for share in shares]) < 0.65
    for share in shares:
        if share.box is not None:
            top, left, bottom, right = share.box
            assert 0 <= top <= bottom <= 1
            assert 0 <= left <= right <= 1
            assert (bottom - top) * (right - left) <= 1 - share.own + 1e-9  # less where it leaves the picture


def test_a_box_is_the_same_in_all_frames_and_counted_in_pixels() -> None:
    clips, others = torch.zeros(1, 3, 4, 10, 10), torch.ones(1, 3, 4, 10, 10)
    own, mixed = mix_pictures(clips, others, Share(0.5, (0.24, 0.0, 0.5, 1.0)))
    assert own == 1 - 3 * 10 / 100  # rows 2, 3 and 4
    assert torch.equal(mixed[0, 0, 0], mixed[0, 2, 3])
    assert mixed[0, 0, 0, 2:5].all()
    assert int(mixed[0, 0, 0].sum()) == 30


@pytest.mark.parametrize("cuts", [(0, 3, 6), (0, 2, 4, 6), (0, 1, 2, 3, 4, 5, 6), (0, 6)])
def test_ranks_mix_as_one_process_does(cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ClipMixer(CUT, 0, "action", CLASSES)(batch())
    parts = [part(batch(), a, b) for a, b in itertools.pairwise(cuts)]
    mixer = ClipMixer(CUT, 0, "action", CLASSES)
    found = []
    for rank, mine in enumerate(parts):
        told = iter(
            [[p.video[p.targets["action"].rows][:1] for p in parts], owners(parts), labels(parts), owners(parts)]
        )
        monkeypatch.setattr(mixup, "own_rank", lambda rank=rank: (rank, len(parts)))
        monkeypatch.setattr(mixup, "all_gather_rows", lambda rows, told=told: torch.cat(next(told)))
        found.append(mixer(mine))
    assert torch.equal(torch.cat([b.video for b in found]), whole.video)
    assert torch.equal(torch.cat([b.targets["action"].value for b in found]), whole.targets["action"].value)


def owners(parts: list[Batch]) -> list[torch.Tensor]:
    return [torch.full((min(1, len(p.targets["action"].rows)),), rank) for rank, p in enumerate(parts)]


def labels(parts: list[Batch]) -> list[torch.Tensor]:
    return [get_task("action").as_weights(p.targets["action"].value, CLASSES)[:1] for p in parts]


def test_the_loss_of_mixed_labels_is_the_mix_of_losses() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(3, CLASSES, generator=rng)
    one, two, own = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), 0.3
    task, options = get_task("action"), LossOptions(label_smoothing=0.1).of("action")
    rows, valid = torch.arange(3), torch.ones(3, dtype=torch.bool)
    a, b = (task.loss(logits, Targets(rows, value, valid), options).sum for value in (one, two))
    soft = own * task.as_weights(one, CLASSES) + (1 - own) * task.as_weights(two, CLASSES)
    mixed = task.loss(logits, Targets(rows, soft, valid), options).sum
    assert torch.allclose(mixed, own * a + (1 - own) * b, atol=1e-5)


AUGMENTED = (
    "mixture.mixup=0.8", "mixture.cutmix=1", "mixture.repeats=2", "clip.rand_ops=2", "clip.erase=0.5",
    "clip.area=[0.5, 1]", "optim.accumulate=2", "run.predictions=0", "run.eval_clips=2",
    "clip.per_source={real: {rand_geometry: true}}",
)  # fmt: skip


def plan_of(recipe: str, shards: list[str], *settings: str) -> Plan:
    return make_plan(load_recipe(recipe, settings), shards)


def test_augmented_runs_resume_exactly(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    run_plan(plan_of(tiny_recipe, shards, *AUGMENTED), tmp_path / "whole")
    said = (tmp_path / "whole/plan.txt").read_text()
    assert (
        "augmented  2 random operations of magnitude 7; erasing 50 %; mixup 0.8; cutmix 1; 2 clips of each sample"
        in said
    )
    out = tmp_path / "parts"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Interrupted):
            run_plan(plan_of(tiny_recipe, shards, *AUGMENTED), out)
    run_plan(plan_of(tiny_recipe, shards, *AUGMENTED), out, resume=True)
    assert_same_run(tmp_path / "whole", out)
    assert len({loss for _, loss, _ in losses(out)}) == 6


def test_what_would_not_follow_is_refused(shards: list[str], tiny_recipe: str) -> None:
    with pytest.raises(ConfigError, match=r"mixture.mixup: source 'real' trains depth, which would not follow"):
        plan_of(tiny_recipe, shards, "mixture.mixup=1", "clip.tasks={real: [depth]}", "mixture.cutmix=1")
    with pytest.raises(ConfigError, match=r"mixture.cutmix: only clips of a downstream are mixed"):
        plan_of(tiny_recipe, shards, "mixture.cutmix=1", "clip.downstream=''")
    with pytest.raises(ConfigError, match=r"clip.rand_geometry: source 'people' trains pose3d"):
        plan_of(tiny_recipe, shards, "clip.rand_geometry=true")
