"""Local files appear whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from pvit_data.errors import UsageError
from pvit_data.storage.files import (
    open_regular,
    read_regular,
    replacing,
    require_unlinked,
    write_file,
)


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


def test_pipes_and_links_to_them_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    read, write = os.pipe()
    (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{write}")  # as /dev/stdout is one
    for name in ("pipe", "link", "stdout"):
        for follow in (False, True):
            with pytest.raises(OSError, match=f"is a pipe or a device, .*{name}"):
                write_file(tmp_path / name, b"data", follow=follow)
    os.close(read), os.close(write)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert {p.name for p in tmp_path.iterdir() if p.is_symlink()} == {"link", "stdout"}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_to_a_file_stays_where_the_user_named_it(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")  # which is not there yet
    for text in ("old", "new"):
        write_file(tmp_path / "link", text, follow=True)
        assert (tmp_path / "there/file").read_text() == text
    assert (tmp_path / "link").is_symlink()
    write_file(tmp_path / "link", "mine")
    assert ((tmp_path / "there/file").read_text(), (tmp_path / "link").is_symlink()) == ("new", False)
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["file"]


def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "link") == b"abc"
    assert read_regular(tmp_path / "file", 2) == b"ab"
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular file|directory"):
            open_regular(path)


def test_links_below_a_folder_are_refused_and_the_folder_itself_may_be_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "real/own").mkdir()
    (tmp_path / "real/away").symlink_to(tmp_path)
    require_unlinked(tmp_path / "root", tmp_path / "root/own/file")
    require_unlinked(tmp_path / "root", tmp_path / "root/away")
    with pytest.raises(UsageError, match=r"away: is a link to .*nothing is written through links"):
        require_unlinked(tmp_path / "root", tmp_path / "root/away/file")
