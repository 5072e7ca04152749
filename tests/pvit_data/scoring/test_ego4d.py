"""Ego4D's PNR and OSCC, against the worked examples of their description and by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.errors import UsageError
from pvit_data.scoring.metrics import ego4d
from pvit_data.scoring.metrics.ego4d import Windows, sampled_frames
from tests.pvit_data.scoring import made

ROWS = [  # start, end, start_sec, end_sec, pnr, state
    (74, 314, 2.4877, 10.4877, 184, True),
    (49, 202, 1.6333, 6.7333, 138, True),
    (34, 274, 34 / 30, 274 / 30, 157, True),
    (6919, 7140, 6919 / 30, 7140 / 30, None, False),
    (100, 340, 100 / 30, 340 / 30, None, None),
]


def annotations(path: Path, rows: Any = ROWS, *, bare: bool = False) -> Path:
    listed = []
    for n, (start, end, a, b, pnr, state) in enumerate(rows):
        row = {"unique_id": f"clip-{n}", "video_uid": "v", "parent_start_frame": start, "parent_end_frame": end}
        row |= {"parent_start_sec": a, "parent_end_sec": b, "state_change": state}
        row |= {"parent_pnr_frame": pnr} if pnr is not None else {"pnr_frame": None}
        listed.append(row)
    path.write_text(json.dumps(listed if bare else {"version": "v1", "clips": listed}), encoding="utf-8")
    return path


def windows(*rows: int) -> Windows:
    columns = list(zip(*(ROWS[n] for n in rows), strict=True))
    change = np.array([-1 if c is None else c for c in columns[4]])
    return Windows(*(np.array(columns[k]) for k in range(4)), change)  # type: ignore[arg-type]


def test_worked_examples_of_the_residual_error() -> None:
    """A perfect classifier keeps an error: bins begin elsewhere than the frames that it saw."""
    for row, bins, seconds in ((1, 9, 0.0973), (2, 7, 0.5975)):
        one = windows(row)
        frames = ego4d.predicted_frame(np.array([bins]), one)
        assert ego4d.errors(frames, one)[0] == pytest.approx(seconds, abs=5e-5)


def test_sampled_frames_of_the_official_loader() -> None:
    assert sampled_frames(74, 314).tolist() == list(range(75, 301, 15))
    assert sampled_frames(49, 202).tolist() == list(range(50, 201, 10))
    found = sampled_frames(6919, 7140)
    assert (found[0], found[1], found[-1], len(found)) == (6929, 6942, 7124, 16)


def loops(predicted: dict[str, float], rows: Any = ROWS) -> float:
    values = []
    for n, (start, end, a, b, pnr, state) in enumerate(rows):
        if state is True:
            rate = (end - start + 1) / (b - a)
            values.append(abs(predicted[f"clip-{n}"] - (pnr - start)) / rate)
    return sum(values) / len(values)


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["score", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("bare", [False, True])
def test_pnr_of_the_challenge_file(bare: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = annotations(tmp_path / "fho_oscc-pnr_val.json", bare=bare)
    bins = {"clip-0": 7, "clip-1": 9, "clip-2": 3, "clip-3": 8}
    frames = {k: (ROWS[int(k[-1])][1] - ROWS[int(k[-1])][0]) / 16 * v for k, v in bins.items()}
    (tmp_path / "p.json").write_text(json.dumps([{"unique_id": k, "pnr_frame": v} for k, v in frames.items()]))
    result = scored(capsys, str(tmp_path / "p.json"), "--metric", "pnr", "--protocol", "ego4d", "--truth", str(truth))
    assert result["pnr_error_sec"] == pytest.approx(loops(frames), abs=1e-9)
    middle = {f"clip-{n}": (r[1] - r[0]) / 16 * 8 for n, r in enumerate(ROWS)}
    assert result["baselines"]["always_8"] == pytest.approx(loops(middle), abs=1e-9)
    shown = {k: float(sampled_frames(*ROWS[int(k[-1])][:2])[v] - ROWS[int(k[-1])][0]) for k, v in bins.items()}
    assert result["details"]["pnr_error_sec_shown_frame"] == pytest.approx(loops(shown), abs=1e-9)
    assert (result["list"]["n"], result["list"]["of"]) == (3, 3)


def test_pnr_from_logits_equals_the_challenge_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = str(annotations(tmp_path / "fho_oscc-pnr_val.json"))
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 1, 16))
    ids = [f"clip-{n}" for n in range(4)]
    np.savez(tmp_path / "p.npz", ids=np.array(ids), logits=logits)
    result = scored(capsys, str(tmp_path / "p.npz"), "--metric", "pnr", "--truth", truth)
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "pnr", "--truth", truth, "--partial",
                 "--submit", str(tmp_path / "s.json"), "--json"]) == 0  # fmt: skip
    capsys.readouterr()
    again = scored(capsys, str(tmp_path / "s.json"), "--metric", "pnr", "--truth", truth)
    assert again["pnr_error_sec"] == pytest.approx(result["pnr_error_sec"], abs=1e-9)
    nobody = dict.fromkeys(("frames", "clips", "crops", "number"))  # the challenge's file tells no views, an array does
    assert again["views"] == nobody
    assert again["variant"] == result["variant"]  # edges of bins, as an array's
    rows = json.loads((tmp_path / "s.json").read_text())
    (tmp_path / "s2.json").write_text(json.dumps([{**row, "pnr_frame": row["pnr_frame"] + 3} for row in rows]))
    frames = scored(capsys, str(tmp_path / "s2.json"), "--metric", "pnr", "--truth", truth)["variant"]
    assert frames == "mean over clips whose state changes; frames as the file has them"
    told = scored(capsys, str(tmp_path / "s.json"), "--metric", "pnr", "--truth", truth, "--frames", "16")
    assert told["views"] == nobody | {"frames": 16}
    assert result["views"] == {"frames": None, "clips": 1, "crops": 1, "number": 1}
    assert again["details"]["pnr_error_sec_shown_frame"] == pytest.approx(
        result["details"]["pnr_error_sec_shown_frame"], abs=1e-9
    )


def test_oscc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of which nobody says the state are left out and counted; a null is no change of state."""
    truth = str(annotations(tmp_path / "fho_oscc-pnr_val.json"))
    answers = [{"unique_id": f"clip-{n}", "state_change": n != 1} for n in range(5)]
    (tmp_path / "p.json").write_text(json.dumps(answers))
    result = scored(capsys, str(tmp_path / "p.json"), "--metric", "oscc", "--truth", truth)
    assert result["oscc_top1"] == 2 / 4
    assert result["baselines"] == {"always_positive": 0.75, "majority": 0.75}
    assert result["details"]["majority_se"] == pytest.approx(0.2165, abs=1e-4)
    assert any("1 clips of which nobody says" in note for note in result["notes"])
    logits = np.array([[0, 1.0], [1, 0], [0, 1], [0, 1]])
    np.savez(tmp_path / "p.npz", ids=[f"clip-{n}" for n in range(4)], logits=logits)
    again = scored(capsys, str(tmp_path / "p.npz"), "--metric", "oscc", "--truth", truth)
    assert again["oscc_top1"] == result["oscc_top1"]


def test_submission_of_a_split_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(start, end, a, b, None, None) for start, end, a, b, *_ in ROWS]
    truth = str(annotations(tmp_path / "fho_oscc-pnr_test_unannotated.json", rows))
    np.savez(tmp_path / "p.npz", ids=[f"clip-{n}" for n in range(5)], logits=np.eye(5, 2))
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "oscc", "--truth", truth,
                 "--submit", str(tmp_path / "s.json")]) == 0  # fmt: skip
    assert json.loads((tmp_path / "s.json").read_text())[:2] == [
        {"unique_id": "clip-0", "state_change": False}, {"unique_id": "clip-1", "state_change": True},
    ]  # fmt: skip
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "oscc", "--truth", truth]) == 2
    assert "has no labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"videos": []}', "no list of clips in it; expected fho_oscc-pnr_val.json"),
        ('[{"clip_uid": "a", "pre_45": {}}]', "no unique_id and parent_start_frame; the file that is wanted is"),
        ('[{"unique_id": "a", "parent_start_frame": "x"}]', "parent_start_frame = 'x'"),
        ('[{"unique_id": "a", "parent_start_frame": 9, "parent_end_frame": 9, "parent_start_sec": 0,'
         ' "parent_end_sec": 1}]', "ends before it starts"),
        ("[" * 200, "nested"),
    ],
)  # fmt: skip
def test_other_files(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.json").write_text(text)
    (tmp_path / "p.json").write_text('[{"unique_id": "a", "pnr_frame": 1}]')
    command = ["score", str(tmp_path / "p.json"), "--metric", "pnr", "--truth", str(tmp_path / "t.json")]
    assert main(command) == 1
    assert said in capsys.readouterr().err


def test_ids_must_be_the_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = str(annotations(tmp_path / "fho_oscc-pnr_val.json"))
    path = tmp_path / "p.json"

    def error(rows: list[dict], *more: str) -> str:
        path.write_text(json.dumps(rows))
        assert main(["score", str(path), "--metric", "pnr", "--truth", truth, *more]) == 1
        return capsys.readouterr().err

    one = {"unique_id": "clip-0", "pnr_frame": 1}
    assert "2 of the 3 videos have no prediction, first 'clip-1'" in error([one])
    assert "1 ids stand twice, first 'clip-0'" in error([one, one])
    assert "the list does not have, first 'other'" in error([one, {"unique_id": "other", "pnr_frame": 1}], "--partial")


def made_answers(right: float, number: int = 200) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """Clips, and answers of which this share is right."""
    rows = made.clips(number)
    rng = np.random.default_rng(0)
    return rows, {row["unique_id"]: row["state_change"] == (rng.random() < right) for row in rows}


@pytest.mark.parametrize("right", [0.02, 0.15, 0.3, 0.5, 0.9])
def test_exchanged_answers_are_found(right: float, tmp_path: Path) -> None:
    result = made.diagnose_clips(tmp_path, *made_answers(right), "oscc")
    assert made.found(result) == ({"answers exchanged"} if right < 0.5 else set())
    if right < 0.5:
        assert "the second of two logits mean that the state changes" in result.wrong[0].remedy


def test_labels_of_answers_have_a_remedy_that_can_be_followed(tmp_path: Path) -> None:
    rows = made.clips(60)
    (tmp_path / "t.json").write_text(json.dumps(rows))
    states = np.array([row["state_change"] for row in rows], int)
    ids = [row["unique_id"] for row in rows]
    np.savez(tmp_path / "p.npz", ids=ids, logits=np.eye(2)[states], labels=1 - states)
    how = made.ScoreOptions(protocol=made.find_protocol("oscc", None), truth=str(tmp_path / "t.json"))
    (finding,) = made.score(tmp_path / "p.npz", "oscc", how).wrong
    assert "yes and no exchanged" in finding.remedy
    assert "--classes" not in str(finding)


def test_passports_know_the_key_frames(tmp_path: Path) -> None:
    """Of the same ids with other moments, or other windows, the errors are of something else."""
    rows = made.clips(8)
    answers = made.in_frames(rows)

    def truth(listed: list[dict[str, Any]]) -> str:
        return made.diagnose_clips(tmp_path, listed, answers).truth

    later = [{**row, "parent_pnr_frame": row.get("parent_pnr_frame", 0) + 1} for row in rows]
    longer = [{**row, "parent_end_frame": row["parent_end_frame"] + 1} for row in rows]
    assert len({truth(rows), truth(later), truth(longer)}) == 3
    assert truth(rows[::-1]) == truth(rows) != ""


def test_changes_without_a_key_frame_are_counted(tmp_path: Path) -> None:
    rows = made.clips(8)
    answers = made.in_frames(rows)
    for row in rows[:4]:  # two of them change
        row.pop("parent_pnr_frame", None)
    result = made.diagnose_clips(tmp_path, rows, answers)
    assert (result.scored.n, result.scored.of) == (2, 2)
    assert "2 clips whose state changes are not scored: they lack parent_pnr_frame" in result.notes
    for row in rows:
        row.pop("parent_pnr_frame", None)
    with pytest.raises(
        UsageError, match="none of its 4 clips whose state changes says when: they lack parent_pnr_frame"
    ):
        made.diagnose_clips(tmp_path, rows, answers)


def test_truth_that_went_through_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which makes 1.0 of true and 184.0 of 184, but no other text or fraction."""
    (tmp_path / "p.json").write_text(json.dumps([{"unique_id": f"clip-{n}", "state_change": True} for n in range(4)]))
    command = ["score", str(tmp_path / "p.json"), "--metric", "oscc", "--truth", str(tmp_path / "t.json"), "--json"]
    tables = [[(*row[:4], row[4] and float(row[4]), row[5] and float(row[5])) for row in ROWS], ROWS]
    values = []
    for rows in tables:
        annotations(tmp_path / "t.json", rows)
        assert main(command) == 0
        values.append(json.loads(capsys.readouterr().out)["oscc_top1"])
    assert values == [0.75, 0.75]
    for change, said in ((("True",), "state_change = 'True', expected true or false"), ((184.5, True), "= 184.5, exp")):
        annotations(tmp_path / "t.json", [(*ROWS[0][: 6 - len(change)], *change), *ROWS[1:]])
        assert main(command) == 1
        assert f"clip 'clip-0' has {'parent_pnr_frame ' * (len(change) - 1)}{said}" in capsys.readouterr().err


def test_key_frames_of_another_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotations(tmp_path / "t.json", [(*ROWS[0][:4], 314 + 5000, True), *ROWS[1:]])
    (tmp_path / "p.json").write_text(json.dumps([{"unique_id": f"clip-{n}", "pnr_frame": 3} for n in range(3)]))
    assert main(["score", str(tmp_path / "p.json"), "--metric", "pnr", "--truth", str(tmp_path / "t.json")]) == 0
    said = "1 of the 3 clips have a parent_pnr_frame outside of their own frames, first 'clip-0'"
    assert said in capsys.readouterr().out


def test_predictions_before_their_clips(tmp_path: Path) -> None:
    """They are small numbers, but no seconds."""
    rows = made.clips()
    answers = {name: -frames - 1 for name, frames in made.in_frames(rows).items()}
    (finding,) = made.diagnose_clips(tmp_path, rows, answers).wrong
    assert finding.seen.endswith("% of the predictions are outside of their clip")


def test_a_clip_that_the_truth_lists_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = made.clips(number=4)
    (tmp_path / "t.json").write_text(json.dumps([*rows, rows[0]]))
    (tmp_path / "p.json").write_text(json.dumps([{"unique_id": "c0", "pnr_frame": 3}]))
    assert main(["score", str(tmp_path / "p.json"), "--metric", "pnr", "--truth", str(tmp_path / "t.json")]) == 1
    error = capsys.readouterr().err
    assert "t.json: 1 ids stand twice, first 'c0': each video counts once; leave one row of each" in error
    assert "padding" not in error


@pytest.mark.parametrize("unit", [1 / 16, 1 / 30])
def test_units_are_seen_beside_a_short_clip(unit: float, tmp_path: Path) -> None:
    """The middles of bins; seconds."""
    rows = made.clips()
    rows[0]["parent_end_frame"], rows[0]["parent_pnr_frame"] = (rows[0]["parent_start_frame"] + n for n in (40, 20))
    answers = made.in_frames(rows)
    for row in rows:
        steps = row["parent_end_frame"] - row["parent_start_frame"]
        bins = round(answers[row["unique_id"]] / steps * 16)
        answers[row["unique_id"]] = bins + 0.5 if unit == 1 / 16 else bins * steps / 16 * unit
    assert made.found(made.diagnose_clips(tmp_path, rows, answers)) == {"PNR units"}
