"""A task as a newcomer writes it from docs/add-a-task.md: how many hands there are, of boxes, a number per frame."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pvit_data.codecs.video import encode_video
from pvit_data.errors import ConfigError
from pvit_data.tasks.table import every_task, ordered
from pvit_model import LossOptions, predict
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import get_task
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model
from tests.pages import install

MODULE = '''
"""The number of hands in each predicted frame."""

import numpy as np

import pvit_model
from pvit_data import Target, TargetSpec

HAND = 2


def build(sample, frames, config):
    if sample.boxes is None:
        return None
    hands = sample.boxes.frame[sample.boxes.role == HAND]
    counts = np.array([(hands == frame).sum() for frame in frames], np.float32)
    return Target(counts, np.ones(len(frames), bool))


TARGET = TargetSpec(
    name="hands",
    field="boxes",
    build=build,
    shapes=lambda config: ((config.num_targets,), (config.num_targets,)),
)


class HandsOptions(pvit_model.TaskOptions):
    hands_power: int = 2


class Hands(pvit_model.Task[HandsOptions]):
    options = HandsOptions
    weight = 0.25
    main = "off_by"
    lower_is_better = frozenset({"off_by"})

    def head(self, plan):
        return pvit_model.TokenHead(plan.width, plan.frames, ())

    def loss(self, prediction, targets, options):
        error = (prediction - targets.value).abs() ** options.hands_power
        return pvit_model.masked_sum(error, targets.valid)

    def meter(self, num_ids, views):
        def sums(answer, value, valid):
            error = np.abs(answer - value)[valid]
            return np.array([error.sum(), error.size])

        return pvit_model.Meter(2, sums, lambda total: {"off_by": total[0] / total[1]})

    def picture(self, shown):
        return np.full_like(shown.rgb, min(255, int(100 * abs(shown.value))))

    def caption(self, shown):
        return f"{shown.value:.1f} hands"
'''
ENTRIES = {"pvit.targets": {"hands": "hands:TARGET"}, "pvit.tasks": {"hands": "hands:Hands"}}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install(tmp_path_factory.mktemp("site"), "hands", MODULE, ENTRIES, patch)
        yield


def test_its_options_are_its_own() -> None:
    assert LossOptions(hands_power=1, depth_clip=3).of("hands").hands_power == 1
    assert LossOptions().of("hands").hands_power == 2
    with pytest.raises(ConfigError, match=r"losses\.options has no 'hand_power'; did you mean 'hands_power'"):
        LossOptions(hand_power=1)
    with pytest.raises(ConfigError, match="'hands_power' = 'x': input should be a valid integer"):
        LossOptions(hands_power="x")


def test_names_stand_behind_the_built_in_ones() -> None:
    assert ordered(["hands", "boxes", "depth"]) == ("depth", "boxes", "hands")
    assert every_task()[-1] == "hands"
    assert get_task("hands/left") is get_task("hands")


def test_it_is_trained_compared_drawn_and_used(shards: list[str], tiny_recipe: str, tmp_path: Path) -> None:
    settings = ["optim.steps=12", "optim.lr=0.01", "clip.tasks.people=[hands, boxes]", "run.eval_every=12"]
    plan = make_plan(load_recipe(tiny_recipe, settings), shards)
    assert "hands" in plan.tasks
    assert plan.config.losses.weight_of("hands") == plan.config.losses.weights["hands"] == 0.25
    result = run_plan(plan, tmp_path / "run")
    report = next(r for r in result.reports if r.source == "people")
    # One hand in every frame, as the constant knows exactly.
    assert report.constant["hands"] == {"loss": 0.0, "off_by": 0.0}
    assert report.metrics["hands"]["off_by"] < 1
    assert report.metrics["hands"]["loss"] <= report.metrics["hands"]["off_by"]
    assert "off_by" in report.summary("hands")
    page = (tmp_path / "run/report.html").read_text()
    assert "hands off_by ↓" in page
    export_model(str(tmp_path / "run"), tmp_path / "out")
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "clip.mp4").write_bytes(encode_video(frames, fps=12))
    prediction = predict(str(tmp_path / "clip.mp4"), str(tmp_path / "out"), tmp_path / "shown")
    assert prediction.outputs["hands"].shape == (4,)
    assert (tmp_path / "shown/overlay.mp4").stat().st_size > 0
