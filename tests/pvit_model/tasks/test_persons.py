"""What persons do: the head against torchvision's op and a plain loop, the loss, from samples to official numbers."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torchvision.ops import roi_align

import pvit_data
from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import ConfigError, UsageError
from pvit_data.loading.batch import Batch, Targets
from pvit_data.sample.sample import ROLE_PERSON, Boxes, EncodedMedia
from pvit_data.scoring.files.ava import Videos, read_detections, write_csv
from pvit_model import create_model, evaluate, predict
from pvit_model.recipes.announcement import plan_lines
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.tasks import LossOptions, get_task, rois_of
from pvit_model.tasks.persons.head import pooled_boxes
from pvit_model.training.build import build_network
from pvit_model.training.step import split_batch
from pvit_model.training.validate import report_lines
from pvit_model.using.answers import overlay_frames
from pvit_model.using.loading import load_model
from pvit_model.using.predict import predict_many
from pvit_model.using.source_report import SourceReport

AVA = LabelSpace("ava80", tuple(f"action {n}" for n in range(1, 81)), first=1)
KEY, FRAMES, HEIGHT, WIDTH = 8, 16, 32, 48
ACTIONS = (1, 12, 17)
TASK = get_task("persons")


def second(rng: np.random.Generator, movie: str, number: int) -> tuple[np.ndarray, Boxes, Boxes, dict[str, Any]]:
    """A clip with one to three persons, a stripe each, whose colour is what they do; truth and detections."""
    count = int(rng.integers(0, 4))
    rgb = rng.integers(0, 60, (FRAMES, HEIGHT, WIDTH, 3)).astype(np.uint8)
    corners, labels = [], []
    for n in range(count):
        kind = int(rng.integers(0, 3))
        left = n * 16 + int(rng.integers(0, 4))
        rgb[:, 4:28, left : left + 12, kind] += 150
        corners.append([left / WIDTH, 4 / HEIGHT, (left + 12) / WIDTH, 28 / HEIGHT])
        labels.append([n, ACTIONS[kind]])
        if kind == 1:
            labels.append([n, 80])
    truth = np.round(np.array(corners).reshape(-1, 4), 3)
    found = np.round(np.clip(truth + rng.uniform(-0.02, 0.02, truth.shape), 0, 1), 3)
    at = {"frame": np.full(count, KEY), "role": np.full(count, ROLE_PERSON)}
    extra = np.array([[0.0, 0.0, 0.05, 1.0]])  # the middle crop shows nothing of it
    meta = {"video_id": movie, "second": number, "excluded": number == 905, "key_frame": KEY}
    detected = Boxes(
        np.concatenate([found, extra]), frame=np.full(count + 1, KEY), role=np.full(count + 1, ROLE_PERSON),
        score=np.array([*np.linspace(0.95, 0.85, count), 0.81]),
    )  # fmt: skip
    return rgb, Boxes(truth, labels=np.array(labels, int).reshape(-1, 2), **at), detected, meta


def write(out: Path) -> None:
    """Two movies to train on, two held out; a layer with training boxes, and detections as a layer over the latter."""
    rng = np.random.default_rng(0)
    layer, trained = [], []
    for split in ("train", "val"):
        with ShardWriter(out, "ava", split, spaces={"boxes": AVA}, role="downstream", tasks=()) as writer:
            for movie in ("-aaaaaaaaaa", "bbbbbbbbbbb"):
                for number in range(902, 910):
                    rgb, truth, detected, meta = second(rng, f"{movie[:-1]}{split[0]}", number)
                    key = f"ava-{split}-{movie.strip('-')}-{number:04d}"
                    writer.write(Sample(key=key, group=movie, rgb=rgb, fps=30.0, boxes=truth, meta=meta))
                    layer += [(key, detected)] if split == "val" else []
                    trained += [(key, truth)] if split == "train" else []
    with ShardWriter(out, "ava-detections", base="ava", attach="on-request") as writer:
        for key, detected in layer:
            writer.write(Sample(key=key, boxes=detected, frames={"boxes": np.array([KEY])}))
    with ShardWriter(out, "ava-train", base="ava", attach="on-request", spaces={"boxes": AVA}) as writer:
        for key, truth in trained:
            writer.write(Sample(key=key, boxes=truth, frames={"boxes": np.array([KEY])}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ava")
    write(out)
    return out


SETS = (
    "clip.downstream=ava", "clip.tasks={ava: [persons]}", "mixture.portion=0", "model.tasks=[]", "clip.num_frames=16",
    "clip.rate=1", "model.options.depth=2",
)  # fmt: skip


def planned(folder: Path, tiny_recipe: str, *more: str) -> Any:
    return make_plan(load_recipe(tiny_recipe, [*SETS, *more]), [str(folder)])


def of_the_page(**places: object) -> list[list[str]]:
    """The commands of docs/training.md, with its words in capitals and its files replaced."""
    text = (Path(__file__).parents[3] / "docs/training.md").read_text(encoding="utf-8")
    block = re.findall(r"```bash\n(pvit train [^`]*persons[^`]*)```", text)[0].replace("\\\n", "")
    return [[str(places.get(word, word)) for word in shlex.split(line)[1:]] for line in block.splitlines()]


@pytest.fixture(scope="module")
def run(folder: Path, tiny_recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, as the page on training begins one."""
    out = tmp_path_factory.mktemp("runs") / "run"
    train, *_ = of_the_page(AVA=folder, RUN=out, baseline=tiny_recipe)
    more = [text for text in SETS if "tasks={" not in text] + [
        "optim.steps=4",
        "run.eval_every=4",
        "run.eval_clips=16",
        "data.crops=3",
    ]
    assert main([*train, *(word for text in more for word in ("--set", text))]) == 0
    return out


def boxes(count: int, clips: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), 1).reshape(count, 4)
    return torch.tensor(np.concatenate([np.sort(rng.integers(0, clips, (count, 1)), 0), corners], 1)).float()


def test_boxes_are_pooled_as_by_the_op_and_by_a_plain_loop() -> None:
    grid, width = (2, 3, 5), 4
    tokens = torch.randn(3, 30, width, generator=torch.Generator().manual_seed(0))
    rois = boxes(9, 3)
    found = pooled_boxes(tokens, grid, rois)
    maps = tokens.unflatten(1, grid).mean(1)
    pixels = rois * torch.tensor([1, 160, 96, 160, 96])  # of a picture of 96 x 160, 32 to a token
    op = roi_align(maps.permute(0, 3, 1, 2), pixels, 7, 1 / 32, 0, True).amax((2, 3))
    np.testing.assert_allclose(found, op, atol=1e-6)
    np.testing.assert_allclose(found, [_slowly(maps[int(r[0])].numpy(), r[1:].numpy()) for r in rois], atol=1e-6)
    with pytest.raises(UsageError, match="30 of them, expected 24"):
        pooled_boxes(tokens, (2, 3, 4), rois)
    assert pooled_boxes(tokens, grid, rois[:0]).shape == (0, width)
    outside = torch.tensor([[1, 1.0, 0.2, 1.0, 0.4]])
    assert pooled_boxes(tokens, grid, outside).tolist() == [[0.0] * width], "a box without area gives zeros"


def _slowly(maps: np.ndarray, box: np.ndarray) -> np.ndarray:
    """RoIAlign as its paper says: bilinear samples at the centres of a grid in each of 7 x 7 bins, averaged."""
    height, width, channels = maps.shape
    x1, y1, x2, y2 = box * [width, height, width, height] - 0.5
    best = np.full(channels, -np.inf)
    across, down = (max(int(np.ceil((b - a) / 7)), 1) for a, b in ((x1, x2), (y1, y2)))
    for i in range(7):
        for j in range(7):
            values = [
                _bilinear(
                    maps, y1 + (y2 - y1) * (i + (k + 0.5) / down) / 7, x1 + (x2 - x1) * (j + (m + 0.5) / across) / 7
                )
                for k in range(down)
                for m in range(across)
            ]
            best = np.maximum(best, np.mean(values, 0))
    return best


def _bilinear(maps: np.ndarray, y: float, x: float) -> np.ndarray:
    height, width, channels = maps.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(channels)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    above = (1 - u) * maps[top, left] + u * maps[top, right]
    below = (1 - u) * maps[bottom, left] + u * maps[bottom, right]
    return (1 - v) * above + v * below


def network(**options: Any) -> Any:
    torch.manual_seed(0)
    options = {"depth": 2, "stages": (1,), "dense_layers": (0, 1), "embed_dim": 8, "clip": (4, 32, 32), **options}
    return create_model("mvitv2_xxs", num_classes=1, labels=["persons"], label_classes={"persons": 80}, **options)


def test_persons_change_places_with_their_scores() -> None:
    model = network().eval()
    video, rois = torch.randn(2, 3, 4, 32, 32), boxes(5, 2)
    scores = model(video, tasks="persons", rois={"persons": rois}).tasks["persons"]
    assert scores.shape == (5, 80)
    order = torch.tensor([4, 2, 0, 1, 3])
    again = model(video, tasks="persons", rois={"persons": rois[order]}).tasks["persons"]
    torch.testing.assert_close(again, scores[order])
    packed = model(video, rows={"persons": rois[:, 0].long()}, rois={"persons": rois}).tasks["persons"]
    torch.testing.assert_close(packed, scores)
    assert model(video, tasks="all").tasks["persons"].shape == (0, 80), "nobody was given"


def test_neither_prompts_nor_the_class_token_are_pooled() -> None:
    """A grid of rectangular pictures, with prompts in the sequence; what the head reads are the patches alone."""
    model = network(tasks=["depth", "pose3d"], prompts_per_task=2, clip=(4, 32, 64)).eval()
    seen: list[Any] = []
    model.heads["persons"].register_forward_pre_hook(lambda module, arguments: None)
    run = model.heads["persons"].run
    model.heads["persons"].run = lambda given: seen.append(given) or run(given)
    for height, width in ((32, 64), (32, 32), (48, 80), (32, 44)):
        out = model(torch.randn(1, 3, 4, height, width), tasks="persons", rois={"persons": boxes(2, 1)})
        assert out.prompts.shape[1] == 4
        assert seen[-1].grid == model.backbone.grid(4, height, width)[-1]
        assert seen[-1].tokens is out.tokens
        rows, columns = seen[-1].grid[1:]
        per_pixel = (
            model.backbone.grid(4, 32, 64)[-1][1] / 32
        )  # tokens, as for nominal clips, whatever the last ones show
        pixels = boxes(2, 1)[:, 1:] * torch.tensor([width, height, width, height])
        torch.testing.assert_close(seen[-1].rois[:, 1:] * torch.tensor([columns, rows] * 2), pixels * per_pixel)
        assert out.tasks["persons"].shape == (2, 80)


def test_the_loss_is_a_mean_over_persons_and_actions() -> None:
    logits = torch.randn(3, 80, generator=torch.Generator().manual_seed(0))
    value = torch.cat([torch.rand(3, 4), (torch.rand(3, 80) < 0.1).float()], 1)
    targets = Targets(torch.tensor([0, 0, 2]), value, torch.tensor([True, False, True]))
    found = TASK.loss(logits, targets, LossOptions().of("persons"))
    shares = torch.sigmoid(logits[[0, 2]].double())
    wanted = value[[0, 2], 4:].double()
    slow = -(wanted * shares.log() + (1 - wanted) * (1 - shares).log()).sum() / (2 * 80)
    assert found.mean.item() == pytest.approx(slow.item(), abs=1e-6)
    assert int(found.count) == 2


def test_micro_batches_take_their_persons_along() -> None:
    value = torch.arange(6.0)[:, None].expand(6, 84)
    rows = torch.tensor([0, 0, 1, 3, 3, 3])
    targets = {"persons": Targets(rows, value, torch.ones(6, dtype=torch.bool))}
    batch = Batch(0, list("abcd"), ["s"] * 4, torch.zeros(4, 3, 2, 4, 4), targets)
    parts = [part.targets["persons"] for part in split_batch(batch, 4)]
    assert [part.rows.tolist() for part in parts] == [[0, 0], [0], [], [0, 0, 0]]
    assert [part.value[:, 0].tolist() for part in parts] == [[0, 1], [2], [], [3, 4, 5]]
    assert rois_of({"persons": parts[3]})["persons"][:, 0].tolist() == [0, 0, 0]


def detected(folder: Path) -> int:
    ds = pvit_data.open(folder, source="ava", split="val", layers=["ava-detections"])
    return sum(len(sample.boxes) for sample in ds)


def test_each_split_has_the_boxes_of_its_layer(folder: Path, tiny_recipe: str) -> None:
    plan = planned(folder, tiny_recipe, "data.layers={ava: [ava-detections, ava-train]}")
    (source,) = plan.sources
    assert source.train.layers_of("ava")["boxes"].name == "ava-train"
    assert source.val.layers_of("ava")["boxes"].name == "ava-detections"
    told = "\n".join(plan_lines(plan, {"parameters": 1}, folder))
    assert "ava: boxes are those of ava-train in train, those of ava-detections in val" in told
    assert sum(len(s.boxes) for s in source.val) == detected(folder)
    assert source.train[0].spaces["boxes"] == AVA
    alone = planned(folder, tiny_recipe, "data.layers={ava: [ava-train]}").sources[0].val
    assert "boxes" not in alone.layers_of("ava")
    assert (alone.column("has_boxes")).all(), "held-out clips keep their own"


def test_a_run_trains_and_picks_its_best_checkpoint_by_map(folder: Path, run: Path) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    (scored,) = (row for row in rows if "ava/persons/mAP" in row)
    assert scored["ava/persons/boxes"] == detected(folder), "validation scores the detections, training has other boxes"
    model, inference = load_model(str(run))
    assert inference.targets_of("ava") == ("persons",)
    assert inference.label_spaces["persons"] == AVA
    assert model.heads["persons"].linear.out_features == 80


def test_a_head_goes_on_by_the_names_of_its_actions(run: Path, tiny_recipe: str, tmp_path: Path) -> None:
    """Another list of another length, from another first number: what both have is taken, row by row."""
    space = LabelSpace("few", ("action 12", "waving", "action 1"), first=3)
    rng = np.random.default_rng(0)
    rgb, truth, _, meta = second(rng, "ccccccccccc", 902)
    while not len(truth):
        rgb, truth, _, meta = second(rng, "ccccccccccc", 902)
    labels = np.array([[n, 3] for n in range(len(truth))])
    with ShardWriter(tmp_path, "ava", "train", spaces={"boxes": space}, role="downstream", tasks=()) as writer:
        writer.write(Sample(key="a", rgb=rgb, fps=30.0, boxes=replace(truth, labels=labels), meta=meta))
    own = build_network(planned(tmp_path, tiny_recipe, f"model.init_from={run}", "mixture.batch_size=1"))
    given = load_model(str(run))[0].heads["persons"].state_dict()
    for name, value in own.heads["persons"].state_dict().items():
        assert torch.equal(value[[0, 2]], given[name][[11, 0]])
        assert value.shape == (3, *given[name].shape[1:])
        assert not torch.equal(value[1], given[name][1])


def test_a_validation_without_persons_says_so(folder: Path, tiny_recipe: str) -> None:
    (line,) = report_lines([SourceReport("ava", "val", 3, {})], planned(folder, tiny_recipe))
    assert line == "ava (3 clips)  persons: none of these clips has any to measure"


def test_recipes_that_boxes_would_not_follow(folder: Path, tiny_recipe: str) -> None:
    with pytest.raises(ConfigError, match=r"mixture\.mixup: source 'ava' trains persons"):
        planned(folder, tiny_recipe, "mixture.mixup=0.8")
    with pytest.raises(ConfigError, match=r"sampler fit; --set clip\.samplers\.ava=keyframe"):
        planned(folder, tiny_recipe, "clip.samplers={ava: fit}")


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_dumps_give_pvit_score_the_same_digits(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = tmp_path / "ava.parquet"
    evaluated = ("eval", "--model", run, "--shards", folder, "--source", "ava", "--layer", "ava=ava-detections")
    document = command(capsys, *evaluated, "--dump", dump)
    assert "ava: boxes of 16 samples (from ava-detections)" in document["notes"]
    also = command(capsys, *evaluated, "--layer", "ava=ava-train")
    assert also["reports"][0]["metrics"] == document["reports"][0]["metrics"]
    assert "ava: boxes are those of ava-train in train, those of ava-detections in val" in also["notes"]
    found = document["reports"][0]["metrics"]["persons"]
    assert not [note for note in document["notes"] if "ground truth itself" in note]
    persons = [b.boxes for b in pvit_data.open(folder, source="ava", split="val", layers=["ava-detections"])]
    assert found["boxes"] == sum(map(len, persons)), "also those outside of the crop"
    assert found["threshold"] == 0.8
    score = ("score", "--metric", "ava", "--truth", folder, "--source", "ava")
    for variant, name in (("pyslowfast", "mAP"), ("activitynet", "mAP_activitynet"), ("mmaction2", "mAP_mmaction2")):
        scored = command(capsys, *score, dump, "--protocol", variant)
        assert scored["mAP"] == found[name]
    uncapped = command(capsys, *score, dump, "--protocol", "activitynet", "--no-cap")
    assert uncapped["mAP"] == found["mAP_activitynet_no_cap"]
    assert scored["detections"]["threshold"] == 0.8, "the dump says it"
    assert scored["views"]["frames"] == FRAMES
    videos = Videos()
    table = read_detections(dump, videos)
    passport = document["reports"][0]["passport"]
    official = command(capsys, *score, dump)
    same = ("metric", "protocol", "variant", "mAP", "views", "classes", "thresholds", "detections", "baselines")
    assert {name: passport[name] for name in same} == {name: official[name] for name in same}
    assert passport["list"]["sha256"] == official["list"]["sha256"]
    assert passport["list"]["n"] == 2, "movies"
    assert passport["model"] == official["model"]
    assert passport["model"]["evaluated"]["boxes_of"] == "ava-detections"
    assert official["model"]["weights"]
    assert passport["detections"]["threshold"] == 0.8
    assert passport["files"]["excluded"]["seconds"] == official["files"]["excluded"]["seconds"]
    assert passport["classes"]["label_map"] == "ava60"
    stored = np.concatenate([np.round(b.xyxy.astype(np.float64), 3) for b in persons])
    np.testing.assert_array_equal(np.unique(table.xyxy, axis=0), np.unique(stored, axis=0))
    write_csv(tmp_path / "ava.csv", table, videos)
    assert command(capsys, *score, tmp_path / "ava.csv")["mAP"] == pytest.approx(found["mAP"], abs=1e-6)


def test_whole_frames_show_every_box(folder: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated = ("eval", "--model", run, "--shards", folder, "--source", "ava", "--layer", "ava=ava-detections")
    reports, notes = command(capsys, *evaluated, "--crops", "full")["reports"], []
    found = reports[0]["metrics"]["persons"]
    assert found["boxes"] == detected(folder)
    cropped = command(capsys, *evaluated)["reports"][0]["metrics"]["persons"]
    assert {name: found[name] for name in ("boxes", "persons", "oracle")} == {
        name: cropped[name] for name in ("boxes", "persons", "oracle")
    }
    evaluate(str(run), [str(folder)], "ava", crops="full", layers={"ava": ["ava-detections"]}, note=notes.append)
    assert "ava: whole frames were evaluated, their short side 32 pixels" in notes
    for wrong in ("0", "many", "101", ""):
        assert main([*map(str, evaluated), "--crops", wrong]) == 2


def test_whole_frames_are_refused_where_sizes_must_be_equal(
    folder: Path, run: Path, tiny_recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(folder, tiny_recipe, "data.crops=full")
    assert plan.inference().crops == "full"
    with pytest.raises(UsageError, match=r"of source 'ava' boxes are evaluated, too, which needs clips of one size"):
        planned(folder, tiny_recipe, "data.crops=full", "clip.tasks={ava: [persons, boxes]}", "model.tasks=[boxes]")
    monkeypatch.setattr("pvit_model.backbones.mvit.MViT.side_step", 0)
    for act in (
        lambda: planned(folder, tiny_recipe, "data.crops=full"),
        lambda: evaluate(str(run), [str(folder)], "ava", crops="full"),
    ):
        with pytest.raises(
            UsageError, match="backbone 'mvitv2_xxs' takes clips of 32 x 32 pixels only, not whole frames"
        ):
            act()


def test_results_on_persons_are_compared(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Comparable with itself and with `pvit score`; not with other boxes, whole frames, or some of the seconds."""
    evaluated = ("eval", "--model", run, "--shards", folder, "--source", "ava")
    found = ("--layer", "ava=ava-detections")
    dumped = ("--dump", tmp_path / "boxes.parquet")
    for name, more in {"mine": (*found, *dumped), "truth": (), "whole": (*found, "--crops", "full"),
                       "some": (*found, "--limit", 9)}.items():  # fmt: skip
        assert main([str(a) for a in (*evaluated, *more, "--out", tmp_path / f"{name}.json")]) == 0
    score = ("score", "--metric", "ava", tmp_path / "boxes.parquet", "--truth", folder, "--source", "ava")
    assert main([str(a) for a in (*score, "--out", tmp_path / "scored.json")]) == 0
    (truth,) = json.loads((tmp_path / "truth.json").read_text())["reports"]
    assert truth["passport"]["model"]["evaluated"]["boxes_of"] is None
    differs = {
        "mine": [],
        "scored": [],
        "truth": ["detections"],
        "whole": ["whole frames"],
        "some": ["list", "N", "detections", "excluded seconds"],
    }
    for name, expected in differs.items():
        capsys.readouterr()
        code = main(["compare", str(tmp_path / "mine.json"), str(tmp_path / f"{name}.json"), "--json"])
        document = json.loads(capsys.readouterr().out)
        assert (code, sorted(document["differs"])) == (int(bool(expected)), sorted(expected)), name
        assert (
            document["numbers"]["mAP"][0]
            == json.loads((tmp_path / "mine.json").read_text())["reports"][0]["passport"]["mAP"]
        )
    whole = command(capsys, *evaluated, *found, "--crops", "full", *dumped)["reports"][0]["passport"]
    assert whole["views"]["whole"] is True
    assert command(capsys, *score)["views"] == whole["views"]


def test_a_source_of_another_name_is_matched_by_the_names_of_its_classes(
    folder: Path, run: Path, tmp_path: Path
) -> None:
    """The same seconds as `films`, whose classes have other numbers, with the same detections: the same precision."""
    names = tuple(reversed(AVA.classes))
    spaces = {"turned": LabelSpace("turned", names), "other": LabelSpace("other", ("fly", *names[1:]))}
    held_out = pvit_data.open(folder, source="ava", split="val")
    detections = list(pvit_data.open(folder, source="ava", split="val", layers=["ava-detections"]))
    for kind, space in spaces.items():
        with ShardWriter(tmp_path / kind, "films", "val", spaces={"boxes": space}, role="downstream") as writer:
            for row, sample in enumerate(held_out):
                labels = np.array([[box, 80 - number] for box, number in sample.boxes.labels], int).reshape(-1, 2)
                own = replace(sample.boxes, labels=labels)
                rgb = EncodedMedia(held_out.files(row, ["rgb.mp4"])["rgb.mp4"], "mp4")
                writer.write(replace(sample, rgb=rgb, boxes=own, frames={}, spaces={}))
        with ShardWriter(tmp_path / kind, "found", base="films", attach="on-request") as writer:
            for sample in detections:
                writer.write(Sample(key=sample.key, boxes=sample.boxes, frames={"boxes": np.array([KEY])}))
    (own,) = evaluate(str(run), [str(folder)], "ava", layers={"ava": ["ava-detections"]})
    for source in ("films", None):
        (report,) = evaluate(str(run), [str(tmp_path / "turned")], source, layers={"films": ["found"]})
        assert report.metrics == own.metrics
    with pytest.raises(UsageError, match="label space 'other' of 'films' is none of the network's"):
        evaluate(str(run), [str(tmp_path / "other")], "films", layers={"films": ["found"]})


RANKS = """
import os
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from pvit_cli.model import main
from pvit_data.loading.batch import Targets
from pvit_model import create_model, task_losses
from pvit_model.tasks import rois_of

def grads(model, module, clips, found, scale):
    targets = {"persons": found}
    out = model(video[clips], rows={"persons": found.rows}, rois=rois_of(targets))
    loss = task_losses(out, targets)["persons"]
    (loss.sum * scale / 4 + out.logits.sum() * 0).backward()
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.numel()}

def fresh():
    torch.manual_seed(0)
    options = {"depth": 2, "stages": (1,), "dense_layers": (0, 1), "embed_dim": 8, "clip": (2, 32, 32), "dropout": 0.0}
    return create_model("mvitv2_xxs", num_classes=1, labels=["persons"], label_classes={"persons": 5}, **options)

assert main(sys.argv[1:]) == 0  # joins the ranks
video = torch.randn(4, 3, 2, 32, 32, generator=torch.Generator().manual_seed(0))
corners = torch.tensor([[0.1, 0.1, 0.9, 0.5], [0.0, 0.5, 0.5, 1.0], [0.2, 0.0, 0.6, 0.9], [0.5, 0.5, 1.0, 1.0]])
value, valid = torch.cat([corners, torch.eye(5)[[0, 1, 4, 2]]], 1), torch.ones(4, dtype=torch.bool)
reference = grads(*(2 * [fresh()]), [0, 1, 2, 3], Targets(torch.tensor([0, 0, 1, 1]), value, valid), 1.0)
module, rank = fresh(), dist.get_rank()
mine = 4 - 4 * rank  # persons
mine = Targets(torch.tensor([0, 0, 1, 1])[:mine], value[:mine], valid[:mine])
found = grads(DistributedDataParallel(module), module, [2 * rank, 2 * rank + 1], mine, 2.0)
for name, expected in reference.items():
    torch.testing.assert_close(found[name], expected, atol=2e-6, rtol=1e-3, msg=name)
print("agrees", flush=True)
dist.barrier()
os._exit(0)  # DDP holds the group, whose threads are not to live through Python's end
"""


@pytest.mark.slow
def test_two_ranks_with_other_numbers_of_persons_are_one(folder: Path, run: Path, tmp_path: Path) -> None:
    """Training with persons on one rank only; an evaluation of 15 clips, dump and numbers."""
    script, one, two = tmp_path / "ranks.py", tmp_path / "one", tmp_path / "two"
    script.write_text(RANKS)
    command = ["eval", "--model", run, "--shards", folder, "--layer", "ava=ava-detections", "--limit", 15]
    found = []
    for out in (one, two):
        out.mkdir()
        more = [*command, "--dump", out / "dump.parquet", "--out", out / "eval.json"]
        if out is one:
            assert main([*map(str, more)]) == 0
        else:
            start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script, *more]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run([*map(str, start)], capture_output=True, text=True, env=environment, timeout=300)
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("agrees") == 2
        found.append(json.loads((out / "eval.json").read_text())["reports"])
    assert found[0] == found[1]
    assert pq.read_table(one / "dump.parquet").equals(pq.read_table(two / "dump.parquet"))


def test_training_boxes_of_a_layer(folder: Path, tiny_recipe: str, tmp_path: Path) -> None:
    """They are trained on where they are attached; held-out clips, of which they know nothing, keep their own."""
    ds = pvit_data.open(folder, source="ava", split="train")
    with ShardWriter(tmp_path, "ava-train", base=f"{folder}#ava", attach="on-request", spaces={"boxes": AVA}) as writer:
        for sample in ds:
            extra = Boxes(
                [[0, 0, 0.5, 0.5]] * 2, frame=[KEY] * 2, role=[ROLE_PERSON] * 2, score=[0.9, 0.7], labels=[[0, 3]]
            )
            writer.write(Sample(key=sample.key, boxes=extra, frames={"boxes": np.array([KEY])}))
    plan = planned(folder, tiny_recipe, f"data.layers={{ava: ['{tmp_path}#ava-train']}}", "clip.jitter=[1.0, 1.0]")
    (source,) = plan.sources
    batch = next(iter(pvit_data.loader(plan.mixture, 0, num_steps=1, clip=plan.config.clip)))
    targets = batch.targets["persons"]
    assert sorted(set(targets.rows.tolist())) == targets.rows.tolist(), "one of 0.9 each, none of 0.7"
    assert (targets.value[:, 4:].argmax(1) == 2).all()
    assert source.val is not None
    assert source.val.column("has_boxes").all()
    assert plan.inference().label_spaces["persons"] == AVA


def test_without_detections_the_truth_is_scored_and_that_is_said(folder: Path, run: Path) -> None:
    notes: list[str] = []
    (report,) = evaluate(str(run), [str(folder)], source="ava", note=notes.append)
    assert [note for note in notes if "--layer ava=ava-detections" in note]
    values = report.metrics["persons"]
    assert values["oracle"] == 1
    assert values["boxes"] == values["persons"]
    assert values["loss"] > 0
    assert report.summary("persons").startswith("mAP ")


def test_the_page_on_training_says_how(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in of_the_page(AVA=folder, RUN=run, **{"boxes.parquet": tmp_path / "boxes.parquet"})[1:]:
        assert main(command) == 0, command
    assert "mAP" in capsys.readouterr().out


def test_predictions_have_the_boxes_of_samples(
    folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the scores that the evaluation of the same boxes has, and drawn where the clip shows them."""
    dump, out = tmp_path / "boxes.parquet", tmp_path / "out"
    evaluate(str(run), [str(folder)], "ava", layers={"ava": ["ava-detections"]}, dump=dump)
    told = ("predict", folder, "--model", run, "--out", out, "--source", "ava", "--split", "val")
    document = command(capsys, *told, "--layer", "ava-detections", "--topk", 3, "--no-overlay")
    table = pq.read_table(dump).to_pylist()
    assert len(document["predictions"]) == 16
    assert document["skipped"] == []
    for prediction in document["predictions"]:
        rows = [row for row in table if row["key"] == prediction["video"]]
        scores = 1 / (1 + np.exp(-np.array([row["logits"] for row in rows]).reshape(-1, 80)))
        found = prediction["scored_boxes"]["persons"]
        assert [(box["frame"], len(box["classes"])) for box in found] == [(KEY, 3)] * len(rows)
        corners = [[row[name] for name in ("x1", "y1", "x2", "y2")] for row in rows]
        np.testing.assert_allclose([box["xyxy"] for box in found], corners, atol=1e-6)
        arrays = np.load(out / prediction["video"] / "predictions.npz")
        np.testing.assert_allclose(arrays["persons_scores"], scores, atol=1e-5)
        assert prediction["arrays"]["persons_xyxy"]["axes"] == ["box", "corner"]
        for box, row in zip(found, scores, strict=True):
            best = box["classes"][0]
            assert best["probability"] == pytest.approx(row.max(), abs=1e-5)
            assert best["name"] == f"action {best['class_id']}"
            assert row[best["class_id"] - 1] == pytest.approx(row.max(), abs=1e-5)
        assert prediction["warnings"] == []
    drawn = tmp_path / "drawn"
    plain = next(iter(predict_many([str(folder)], str(run), drawn, source="ava", split="train", overlay=True)))
    assert plain.scored_boxes["persons"].scores.shape[1] == 80, "the source's own boxes"
    picture = overlay_frames(plain, load_model(str(run))[1])[0]
    bare = overlay_frames(replace(plain, scored_boxes={}), load_model(str(run))[1])[0]
    assert picture.shape[1] > bare.shape[1]
    assert (drawn / plain.name / "overlay.png").stat().st_size > 0


def test_a_video_brings_no_boxes(run: Path) -> None:
    with pytest.raises(UsageError, match="scores boxes that are given, which a video does not bring"):
        predict("video.mp4", str(run))


def test_clips_without_people_are_told(folder: Path, run: Path) -> None:
    counts = [len(s.boxes) for s in pvit_data.open(folder, source="ava", split="val") if s.boxes is not None]
    assert counts[0] == 0
    notes: list[str] = []
    (report,) = evaluate(str(run), [str(folder)], "ava", limit=1, note=notes.append)
    assert report.metrics == {}
    assert (
        "left out: persons of 'ava': none of the 1 clips that were shown has any, so that there is nothing to measure; "
        "give a larger --limit"
    ) in notes
