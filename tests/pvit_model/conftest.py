"""Tiny shards for training tests: a downstream source with actions, two auxiliary ones with different annotations."""

import json
from pathlib import Path

import numpy as np
import pytest

from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.sample.labels import renumbering
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, Boxes

SIZE, FRAMES = 32, 6
COLOURS = LabelSpace("colours", ("reddish", "greenish", "bluish"))
THINGS = LabelSpace("things", ("ground", "box", "ball"))
HELD = LabelSpace("held", ("tool", "hand"))


def clip(rng: np.random.Generator, colour: int) -> np.ndarray:
    """Noise with one colour channel raised: classes that a network tells apart within a few steps."""
    frames = rng.integers(0, 90, (FRAMES, SIZE, SIZE, 3)).astype(np.uint8)
    frames[..., colour] += 120
    return frames


def write_actions(
    out: Path, split: str, number: int, seed: int, space: LabelSpace = COLOURS, source: str = "real"
) -> None:
    ids = renumbering(COLOURS, space)
    rng = np.random.default_rng(seed)
    with ShardWriter(
        out, source, split, licence="CC0-1.0", spaces={"action": space}, role="downstream", tasks=()
    ) as writer:
        for i in range(number):
            writer.write(Sample(key=f"{split}-{i:03d}", rgb=clip(rng, i % 3), fps=12.0, action=int(ids[i % 3])))


def write_scenes(out: Path, split: str, number: int, seed: int, space: LabelSpace = THINGS) -> None:
    ids = np.full(256, 255, np.uint8)
    ids[:3] = renumbering(THINGS, space)
    rng = np.random.default_rng(seed)
    with ShardWriter(
        out, "scenes", split, licence="CC0-1.0", spaces={"segm": space}, tasks=("depth", "normal", "segm")
    ) as writer:
        for i in range(number):
            depth = np.full((FRAMES, SIZE, SIZE), 1.0 + 3 * rng.random(), np.float32)
            depth[:, : SIZE // 3] += 2
            normal = np.zeros((FRAMES, SIZE, SIZE, 3), np.float32)
            normal[..., 2] = -1
            segm = np.zeros((FRAMES, SIZE, SIZE), np.uint8)
            segm[:, 8:20, 4:28] = 1 + i % 2
            segm[:, :2] = 255
            sample = Sample(key=f"{split}-s{i:03d}", rgb=clip(rng, i % 3), depth=depth, normal=normal, segm=ids[segm])
            sample.normal = None if i % 3 == 2 else normal
            writer.write(sample)


def write_people(out: Path, split: str, number: int, seed: int, space: LabelSpace = HELD) -> None:
    ids = renumbering(HELD, space)
    rng = np.random.default_rng(seed)
    spaces = {"boxes": space}
    with ShardWriter(out, "people", split, licence="CC0-1.0", spaces=spaces, tasks=("pose3d", "boxes")) as writer:
        for i in range(number):
            joints = rng.normal(0, 0.4, (FRAMES, 1, 25, 3)).astype(np.float32)
            joints[..., 2] += 3
            corner = rng.uniform(0, 0.5, (2 * FRAMES, 2))
            boxes = Boxes(
                np.concatenate([corner, corner + 0.3], 1).astype(np.float32),
                class_id=np.tile(ids[[1, 0]], FRAMES),
                frame=np.repeat(np.arange(FRAMES), 2),
                role=np.tile([ROLE_HAND, ROLE_ACTIVE], FRAMES),
                side=np.tile([0, -1], FRAMES),
                track=np.tile([0, 1], FRAMES),
            )
            valid = np.full((FRAMES, 1, 25), 2, np.uint8)
            writer.write(
                Sample(key=f"{split}-p{i:03d}", rgb=clip(rng, i % 3), pose3d=joints, pose3d_valid=valid, boxes=boxes)
            )


def write_all(
    root: Path, colours: LabelSpace = COLOURS, things: LabelSpace = THINGS, held: LabelSpace = HELD
) -> list[str]:
    real, synthetic = root / "real", root / "synthetic"
    for split, number, seed in (("train", 18, 0), ("val", 9, 100)):
        write_actions(real, split, number, seed, colours)
        write_scenes(synthetic, split, number, seed + 1, things)
        write_people(synthetic, split, number, seed + 2, held)
    return [str(real), str(synthetic)]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Folders: one with the downstream source, one with two auxiliary sources; train and val of each."""
    return write_all(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="session")
def turned(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same samples whose classes have other numbers."""
    return write_all(
        tmp_path_factory.mktemp("turned"),
        LabelSpace("colours", ("bluish", "reddish", "greenish")),
        LabelSpace("things", ("ball", "ground", "box")),
        LabelSpace("held", ("hand", "tool")),
    )


TINY = """
about: a recipe for tests
clip: {downstream: real, num_frames: 8, size: [32, 32], normal_axes: camera}
mixture: {batch_size: 6}
model: {name: mvitv2_xxs, options: {dense_width: 8, depth: 2, stages: [1], dense_layers: [0, 1], embed_dim: 8}}
optim: {name: adamw, lr: 0.003, steps: 6}
data: {crops: 1, workers: 0}
run: {log_every: 1, eval_every: 6, checkpoint_every: 3, eval_clips: 9, predictions: 1, threads: 1, watchdog_s: 0}
"""


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a recipe whose runs take about a second."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


@pytest.fixture(scope="session")
def run_folder(shards: list[str], tiny_recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny recipe."""
    from pvit_model.recipes.loading import load_recipe
    from pvit_model.recipes.plan import make_plan
    from pvit_model.training.trainer import run_plan

    out = tmp_path_factory.mktemp("runs") / "run"
    run_plan(make_plan(load_recipe(tiny_recipe), shards), out)
    return out


@pytest.fixture(scope="session")
def three_views(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run's network, evaluated on three crops."""
    from pvit_cli.model import main

    out = tmp_path_factory.mktemp("model") / "three"
    assert main(["export", str(out), "--model", str(run_folder)]) == 0
    values = json.loads((out / "inference.json").read_text())
    (out / "inference.json").write_text(json.dumps(values | {"crops": 3}))
    return out
