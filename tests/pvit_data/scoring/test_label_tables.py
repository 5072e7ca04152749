"""Tables of labels as pandas and spreadsheets leave them: whole numbers written as floats, gaps, mixed columns."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.files.class_names import ordered, read_classes
from pvit_data.scoring.files.class_truth import ClassTruth, read_class_truth
from pvit_data.scoring.files.dump import read_dump
from pvit_data.scoring.files.score_lists import read_score_list


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
    truth = read(tmp_path / "t.csv", "val/air drumming/a.mp4 3\nval/abseiling/b.mp4 1\nval/using a wrench/c.mp4 7 \n")
    assert (truth.ids, truth.labels.tolist()) == (["a", "b", "c"], [3, 1, 7])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    "line",
    ["frames/1 33 7", "1,0,33,7", "1 33 run", "x/a.mp4 3 7", "x/a.mp4,3,-0.5,1e-3,7", "x/a.mp4 0.0 9.5 7", "1,,7"],
    ids=["TSN", "with start", "named", "several classes", "scores", "times", "gap"],
)
def test_lists_with_further_columns_do_not_say_which_is_the_class(line: str, several: bool, tmp_path: Path) -> None:
    """TSN's, TSM's, mmaction2's and VideoMAE's lists of frame folders have the number of frames first."""
    with pytest.raises(FormatError, match=r"t\.csv: '.*' is followed by \d columns .* `path frames label`"):
        read(tmp_path / "t.csv", f"{line}\n", several=several)


def test_named_columns_say_it(tmp_path: Path) -> None:
    truth = read(tmp_path / "t.csv", "path frames label\nframes/1 33 7\nframes/2 7 33\n")
    assert (truth.ids, truth.labels.tolist()) == (["frames/1", "frames/2"], [7, 33])
    truth = read(tmp_path / "t.csv", "x/a.mp4,3,,\nx/b.mp4,1,,\nx/c.mp4,,,\n")
    assert (truth.ids, truth.labels.tolist()) == (["a", "b", "c"], [3, 1, -1])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (('"[1, 3]"', "[]", '"[2]"'), [[1, 3], [], [2]]),
        (('"1,3"', "", "2"), [[1, 3], [], [2]]),
        (("[1 3]", "[]", "[2]"), [[1, 3], [], [2]]),
        (("\"{'run', 'a, b'}\"", "[]", "\"['jump']\""), [[0, 2], [], [1]]),
        (("\"['run' 'a, b']\"", "[]", "jump"), [[0, 2], [], [1]]),
    ],
    ids=["pandas", "joined", "numpy", "set of names", "array of names"],
)
def test_lists_that_programs_print_into_a_cell(
    cells: tuple[str, ...], expected: list[list[int]], tmp_path: Path
) -> None:
    text = "id,label\n" + "".join(f"{name},{cell}\n" for name, cell in zip("xyz", cells, strict=True))
    truth = read(tmp_path / "t.csv", text, several=True)
    assert truth.several is not None
    assert [row.nonzero()[0].tolist() for row in truth.several] == expected
    with pytest.raises(FormatError, match=r"row 1 \('x'\) has several classes"):
        read(tmp_path / "t.csv", text)


def test_brackets_in_names(tmp_path: Path) -> None:
    truth = read(tmp_path / "t.csv", "id,label\na,[something] up\nb,[something] hits [something]\n")
    assert truth.classes == ("[something] hits [something]", "[something] up")


FORMS = {
    "names.txt": "run\nair drumming\nsit, down\n",
    "names.json": '["run", "air drumming", "sit, down"]',
    "label2id.json": '{"run": 0, "sit, down": 2, "air drumming": "1"}',
    "id2label.json": '{"0": "run", "1": "air drumming", "2": "sit, down"}',
    "quoted.json": '{"\\"air drumming\\"": 1, "run": 0, "\\"sit, down\\"": 2}',
    "table.csv": 'id,name\n2,"sit, down"\n0,run\n1,air drumming\n',
    "numbered.txt": "0 run\n1 air drumming\n2 sit, down\n",
    "numbered.csv": "2, sit, down\n0, run\n1, air drumming\n",
}


@pytest.mark.parametrize("name", list(FORMS))
def test_forms_of_files_with_classes(name: str, tmp_path: Path) -> None:
    """Ours, HuggingFace's, pytorchvideo's, SlowFast's, UCF's."""
    (tmp_path / name).write_text(FORMS[name])
    assert ordered(read_classes(tmp_path / name)) == ("run", "air drumming", "sit, down")


def test_codes_are_the_names_of_charades(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("c000 Holding some clothes\nc001 Putting clothes somewhere\nc002 Taking\n")
    rows = "id,actions\na,c002 1.0 2.5;c000 0.0 3.1\nb,c001 0.0 1.0\n"
    truth = read(tmp_path / "t.csv", rows, several=True, classes=tmp_path / "classes.txt")
    assert truth.several is not None
    assert truth.several.tolist() == [[True, False, True], [False, True, False]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 run\n2 sit\n", "its 2 ids are not 0..1"),
        ('{"0": "1", "1": "2", "2": "0"}', "its names are numbers, as the ids are"),
        ('[{"id": 0, "name": "run"}]', "expected"),
        ('{"run": [0]}', "expected"),
        ("id,name\nx,run\n", "column 'id' holds something else"),
        ("run\nrun\n", "a class stands twice"),
        ('{"0": "run", "1": "run"}', "a class stands twice"),
    ],
)
def test_files_with_classes_that_are_not_clear(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "classes").write_text(text)
    with pytest.raises(FormatError, match=said):
        read_classes(tmp_path / "classes")


def test_a_file_with_other_classes_beside_the_list(tmp_path: Path) -> None:
    """It is named, and the one that is told knows better."""
    (tmp_path / "labels.json").write_text('{"run": 0, "sit": 1}')
    (tmp_path / "own.txt").write_text("walk\nrun\nsit\nswim\n")
    for rows, unknown in (("1.mp4 0\n2.mp4 3\n", "3"), ("id,label\n1,sit\n2,swim\n", "'swim'")):
        (tmp_path / "t.csv").write_text(rows)
        with pytest.raises(UsageError, match=rf"class {unknown} is none of the 2 of .*labels.json.*--classes"):
            read_class_truth(tmp_path / "t.csv", "ssv2", str)
        truth = read_class_truth(tmp_path / "t.csv", "ssv2", str, tmp_path / "own.txt")
        assert (truth.classes[int(truth.labels[1])], truth.named_by) == ("swim", "own.txt")


def test_tables_of_other_programs(tmp_path: Path) -> None:
    """Lines of JSON, columns in capitals, large lists, columns of paths."""
    (tmp_path / "t.json").write_text('{"ID": "a", "Label": 3}\n{"ID": "b", "Label": 1}\n')
    pq.write_table(pa.table({"Video_Path": ["a", "b"], "LABEL": [3, 1]}), tmp_path / "t.parquet")
    for name in ("t.json", "t.parquet"):
        truth = read_class_truth(tmp_path / name, "plain", str)
        assert (truth.ids, truth.labels.tolist()) == (["a", "b"], [3, 1])
    table = pa.table({"id": ["a"], "label": pa.array([[1, 0]], pa.large_list(pa.int64()))})
    pq.write_table(table, tmp_path / "t.parquet")
    several = read_class_truth(tmp_path / "t.parquet", "plain", str, several=True).several
    assert several is not None
    assert several.tolist() == [[True, True]]
    (tmp_path / "t.json").write_text('[{"ID": "a", "id": "b", "label": 3}]')
    pq.write_table(pa.table({"id": ["a"], "ID": ["b"]}), tmp_path / "t.parquet")
    for name in ("t.json", "t.parquet"):
        with pytest.raises(FormatError, match="column 'id' stands twice"):
            read_class_truth(tmp_path / name, "plain", str)


@pytest.mark.parametrize("kind", [pa.large_list(pa.float64()), pa.list_(pa.int32()), pa.list_(pa.float32(), 3)])
def test_scores_in_parquet(kind: pa.DataType, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": ["a", "b"], "logits": pa.array([[1, 2, -3], [4, 5, 6]], kind)}), tmp_path / "p.parquet"
    )
    assert read_dump(tmp_path / "p.parquet").logits[:, 0].tolist() == [[1, 2, -3], [4, 5, 6]]


def test_labels_as_floats_in_a_list_of_scores(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a,1.0,0.5,0.25\nb,-1.0,0.5,1\n")
    assert read_score_list(tmp_path / "p.txt").labels.tolist() == [1, -1]
    for first in ("1.5", "-3.0"):
        (tmp_path / "p.txt").write_text(f"a,{first},0.5,0.25\n")
        with pytest.raises(FormatError, match="expected `path label score"):
            read_score_list(tmp_path / "p.txt")


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
        with pytest.raises((FormatError, UsageError), match=r"labels\.json"):
            read_class_truth(tmp_path / "list.txt", "ssv2", str)
        found = read_class_truth(tmp_path / "list.txt", "ssv2", str, tmp_path / "named.txt")
        assert (found.classes, found.labels.tolist()) == (("a", "b", "c", "d"), [0, 3])
    (tmp_path / "labels.json").write_text('{"d": 0, "c": 1, "b": 2, "a": 3}')
    fitting = read_class_truth(tmp_path / "list.txt", "ssv2", str, tmp_path / "named.txt")
    assert fitting.classes == ("d", "c", "b", "a"), "the list's numbers are its own; columns are put in order"
