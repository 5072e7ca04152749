"""Labels besides actions: when a state changes, several classes of a clip; from samples to official numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pvit_data
from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.clips.config import ClipConfig
from pvit_data.loading.batch import Targets
from pvit_data.sample.sample import Actions
from pvit_data.scoring.metrics import ego4d, multilabel
from pvit_data.tasks.pnr import pnr
from pvit_model import evaluate
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import LossOptions, get_task
from pvit_model.training.trainer import run_plan
from pvit_model.using.loading import load_model

STATES, THINGS = LabelSpace("ego4d-oscc", ("no change", "change")), LabelSpace("things", ("cup", "door", "tap"))
FRAMES, SIZE = 8, 32


def windows(n: int) -> tuple[dict[str, Any], int | None]:
    """Metadata of a window, and the frame of it in which the state changes."""
    start, length = 74 + 31 * n, 200 + 10 * n
    change = None if n % 3 == 0 else 20 + 17 * n
    seconds = {"parent_start_sec": start / 30, "parent_end_sec": (start + length) / 30}
    frames = {"parent_start_frame": start, "parent_end_frame": start + length}
    more = {} if change is None else {"parent_pnr_frame": start + change}
    return {"unique_id": f"w{n}", **frames, **seconds, **more}, change


def write(out: Path) -> None:
    """Clips of 12 frames that stand for windows; things by colour."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 7)):
        with (
            ShardWriter(out, "ego", split, spaces={"action": STATES}, role="downstream") as ego,
            ShardWriter(out, "charades", split, spaces={"action": THINGS}, role="downstream") as charades,
        ):
            for n in range(count):
                rgb = rng.integers(0, 255, (12, SIZE, SIZE, 3), dtype=np.uint8)
                meta, change = windows(n)
                second = np.array([] if change is None else [change / 30], np.float32)
                told = Actions(np.ones(len(second), np.int32), second, second)
                state = int(change is not None)
                key = f"{split}-{n}"
                ego.write(Sample(key=f"ego-{key}", rgb=rgb, fps=30.0, action=state, actions=told, meta=meta))
                named = Actions(np.flatnonzero(rng.random(3) < 0.5).astype(np.int32))
                charades.write(Sample(key=f"charades-{key}", rgb=rgb, fps=30.0, actions=named))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels")
    write(out)
    return out


def trained(folder: Path, tiny_recipe: str, source: str, labels: list[str], out: Path, *more: str) -> Path:
    sets = [f"clip.downstream={source}", f"clip.tasks={{{source}: [{', '.join(labels)}]}}", "mixture.portion=0"]
    run_plan(make_plan(load_recipe(tiny_recipe, [*sets, "model.tasks=[]", "optim.steps=2", *more]), [str(folder)]), out)
    return out


def test_the_frame_nearest_to_the_change() -> None:
    meta, _ = windows(1)
    frames = np.arange(1, 225, 14)
    sample = Sample(key="a", num_frames=211, fps=30.0, meta=meta, actions=Actions([1], [37 / 30], [37 / 30]))
    target = pnr(sample, frames, ClipConfig())
    assert target is not None
    rate = 211 / (210 / 30)
    assert target.value.tolist() == [3, 37 / rate, 210 / rate]  # 43 is nearer to 37 than 29
    sample.actions = Actions(np.zeros(0, np.int32))
    negative = pnr(sample, frames, ClipConfig())
    assert negative is not None
    assert negative.value.tolist() == [-1, 0, 210 / rate]
    sample.actions = None
    assert pnr(sample, frames, ClipConfig()) is None


def test_the_loss_of_pnr_is_a_mean_over_all_clips() -> None:
    logits = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    value = torch.tensor([[5.0, 1, 8], [-1, 0, 8], [0, 2, 8]], dtype=torch.float64)
    loss = get_task("pnr").loss(
        logits, Targets(torch.arange(3), value, torch.ones(3, dtype=bool)), LossOptions().of("pnr")
    )
    log = torch.log_softmax(logits, 1)
    assert loss.mean.item() == pytest.approx(-(log[0, 5] + log[2, 0]).item() / 3, rel=1e-6)


def test_pnr_and_oscc_end_to_end(folder: Path, tiny_recipe: str, tmp_path: Path) -> None:
    run = trained(folder, tiny_recipe, "ego", ["action", "pnr"], tmp_path / "run")
    model, inference = load_model(str(run))
    assert inference.targets_of("ego") == ("action", "pnr")
    (report,) = evaluate(str(run), [str(folder)], source="ego")
    found = report.metrics["pnr"]
    rows = [windows(n) for n in range(7) if windows(n)[1] is not None]
    columns = [
        [meta[f"parent_{name}"] for meta, _ in rows] for name in ("start_frame", "end_frame", "start_sec", "end_sec")
    ]
    truth = ego4d.Windows(*map(np.array, columns), np.array([meta["parent_pnr_frame"] for meta, _ in rows]))  # type: ignore[arg-type]
    assert found["clips"] == len(rows)
    assert found["always_8"] == pytest.approx(ego4d.always(truth), abs=1e-6)
    chosen = []
    for clip, n in zip(clips_of(folder, "ego", inference), range(7), strict=True):
        logits = model(clip[None], tasks=["pnr"]).tasks["pnr"]
        assert logits.shape == (1, FRAMES)
        if windows(n)[1] is not None:
            chosen.append(int(logits.argmax()))
    errors = ego4d.errors(ego4d.predicted_frame(np.array(chosen), truth), truth)
    assert found["pnr_error_sec"] == pytest.approx(errors.mean(), abs=1e-6)


def clips_of(folder: Path, source: str, inference: Any) -> list[torch.Tensor]:
    from pvit_data.loading.loader import eval_loader

    ds = pvit_data.open(folder, source=source, split="val")
    return [clip for batch in eval_loader(ds, inference.clip, batch_size=1) for clip in batch.video]


def test_several_classes_of_a_clip_end_to_end(folder: Path, tiny_recipe: str, tmp_path: Path) -> None:
    run = trained(folder, tiny_recipe, "charades", ["multilabel"], tmp_path / "run")
    model, inference = load_model(str(run))
    assert inference.targets_of("charades") == ("multilabel",)
    (report,) = evaluate(str(run), [str(folder)], source="charades")
    logits = np.concatenate(
        [
            model(clip[None], tasks=["multilabel"]).tasks["multilabel"].detach().numpy()
            for clip in clips_of(folder, "charades", inference)
        ]
    )
    positive = np.zeros((7, 3), bool)
    for row, sample in enumerate(pvit_data.open(folder, source="charades", split="val")):
        positive[row, sample.actions.class_id] = True
    mean, _ = multilabel.mean_average_precision(logits.astype(np.float64), positive)
    assert report.metrics["multilabel"]["map"] == pytest.approx(mean, abs=1e-9)
    log = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert any("multilabel" in name for name in json.dumps(log).split('"'))


def test_dumps_give_pvit_score_the_same_digits(
    folder: Path, tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    sets = [["clip.num_frames=16"], []]  # the metric has 16 bins
    for (source, labels), more in zip(
        {"ego": ["action", "pnr"], "charades": ["multilabel"]}.items(), sets, strict=True
    ):
        run = trained(folder, tiny_recipe, source, labels, tmp_path / source, *more)
        dump = tmp_path / f"{source}.parquet"
        document = command("eval", "--model", run, "--shards", folder, "--source", source, "--dump", dump)
        metrics = document["reports"][0]["metrics"]
        if source == "ego":
            oscc = command("score", dump, "--metric", "oscc", "--truth", folder, "--source", "ego")
            assert oscc["oscc_top1"] == metrics["action"]["top1"]
            beside = tmp_path / "ego.pnr.parquet"
            scored = command("score", beside, "--metric", "pnr", "--truth", folder, "--source", "ego", "--partial")
            assert scored["pnr_error_sec"] == pytest.approx(metrics["pnr"]["pnr_error_sec"], abs=1e-12)
            assert scored["baselines"]["always_8"] == pytest.approx(metrics["pnr"]["always_8"], abs=1e-12)
