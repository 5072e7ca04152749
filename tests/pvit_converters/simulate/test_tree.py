"""A simulated tree appears whole under its name; what somebody else put somewhere is never removed."""

from pathlib import Path

import pytest

from pvit_converters.simulate import simulate
from pvit_converters.simulate.tree import UNFINISHED
from pvit_data.errors import UsageError

FEW = {"preset": "tiny", "train": 2, "validation": 1, "test": 1}


def test_an_interrupted_simulation_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    out = tmp_path / "raw"
    with pytest.raises(KeyboardInterrupt):
        simulate("ssv2", out, progress=stop, **FEW)  # type: ignore[arg-type]
    assert not out.exists()
    tree = simulate("ssv2", out, **FEW)  # type: ignore[arg-type]
    assert tree.root == out
    assert [p.name for p in tmp_path.iterdir()] == ["raw"]


def test_what_comes_next_names_the_finished_folder(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    tree = simulate("something-else", raw, samples=14, preset="tiny")
    assert tree.convert == (f"ssv2 {raw}/ssv2 OUT", f"something-else {raw} OUT --base OUT")


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    """A folder with the marker in it, a link with the name of the unfinished tree, and a full folder."""
    out = tmp_path / "raw"
    out.mkdir()
    (out / UNFINISHED).touch()
    (out / "precious").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        simulate("ssv2", out, **FEW)  # type: ignore[arg-type]
    assert (out / "precious").read_text() == "mine"
    elsewhere = tmp_path / "elsewhere"
    out.rename(elsewhere)
    (tmp_path / ".raw.simulating").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is not an empty folder"):
        simulate("ssv2", out, **FEW)  # type: ignore[arg-type]
    assert (elsewhere / "precious").read_text() == "mine"
