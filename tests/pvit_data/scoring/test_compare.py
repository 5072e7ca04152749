"""Which results may be compared, and which parts of a passport decide."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
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
    assert "neither says: frames" in out


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


def test_equal_scores_are_said(tmp_path: Path) -> None:
    """A class alone says nothing of the fifth place; zeros say nothing at all."""
    labels = np.arange(40) % 20
    one = made.diagnose_classes(tmp_path, np.eye(20)[labels], labels, 20)
    assert one.values["top1"] == 1
    (note,) = [note for note in one.notes if "equal scores" in note]
    assert note.startswith("100.0 % of the videos have equal scores at place 5")
    assert "top-5 is between 1.0000 and 1.0000" in note
    zero = made.diagnose_classes(tmp_path, np.zeros((40, 20)), labels, 20)
    said = [note.partition(": ")[2] for note in zero.notes if "equal scores" in note]
    assert said == [f"top-{k} is between 0.0000 and 1.0000, by the order of equal scores" for k in (1, 5)]
    sound = made.diagnose_classes(tmp_path, made.network(labels, 20, 0.5, np.random.default_rng(0)), labels, 20)
    assert not any("equal scores" in note for note in sound.notes)
