"""Logs of long runs: read in part, cut at a step without being parsed."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from pvit_model.runs import log as log_file
from pvit_model.runs.log import FILE, MetricsLog, read_log


def line(step: int, kind: str = "train") -> str:
    losses = {"loss": 1.0, "lr": 0.1, "losses": {"depth": 0.5}} if kind == "train" else {"a/depth/rmse": 2.0}
    return json.dumps({"kind": kind, "step": step, **losses}) + "\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """5,000 steps, validated every 1,000."""
    lines = [text for s in range(1, 5001) for text in [line(s), *([line(s, "eval")] if s % 1000 == 0 else [])]]
    (tmp_path / FILE).write_text("".join(lines))
    return tmp_path


@pytest.mark.parametrize("block", [log_file.BLOCK, 100, 1])
def test_a_long_log_is_read_in_part_but_for_its_validations(
    run: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "BLOCK", block)  # lines lie across the borders of small ones
    assert len(read_log(run)) == 5005
    assert read_log(run, 10_000) == read_log(run)
    some = read_log(run, 100)
    assert [x["step"] for x in some if x["kind"] == "eval"] == [1000, 2000, 3000, 4000, 5000]
    steps = [x["step"] for x in some if x["kind"] == "train"]
    assert 95 <= len(steps) <= 101
    gaps = [b - a for a, b in pairwise(steps)]
    assert steps[0] == 1
    assert all(45 <= gap <= 55 for gap in gaps)  # lines are not equally long


def test_what_is_no_line_is_left_out_of_a_part(run: Path) -> None:
    path = run / FILE
    path.write_text(
        line(1) * 3000 + "no line\n" + line(2, "eval") + "x" * 3 * log_file.MAX_LINE + "\n" + line(9) * 3000
    )
    some = read_log(run, 100)
    assert sorted({x["step"] for x in some}) == [1, 2, 9]
    assert len(some) < 100
    path.write_text("y" * 3 * log_file.MAX_LINE)
    assert read_log(run, 100) == []


def test_a_resumed_log_keeps_the_lines_before_as_they_are(run: Path) -> None:
    path = run / FILE
    strange = ['{"step": 2000, "kind": "event", "event": "another order of keys"}\n', "no line\n"]
    path.write_text("".join(strange) + path.read_text() + '{"kind": "train", "step": 1, "lo')
    log = MetricsLog(run, resume_step=3500)
    log.write("event", 3501, {"event": "x"})
    log.close()
    kept = path.read_text().splitlines()
    assert kept[0] == strange[0].strip()
    assert kept[-1] == '{"kind": "event", "step": 3501, "event": "x"}'
    assert [json.loads(text)["step"] for text in kept[1:-1]] == [
        s for s in range(1, 3501) for _ in range(1 + (s % 1000 == 0))
    ]
