"""A task of another package, over boxes: how many hands there are. Its file and entry points are all there is of it.

It trains, is compared with its constant, drawn in the report and in `pvit predict`, and exported.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pvit_data.codecs.video import encode_video
from pvit_data.errors import ConfigError
from pvit_data.sample.sample import ROLE_HAND, Sample
from pvit_data.tasks import table
from pvit_data.tasks.target import Target
from pvit_model import LossOptions
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import get_task, in_order
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model
from pvit_model.using.predict import predict

MODULE = """
import numpy as np

from pvit_model.tasks.base import Options, Task, masked_sum
from pvit_model.tasks.heads import TokenHead
from pvit_model.tasks.meter import Meter, ratio


class HandsOptions(Options):
    hands_power: int = 2


class Hands(Task[HandsOptions]):
    options = HandsOptions
    weight = 0.25
    main = "off_by"
    lower_is_better = frozenset({"off_by"})

    def head(self, plan):
        return TokenHead(plan.width, plan.frames, (1, 1))

    def loss(self, prediction, targets, options):
        error = (prediction - targets.value).abs() ** options.hands_power
        return masked_sum(error.flatten(2).mean(-1), targets.valid)

    def meter(self, num_ids, views):
        def sums(answer, value, valid):
            error = np.abs(answer - value)[valid]
            return np.array([error.sum(), error.size])

        return Meter(2, sums, lambda total: {"off_by": ratio(total[0], total[1])})

    def picture(self, shown):
        return np.full_like(shown.rgb, min(255, int(100 * abs(shown.value.item()))))

    def caption(self, shown):
        return f"{shown.value.item():.1f} hands"
"""


def count_hands(sample: Sample, frames: np.ndarray, config: object) -> Target | None:
    """Hands in each frame, (t, 1, 1)."""
    if sample.boxes is None:
        return None
    hands = sample.boxes.frame[sample.boxes.role == ROLE_HAND]
    counts = np.array([(hands == frame).sum() for frame in frames], np.float32)
    return Target(counts[:, None, None], np.ones(len(frames), bool))


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder of an installed package on the path, and the task's half of the data."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "hands_package.py").write_text(MODULE)
    info = folder / "hands_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hands-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pvit.tasks]\nhands = hands_package:Hands\n")
    shapes = lambda clip: ((clip.num_targets, 1, 1), (clip.num_targets,))  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setitem(
            table.TASKS, "hands", table.Task("hands", "boxes", ("boxes",), "vector", "boxes", count_hands, shapes)
        )
        yield


def test_its_options_are_its_own() -> None:
    assert LossOptions(hands_power=1, depth_clip=3).of("hands").hands_power == 1
    assert LossOptions().of("hands").hands_power == 2
    with pytest.raises(ConfigError, match=r"losses\.options has no 'hand_power'; did you mean 'hands_power'"):
        LossOptions(hand_power=1)
    with pytest.raises(ConfigError, match="'hands_power' = 'x': input should be a valid integer"):
        LossOptions(hands_power="x")


def test_names_stand_behind_the_built_in_ones() -> None:
    assert in_order(["hands", "boxes", "depth"]) == ("depth", "boxes", "hands")
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
    assert prediction.outputs["hands"].shape == (4, 1, 1)
    assert (tmp_path / "shown/overlay.mp4").stat().st_size > 0
