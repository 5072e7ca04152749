"""No file from outside the user's folders gets into a shard: not by a link, not by a path in a plan."""

import ast
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pvit_converters import registry
from pvit_converters.engine.preview import preview
from pvit_converters.engine.run import Job, convert
from pvit_converters.raw.files import read_bytes, regular_path
from pvit_converters.raw.hdf5 import read_hdf5
from pvit_converters.raw.listing import list_entries
from pvit_converters.raw.places import permitted, reading_within
from pvit_converters.simulate import simulate
from pvit_data.errors import FormatError, SourceError

PACKAGE = Path(__file__).parents[3] / "converters/pvit_converters"
SOURCES = ("diving48", "ehoi", "hypersim", "kinetics400", "phav", "ssv2", "surreact", "synadl")
MAIN = {
    "diving48": "*.mp4",
    "ehoi": "images/camera*.png",
    "hypersim": "*.depth_meters.hdf5",
    "kinetics400": "replacement_for_corrupted_k400/*.mp4",
    "phav": "*.png",
    "ssv2": "*.webm",
    "surreact": "*.mp4",
    "synadl": "RGB/*.avi",
}


def run(source: str, root: Path, out: Path, **options: Any) -> Any:
    converter = registry.load(source)
    own = {name: options.pop(name) for name in list(options) if name in converter.Options.model_fields}
    return convert(Job(converter, root, str(out), converter.Options(**own), workers=1, **options))


def shards(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(out.rglob("*.tar"))}


def link_all(root: Path, elsewhere: Path) -> None:
    """Moves every file away and leaves a link in its place."""
    for path in [p for p in root.rglob("*") if p.is_file()]:
        target = elsewhere / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        path.symlink_to(target)


@pytest.mark.parametrize("source", SOURCES)
def test_a_tree_of_links_is_read_only_where_that_is_asked_for(source: str, tmp_path: Path) -> None:
    simulate(source, tmp_path / "raw", preset="tiny", samples=2)
    run(source, tmp_path / "raw", tmp_path / "plain")
    link_all(tmp_path / "raw", tmp_path / "disk")
    with pytest.raises(SourceError, match=r"a link leads to .*/disk/.*--follow-links") as caught:
        run(source, tmp_path / "raw", tmp_path / "out")
    assert caught.value.reason == "outside-root"
    assert not list((tmp_path / "out").rglob("*.tar"))
    run(source, tmp_path / "raw", tmp_path / "linked", follow_links=True)
    assert shards(tmp_path / "linked") == shards(tmp_path / "plain")


@pytest.mark.parametrize("source", SOURCES)
def test_one_link_to_a_private_file_costs_its_sample(source: str, tmp_path: Path) -> None:
    """The private file is of the right kind: nothing but its place tells that it is not the user's data."""
    simulate(source, tmp_path / "raw", preset="tiny", samples=3)
    victim = sorted(p for p in (tmp_path / "raw").rglob("*") if p.match(MAIN[source]))[0]
    secret = tmp_path / "home" / f"secret{victim.suffix}"
    secret.parent.mkdir()
    victim.rename(secret)
    victim.symlink_to(secret)
    report = run(source, tmp_path / "raw", tmp_path / "out")
    assert report.failed == {"outside-root": 1}
    assert report.failures[0].message.startswith(f"{victim}: a link leads to {secret}, which is not in ")
    assert not any(secret.read_bytes() in data for data in shards(tmp_path / "out").values())
    run(source, tmp_path / "raw", tmp_path / "out", follow_links=True, retry_failed=True)
    assert run(source, tmp_path / "raw", tmp_path / "out").failed == {}


def test_links_within_the_root_are_no_links_out_of_it(tmp_path: Path) -> None:
    simulate("ssv2", tmp_path / "raw", preset="tiny", samples=2)
    run("ssv2", tmp_path / "raw", tmp_path / "plain")
    link_all(tmp_path / "raw/20bn-something-something-v2", tmp_path / "raw/.git/annex")
    (tmp_path / "here").symlink_to(tmp_path / "raw")
    run("ssv2", tmp_path / "here", tmp_path / "out")
    assert shards(tmp_path / "out") == shards(tmp_path / "plain")


def test_linked_folders_are_not_listed(tmp_path: Path) -> None:
    simulate("phav", tmp_path / "raw", preset="tiny", samples=2)
    converter = registry.load("phav")
    action = next(p for p in (tmp_path / "raw").rglob("*") if p.is_dir() and list(p.glob("b*")))
    shutil.move(action, tmp_path / "moved")
    action.symlink_to(tmp_path / "moved")
    job = Job(converter, tmp_path / "raw", str(tmp_path / "out"), converter.Options(), workers=1)
    for action_of in (convert, preview):
        with pytest.raises(SourceError, match=r"a link leads to .*/moved"):
            action_of(job)
    run("phav", tmp_path / "raw", tmp_path / "out", follow_links=True)


def test_what_the_user_names_is_read_too(tmp_path: Path) -> None:
    """Further roots, tables and folders of options, and PHAV's table of colours above the folder of videos."""
    simulate("phav", tmp_path / "raw", preset="tiny", samples=2)
    videos = (tmp_path / "raw").rename(tmp_path / "videos")
    for table in videos.rglob("colors.txt"):
        table.unlink()
    (tmp_path / "colors.txt").write_text("Category R G B\nRoad 1 2 3\n")
    (tmp_path / "more").mkdir()
    depth = [p for p in videos.rglob("*depth*") if p.is_file()]
    for path in depth:
        target = tmp_path / "more" / path.relative_to(videos)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    (tmp_path / "layout.yaml").write_text("phav: {}\n")
    options = {"more_roots": (str(tmp_path / "more"),), "layout": tmp_path / "layout.yaml"}
    with pytest.raises(SourceError, match="colour that is in no table"):  # so it was read
        run("phav", videos, tmp_path / "out", **options)
    (tmp_path / "colors.txt").unlink()
    assert run("phav", videos, tmp_path / "out", **options).failed == {}
    with reading_within(registry.load("phav").places(videos, registry.load("phav").Options())):
        assert permitted(videos.parent / "colors.txt") == os.path.realpath(videos.parent / "colors.txt")
        with pytest.raises(SourceError, match="is not in"):
            permitted(videos.parent / "others.txt")


@pytest.mark.parametrize("follow", [False, True])
def test_places(tmp_path: Path, follow: bool) -> None:
    root = tmp_path / "raw"
    (root / "a").mkdir(parents=True)
    (root / "a/x").write_bytes(b"x")
    (tmp_path / "raw2").write_bytes(b"private")
    with reading_within([root], follow_links=follow):
        assert read_bytes(root / "a/x") == b"x"
        assert read_bytes(root / "a/../a/x") == b"x"
        for path in (
            tmp_path / "raw2",
            root / "../raw2",
            root / "a/../../raw2",
            Path("/etc/passwd"),
            root / "/etc/passwd",
        ):
            with pytest.raises(SourceError, match="is not in") as caught:
                read_bytes(path)
            assert caught.value.reason == "outside-root"
        with pytest.raises(SourceError, match="no such file"):
            read_bytes(root / "a/y")
    assert read_bytes(tmp_path / "raw2") == b"private"


def test_only_regular_files_are_read_and_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zero", "folder"):
        for reader in (read_bytes, regular_path, lambda path: read_hdf5(path, None)):
            with pytest.raises(SourceError, match=rf"{name}: cannot be read"):
                reader(tmp_path / name)
    assert [e.name for e in list_entries(tmp_path)] == ["folder"]


def changed_plan(out: Path, change: Any) -> None:
    """Edits a plan whose only shard is open again."""
    for path in [*out.rglob("*.tar"), *out.rglob("receipts/*-*.json")]:
        path.unlink()
    path = out / "ssv2/plan.json"
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(plan))


def set_file(text: str) -> Any:
    def change(plan: dict[str, Any]) -> None:
        plan["shards"][0]["items"][0][3]["file"] = text

    return change


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    """A conversion of three videos; `tmp_path/private.webm` is a fourth, of somebody else."""
    simulate("ssv2", tmp_path / "raw", preset="tiny", samples=3)
    run("ssv2", tmp_path / "raw", tmp_path / "out")
    videos = sorted((tmp_path / "raw").rglob("*.webm"))
    shutil.copy(videos[0], tmp_path / "private.webm")
    return tmp_path


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("way", ["absolute", "up"])
def test_a_plan_that_leads_out_of_the_root_is_refused(converted: Path, way: str, follow: bool) -> None:
    text = str(converted / "private.webm") if way == "absolute" else "videos/../../private.webm"
    changed_plan(converted / "out", set_file(text))
    with pytest.raises(
        FormatError, match=r"plan\.json: names .*private\.webm, which is not in the raw data; --overwrite"
    ):
        run("ssv2", converted / "raw", converted / "out", follow_links=follow)
    assert not list((converted / "out").rglob("*.tar"))
    assert run("ssv2", converted / "raw", converted / "out", overwrite=True).complete


def test_a_plan_reads_nothing_that_is_not_listed(converted: Path) -> None:
    """A video in the root that the listing does not give: of a hidden folder, say."""
    (converted / "raw/.cache").mkdir()
    shutil.copy(converted / "private.webm", converted / "raw/.cache/1.webm")
    changed_plan(converted / "out", set_file(".cache/1.webm"))
    report = run("ssv2", converted / "raw", converted / "out")
    assert report.failed == {"not-listed": 1}
    assert "names .cache/1.webm, the raw data now give " in report.failures[0].message
    assert ".webm: bring them back as they were" in report.failures[0].message


def test_a_file_that_went_between_two_runs_costs_its_sample(converted: Path) -> None:
    changed_plan(converted / "out", lambda plan: None)
    sorted((converted / "raw").rglob("*.webm"))[0].unlink()
    report = run("ssv2", converted / "raw", converted / "out")
    assert report.failed == {"not-listed": 1}
    assert "and not in the raw data any more" in report.failures[0].message


def test_a_finished_conversion_needs_no_listing(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.load("ssv2"), "list_items", lambda self: pytest.fail("it was listed"))
    assert run("ssv2", converted / "raw", converted / "out").complete


@pytest.mark.parametrize(
    "change",
    [
        lambda plan: plan["shards"][0].update(split="../../train"),
        lambda plan: plan["shards"][0].update(number="0/../../x"),
        lambda plan: plan["shards"][0].update(number=-1),
        lambda plan: plan["shards"][0]["items"][0].__setitem__(0, 7),
        lambda plan: plan["shards"][0]["items"][0].__setitem__(3, [1]),
        lambda plan: plan["shards"][0]["items"][0].__setitem__(4, "many"),
        lambda plan: plan["identity"].update(source="hypersim"),
        lambda plan: plan.update(absent=[1], shards=3),
        lambda plan: plan.update(identity=None),
    ],
)
def test_a_plan_of_other_types_is_damaged(converted: Path, change: Any) -> None:
    changed_plan(converted / "out", change)
    with pytest.raises(FormatError, match=r"plan\.json: damaged .*--overwrite"):
        run("ssv2", converted / "raw", converted / "out")


OPENERS = {"open", "read_bytes", "read_text", "File", "ZipFile", "load", "memmap", "fromfile", "loadmat", "readlink"}
SAFE = ("regular_path(", "open_file(", "registry.load(", "BytesIO(", "StringIO(", "tree.open(", "maps.")
ELSEWHERE = {
    "raw/files.py",  # here they are opened
    "raw/hdf5.py",  # h5py, by the path that files.py gives
    "raw/zips.py",
    "hypersim/tables.py",  # the table that ships with the package
    "diving48/labels.py",  # the classes that ship with it
    "kinetics400/classes.py",
    "registry.py",
    "base.py",
}


def test_only_one_place_opens_raw_files() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if where in ELSEWHERE or where.startswith(("engine/", "simulate/")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                text = ast.unparse(node)
                if name in OPENERS and "read_bytes(path" not in text and not any(safe in text for safe in SAFE):
                    found.append(f"{where}:{node.lineno}: {text}")
    assert found == []
