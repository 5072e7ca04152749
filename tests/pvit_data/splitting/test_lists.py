"""Lists of ids and of classes as people have them, and what is no such list."""

import os
from pathlib import Path

import pytest

from pvit_data.errors import UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_data.splitting.lists import read_classes, read_ids

SPACE = LabelSpace("verbs", ("push", "pull, slowly", "lift"), first=1)


def given(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "list"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_ids_one_a_line(tmp_path: Path) -> None:
    assert read_ids(given(tmp_path, "\ufeffa 1\r\n\n  b,2 \nc")) == ["a 1", "b,2", "c"]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_ids_in_a_column(tmp_path: Path, mark: str) -> None:
    text = "name,id,label\nx,7,run\n\ny,'8',sit\n".replace(",", mark).replace("'", '"')
    assert read_ids(given(tmp_path, text), "id") == ["7", "8"]


@pytest.mark.parametrize(
    ("data", "column", "said"),
    [
        ("", "", "holds no id"),
        ("id\n", "id", "holds no id"),
        ("a,b\n1,2\n", "c", "names no column 'c'"),
        ("id,id\n1,2\n", "id", "two columns are called 'id'"),
        ("a,id\n1\n", "id", "line 2: has no column 'id'"),
        ('id,b\n"1,2\n', "id", "line 2: is not CSV"),
        (b"\xff\xfe", "", "is not UTF-8"),
        ("x" * 20_000, "", "line 1: has more than 10000 characters"),
        (b"\n" * 5_000_000, "", "more than 4000000 lines"),
    ],
)
def test_what_is_no_list(tmp_path: Path, data: str | bytes, column: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_ids(given(tmp_path, data), column)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match=path.name):
            read_ids(path)


def test_classes_are_chosen_and_renamed(tmp_path: Path) -> None:
    path = given(tmp_path, 'lift,move\n"pull, slowly",drag\npush,move\n')
    space, ids = read_classes(path, SPACE, "few")
    assert (space.name, space.classes, space.first) == ("few", ("move", "drag"), 0)
    assert ids == {3: 0, 2: 1, 1: 0}
    whole, same = read_classes(given(tmp_path, "pull, slowly\n"), SPACE, "few")
    assert (whole.classes, same) == (("pull, slowly",), {2: 0})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pushh\n", "line 1: 'pushh' is no class of the base; did you mean 'push'"),
        ("push,a\n\npush,b\n", "line 3: class 'push' comes twice"),
        ("push,a,b\n", "line 1: has 3 values"),
        ("push,\n", "line 1: the new name of 'push' is empty"),
        ("\n", "names no class"),
    ],
)
def test_what_are_no_classes(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_classes(given(tmp_path, text), SPACE, "few")
