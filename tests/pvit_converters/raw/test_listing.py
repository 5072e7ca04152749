"""Litter in a raw tree stops nothing and changes nothing, for every source; a link that leads nowhere is no file."""

import os
from pathlib import Path

import pytest

from pvit_converters import registry
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw import listing
from pvit_converters.simulate import simulate
from pvit_data.errors import SourceError
from tests.litter import LITTER, scatter

ROOT = Path(__file__).parents[3]


def test_what_is_listed(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    for name in ("2.webm", "1.webm", "b/3.webm", "b/c/4.webm"):
        (tmp_path / name).write_bytes(b"x" * int(name[-6]))
    clean = [(place, entry.stat().st_size) for place, entry in listing.walk_files(tmp_path)]
    assert clean == [("1.webm", 1), ("2.webm", 2), ("b/3.webm", 3), ("b/c/4.webm", 4)]
    scatter(tmp_path)
    (tmp_path / "5.webm").symlink_to("../annex/objects/gone")
    (tmp_path / "b/c/up").symlink_to(tmp_path)
    (tmp_path / "b/back").symlink_to("../b")
    assert [(place, entry.stat().st_size) for place, entry in listing.walk_files(tmp_path)] == clean
    assert listing.list_files(tmp_path, ".webm") == ["1.webm", "2.webm"]
    assert listing.list_files(tmp_path / "none") == []
    assert listing.list_folders(tmp_path) == ["b"]
    assert [entry.name for entry in listing.list_entries(tmp_path)] == ["1.webm", "2.webm", "b"]


def test_a_link_to_a_file_or_folder_elsewhere_is_one(tmp_path: Path) -> None:
    (tmp_path / "disk/set").mkdir(parents=True)
    (tmp_path / "disk/set/1.webm").write_bytes(b"x")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/set").symlink_to(tmp_path / "disk/set")
    (tmp_path / "raw/2.webm").symlink_to(tmp_path / "disk/set/1.webm")
    assert [place for place, _ in listing.walk_files(tmp_path / "raw")] == ["2.webm", "set/1.webm"]


@pytest.mark.parametrize("name", LITTER)
def test_litter_by_name(name: str) -> None:
    assert not listing.is_data(name)
    assert not listing.is_data(f"scene/{name}/1.webm")


def test_what_cannot_be_listed_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone: cannot be listed") as caught:
        listing.list_entries(tmp_path / "gone")
    assert caught.value.reason == "missing-file"


def shards(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*.tar"))}


@pytest.mark.parametrize(
    "source", ["diving48", "ehoi", "hypersim", "kinetics400", "phav", "ssv2", "surreact", "synadl"]
)
def test_a_littered_tree_gives_the_same_shards(source: str, tmp_path: Path) -> None:
    simulate(source, tmp_path / "raw", preset="tiny", samples=3)
    converter = registry.load(source)
    made = convert(Job(converter, tmp_path / "raw", str(tmp_path / "clean"), converter.Options(), workers=1))
    scatter(tmp_path / "raw", copies=True)
    again = convert(Job(converter, tmp_path / "raw", str(tmp_path / "out"), converter.Options(), workers=1))
    assert shards(tmp_path / "out") == shards(tmp_path / "clean")
    assert again.converted == made.converted


def test_a_video_that_was_not_fetched_is_absent(tmp_path: Path) -> None:
    """As under git-annex: the name is there, the file is not."""
    simulate("ssv2", tmp_path / "raw", preset="tiny", samples=3)
    converter = registry.load("ssv2")
    videos = sorted((tmp_path / "raw").rglob("*.webm"))
    videos[0].unlink()
    videos[0].symlink_to("../.git/annex/objects/Xk/9z/gone.webm")
    report = convert(Job(converter, tmp_path / "raw", str(tmp_path / "out"), converter.Options(), workers=1))
    assert report.absent == {"video not present": 1}


def test_only_one_place_lists_raw_trees() -> None:
    """Converters ask `raw.listing`; folders of their output are the engine's business, the simulator writes."""
    calls = ("os.scandir", "os.listdir", "os.walk", ".iterdir()", ".glob(", ".rglob(")
    found = [
        f"{path.name}: {call}"
        for path in sorted((ROOT / "converters/pvit_converters").rglob("*.py"))
        if path.name != "listing.py" or path.parent.name != "raw"
        for call in calls
        if not {"engine", "simulate"} & set(path.parts) and call in path.read_text(encoding="utf-8")
    ]
    assert found == []
    assert os.path.exists(ROOT / "converters/pvit_converters/raw/listing.py")
