"""Labels that predictions carry and that contradict the truth are told, and sound ones are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.passport import Result
from tests.pvit_data.scoring import made

K, N = 20, 300
IDS = [f"v{n:03d}" for n in range(N)]
NAMES = made.names_of(K)
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, K, N)
LOGITS = made.network(LABELS, K, 0.6, RNG)


def scored(root: Path, labels: np.ndarray, form: str = "npz", *, diagnose: bool = False, **more: Any) -> Result:
    """Predictions in a form that has labels, and a truth with names of classes."""
    rows = "".join(f"{name}\t{NAMES[k]}\n" for name, k in zip(IDS, LABELS, strict=True))
    (root / "truth.tsv").write_text("id\tlabel\n" + rows)
    (root / "classes.json").write_text(json.dumps(NAMES))
    path = root / f"p.{form}"
    if form == "npz":
        np.savez(path, ids=IDS, logits=LOGITS, labels=labels)
    elif form == "parquet":
        flat, views = np.repeat(np.arange(N), 3), np.tile(np.arange(3), N)
        names = [IDS[row] for row in flat]
        write_dump(path, names, names, views, labels[flat], LOGITS.reshape(-1, K), {"classes": NAMES})
    else:
        total = LOGITS.mean(axis=1)
        path.write_text(
            "".join(f"{n} {k} {' '.join(map(str, r))}\n" for n, k, r in zip(IDS, labels, total, strict=True))
        )
    options = {"truth": str(root / "truth.tsv"), "classes": root / "classes.json", **more}
    how = made.ScoreOptions(protocol=made.find_protocol("topk", "plain"), diagnose=diagnose, **options)
    return made.score(path, "topk", how)


@pytest.mark.parametrize("form", ["npz", "parquet", "txt"])
@pytest.mark.parametrize("number", [1, 15, 200])
def test_labels_of_another_edition(number: int, form: str, tmp_path: Path) -> None:
    """Said without being asked: how many of how many, and the first ones with both labels."""
    labels = LABELS.copy()
    labels[10 : 10 + number] = (labels[10 : 10 + number] + 7) % K
    (finding,) = scored(tmp_path, labels, form).wrong
    assert finding.name == "labels beside predictions"
    first = f"{number} of the 300 labels in the predictions are others than the truth's, first 'v010'"
    assert finding.seen.startswith(f"{first} ({labels[10]} for {LABELS[10]})")
    assert ("another edition" in finding.remedy) == (number <= 15)


@pytest.mark.parametrize("form", ["npz", "parquet", "txt"])
def test_labels_of_another_order_of_classes(form: str, tmp_path: Path) -> None:
    (finding,) = scored(tmp_path, np.random.default_rng(1).permutation(K)[LABELS], form).wrong
    assert (
        "the truth's classes with other numbers: give the network's list of classes (--classes FILE)" in finding.remedy
    )
    (finding,) = scored(tmp_path, LABELS + 1, form).wrong
    assert "the truth's classes with other numbers" in finding.remedy


def test_ids_of_other_rows(tmp_path: Path) -> None:
    """Positions in a list of another order: the ids are those of other videos."""
    (finding,) = scored(tmp_path, np.random.default_rng(2).permutation(LABELS)).wrong
    assert "these ids are not the videos of their rows" in finding.remedy


@pytest.mark.parametrize("form", ["npz", "parquet", "txt"])
@pytest.mark.parametrize("kind", ["right", "unknown", "some unknown", "zeros"])
def test_sound_labels(kind: str, form: str, tmp_path: Path) -> None:
    unknown = np.where(np.arange(N) < 100, -1, LABELS)
    labels = {"right": LABELS, "unknown": LABELS * 0 - 1, "some unknown": unknown, "zeros": LABELS * 0}[kind]
    assert made.found(scored(tmp_path, labels, form, diagnose=True)) == set()


@pytest.mark.parametrize("number", [1, 999])
def test_a_column_of_one_number_says_nothing(number: int, tmp_path: Path) -> None:
    result = scored(tmp_path, LABELS * 0 + number)
    assert result.wrong == []
    (said,) = [f.seen for f in result.findings if f.name == "labels beside predictions"]
    assert said == f"all {N} are {number}, which looks like a placeholder"


def test_labels_follow_the_columns(tmp_path: Path) -> None:
    """A network with another order of classes, whose list is named, has labels of that order."""
    order = np.random.default_rng(3).permutation(K)  # the class of each column
    column = np.argsort(order)
    np.savez(tmp_path / "p.npz", ids=IDS, logits=LOGITS[:, :, order], labels=column[LABELS])
    (tmp_path / "network.json").write_text(json.dumps([NAMES[k] for k in order]))
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(NAMES))
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{i},{k}\n" for i, k in zip(IDS, LABELS, strict=True)))
    how = made.ScoreOptions(
        protocol=made.find_protocol("topk", "diving48"), truth=str(tmp_path / "t.csv"), diagnose=True,
        classes=tmp_path / "network.json",
    )  # fmt: skip
    assert made.found(made.score(tmp_path / "p.npz", "topk", how)) == set()


def test_strict_and_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(tmp_path, np.where(np.arange(N) == 3, (LABELS + 1) % K, LABELS))
    command = ["score", str(tmp_path / "p.npz"), "--metric", "topk", "--truth", str(tmp_path / "truth.tsv")]
    command += ["--classes", str(tmp_path / "classes.json")]
    assert main(command) == 0
    assert "FINDING: labels beside predictions: 1 of the 300 labels" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1


def test_state_changes(tmp_path: Path) -> None:
    rows = made.clips()
    state = np.array([int(row["state_change"]) for row in rows])
    ids = [row["unique_id"] for row in rows]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    how = made.ScoreOptions(protocol=made.find_protocol("oscc", None), truth=str(tmp_path / "t.json"))
    for labels, expected in ((state, set()), (1 - state, {"labels beside predictions"})):
        np.savez(tmp_path / "p.npz", ids=ids, logits=np.eye(2)[state], labels=labels)
        assert made.found(made.score(tmp_path / "p.npz", "oscc", how)) == expected


def test_several_classes_in_an_array(tmp_path: Path) -> None:
    """They are the truth where none is named, and are compared with one that is."""
    rng = np.random.default_rng(4)
    flags = rng.random((40, 6)) < 0.4
    flags[0] = True
    np.savez(
        tmp_path / "p.npz", ids=IDS[:40], logits=rng.normal(size=(40, 6)) + 2 * flags, labels=flags.astype(np.int64)
    )
    text = "".join(f"{i},{' '.join(map(str, row.nonzero()[0]))}\n" for i, row in zip(IDS, flags, strict=False))
    (tmp_path / "t.csv").write_text("id,label\n" + text)
    protocol = made.find_protocol("multilabel", None)
    own = made.score(tmp_path / "p.npz", "multilabel", made.ScoreOptions(protocol=protocol))
    named = made.ScoreOptions(protocol=protocol, truth=str(tmp_path / "t.csv"), diagnose=True)
    told = made.score(tmp_path / "p.npz", "multilabel", named)
    assert own.values == told.values
    assert told.wrong == []
    (tmp_path / "t.csv").write_text(("id,label\n" + text).replace("v000,0 1", "v000,0"))
    (finding,) = made.score(tmp_path / "p.npz", "multilabel", named).wrong
    assert finding.seen.startswith(
        "1 of the 40 labels in the predictions are others than the truth's, first 'v000' ([0, 1"
    )
