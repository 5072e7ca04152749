"""docs/add-a-task.md: its file and its two entry points, and nothing else, make a task of 2D keypoints."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data.clips.geometry import Geometry
from pvit_data.clips.transforms import apply
from pvit_data.codecs.video import encode_video
from pvit_data.tasks.table import target_spec
from pvit_model import LossOptions, predict
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.training.trainer import run_plan
from pvit_model.using.export import export_model
from tests.pages import block, entry_points, install

PAGE = "add-a-task.md"
SIZE, FRAMES = 32, 8
PLACES = np.random.default_rng(0).uniform(6, 26, (25, 2))
"""Where every joint of every clip is, in pixels; joint 3 is unknown."""


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        install(tmp_path_factory.mktemp("site"), "keypoints", block(PAGE, "python"), entry_points(PAGE), patch)
        yield


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Clips of people whose joints stay where they are."""
    out = tmp_path_factory.mktemp("walkers")
    rng = np.random.default_rng(1)
    joints = np.tile(PLACES.astype(np.float32), (FRAMES, 1, 1, 1))
    joints[:, :, 3] = 0
    for split, number in (("train", 12), ("val", 4)):
        with pvit_data.ShardWriter(out, "walkers", split, licence="CC0-1.0", tasks=("keypoints",)) as writer:
            for i in range(number):
                rgb = rng.integers(0, 200, (FRAMES, SIZE, SIZE, 3)).astype(np.uint8)
                writer.write(pvit_data.Sample(key=f"{split}-{i}", rgb=rgb, fps=12.0, pose2d=joints))
    return str(out)


def sample_of(joints: np.ndarray) -> pvit_data.Sample:
    """Joints in a picture of 40 x 80 pixels."""
    rgb = np.zeros((len(joints), 40, 80, 3), np.uint8)
    return pvit_data.Sample(key="a", rgb=rgb, pose2d=joints, height=40, width=80, num_frames=len(joints))


def test_its_target_is_what_the_sample_says() -> None:
    joints = np.zeros((2, 2, 25, 2), np.float32)
    joints[:, 0, 7] = 10, 10  # a person of one joint
    joints[:, 1, [0, 4]] = [[20, 10], [90, 10]]  # another, whose joint 4 has left the picture
    joints[0, 1, 5] = 60, 30
    spec, config = target_spec("keypoints"), pvit_data.ClipConfig(num_frames=4, size=(40, 80))
    target = spec.build(sample_of(joints), np.array([0, 1, 5]), config)
    assert target.value.shape == (3, 25, 2)
    assert np.argwhere(target.valid).tolist() == [[0, 0], [0, 5], [1, 0]]  # there is no frame 5
    np.testing.assert_allclose(target.value[0, [0, 5]], [[0.25, 0.25], [0.75, 0.75]])
    mirrored = apply(sample_of(joints), Geometry((40, 80), (0, 0), (40, 80), (40, 80), (0, 0), (40, 80), flip=True))
    flipped = spec.build(mirrored, np.array([0]), config)
    np.testing.assert_allclose(flipped.value[0, 0], [0.75, 0.25])  # the spine's base stays itself
    np.testing.assert_allclose(flipped.value[0, 9], [0.25, 0.75])  # the left elbow is now the right one
    assert spec.build(sample_of(np.zeros_like(joints)), np.array([0]), config) is None
    assert spec.build(pvit_data.Sample(key="a"), np.array([0]), config) is None


def test_without_torch_the_data_half_is_there(walkers: str, shards: list[str], tiny_recipe: str) -> None:
    """As on a node that only converts: the task is counted and batches are planned."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pvit_cli.data import main\n"
        "from pvit_data.tasks.table import target_spec\n"
        "assert target_spec('keypoints').field == 'pose2d'\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    folders = [word for url in (*shards, walkers) for word in ("--shards", url)]
    done = subprocess.run(
        [sys.executable, "-c", code, "mix", tiny_recipe, *folders, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "keypoints" in json.dumps(json.loads(done.stdout))


def test_it_is_trained_compared_drawn_and_used(
    shards: list[str], walkers: str, tiny_recipe: str, tmp_path: Path
) -> None:
    settings = [
        "optim.steps=16", "optim.lr=0.02", "run.eval_every=16", "run.checkpoint_every=16", "data.workers=1",
        "clip.tasks={walkers: [keypoints], people: [], scenes: []}", "losses.options.keypoints=l2",
    ]  # fmt: skip
    plan = make_plan(load_recipe(tiny_recipe, settings), [*shards, walkers])
    assert plan.tasks == ("keypoints",)
    assert plan.config.losses.weights["keypoints"] == 2.0
    result = run_plan(plan, tmp_path / "run")
    (report,) = (r for r in result.reports if r.source == "walkers")
    found, constant = report.metrics["keypoints"], report.constant["keypoints"]
    assert constant.keys() == found.keys() == {"loss", "off_percent", "close"}
    assert found["off_percent"] < 60
    assert "keypoints off_percent ↓" in (tmp_path / "run/report.html").read_text()
    export_model(str(tmp_path / "run"), tmp_path / "out")
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8)
    (tmp_path / "clip.mp4").write_bytes(encode_video(frames, fps=12))
    prediction = predict(str(tmp_path / "clip.mp4"), str(tmp_path / "out"), tmp_path / "shown")
    assert prediction.outputs["keypoints"].shape == (4, 25, 2)
    assert (tmp_path / "shown/overlay.mp4").stat().st_size > 0


def test_its_options_are_its_own() -> None:
    assert LossOptions().of("keypoints").keypoints == "l1"
    assert LossOptions(keypoints="l2", depth_clip=3).of("keypoints/second").keypoints == "l2"
