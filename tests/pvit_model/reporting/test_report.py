"""The report of a run shows what strangers named, and nothing of it is obeyed; its charts take any numbers."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvit_data import ClipConfig, LabelSpace
from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.reporting.curves import chart
from pvit_model.reporting.report import curves, result_sentences, results_table, write_report
from pvit_model.tasks import get_task
from pvit_model.tasks.base import Shown
from pvit_model.using.source_report import SourceReport

EVIL = "\u202e<script>alert(1)</script>\x1b[2J\"'"


def test_names_are_shown_not_obeyed(shards: list[str], tiny_recipe: str, run_folder: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (out / "plan.txt").write_text(f"source     {EVIL}\n", encoding="utf-8")
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"kind": "eval", "step": 6, f"{EVIL}/action/top1": 0.5, "none/of/ours": 1}) + "\n")
    plan = make_plan(load_recipe(tiny_recipe, [f"about={json.dumps(EVIL)}"]), shards)
    write_report(out, plan, [SourceReport(EVIL, "val", 1, {"depth": {EVIL: 1.0, "loss": 1.0}})], [(EVIL, b"")])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not {"\u202e", "\x1b"} & set(page)
    assert page.count("\\u202e&lt;script&gt;") >= 5
    assert "default-src 'none'" in page


def test_no_counts_among_metrics_and_guessing_beside_the_main_one() -> None:
    action = {"top1": 0.75, "top5": 1.0, "videos": 240.0, "majority": 0.125, "majority_se": 0.021}
    segm = {"loss": 1.0, "miou": 0.25, "classes": 20.0}
    depth = {"loss": 1.0, "rmse": 0.5}
    metrics = {"action": action, "segm/nyu40": segm, "depth": depth}
    report = SourceReport("mine", "val", 240, metrics, {"depth": {"loss": 2.0, "rmse": 1.0}})
    rows = re.findall(r"<tr><td>mine</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", results_table([report]))
    assert [(name.strip(" ↓"), value, constant) for name, value, constant in rows] == [
        ("action top1", "0.75", "0.125"), ("action top5", "1", ""), ("segm/nyu40 loss", "1", ""),
        ("segm/nyu40 miou", "0.25", ""), ("depth loss", "1", "2"), ("depth rmse, m", "0.5", "1"),
    ]  # fmt: skip
    said = result_sentences([report])
    assert "25.00 % over the 20 classes that occur" in said
    assert "top-1 75.00 %, top-5 100.00 % on 240 held-out clips" in said
    del action["top5"]  # of five classes and fewer
    assert "top-1 75.00 % on 240 held-out clips" in result_sentences([report])
    assert report.summary("action") == "top-1 75.00% (majority class 12.50% +- 2.10)"


def test_charts_say_what_their_axes_measure() -> None:
    lines = [{"kind": "eval", "step": s, "a/action/top1": 0.1 * s, "a/action/majority": 0.1} for s in (1, 2)]
    lines += [{"kind": "train", "step": s, "loss": 2.0, "lr": 0.1, "losses": {"depth": 1.0}} for s in (1, 2)]
    charts = curves(lines).split("<svg")[1:]
    said = [re.findall(r">([^<>]+)</text>", each) for each in charts]
    assert [texts[0] for texts in said] == [
        "total loss (training)", "depth loss (training)", "a/action/top1 (held out)", "learning rate",
    ]  # fmt: skip
    for texts, up in zip(said, ("loss", "loss", "top1", "learning rate"), strict=True):
        assert texts[texts.index("step") + 1] == up
    several = chart("two", {"a": [(0, 1)], "b": [(0, 2)]}, y="metres")
    assert all(f">{text}</text>" in several for text in ("a", "b", "metres", "step"))


def shown(target: str, value: np.ndarray, valid: np.ndarray | None = None, **clip: object) -> Shown:
    rgb = np.full((128, 160, 3), 200, np.uint8)
    return Shown(
        target=target, value=value, valid=valid, whole=value[None], rgb=rgb, clip=ClipConfig(**clip), space=SPACE
    )  # fmt: skip


SPACE = LabelSpace("two", ("wall", "floor"), first=1)
CASES = {
    "depth": (shown("depth", np.linspace(1, 3, 16).reshape(4, 4)), [("1.04", "2.96 m")]),
    "depth with gaps": (
        shown("depth", np.full((4, 4), 2.0), np.eye(4, dtype=bool)), [("2.00", "2.00 m"), ("", "none")]
    ),
    "normal": (shown("normal", np.ones((4, 4, 3))), [("", "x"), ("", "y"), ("", "z")]),
    "normal of the camera": (
        shown("normal", np.ones((4, 4, 3)), normal_axes="camera"), [("", "right"), ("", "up"), ("", "viewer")]
    ),
    "segm": (shown("segm/two", np.array([[1, 2], [2, 2]])), [("", "floor"), ("", "wall")]),
    "pose3d": (shown("pose3d", np.zeros((25, 3))), [("", "left"), ("", "right")]),
    "boxes": (shown("boxes", np.full((4, 4), 0.5)), []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_picture_of_a_task_explains_its_colours(case: str) -> None:
    what, legend = CASES[case]
    task = get_task(what.target)
    assert [(mark.start, mark.text) for mark in task.legend(what)] == legend
    assert task.picture(what).shape == what.rgb.shape
    assert task.panel(what, height=20).shape == (128 + 2 * 20, 160, 3)


def test_a_predicted_pose_lies_over_the_picture() -> None:
    picture = get_task("pose3d").picture(CASES["pose3d"][0])
    assert picture[0, 0].tolist() == [100, 100, 100]
    assert picture[64, 80].tolist() != [100, 100, 100]


NUMBERS = st.floats() | st.integers(-(2**63), 2**63)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5), NUMBERS)
def test_charts_take_any_numbers(points: list[tuple[float, float]], mark: float) -> None:
    chart("a", {"b": points}, {"c": mark})


@given(
    st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["train", "eval", "event"]), "step": NUMBERS, "loss": NUMBERS, "lr": NUMBERS},
            optional={
                "losses": st.dictionaries(st.text(max_size=4), NUMBERS, max_size=2),
                "a/action/top1": NUMBERS, "loss_of_constant": NUMBERS, "a/boxes/x/y": NUMBERS, "/": NUMBERS,
            },
        ),
        max_size=4,
    )
)  # fmt: skip
def test_curves_take_any_line_of_a_log(lines: list[dict[str, object]]) -> None:
    curves(lines)
