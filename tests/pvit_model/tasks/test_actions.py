"""Any number of actions per clip: from a table of one's own videos to a network, its precision, and predictions."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import pvit_data
from pvit_cli.data import main as data
from pvit_cli.model import main
from pvit_data import LabelSpace, Sample
from pvit_data.clips.config import ClipConfig
from pvit_data.codecs.video import encode_video
from pvit_data.errors import FormatError, UsageError
from pvit_data.loading.batch import Targets
from pvit_data.sample.sample import Actions
from pvit_data.tasks.table import target_spec
from pvit_model import evaluate
from pvit_model.ranks import own_rank
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import LossOptions, get_task
from pvit_model.training.trainer import run_plan
from pvit_model.using.loading import load_model
from tests.pvit_model.forked import one_thread, statuses

SIZE, FRAMES = 48, 8
CLASSES = ("blinks", "red", "plain")
SPLITS = {"train": 40, "val": 19}


def shown(number: int, split: str) -> list[str]:
    """Two factors, each by itself, and a class of those with neither; one clip is not labelled."""
    red, blinks = number % 2 == 0, number % 4 in (0, 1)
    has = (blinks, red, not blinks and not red)
    names = [name for name, shows in zip(CLASSES, has, strict=True) if shows]
    return [] if split == "val" and number == 18 else names


def film(number: int, split: str) -> np.ndarray:
    rng = np.random.default_rng([number, len(split)])
    frames = rng.integers(0, 90, (FRAMES, SIZE, SIZE, 3)).astype(np.uint8)
    names = shown(number, split)
    frames[..., 0] += 120 * ("red" in names)
    frames[::2, ..., 2] += 150 * ("blinks" in names)
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with a table, converted."""
    raw, out = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("shards")
    lines = ["path,label,split"]
    for split, count in SPLITS.items():
        for number in range(count):
            (raw / f"{split}{number}.mp4").write_bytes(encode_video(film(number, split), 10.0))
            lines.append(f"{split}{number}.mp4,{'|'.join(shown(number, split))},{split}")
    (raw / "table.csv").write_text("\n".join(lines) + "\n")
    table = ["--table", str(raw / "table.csv"), "--label-separator", "|", "--workers", "1"]
    assert data(["convert", "videos", str(raw), str(out), "--name", "mine", *table]) == 0
    return out


@pytest.fixture(scope="module")
def run(folder: Path, tiny_recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    sets = ["clip.downstream=mine", "clip.tasks={mine: [actions]}", "mixture.portion=0", "model.tasks=[]"]
    more = ["optim.steps=60", "optim.lr=0.01", "data.crops=3", "clip.size=[32, 32]", "run.log_every=1"]
    run_plan(make_plan(load_recipe(tiny_recipe, [*sets, *more]), [str(folder)]), out)
    return out


def precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """The mean over positives of the share of positives among all with at least their score."""
    return float(np.mean([truth[scores >= scores[n]].mean() for n in np.flatnonzero(truth)]))


def command(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_is_true_of_a_clip() -> None:
    """Nothing shown is not the same as nobody having looked."""
    spec, config = target_spec("actions"), ClipConfig(label_classes={"actions": 3})
    space = LabelSpace("deeds", ("a", "b", "c"), first=1)
    sample = Sample(key="a", num_frames=4, spaces={"action": space}, actions=Actions([3, 1, 3]))
    found = {}
    for name, actions in (("some", sample.actions), ("none", Actions([])), ("unknown", None)):
        sample.actions = actions
        found[name] = spec.build(sample, np.arange(4), config)
    assert found["unknown"] is None
    assert found["some"].value.tolist() == [1, 0, 1]
    assert found["none"].value.tolist() == [0, 0, 0]
    assert found["some"].valid
    assert found["none"].valid


def test_the_loss_is_a_mean_over_classes_and_clips() -> None:
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).double()
    truth = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    given = Targets(torch.tensor([0, 3]), truth, torch.ones(2, dtype=torch.bool))
    loss = get_task("actions").loss(logits, given, LossOptions().of("actions"))
    chance = torch.sigmoid(logits)
    by_hand = -torch.where(truth > 0, chance, 1 - chance).log().mean()
    assert loss.mean.item() == pytest.approx(by_hand.item(), rel=1e-6)
    nothing = Targets(torch.zeros(0, dtype=torch.long), truth[:0], torch.ones(0, dtype=torch.bool))
    assert get_task("actions").loss(logits[:0], nothing, LossOptions().of("actions")).mean.item() == 0


def test_a_video_needs_its_views() -> None:
    meter = get_task("actions").meter(3, 2)
    given = Targets(torch.tensor([0]), torch.ones(1, 3), torch.ones(1, dtype=torch.bool))
    meter.take(["a"], meter.measure(torch.zeros(1, 3), given, (1.0, 1.0)))
    with pytest.raises(FormatError, match="1 of 1 videos got other than 2 views, first 'a'"):
        meter.total()


def test_two_factors_are_learnt(
    run: Path, folder: Path, shards: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss falls; the precision is that by hand, far above chance, and `pvit score` finds it in the dump."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    dump = tmp_path / "p.parquet"
    document = command(capsys, "eval", "--model", run, "--shards", folder, "--dump", dump)
    (report,) = document["reports"]
    metrics = report["metrics"]["actions"]
    table = pq.read_table(dump)
    logits = np.array(table["logits"].to_pylist(), np.float64)
    keys, views = table["key"].to_numpy(), table["view"].to_numpy()
    names = list(dict.fromkeys(keys))
    assert [views[keys == name].tolist() for name in names] == [[0, 1, 2]] * 18  # one of 19 is not labelled
    scores = np.stack([(1 / (1 + np.exp(-logits[keys == name]))).sum(0) for name in names])
    ds = pvit_data.open(folder, split="val")
    place = {key: ds[row] for row, key in enumerate(ds.column("key").tolist())}
    space = ds.spaces_of("mine")["action"]
    flags = np.zeros(scores.shape)
    for row, name in enumerate(names):
        flags[row, place[name].actions.class_id] = 1
    each = [precision(scores[:, n], flags[:, n]) for n in range(3)]
    assert metrics["mAP"] == pytest.approx(np.mean(each), abs=1e-12)
    assert metrics["random"] == pytest.approx(flags.mean(0).mean())
    assert metrics["videos"] == 18
    assert metrics["mAP"] > metrics["random"] + 0.3
    assert min(each[space.classes.index(name)] for name in ("red", "blinks")) > 0.75  # at random 0.5
    scored = command(capsys, "score", dump, "--metric", "multilabel", "--truth", folder)
    assert scored["mAP"] == metrics["mAP"]
    assert scored["baselines"]["random"] == metrics["random"]
    assert scored["details"]["per_class"] == pytest.approx(each, abs=1e-12)
    assert main(["score", str(dump), "--metric", "multilabel", "--truth", shards[0]]) == 2
    assert "no sample of 'real' has several labels with names" in capsys.readouterr().err
    assert main(["eval", "--model", str(run), "--shards", str(folder)]) == 0
    assert "random" in capsys.readouterr().out


def test_two_ranks_give_the_numbers_of_one(run: Path, folder: Path, tmp_path: Path) -> None:
    """The second one may have no labelled clip at all."""

    def written(limit: int, out: Path) -> None:
        (report,) = evaluate(str(run), [str(folder)], limit=limit)
        if own_rank()[0] == 0:
            out.write_text(json.dumps(report.metrics["actions"]), encoding="utf-8")

    with one_thread():
        for limit in (0, 1):
            found = []
            for ranks in (1, 2):
                out = tmp_path / f"{limit}-{ranks}.json"
                assert statuses(ranks, partial(written, limit, out), tmp_path / f"store{limit}") == [0] * ranks
                found.append(json.loads(out.read_text()))
            assert found[1] == pytest.approx(found[0], rel=1e-6)


def test_what_a_video_shows(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "video.mp4"
    video.write_bytes(encode_video(film(0, "val"), 10.0))
    found = command(capsys, "predict", video, "--model", run, "--out", tmp_path / "out")["labels"]["actions"]
    assert sorted(found) == sorted(CLASSES)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert min(found["red"], found["blinks"]) > 0.5 > found["plain"]


def test_one_class_per_clip_is_not_assumed(folder: Path, tiny_recipe: str) -> None:
    with pytest.raises(UsageError, match=r"they have any number of actions.*clip.tasks=\{mine: \[actions\]\}"):
        make_plan(
            load_recipe(tiny_recipe, ["clip.downstream=mine", "mixture.portion=0", "model.tasks=[]"]), [str(folder)]
        )


def test_a_network_takes_other_sources_by_the_names_of_classes(run: Path, folder: Path, tmp_path: Path) -> None:
    """The same clips under another name, with the classes in another order; the one without a label shows none."""
    space = LabelSpace("others", ("plain", "red", "blinks"))
    own = pvit_data.open(folder, split="val")
    names = own.spaces_of("mine")["action"].classes
    with pvit_data.ShardWriter(tmp_path, "theirs", "val", spaces={"action": space}, role="downstream") as writer:
        for sample in own:
            ids = [] if sample.actions is None else [space.classes.index(names[n]) for n in sample.actions.class_id]
            told = Actions(np.array(ids, np.int32))
            writer.write(Sample(key=sample.key, rgb=sample.rgb, fps=10.0, actions=told))
    (mine,) = (report.metrics["actions"] for report in evaluate(str(run), [str(folder)]))
    (theirs,) = (report.metrics["actions"] for report in evaluate(str(run), [str(tmp_path)], "theirs"))
    assert (mine["videos"], theirs["videos"]) == (18, 19)
    assert theirs["random"] == pytest.approx(mine["random"] * 18 / 19)
    assert theirs["mAP"] > theirs["random"] + 0.3
    model, inference = load_model(str(run))
    assert inference.targets_of("mine") == ("actions",)
    assert model.config.label_classes == {"actions": 3}
