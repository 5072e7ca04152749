"""Ids never travel without their table: the same samples, numbered otherwise, give the same results."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pvit_data import LabelSpace, Sample, ShardWriter
from pvit_data.errors import UsageError
from pvit_data.reading.layers.places import find_sources
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.runs.log import read_log
from pvit_model.training.trainer import run_plan
from pvit_model.using.evaluate import evaluate
from pvit_model.using.loading import load_model
from pvit_model.using.matching import match
from pvit_model.using.source_report import SourceReport
from tests.pvit_model.conftest import write_actions


@pytest.fixture(scope="module")
def expected(run_folder: Path, shards: list[str]) -> dict[str, SourceReport]:
    return {r.source: r for r in evaluate(str(run_folder), shards)}


def test_other_order_same_results(run_folder: Path, turned: list[str], expected: dict[str, SourceReport]) -> None:
    for report in evaluate(str(run_folder), turned):
        assert report.metrics == expected[report.source].metrics
        assert report.constant == expected[report.source].constant


def test_box_classes_travel(run_folder: Path, turned: list[str]) -> None:
    """No task of ours predicts them, but who reads them gets the network's numbers."""
    _, inference = load_model(str(run_folder))
    assert inference.further_spaces == {"boxes": {"held": LabelSpace("held", ("tool", "hand"))}}
    found = match(inference, find_sources(turned)["people"], "val", asked=True, allow_other=False).open("val")
    assert found is not None
    boxes = found[0].boxes
    assert boxes is not None
    assert boxes.class_id.tolist()[:2] == [1, 0]


def test_another_source_name_same_results(run_folder: Path, expected: dict[str, SourceReport], tmp_path: Path) -> None:
    for split, number, seed in (("train", 18, 0), ("val", 9, 100)):
        write_actions(tmp_path, split, number, seed, LabelSpace("other", ("bluish", "reddish", "greenish")), "mine")
    (report,) = evaluate(str(run_folder), [str(tmp_path)])
    assert (report.source, report.metrics) == ("mine", expected["real"].metrics)


def write(out: Path, classes: tuple[str, ...], ids: dict[str, list[int]], source: str = "mine") -> str:
    space = LabelSpace("colours", classes)
    for split, labels in ids.items():
        with ShardWriter(out, source, split, spaces={"action": space}, role="downstream", tasks=()) as writer:
            for i, label in enumerate(labels):
                rgb = np.full((6, 32, 32, 3), 40 * i, np.uint8)
                writer.write(Sample(key=f"{source}-{split}-{i}", rgb=rgb, fps=12.0, action=label))
    return str(out)


def test_subset_is_evaluated(run_folder: Path, tmp_path: Path) -> None:
    mine = write(tmp_path, ("bluish", "reddish"), {"val": [0, 1, 1]})
    (report,) = evaluate(str(run_folder), [mine])
    assert report.metrics["action"]["videos"] == 3
    assert report.metrics["action"]["majority"] == pytest.approx(2 / 3)


def test_lacking_classes(run_folder: Path, tmp_path: Path) -> None:
    """Refused by the first name, unless no sample of the split has one; left out for those who mean it."""
    mine = write(tmp_path, ("yellow", "bluish", "brown"), {"train": [1, 2], "val": [1, 2, 0], "test": [1]})
    with pytest.raises(
        UsageError, match="source 'mine': its action class 'yellow' is none of the 3 of label space 'co"
    ):
        evaluate(str(run_folder), [mine], source="mine")
    with pytest.raises(UsageError, match="nothing to evaluate: source 'mine': its action class 'yellow' is none"):
        evaluate(str(run_folder), [mine])
    (report,) = evaluate(str(run_folder), [mine], split="test")
    assert report.metrics["action"]["videos"] == 1
    (report,) = evaluate(str(run_folder), [mine], allow_other_classes=True)
    assert report.metrics["action"]["videos"] == 1


def test_what_is_left_out_is_said(run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    notes: list[str] = []
    mine = write(tmp_path, ("bluish",), {"train": [0]})
    evaluate(str(run_folder), [*shards, mine], note=notes.append)
    assert notes == ["left out: 'mine' has no samples in split 'val'; it has train (1)"]
    with pytest.raises(UsageError, match=r"'real' has no samples in split 'test'; it has train \(18\), val \(9\)"):
        evaluate(str(run_folder), shards[:1], split="test")


@pytest.fixture
def half(run_folder: Path, tmp_path: Path) -> Path:
    """The run as it was after step 3."""
    out = tmp_path / "run"
    shutil.copytree(run_folder, out)
    shutil.rmtree(out / "checkpoints/step-00000006")
    return out


def test_resume_refuses_other_data_and_maps_names(
    half: Path, run_folder: Path, shards: list[str], turned: list[str], tiny_recipe: str
) -> None:
    before = (half / "data.json").read_bytes()
    plan = make_plan(load_recipe(tiny_recipe), turned)
    with pytest.raises(UsageError, match="--resume: source 'people' was changed since the run began"):
        run_plan(plan, half, resume=True)
    assert (half / "data.json").read_bytes() == before
    run_plan(plan, half, resume=True, allow_changed_data=True)
    events = [x for x in read_log(half) if x["kind"] == "event"]
    assert {x["source"] for x in events} == {"people", "real", "scenes"}
    assert all(len(x["old"]) == len(x["new"]) == 64 and x["old"] != x["new"] for x in events)
    whole, resumed = ([x["losses"] for x in read_log(r) if x["kind"] == "train"] for r in (run_folder, half))
    assert resumed == whole  # the same samples under the same names


def test_cards_and_further_sources_change_nothing(
    half: Path, run_folder: Path, shards: list[str], tiny_recipe: str, tmp_path: Path
) -> None:
    moved = [str(tmp_path / "moved/real"), str(tmp_path / "moved/synthetic")]
    for old, new in zip(shards, moved, strict=True):
        shutil.copytree(old, new)
    write(Path(moved[0]), ("red",), {"train": [0]}, source="further")
    (Path(moved[1]) / "README.md").write_text("a card")
    recipe = load_recipe(tiny_recipe, ["data.where={further: 'frames > 0'}"])
    plan = make_plan(recipe, shards)
    assert plan.data_hashes() == {s: h for s, h in make_plan(recipe, moved).data_hashes().items() if s != "further"}


def test_runs_from_before_compare_what_they_have(half: Path, shards: list[str], tiny_recipe: str) -> None:
    plan = make_plan(load_recipe(tiny_recipe), shards)
    manifests = {url: hashlib.sha256((Path(url) / "manifest.json").read_bytes()).hexdigest() for url in shards}
    for record, refused in ((manifests, False), (dict.fromkeys(shards, "0" * 64), True), ({"/gone": "1"}, False)):
        (half / "data.json").write_text(json.dumps(record))
        if refused:
            with pytest.raises(UsageError, match="source 'real' was changed"):
                run_plan(plan, half, resume=True)
        else:
            run_plan(plan, half, resume=True)
            shutil.rmtree(half / "checkpoints/step-00000006")
