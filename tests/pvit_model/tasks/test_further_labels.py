"""The label besides actions, when a state changes: from samples to official numbers, and to predictions."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pvit_data
from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import encode_video
from pvit_data.errors import UsageError
from pvit_data.loading.batch import Targets
from pvit_data.sample.sample import Actions
from pvit_data.scoring.metrics import ego4d
from pvit_data.tasks.pnr import pnr
from pvit_model import evaluate
from pvit_model.ranks import own_rank
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import LossOptions, get_task
from pvit_model.training.trainer import run_plan
from pvit_model.using.loading import load_model
from tests.pvit_model.forked import one_thread, statuses

STATES = LabelSpace("ego4d-oscc", ("no change", "change"))
FRAMES, SIZE = 8, 32


def windows(n: int) -> tuple[dict[str, Any], int | None]:
    """Metadata of a window, and the frame of it in which the state changes."""
    start, length = 74 + 31 * n, 200 + 10 * n
    change = None if n % 3 == 0 else 20 + 17 * n
    seconds = {"parent_start_sec": start / 30, "parent_end_sec": (start + length) / 30}
    frames = {"parent_start_frame": start, "parent_end_frame": start + length}
    more = {} if change is None else {"parent_pnr_frame": start + change}
    return {"unique_id": f"w{n}", **frames, **seconds, **more}, change


def write(out: Path, source: str = "ego") -> None:
    """Clips of 12 frames that stand for windows, with depth."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 7)):
        with ShardWriter(out, source, split, spaces={"action": STATES}, role="downstream", tasks=("depth",)) as writer:
            for n in range(count):
                rgb = rng.integers(0, 255, (12, SIZE, SIZE, 3), dtype=np.uint8)
                meta, change = windows(n)
                second = np.array([] if change is None else [change / 30], np.float32)
                told = Actions(np.ones(len(second), np.int32), second, second)
                labels = {"action": int(change is not None), "actions": told}
                depth = np.full((12, SIZE, SIZE), 2 + n, np.float32)
                writer.write(Sample(key=f"ego-{split}-{n}", rgb=rgb, fps=30.0, depth=depth, meta=meta, **labels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels")
    write(out)
    return out


def trained(folder: Path, tiny_recipe: str, tasks: list[str], out: Path, *more: str) -> Path:
    sets = ["clip.downstream=ego", f"clip.tasks={{ego: [{', '.join(tasks)}]}}", "mixture.portion=0"]
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


@pytest.mark.parametrize("fps", [24000 / 1001, 25, 29.4, 30, 60])
def test_the_change_is_the_frame_of_the_row_at_any_rate(fps: float) -> None:
    """Frame 190 of a video is the 120th of a window from 70 on; its time is written at 30 per second."""
    told = {"start_frame": 70, "end_frame": 310, "start_sec": 70 / 30, "end_sec": 310 / 30, "pnr_frame": 190}
    meta = {f"parent_{name}": value for name, value in told.items()}
    sample = Sample(key="a", num_frames=241, fps=fps, meta=meta, actions=Actions([1], [120 / 30], [120 / 30]))
    target = pnr(sample, np.arange(5, 241, 15), ClipConfig())
    assert target is not None
    assert target.value.tolist() == pytest.approx([8, 120 / (241 / 8), 240 / (241 / 8)])
    sample.meta = {}
    own = pnr(sample, np.arange(5, 241, 15), ClipConfig())
    assert own is not None
    assert own.value[1] == pytest.approx(round(120 / 30 * fps) / fps), "of one's own videos the time counts"


def test_the_loss_of_pnr_is_a_mean_over_all_clips() -> None:
    logits = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    value = torch.tensor([[5.0, 1, 8], [-1, 0, 8], [0, 2, 8]], dtype=torch.float64)
    loss = get_task("pnr").loss(
        logits, Targets(torch.arange(3), value, torch.ones(3, dtype=bool)), LossOptions().of("pnr")
    )
    log = torch.log_softmax(logits, 1)
    assert loss.mean.item() == pytest.approx(-(log[0, 5] + log[2, 0]).item() / 3, rel=1e-6)


def test_pnr_and_oscc_end_to_end(folder: Path, tiny_recipe: str, tmp_path: Path) -> None:
    run = trained(folder, tiny_recipe, ["action", "pnr"], tmp_path / "run")
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
    for clip, n in zip(clips_of(folder, inference), range(7), strict=True):
        logits = model(clip[None], tasks=["pnr"]).tasks["pnr"]
        assert logits.shape == (1, FRAMES)
        if windows(n)[1] is not None:
            chosen.append(int(logits.argmax()) / FRAMES)
    errors = ego4d.errors(np.array(chosen) * truth.length, truth)
    assert found["pnr_error_sec"] == pytest.approx(errors.mean(), abs=1e-6)


def test_two_ranks_give_the_numbers_of_one(
    folder: Path, tiny_recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven clips: ranks with other numbers of them, and of batches."""
    run = trained(folder, tiny_recipe, ["action", "pnr"], tmp_path / "run")
    monkeypatch.setattr("pvit_model.using.evaluate.EVAL_BATCH", 3)
    command = ["eval", "--model", str(run), "--shards", str(folder), "--source", "ego"]
    files = ["a.parquet", "a.pnr.parquet", "a.json"]

    def both(out: Path) -> None:
        (report,) = evaluate(str(run), [str(folder)], "ego")
        assert main([*command, "--dump", str(out / files[0]), "--out", str(out / files[2])]) == 0
        if own_rank()[0] == 0:
            (out / "plain.json").write_text(json.dumps(report.metrics))

    plain, written = [], []
    with one_thread():
        for ranks in (1, 2):
            out = tmp_path / f"{ranks}"
            out.mkdir()
            assert statuses(ranks, partial(both, out), tmp_path / "store") == [0] * ranks
            plain.append(json.loads((out / "plain.json").read_text()))
            written.append([(out / name).read_bytes() for name in files])
    assert written[0] == written[1]
    assert plain[0].keys() == plain[1].keys() == {"action", "pnr"}
    for name, values in plain[0].items():
        assert plain[1][name] == pytest.approx(values, rel=1e-6)


def test_a_network_of_pnr_alone_takes_a_source_that_is_named(folder: Path, tiny_recipe: str, tmp_path: Path) -> None:
    run = trained(folder, tiny_recipe, ["pnr"], tmp_path / "run")
    write(tmp_path / "other", "other")
    (own,) = evaluate(str(run), [str(folder)], "ego")
    (report,) = evaluate(str(run), [str(tmp_path / "other")], "other")
    assert report.metrics == own.metrics
    with pytest.raises(UsageError, match="'other' carries nothing that the network predicts"):
        evaluate(str(run), [str(tmp_path / "other")])


def clips_of(folder: Path, inference: Any) -> list[torch.Tensor]:
    from pvit_data.loading.loader import eval_loader

    ds = pvit_data.open(folder, source="ego", split="val")
    return [clip for batch in eval_loader(ds, inference.clip, batch_size=1) for clip in batch.video]


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("labels", [["action", "pnr"], ["pnr"]])
def test_dumps_give_pvit_score_the_same_digits(
    labels: list[str], folder: Path, tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of windows in other than 16 bins, too; each result says of which network, and compares with that of the other."""
    run, shards = trained(folder, tiny_recipe, labels, tmp_path / "run"), tmp_path / "shards"
    write(shards, "ego4d")
    dump, out = tmp_path / "ego.parquet", tmp_path / "eval.json"
    own = ["--source", "ego4d"]
    document = command(capsys, "eval", "--model", run, "--shards", shards, *own, "--dump", dump, "--out", out)
    (report,) = document["reports"]
    passports = [report["passport"], *report.get("further_passports", [])]
    assert [one["metric"] for one in passports] == ["oscc", "pnr"][-len(labels) :]
    assert passports[-1]["classes"] == {"number": FRAMES}
    files = [dump, tmp_path / "ego.pnr.parquet"]
    for passport, file in zip(passports, files, strict=False):
        metric = passport["metric"]
        more = ["--partial"] if metric == "pnr" else []
        told = command(
            capsys, "score", file, "--metric", metric, "--truth", shards, *own, *more, "--out", tmp_path / "s"
        )
        assert told["model"] == passport["model"]
        assert told["model"]["recipe"]
        same = ("list", "truth", "views", "variant", "protocol")
        assert [told[name] for name in same if name != "list"] == [passport[name] for name in same if name != "list"]
        assert told["list"] == passport["list"] | {"name": told["list"]["name"]}
        assert told["baselines"] == passport["baselines"]
        found = command(capsys, "compare", out, tmp_path / "s")
        assert found["comparable"]
        ((ours, theirs),) = found["numbers"].values()
        assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("labels", [["action", "pnr"], ["pnr"]])
def test_predictions_beside_those_of_other_tasks(
    labels: list[str], folder: Path, tiny_recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With depth: the report is drawn, and `predict` says which frame of the video it is."""
    run = trained(folder, tiny_recipe, [*labels, "depth"], tmp_path / "run", "model.tasks=[depth]")
    assert (run / "report.md").is_file() or list(run.glob("report*"))
    video = np.random.default_rng(0).integers(0, 255, (41, SIZE, SIZE, 3), np.uint8)
    (tmp_path / "video.mp4").write_bytes(encode_video(video, 10.0))
    told = command(capsys, "predict", tmp_path / "video.mp4", "--model", run, "--out", tmp_path / "out")
    frame = told["labels"]["pnr"]["frame"]
    assert frame in {40 * k / FRAMES for k in range(FRAMES)}
    assert told["labels"]["pnr"]["seconds"] == pytest.approx(frame / 10)
    assert list(told["outputs"]) == ["depth"]
    assert bool(told["actions"]) == ("action" in labels)
    assert (tmp_path / "out/overlay.mp4").is_file()
    (report,) = evaluate(str(run), [str(folder)])
    assert set(report.metrics) == {*labels, "depth"}
