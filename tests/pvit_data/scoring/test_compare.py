"""Which results may be compared, and which parts of a passport decide."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.errors import FormatError
from pvit_data.scoring.metrics.views import summed
from tests.pvit_data.scoring import made


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 60)
    return made.diagnose_classes(tmp_path, made.network(labels, 8, 0.5, rng), labels, 8, frames=16).to_json()


@pytest.fixture
def of_boxes(tmp_path: Path) -> dict[str, Any]:
    truth = made.movies()
    return made.diagnose_boxes(tmp_path, truth, made.detections(truth), threshold=0.8).to_json()


def compared(a: Any, b: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    for name, value in (("a", a), ("b", b)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    code = main(["compare", str(folder / "a.json"), str(folder / "b.json"), "--json"])
    return code, json.loads(capsys.readouterr().out)


def changed(result: dict[str, Any], *place: str, value: Any) -> dict[str, Any]:
    other = copy.deepcopy(result)
    inner = other
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return other


def test_other_labels_of_the_same_videos_are_another_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second edition of the labels, or rows that moved by one: ids say nothing of it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 60)
    logits = made.network(labels, 8, 0.5, rng)
    results = []
    for number, mine in enumerate((labels, labels.copy(), np.roll(labels, 1))):
        (tmp_path / str(number)).mkdir()
        results.append(made.diagnose_classes(tmp_path / str(number), logits, mine, 8, frames=16).to_json())
    assert compared(results[0], results[1], tmp_path, capsys)[0] == 0
    code, document = compared(results[0], results[2], tmp_path, capsys)
    assert (code, list(document["differs"])) == (1, ["truth"])
    older = {**results[0], "truth": None}
    assert compared(older, results[2], tmp_path, capsys)[0] == 0


def test_other_actions_of_the_same_movies_are_another_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = made.movies()
    found, results = made.detections(truth), []
    for number, swap in enumerate(({}, {11: 12, 12: 11})):
        (tmp_path / str(number)).mkdir()
        mine = [row._replace(action=swap.get(row.action, row.action)) for row in truth]
        results.append(made.diagnose_boxes(tmp_path / str(number), mine, found, threshold=0.8).to_json())
    code, document = compared(*results, tmp_path, capsys)
    assert (code, list(document["differs"])) == (1, ["truth"])


MUST = [
    ("metric", ("metric",), "oscc"), ("variant", ("variant",), "x"), ("protocol", ("protocol",), "ssv2"),
    ("list", ("list", "sha256"), "0"), ("N", ("list", "n"), 59), ("frames", ("views", "frames"), 32),
    ("clips", ("views", "clips"), 2), ("crops", ("views", "crops"), 5), ("views", ("views", "number"), None),
    ("classes", ("classes", "sha256"), "0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "place", "value"), MUST)
def test_what_must_be_equal(
    name: str, place: tuple[str, ...], value: Any, result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = compared(result, changed(result, *place, value=value), tmp_path, capsys)
    assert code == 1
    assert list(document["differs"]) == [name]


@pytest.mark.parametrize(
    ("place", "value"),
    [(("model",), {"x": 1}), (("software",), {"x": 1}), (("files", "predictions", "sha256"), "0"), (("top1",), 0.25)],
)
def test_what_may_differ(
    place: tuple[str, ...], value: Any, result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = compared(result, changed(result, *place, value=value), tmp_path, capsys)
    assert code == 0
    assert document["comparable"] is True
    assert (len(document["other"]) == 1) is (place != ("top1",))


def test_detections_and_threshold_count_for_ava(
    of_boxes: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(of_boxes, of_boxes, tmp_path, capsys)[0] == 0
    for name in ("sha256", "threshold"):
        code, document = compared(of_boxes, changed(of_boxes, "detections", name, value="0"), tmp_path, capsys)
        assert code == 1
        assert len(document["differs"]) == 1


def test_scores_do_not_change_the_identity_of_detections(tmp_path: Path) -> None:
    """Other scores, another order, other decimals beyond the third: the same boxes; a box less: others."""
    truth = made.movies()
    rows = made.detections(truth)

    def identity(changed_rows: list[Any]) -> str:
        return str(made.diagnose_boxes(tmp_path, truth, changed_rows).detections["sha256"])

    first = identity(rows)
    rng = np.random.default_rng(0)
    assert identity([r._replace(score=float(rng.random())) for r in rows]) == first
    assert identity([rows[n] for n in rng.permutation(len(rows))]) == first
    assert identity([r for r in rows if r.box != rows[0].box]) != first


def test_the_order_of_lines_changes_no_boxes_and_no_excluded_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth, results = made.movies(), []
    found = made.detections(truth)
    excluded = ["aaaaaaaaaaa,0903", "bbbbbbbbbbb,0905", "ccccccccccc,0902"]  # of the last nothing is scored
    for number, (rows, lines) in enumerate(
        [(truth, excluded), (truth[::-1], excluded[::-1]), (truth[::-1], excluded[:2]), (truth, excluded[1:])]
    ):
        (tmp_path / str(number)).mkdir()
        (tmp_path / "excluded.csv").write_text(("\n" if number % 2 else "\r\n").join(lines))
        how = {"threshold": 0.8, "frames": 8, "no_excluded": False, "excluded": tmp_path / "excluded.csv"}
        results.append(made.diagnose_boxes(tmp_path / str(number), rows, found, **how).to_json())
    for other in results[1:3]:
        assert compared(results[0], other, tmp_path, capsys)[0] == 0
    code, document = compared(results[0], results[3], tmp_path, capsys)
    assert (code, list(document["differs"])) == (1, ["excluded seconds"])
    moved = made.diagnose_boxes(tmp_path, truth, [r._replace(video=r.video.translate({97: 98, 98: 97})) for r in found])
    assert moved.detections["sha256"] != results[0]["detections"]["sha256"]


def test_no_excluded_seconds_are_none(of_boxes: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    excluded = changed(of_boxes, "files", "excluded", value={"seconds": "0"})
    assert compared(of_boxes, excluded, tmp_path, capsys)[1]["differs"] == {"excluded seconds": ["none", "0"]}


def test_what_the_order_of_rows_alone_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth, results = made.movies(), []
    found = [*made.detections(truth), *made.detections(truth, jitter=0.1, seed=4)]
    for rows in (found, found[::-1]):
        results.append(made.diagnose_boxes(tmp_path, truth, rows, threshold=0.8).to_json())
    code, document = compared(*results, tmp_path, capsys)
    first, second = document["numbers"]["mAP"]
    assert (code, first != second) == (0, True)
    ranked = document["numbers"]["mAP, rows by score"]
    assert ranked[0] == pytest.approx(ranked[1], abs=1e-9)
    by_score = sorted(found, key=lambda row: -row.score)
    expected = made.diagnose_boxes(tmp_path, truth, by_score, threshold=0.8).to_json()
    assert ranked[0] == pytest.approx(expected["mAP"], abs=1e-9)
    assert "mAP, rows by score" not in compared(expected, expected, tmp_path, capsys)[1]["numbers"]


@pytest.mark.parametrize("value", [67.0, -0.1, float("nan")])
def test_numbers_that_are_no_fractions(
    value: float, result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**result, "top1": value}))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) == 1
    assert "a.json" in (error := capsys.readouterr().err)
    assert "expected a fraction, from 0 to 1" in error or "NaN" in error


def test_a_list_of_numbers_knows_no_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which is no difference; other numbers are one."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, 60)
    logits = made.network(labels, 8, 0.5, rng)
    named = made.diagnose_classes(tmp_path, logits, labels, 8, frames=16).to_json()
    plain = made.diagnose_classes(tmp_path, logits, labels, 8, frames=16, classes=None).to_json()
    assert "sha256" not in plain["classes"]
    code, document = compared(named, plain, tmp_path, capsys)
    assert (code, document["differs"]) == (0, {})
    assert "classes" in document["unknown"]
    other = made.diagnose_classes(tmp_path, logits, np.roll(labels, 1), 8, frames=16, classes=None).to_json()
    assert list(compared(named, other, tmp_path, capsys)[1]["differs"]) == ["truth"]


def test_findings_go_with_the_numbers(result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They make a comparison doubtful; `--strict` exits with 1, as that of `pvit score`."""
    said = {"name": "leak", "seen": "3 of the 60 ids are in the training list", "is_finding": True}
    told = {"name": "logits averaged", "seen": "no difference", "is_finding": False}
    doubtful = changed(result, "findings", value=[said, told])
    code, document = compared(result, doubtful, tmp_path, capsys)
    assert (code, document["comparable"]) == (0, True)
    assert document["findings"] == [[], ["leak: 3 of the 60 ids are in the training list"]]
    command = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "comparable, but doubtful" in out
    assert "FINDING in b.json: leak: 3 of the 60 ids are in the training list" in out
    assert "logits averaged" not in out
    assert main([*command, "--strict"]) == 1
    assert main([*command[:2], command[1], "--strict"]) == 0


def test_what_neither_knows_is_said(result: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = changed(result, "views", "frames", value=None)
    unknown["views"] |= {"clips": 1, "crops": 3}
    code, document = compared(unknown, unknown, tmp_path, capsys)
    assert (code, document["unknown"]) == (0, ["frames"])
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    out = capsys.readouterr().out
    assert "comparable" in out
    assert "not known of both: frames" in out


@pytest.mark.parametrize("text", ["[]", "{}", '{"passport": 2, "metric": "topk"}', '{"reports": []}', "nothing"])
def test_other_files(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(text)
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")]) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")


def test_logits_probabilities_and_percentages_give_one_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the doctor does not say what averaged logits would give, where there are none."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 200)
    logits = made.network(labels, 20, 0.4, rng)
    logits[:, 0] *= 4  # one view is sure of itself
    each = np.exp(logits - logits.max(axis=2, keepdims=True))
    each /= each.sum(axis=2, keepdims=True)
    plain = made.diagnose_classes(tmp_path, logits, labels, 20)
    for numbers in (each, 100 * each):
        other = made.diagnose_classes(tmp_path, numbers, labels, 20)
        assert other.values == plain.values
        assert any("numbers read as probabilities" in note for note in other.notes)
        assert "would give top-1" not in str(other.findings)
        code, document = compared(plain.to_json(), other.to_json(), tmp_path, capsys)
        assert (code, document["differs"]) == (0, {})
    assert not any("probabilities" in note for note in plain.notes)


@pytest.mark.parametrize(
    "kind", ["a video without scores", "filled", "rounded", "percentages", "sums", "several", "tiny", "logits"]
)
def test_probabilities_with_a_flaw_are_not_taken_for_logits(kind: str, tmp_path: Path) -> None:
    """That would change ranks silently."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 60)
    logits = 2 * rng.normal(size=(60, 3, 20)) + 2 * np.eye(20)[labels][:, None]
    each = np.exp(logits - logits.max(axis=2, keepdims=True))
    each /= each.sum(axis=2, keepdims=True)
    sound = made.diagnose_classes(tmp_path, each, labels, 20).values
    assert sound["top1"] == (each.sum(axis=1).argmax(axis=1) == labels).mean()
    if kind == "tiny":  # what float32 does
        each[7, 1, 0] = -1e-9
        assert made.diagnose_classes(tmp_path, each, labels, 20).values == sound
        each[8, 1, 0] = 1.0000002
        assert summed(each, exclusive=False)[8, 0] == each[8, :, 0].sum()
        return
    if kind == "logits":  # that are not negative, or the same for all
        for sane in (logits - logits.min(), np.tile([4.0] + [0.0] * 19, (60, 3, 1))):
            both = np.exp(sane - sane.max(axis=2, keepdims=True))
            both = (both / both.sum(axis=2, keepdims=True)).sum(axis=1)
            result = made.diagnose_classes(tmp_path, sane, labels, 20)
            assert result.values["top1"] == (both.argmax(axis=1) == labels).mean()
        return
    each = {"rounded": np.round(each, 2), "sums": 3 * each, "percentages": 100 * each}.get(kind, each)
    if kind not in ("rounded", "sums"):
        each[7, 1] = -1 if kind in ("filled", "several") else 0
    is_several = kind == "several"
    with pytest.raises(FormatError, match="of 180 views look like probabilities") as error:
        summed(each, exclusive=not is_several, ids=[f"v{n:06d}" for n in range(60)])
    if kind not in ("rounded", "sums"):
        assert "but 1 do not quite, first view 1 of 'v000007'" in str(error.value)
    summed(each[:, :1], exclusive=not is_several)  # one view ranks alike both ways


def test_equal_scores_are_said(tmp_path: Path) -> None:
    """Zeros say nothing at all; a class alone says nothing of the fifth place, nothing is open where it is right."""
    labels = np.arange(40) % 20
    one = made.diagnose_classes(tmp_path, np.eye(20)[labels], labels, 20)
    assert one.values["top1"] == one.values["top5"] == 1
    assert not any("equal scores" in note for note in one.notes)
    wrong = made.diagnose_classes(tmp_path, np.eye(20)[(labels + labels % 2) % 20], labels, 20)
    (note,) = [note for note in wrong.notes if "equal scores" in note]
    assert note.startswith("100.0 % of the videos have equal scores at place 5")
    assert "top-5 is between 0.5000 and 1.0000" in note
    zero = made.diagnose_classes(tmp_path, np.zeros((40, 20)), labels, 20)
    said = [note.partition(": ")[2] for note in zero.notes if "equal scores" in note]
    assert said == [f"top-{k} is between 0.0000 and 1.0000, by the order of equal scores" for k in (1, 5)]
    sound = made.diagnose_classes(tmp_path, made.network(labels, 20, 0.5, np.random.default_rng(0)), labels, 20)
    assert not any("equal scores" in note for note in sound.notes)
