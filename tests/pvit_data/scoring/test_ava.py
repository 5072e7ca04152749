"""AVA's mean average precision in its variants, against loops and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.scoring.metrics.ava import EVALUATED
from tests.pvit_data.scoring.boxes_by_loops import CLASSES, Row, lines, mean_precision


def scene(seed: int) -> tuple[list[Row], list[Row], set[tuple[str, int]]]:
    """Two movies: people who move, detections beside them, false ones, seconds without truth, excluded ones."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    few = [*CLASSES[:4], CLASSES[20], CLASSES[59], 2]
    for video in ("-aa_bbbbbbb", "ccccccccccc"):
        for second in range(902, 914):
            people = int(rng.integers(0, 4)) if second % 4 else 0
            for _ in range(people):
                corner = rng.uniform(0, 0.6, 2)
                box = tuple(np.round([*corner, *(corner + rng.uniform(0.1, 0.4, 2))], 3).tolist())
                for action in rng.choice(few, 2, replace=False).tolist():
                    truth.append(Row(video, second, box, action))
                if rng.random() < 0.8:
                    moved = tuple(np.round(np.array(box) + rng.normal(0, 0.03, 4), 3).tolist())
                    found += [Row(video, second, moved, a, float(rng.random())) for a in few]
            if rng.random() < 0.5:
                corner = np.round(rng.uniform(0, 0.5, 2), 3)
                box = tuple(np.round([*corner, *(corner + 0.3)], 3).tolist())
                found += [Row(video, second, box, a, float(rng.random())) for a in few]
    excluded = {("-aa_bbbbbbb", 903), ("ccccccccccc", 905)}
    return truth, found, excluded


def write(tmp: Path, truth: list[Row], found: list[Row], excluded: set[tuple[str, int]]) -> list[str]:
    (tmp / "ava_val_v2.2.csv").write_text(lines(truth, False))
    (tmp / "found.csv").write_text(lines(found, True))
    text = "".join(f"{video},{second:04d}\n" for video, second in sorted(excluded))
    (tmp / "ava_val_excluded_timestamps_v2.2.csv").write_text(text)
    return ["score", str(tmp / "found.csv"), "--metric", "ava", "--truth", str(tmp / "ava_val_v2.2.csv"), "--json"]


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(list(arguments)) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("seed", range(4))
def test_every_variant_equals_loops(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(seed)
    command = write(tmp_path, truth, found, excluded)
    values = {}
    for variant, cap, more in (
        ("pyslowfast", 0, ()),
        ("activitynet", 50, ()),
        ("activitynet", 0, ("--no-cap",)),
        ("mmaction2", 0, ()),
    ):
        result = scored(capsys, *command, "--protocol", variant, *more)
        expected, each = mean_precision(truth, found, variant, excluded, cap)
        assert result["mAP"] == pytest.approx(expected, abs=1e-9)
        for action, value in each.items():
            assert result["details"]["per_class"][str(action)] == pytest.approx(value, abs=1e-9)
        values[variant, cap] = result["mAP"]
    assert len({round(v, 9) for v in values.values()}) >= 3


def test_a_case_on_which_all_variants_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By hand. Class 1 has a person on second 902, one on 903 (excluded), and false detections:

    on 904, which has no truth, with the highest score; on 902, fifty false pairs of class 3 above the right one;
    class 4 has a person and no detection.
    """
    a, b = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    truth = [Row("m", 902, a, 1), Row("m", 902, b, 1), Row("m", 903, a, 1), Row("m", 902, a, 4), Row("m", 905, a, 3)]
    found = [Row("m", 904, a, 1, 0.99)]
    found += [Row("m", 902, b, 1, 0.9), Row("m", 902, a, 1, 0.2)]
    found += [Row("m", 902, (0.1, 0.1, 0.2, 0.2), 3, 0.5 + i / 1000) for i in range(50)]
    found += [Row("m", 905, a, 3, 0.4), Row("m", 903, a, 1, 0.05)]
    command = write(tmp_path, truth, found, {("m", 903)})
    got = {}
    for name, arguments in {
        "pyslowfast": ("pyslowfast",),
        "activitynet": ("activitynet",),
        "no cap": ("activitynet", "--no-cap"),
        "mmaction2": ("mmaction2",),
    }.items():
        got[name] = scored(capsys, *command, "--protocol", *arguments)["mAP"]
    third = 1 / 51  # one right after fifty wrong ones, of one
    assert got["pyslowfast"] == pytest.approx(((2 / 3) + third + 0) / 3)  # 904 is wrong; 903 is gone
    # 904 is left out, 903 counts: right at 1, 2 and 3 of 3
    assert got["no cap"] == pytest.approx((1 + third + 0) / 3)
    # 50 pairs of 902: the 0.9 and 49 of class 3; the right one of 0.2 is cut: 2 of 3 found
    assert got["activitynet"] == pytest.approx((2 / 3 + 1 / 50 + 0) / 3)
    # 903's truth stays in the denominator, its detection is gone; class 4 is left out
    assert got["mmaction2"] == pytest.approx((2 / 3 + third) / 2)
    assert len({round(v, 9) for v in got.values()}) == 4


def test_a_second_detection_of_a_person_is_wrong_and_gets_no_second_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the file (`pyslowfast`), even if the later one has the higher score."""
    near, other = (0.1, 0.1, 0.5, 0.5), (0.1, 0.1, 0.5, 0.56)
    truth = [Row("m", 902, near, 1), Row("m", 902, other, 1)]
    found = [Row("m", 902, near, 1, 0.3), Row("m", 902, near, 1, 0.8)]
    command = write(tmp_path, truth, found, set())
    (tmp_path / "ava_val_excluded_timestamps_v2.2.csv").unlink()
    plain = scored(capsys, *command, "--no-excluded")
    assert plain["mAP"] == pytest.approx(0.5 / 2)  # wrong at .8, right at .3: precision 1/2, recall 1/2
    assert scored(capsys, *command, "--protocol", "activitynet")["mAP"] == pytest.approx(1.0 / 2)


def test_rows_that_stand_twice_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As padding of a last batch leaves them; the same box with another score is another detection."""
    truth, found, excluded = scene(0)
    arguments = write(tmp_path, truth, [*found, *found[-7:]], excluded)
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "7 detections stand twice, the first in" in error
    assert "padding of the last batch" in error
    assert main(write(tmp_path, truth, [*found, found[-1]._replace(score=0.123)], excluded)) == 0


def test_actions_are_one_to_eighty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(0)
    assert main(write(tmp_path, truth, [found[0]._replace(action=81), *found], excluded)) == 1
    assert "81, expected 1..80" in capsys.readouterr().err


def test_the_sixty_classes() -> None:
    assert list(EVALUATED) == CLASSES
    assert len(EVALUATED) == 60


def test_passport_and_facts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(0)
    command = write(tmp_path, truth, found, excluded)
    result = scored(capsys, *command, "--threshold", "0.8")
    assert result["list"] == {
        "name": "ava_val_v2.2.csv", "n": 2, "of": 2, "sha256": result["list"]["sha256"],
    }  # fmt: skip
    assert result["detections"]["threshold"] == 0.8
    assert result["thresholds"] == {"iou": 0.5}
    assert 0 < result["baselines"]["oracle"] <= 1
    assert {f["name"] for f in result["findings"]} == {"detector recall", "oracle mAP"}
    assert result["details"]["groups"]["movement"] is not None
    people = {(r.video, r.second, r.box) for r in truth if (r.video, r.second) not in excluded}
    assert result["details"]["persons"] == len(people)


def test_oracle_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of two persons has a box: half of the recall of both of his classes, whatever the scores are."""
    a, b = (0.1, 0.1, 0.5, 0.5), (0.6, 0.6, 0.9, 0.9)
    truth = [Row("m", 902, a, 1), Row("m", 902, b, 1), Row("m", 902, a, 3)]
    found = [Row("m", 902, a, 80, 0.5)]
    result = scored(capsys, *write(tmp_path, truth, found, set()), "--protocol", "activitynet")
    assert result["mAP"] == 0
    assert result["baselines"]["oracle"] == pytest.approx((0.5 + 1.0) / 2)
    assert result["details"]["recall"] == 0.5


def test_ties_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(1)
    found = [r._replace(score=round(r.score, 1)) for r in found]
    result = scored(capsys, *write(tmp_path, truth, found, excluded))
    details = result["details"]
    assert details["mAP_low"] < result["mAP"] < details["mAP_high"]
    assert any("by the order of equal scores" in note for note in result["notes"])


def test_order_of_rows_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of two detections of a person the first row is right, though the second is surer; loops over sorted rows give the
    other number. What the boxes allow does not depend on their order."""
    truth, found, excluded = scene(1)
    moved = [r._replace(box=(r.box[0] + 0.011, *r.box[1:]), score=0.9 * r.score) for r in found]
    rows = [*moved, *found]
    command = write(tmp_path, truth, rows, excluded)
    result, ranked = scored(capsys, *command), sorted(rows, key=lambda r: -r.score)
    expected = mean_precision(truth, ranked, "pyslowfast", excluded)[0]
    assert abs(expected - result["mAP"]) > 1e-3
    assert result["details"]["mAP_ranked"] == pytest.approx(expected, abs=1e-9)
    assert any(f"best first, mAP is {expected:.5f}" in note for note in result["notes"])
    other = scored(capsys, *command, "--protocol", "mmaction2")
    assert other["details"]["mAP_ranked"] == other["mAP"]
    again = scored(capsys, *write(tmp_path, truth, ranked, excluded))
    assert again["mAP"] == again["details"]["mAP_ranked"] == pytest.approx(expected, abs=1e-9)
    assert again["baselines"]["oracle"] == result["baselines"]["oracle"]
    assert not any("best first" in note for note in again["notes"])


def test_truth_and_predictions_that_are_exchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Persons have whole numbers, scores have not; truth as its own predictions would score 100 %."""
    truth, found, excluded = scene(2)
    command = write(tmp_path, truth, found, excluded)
    one = lines(truth, False)
    persons = "".join(f"{line.removesuffix('0')}{n}\n" for n, line in enumerate(one.split()))
    (tmp_path / "one.csv").write_text(one)
    (tmp_path / "persons.csv").write_text(persons)
    for predictions, named, said in (
        ("persons.csv", "found.csv", "a score and not the number of a person"),
        ("persons.csv", "ava_val_v2.2.csv", "whole numbers only"),
        ("one.csv", "one.csv", "is the ground truth itself"),
    ):
        paths = [str(tmp_path / name) for name in (predictions, named)]
        assert main(["score", paths[0], "--metric", "ava", "--truth", paths[1], "--no-excluded"]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert "are predictions and --truth exchanged?" in error
    (tmp_path / "ava_val_v2.2.csv").write_text(persons)
    numbered = scored(capsys, *command)
    (tmp_path / "ava_val_v2.2.csv").write_text(one.replace(",0\n", ",nan\n"))
    assert scored(capsys, *command)["mAP"] == numbered["mAP"]


def test_excluded_seconds_of_other_movies_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(2)
    command = write(tmp_path, truth, found, excluded)
    assert not any("another split" in note for note in scored(capsys, *command)["notes"])
    (tmp_path / "train.csv").write_text("other,0902\nother,0903\n")
    notes = scored(capsys, *command, "--excluded", str(tmp_path / "train.csv"))["notes"]
    said = "none of the 2 excluded seconds is of the truth's movies: is it the list of another split?"
    assert said in notes


@pytest.mark.parametrize("variant", ["pyslowfast", "activitynet", "mmaction2"])
def test_a_movie_in_which_nobody_was_found_counts(
    variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, found, excluded = scene(2)
    some = [r for r in found if r.video == "ccccccccccc"]
    command = [*write(tmp_path, truth, some, excluded), "--protocol", variant]
    with (tmp_path / "found.csv").open("a") as file:
        file.write("-aa_bbbbbbb,0902\n")
    result = scored(capsys, *command)
    left_out = set() if variant == "activitynet" else excluded
    assert result["mAP"] == pytest.approx(mean_precision(truth, some, variant, left_out)[0], abs=1e-9)
    assert (result["list"]["n"], result["list"]["of"]) == (2, 2)
    (tmp_path / "found.csv").write_text("other,0902\n" + (tmp_path / "found.csv").read_text())
    assert main(command) == 1
    assert "1 movies that the truth does not have, first 'other'" in capsys.readouterr().err


def test_boxes_that_have_their_actions_twice_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As two processes write them, whose scores differ in the last digits; a few may be honest."""
    truth, found, excluded = scene(2)
    again = [r._replace(score=r.score + 1e-6) for r in found]
    for rows, seen in ((again, 1), (again[:7], 0)):
        result = scored(capsys, *write(tmp_path, truth, [*found, *rows], excluded))
        told = [f["seen"] for f in result["findings"] if f["name"] == "boxes twice"]
        assert len(told) == seen
        assert all(text.startswith(f"{len(found):,} of the {2 * len(found):,} detections") for text in told)


def test_rows_of_the_truth_that_stand_twice_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Joined files: each row counts, of two that are the same one is never found."""
    truth, found, excluded = scene(2)
    command = write(tmp_path, truth, found, excluded)
    sound = scored(capsys, *command)
    assert not any(f["name"] == "truth twice" for f in sound["findings"])
    assert not any("as one before them" in note for note in sound["notes"])
    (tmp_path / "ava_val_v2.2.csv").write_text(2 * lines(truth, False))
    result = scored(capsys, *command)
    assert result["mAP"] == pytest.approx(mean_precision(2 * truth, found, "pyslowfast", excluded)[0], abs=1e-9)
    said = f"{len(truth)} rows of the truth are as one before them; they count here, and converted shards"
    assert any(note.startswith(said) for note in result["notes"])
    (seen,) = [f["seen"] for f in result["findings"] if f["name"] == "truth twice"]
    assert seen.startswith(f"{len(truth)} of the truth's {2 * len(truth)} rows")
    assert main([*command[:-1], "--strict"]) == 1


def test_detections_beyond_the_seconds_of_the_truth_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are wrong in the papers' variant, as published: a truth of some seconds only lowers its number."""
    truth, found, excluded = scene(2)
    few = [row for row in truth if row.second < 904]
    for rows, is_said in ((few, True), ([*truth, *(Row(v, s, (0, 0, 1, 1), 1) for v, s, *_ in found)], False)):
        command = write(tmp_path, rows, found, excluded)
        for variant in ("pyslowfast", "activitynet", "mmaction2"):
            result = scored(capsys, *command, "--protocol", variant)
            told = [note for note in result["notes"] if "on seconds that the truth does not list" in note]
            assert bool(told) is (is_said and variant == "pyslowfast")
    listed = {(row.video, row.second) for row in few} | excluded
    boxes = {(row.video, row.second, row.box) for row in found}
    share = sum(box[:2] not in listed for box in boxes) / len(boxes)
    told = scored(capsys, *write(tmp_path, few, found, excluded))["notes"]
    assert any(note.startswith(f"{100 * share:.1f} % of the boxes are on seconds") for note in told)


def test_movies_that_are_missing_or_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(2)
    some = [r for r in found if r.video == "ccccccccccc"]
    command = write(tmp_path, truth, some, excluded)
    assert main(command) == 1
    assert "1 of 2 movies without detections, first '-aa_bbbbbbb'" in capsys.readouterr().err
    result = scored(capsys, *command, "--partial")
    assert (result["list"]["n"], result["list"]["of"]) == (1, 2)
    assert any("1 movies without detections are left out" in note for note in result["notes"])
    part = [r for r in truth if r.video == "ccccccccccc"]
    assert result["mAP"] == pytest.approx(mean_precision(part, some, "pyslowfast", excluded)[0])
    command = write(tmp_path, truth, [*found, Row("other", 902, (0, 0, 1, 1), 1, 0.5)], excluded)
    assert main([*command, "--partial"]) == 1
    assert "1 movies that the truth does not have, first 'other'" in capsys.readouterr().err


def test_excluded_seconds_must_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, found, excluded = scene(2)
    command = write(tmp_path, truth, found, excluded)
    listed = tmp_path / "ava_val_excluded_timestamps_v2.2.csv"
    with_list = scored(capsys, *command)["mAP"]
    moved = listed.rename(tmp_path / "moved.csv")
    assert main(command) == 2
    assert "give --excluded" in capsys.readouterr().err
    assert scored(capsys, *command, "--excluded", str(moved))["mAP"] == with_list
    without = scored(capsys, *command, "--no-excluded")
    assert without["mAP"] == pytest.approx(mean_precision(truth, found, "pyslowfast", set())[0])
    assert without["mAP"] != with_list


def test_seconds_without_persons_may_be_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`activitynet`: a line of two columns makes detections on that second wrong."""
    a = (0.1, 0.1, 0.5, 0.5)
    truth, found = [Row("m", 902, a, 1)], [Row("m", 904, a, 1, 0.9), Row("m", 902, a, 1, 0.5)]
    command = [*write(tmp_path, truth, found, set()), "--protocol", "activitynet"]
    assert scored(capsys, *command)["mAP"] == 1.0
    path = tmp_path / "ava_val_v2.2.csv"
    path.write_text("m,0904\n" + path.read_text())
    assert scored(capsys, *command)["mAP"] == 0.5
