"""Local files appear whole or not at all."""

from pathlib import Path

import pytest

from pvit_data.storage.files import replacing, write_file


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "x.json"
    write_file(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("ne" if 1 / 0 else "")
    assert path.read_text() == "old"
    write_file(path, "ü".encode())
    assert path.read_bytes() == b"\xc3\xbc"
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_folder_in_the_way_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="x"):
        write_file(tmp_path / "x", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
