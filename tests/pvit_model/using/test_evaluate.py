"""Evaluation against independent computations over the shards themselves, constant predictor included."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from pvit_data import open as open_shards
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import UsageError
from pvit_data.loading.batch import Batch, Targets
from pvit_data.loading.loader import eval_loader
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Sample
from pvit_model.network.inference import Inference
from pvit_model.using.constant import ConstantPredictor
from pvit_model.using.evaluate import EvalOptions, evaluate, evaluate_source
from pvit_model.using.loading import load_model
from pvit_model.using.source_report import SourceReport


@pytest.fixture(scope="module")
def reports(run_folder: Path, shards: list[str]) -> dict[str, SourceReport]:
    return {r.source: r for r in evaluate(str(run_folder), shards)}


def maps(shards: list[str], run: Path, split: str, number: int = 0) -> list[Batch]:
    """Of all samples, or of so many evenly spread ones."""
    _, inference = load_model(str(run))
    ds = open_shards(shards[1], source="scenes", split=split)
    if number:
        ds = ds.select([round(i * (len(ds) - 1) / (number - 1)) for i in range(number)])
    return list(eval_loader(ds, inference.clip, batch_size=5))


def test_constant_depth_is_the_mean_map(run_folder: Path, shards: list[str], reports: dict[str, SourceReport]) -> None:
    """RMSE of the per-pixel mean of as many training maps as there are held out, computed with numpy alone."""
    train = np.concatenate([b.targets["depth"].value.numpy() for b in maps(shards, run_folder, "train", 9)])
    held = np.concatenate([b.targets["depth"].value.numpy() for b in maps(shards, run_folder, "val")])
    mean = train.astype(np.float64).mean(axis=(0, 1))
    expected = np.sqrt(((held - mean) ** 2).mean())
    assert reports["scenes"].constant["depth"]["rmse"] == pytest.approx(expected, rel=1e-5)
    assert reports["scenes"].constant["depth"]["loss"] == pytest.approx((expected / 5) ** 2, rel=1e-4)
    assert reports["scenes"].constant_clips == 9


def test_constant_segmentation_is_the_class_frequencies(
    run_folder: Path, shards: list[str], reports: dict[str, SourceReport]
) -> None:
    counts = np.zeros(3)
    for batch in maps(shards, run_folder, "train", 9):
        t = batch.targets["segm/things"]
        counts += np.bincount(t.value[t.valid].numpy(), minlength=3)
    share = counts / counts.sum()
    wrong, number = 0.0, 0
    for batch in maps(shards, run_folder, "val"):
        t = batch.targets["segm/things"]
        wrong += -np.log(share[t.value[t.valid].numpy()]).sum()
        number += int(t.valid.sum())
    assert reports["scenes"].constant["segm/things"]["loss"] == pytest.approx(wrong / number, rel=1e-5)


@pytest.fixture
def train_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the training samples that are read, as they are read."""
    found: list[str] = []
    read = ShardDataset.read

    def counted(self: ShardDataset, index: int, *args: Any, **options: Any) -> Sample:
        if self.column("split")[index] == "train":
            found.append(str(self.column("key")[index]))
        return read(self, index, *args, **options)

    monkeypatch.setattr(ShardDataset, "read", counted)
    return found


def test_training_samples_are_read_only_for_what_is_compared_and_only_once(
    run_folder: Path, shards: list[str], train_reads: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run, ignore=shutil.ignore_patterns("constants"))
    (real,) = evaluate(str(run), shards, source="real")  # actions alone: the majority comes from the labels
    assert real.constant == {}
    assert train_reads == []
    (first,) = evaluate(str(run), shards, source="scenes")
    assert len(set(train_reads)) == first.constant_clips == 9
    train_reads.clear()
    (second,) = evaluate(str(run), shards, source="scenes")
    assert second == first
    assert train_reads == []
    evaluate(str(run), shards, source="scenes", limit=4)  # other samples, another constant
    assert len(set(train_reads)) == 4


def test_a_damaged_file_of_constants_is_made_again(run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run, ignore=shutil.ignore_patterns("constants"))
    first = evaluate(str(run), shards, source="scenes")
    (kept,) = (run / "constants").iterdir()
    right = load(kept.read_bytes())
    strange = [{"clips": torch.zeros(3)}, {"nothing": torch.zeros(1)}, {**right, "x//sum": torch.zeros(1)}]
    for tensors in (None, *strange, {k: v for k, v in right.items() if not k.endswith("sum")}):
        if tensors is None:
            kept.write_bytes(kept.read_bytes()[:50])
        else:
            save_file(tensors, kept)
        assert evaluate(str(run), shards, source="scenes") == first
        assert load(kept.read_bytes()).keys() == right.keys()


def test_constants_are_not_kept_through_a_link(run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run, ignore=shutil.ignore_patterns("constants"))
    (tmp_path / "elsewhere").mkdir()
    (run / "constants").symlink_to(tmp_path / "elsewhere")
    (report,) = evaluate(str(run), shards, source="scenes")
    assert report.constant_clips == 9
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_network_depth_by_hand(run_folder: Path, shards: list[str], reports: dict[str, SourceReport]) -> None:
    model, _ = load_model(str(run_folder))
    squares, number = 0.0, 0
    for batch in maps(shards, run_folder, "val"):
        with torch.no_grad():
            guess = model(batch.video, tasks="depth").tasks["depth"]
        t = batch.targets["depth"]
        error = guess[t.rows][t.valid].double() - t.value[t.valid].double()
        squares += float(error.square().sum())
        number += int(t.valid.sum())
    assert reports["scenes"].metrics["depth"]["rmse"] == pytest.approx((squares / number) ** 0.5, rel=1e-5)
    ratio = reports["scenes"].ratios()["depth"]["rmse"]
    assert ratio == pytest.approx((squares / number) ** 0.5 / reports["scenes"].constant["depth"]["rmse"], rel=1e-5)


def test_accuracy_by_hand(run_folder: Path, shards: list[str], reports: dict[str, SourceReport]) -> None:
    model, inference = load_model(str(run_folder))
    ds = open_shards(shards[0], source="real", split="val")
    hits = 0
    for batch in eval_loader(ds, inference.clip, batch_size=4):
        with torch.no_grad():
            hits += int((model(batch.video).logits.argmax(1) == batch.targets["action"].value).sum())
    found = reports["real"].metrics["action"]
    assert (found["top1"], found["videos"]) == (hits / 9, 9.0)
    assert (found["majority"], found["majority_se"]) == pytest.approx((1 / 3, (2 / 81) ** 0.5))


def test_three_views_of_a_square_clip_agree_with_one(run_folder: Path, shards: list[str]) -> None:
    model, inference = load_model(str(run_folder))
    ds = open_shards(shards[0], source="real", split="val")
    one, three = (
        evaluate_source(model, inference, ds, ("real", "val"), how=EvalOptions(views=(1, crops))) for crops in (1, 3)
    )
    assert one.metrics == three.metrics


def test_unlabelled_pixels_take_the_overall_mean() -> None:
    value = torch.tensor([[[[1.0, 5.0]]], [[[3.0, 7.0]]]])  # two clips, one frame, 1 x 2 pixels
    valid = torch.tensor([[[[True, False]]], [[[True, False]]]])
    batch = Batch(
        0, ["a", "b"], ["s", "s"], torch.zeros(2, 3, 1, 1, 1), {"depth": Targets(torch.arange(2), value, valid)}
    )
    constant = (
        ConstantPredictor(Inference(clip=ClipConfig()), ["depth"]).fit([batch]).predict("depth", batch.targets["depth"])
    )
    assert constant.tolist() == [[[[2.0, 2.0]]], [[[2.0, 2.0]]]]


def test_depth_constants_of_loss_and_metric_differ_beyond_the_clip() -> None:
    value = torch.tensor([2.0, 30.0]).view(2, 1, 1, 1)
    targets = {"depth": Targets(torch.arange(2), value, torch.ones(2, 1, 1, 1, dtype=torch.bool))}
    batch = Batch(0, ["a", "b"], ["s", "s"], torch.zeros(2, 3, 1, 1, 1), targets)
    inference = Inference(clip=ClipConfig(), loss_options={"depth_clip": 10.0})
    predictor = ConstantPredictor(inference, ["depth"]).fit([batch])
    assert float(predictor.predict("depth", targets["depth"])[0]) == 16.0
    assert float(predictor.predict("depth", targets["depth"], for_loss=True)[0]) == 6.0


def test_nothing_to_evaluate_says_what_there_is(run_folder: Path, shards: list[str]) -> None:
    with pytest.raises(UsageError, match="no source 'rael' in the shards, which hold people, real, scenes"):
        evaluate(str(run_folder), shards, source="rael")
    with pytest.raises(UsageError, match=r"'people' has no samples in split 'test'; it has train \(18\), val \(9\)"):
        evaluate(str(run_folder), shards, split="test")
