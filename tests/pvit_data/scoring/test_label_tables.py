"""Tables of labels as pandas and spreadsheets leave them: whole numbers written as floats, gaps, mixed columns."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_data.errors import FormatError
from pvit_data.scoring.files.class_truth import ClassTruth, read_class_truth


def read(path: Path, text: str, *, several: bool = False, classes: Path | None = None) -> ClassTruth:
    path.write_text(text, encoding="utf-8")
    return read_class_truth(path, "plain", str, classes, several=several)


def test_a_column_with_a_gap(tmp_path: Path) -> None:
    """pandas writes 10 as 10.0 once a cell of the column is empty; the alphabet would put 10.0 before 2.0."""
    truth = read(tmp_path / "t.csv", "id,label\na,10.0\nb,\nc,2.0\nd,-1.0\n")
    assert (truth.labels.tolist(), truth.classes) == ([10, -1, 2, -1], ())
    (tmp_path / "t.json").write_text(
        '[{"id": "a", "label": 10.0}, {"id": "b", "label": null}, {"id": "c", "label": 2}]'
    )
    assert read_class_truth(tmp_path / "t.json", "plain", str).labels.tolist() == [10, -1, 2]
    for column in (pa.array([10.0, None, 2.0]), pa.array([10.0, float("nan"), 2.0]), pa.array([10, None, 2])):
        pq.write_table(pa.table({"id": ["a", "b", "c"], "label": column}), tmp_path / "t.parquet")
        assert read_class_truth(tmp_path / "t.parquet", "plain", str).labels.tolist() == [10, -1, 2]


def test_several_classes_as_floats(tmp_path: Path) -> None:
    truth = read(tmp_path / "t.csv", "id,label\na,3.0\nb,1 2.0\nc,\nd,2 11.90 21.20\n", several=True)
    assert truth.several is not None
    assert [row.nonzero()[0].tolist() for row in truth.several] == [[3], [1, 2], [], [2]]


@pytest.mark.parametrize("several", [False, True])
def test_names_and_numbers_in_one_column(several: bool, tmp_path: Path) -> None:
    text = "id,label\na,3\nb,run\nc,4.0\n"
    with pytest.raises(
        FormatError, match=r"t\.csv: row 2 \('b'\) has the class 'run': 2 classes are numbers and 1 are"
    ):
        read(tmp_path / "t.csv", text, several=several)
    with pytest.raises(FormatError, match=r"row 1 \('a'\) has the class '?2\.5"):
        read(tmp_path / "t.csv", "id,label\na,2.5\nb,3\nc,1\n", several=several)


def test_lists_of_classes(tmp_path: Path) -> None:
    """For one class per video they are refused, in JSON and in Parquet."""
    (tmp_path / "t.json").write_text('[{"id": "a", "label": [1, 3]}, {"id": "b", "label": []}]')
    pq.write_table(pa.table({"id": ["a", "b"], "label": [[1, 3], []]}), tmp_path / "t.parquet")
    for path in (tmp_path / "t.json", tmp_path / "t.parquet"):
        truth = read_class_truth(path, "plain", str, several=True)
        assert truth.several is not None
        assert truth.several.tolist() == [[False, True, False, True], [False] * 4]
        with pytest.raises(FormatError, match=r"row 1 \('a'\) has several classes, .*: --metric multilabel"):
            read_class_truth(path, "plain", str)


def test_lists_without_end(tmp_path: Path) -> None:
    """Two million zeros in some kilobytes; lists of lists."""
    for label, said in (([[0] * 2_000_000], "holds 2,000,000 values of int64"), ([[[1]]], "holds 1 values of list")):
        pq.write_table(pa.table({"id": ["a"], "label": label}), tmp_path / "t.parquet")
        with pytest.raises(FormatError, match=said):
            read_class_truth(tmp_path / "t.parquet", "plain", str, several=True)


def test_other_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"clip": ["a"], "gloss": ["run"]}), tmp_path / "t.parquet")
    with pytest.raises(FormatError, match=r"no column id or youtube_id, it has \['clip', 'gloss'\]"):
        read_class_truth(tmp_path / "t.parquet", "plain", str)


def test_folders_with_blanks(tmp_path: Path) -> None:
    """As Kinetics' folders are named, in a list that is separated by blanks."""
    truth = read(
        tmp_path / "t.csv", "val/air drumming/a.mp4 3\nval/abseiling/b.mp4 1\nval/using a wrench/c.mp4 7 0 0\n"
    )
    assert (truth.ids, truth.labels.tolist()) == (["a", "b", "c"], [3, 1, 7])


def test_further_columns_of_numbers_are_not_read(tmp_path: Path) -> None:
    truth = read(tmp_path / "t.csv", "x/a.mp4,3,-0.5,1e-3,7\nx/b.mp4,1,,2.5,\n")
    assert (truth.ids, truth.labels.tolist()) == (["a", "b"], [3, 1])


def test_numbers_that_are_names_of_classes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("180\nflip\n360\n")
    truth = read(tmp_path / "t.csv", "id,label\na,360\nb,flip\nc,180\n", classes=tmp_path / "classes.txt")
    assert truth.labels.tolist() == [2, 1, 0]


def test_a_file_of_other_classes_beside_the_list(tmp_path: Path) -> None:
    """It is named; a file that is named by the user counts where that one does not fit."""
    (tmp_path / "list.txt").write_text("1.webm 0\n2.webm 3\n")
    (tmp_path / "named.txt").write_text("a\nb\nc\nd\n")
    for text in ('{"x": 0, "y": 1}', '{"x": "no number"}', "{"):
        (tmp_path / "labels.json").write_text(text)
        with pytest.raises(FormatError, match=r"labels\.json"):
            read_class_truth(tmp_path / "list.txt", "ssv2", str)
        found = read_class_truth(tmp_path / "list.txt", "ssv2", str, tmp_path / "named.txt")
        assert (found.classes, found.labels.tolist()) == (("a", "b", "c", "d"), [0, 3])
    (tmp_path / "labels.json").write_text('{"d": 0, "c": 1, "b": 2, "a": 3}')
    fitting = read_class_truth(tmp_path / "list.txt", "ssv2", str, tmp_path / "named.txt")
    assert fitting.classes == ("d", "c", "b", "a"), "the list's numbers are its own; columns are put in order"
