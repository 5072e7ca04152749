"""The report of a run shows what strangers named, and nothing of it is obeyed; its charts take any numbers."""

import json
import shutil
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pvit_model.recipes.loading import load_recipe
from pvit_model.recipes.plan import make_plan
from pvit_model.reporting.curves import chart
from pvit_model.reporting.report import curves, write_report
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
