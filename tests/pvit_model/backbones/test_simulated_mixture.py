"""A small one of each family learns the simulated mixture: rooms with depth, normals and classes, people, actions."""

from pathlib import Path

import pytest
import torch

from pvit_cli.data import main as data
from pvit_cli.model import main
from pvit_converters.simulate import simulate
from pvit_model import load_model
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.trainer import run_plan

STEPS = 50
FAMILIES = {
    "timesformer_b": "{width: 64, depth: 4, head_width: 16}",
    "motionformer_b": "{width: 64, depth: 4, head_width: 16}",
    "swin3d_t": "{width: 64, depths: [1, 1, 2], head_width: 16, window: [2, 4, 4]}",
}
SETTINGS = (
    f"optim.steps={STEPS}", "optim.warmup_steps=5", "mixture.batch_size=8", "clip.size=[64, 64]", "clip.num_frames=4",
    "data.workers=0", "run.log_every=1", "run.eval_every=50", "run.eval_clips=2", "run.predictions=1",
    "run.watchdog_s=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated")
    simulate("hypersim", root / "raw/hypersim", samples=60, preset="tiny")
    simulate("ssv2", root / "raw/ssv2", preset="tiny", train=24, validation=4, test=1)
    simulate("synadl", root / "raw/synadl", samples=24, preset="tiny")
    for name in ("hypersim", "ssv2", "synadl"):
        assert data(["convert", name, str(root / "raw" / name), str(root / "shards" / name), "--workers", "1"]) == 0
    return root


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_its_loss_falls_and_what_it_learned_is_kept(name: str, simulated: Path, tmp_path: Path) -> None:
    run, exported = tmp_path / "run", tmp_path / "exported"
    settings = (*SETTINGS, f"model.name={name}", f"model.options={FAMILIES[name]}")
    shards = [str(simulated / "shards" / source) for source in ("hypersim", "ssv2", "synadl")]
    plan = make_plan(load_recipe("demo", settings), shards)
    assert set(plan.tasks) == {"depth", "normal", "segm", "pose3d"}
    run_plan(plan, run)
    rows = [x for x in read_log(run) if x["kind"] == "train"]
    first, last = ([x["loss"] for x in part] for part in (rows[:10], rows[-10:]))
    assert len(rows) == STEPS
    assert sum(last) < 0.9 * sum(first)
    clip = next(iter((simulated / "raw/ssv2").rglob("*.webm")))
    assert main(["predict", str(clip), "--model", str(run), "--out", str(tmp_path / "shown")]) == 0
    for file in ("predictions.json", "overlay.mp4", "overlay.png"):
        assert (tmp_path / "shown" / file).stat().st_size > 0
    assert main(["export", "--model", str(run), str(exported)]) == 0
    (one, _), (other, _) = load_model(str(run)), load_model(str(exported))
    video = torch.randn(1, 3, 4, 64, 64)
    assert torch.equal(one(video, tasks="all").tasks["depth"], other(video, tasks="all").tasks["depth"])
