"""The folder that a pull writes into: its owner's data stay, what a pull left may be replaced."""

import fcntl
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_data.errors import PvitError
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.pulling.fetching import part_of
from pvit_data.publishing.pulling.pull import Pulled, plan_pull, pull
from pvit_data.validate import validate
from pvit_data.writing.finish import write_manifest
from tests.hub_server.state import sha256
from tests.pvit_data.publishing.test_publish import contents


def write(folder: Path, *keys: str, source: str = "clips", depth: float = 1.0) -> Path:
    with pvit_data.ShardWriter(folder, source, licence="CC0-1.0", redistributable=True) as writer:
        for key in keys:
            writer.write(pvit_data.Sample(key=key, num_frames=1, meta={"depth": depth}))
    return folder


def get(folder: Path, out: Path, choice: Choice | None = None) -> Pulled:
    return pull(plan_pull(str(folder), out, choice or Choice()))


def refused(action: Any) -> str:
    with pytest.raises(PvitError) as caught:
        action()
    return str(caught.value)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return write(tmp_path / "theirs", "a", "b")


def test_own_data_of_the_same_name_stay(theirs: Path, tmp_path: Path) -> None:
    """Whole ones, never pulled; alone, or beside another source; of the same keys, too."""
    out = write(tmp_path / "mine", "jar", "cup")
    same = write(tmp_path / "same", "a", "b", depth=2.0)
    both = write(write(tmp_path / "both", "jar"), "q", source="other")
    for folder in (out, same, both):
        before = contents(folder)
        for choice in (Choice(), Choice(sources=("clips",))):
            told = refused(lambda folder=folder, choice=choice: get(theirs, folder, choice))
            assert f"{folder / 'clips/train-00000.tar'}: is of another state" in told
            assert f"remove {folder / 'clips'}" in told
        assert contents(folder) == before


def test_what_a_pull_left_is_replaced_by_another_state(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    get(theirs, out)
    write(out, "own", source="mine")
    newer = write(tmp_path / "newer", "a", "c", depth=3.0)
    get(newer, out)
    assert sorted(sample.key for sample in pvit_data.open(out)) == ["a", "c", "own"]
    shutil.rmtree(out / "clips")
    write_manifest(out)
    write(out, "a", "c", depth=4.0)  # made anew here
    before = contents(out)
    assert "would be lost" in refused(lambda: get(theirs, out))
    assert contents(out) == before


def test_a_copy_of_the_same_state_is_mended(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(theirs, out)
    path = out / "clips/train-00000.tar"
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert get(theirs, out).fetched == 1
    assert contents(out) == contents(theirs)


def test_keys_of_other_sources_are_told_before_anything_comes(theirs: Path, tmp_path: Path) -> None:
    out = write(tmp_path / "out", "x", "b", source="mine")
    before = contents(out)
    told = refused(lambda: get(theirs, out))
    assert "sample 'b' of 'clips'" in told
    assert "is in 'mine'" in told
    assert contents(out) == before
    assert refused(lambda: get(theirs, out, Choice(shards=((0, 9),)))) == told
    assert sorted(get(theirs, write(tmp_path / "well", "x", source="mine")).manifest.sources) == ["clips", "mine"]


def test_a_damaged_manifest_is_made_again_and_a_foreign_one_stays(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    get(theirs, out)
    path = out / "manifest.json"
    text = path.read_text()
    for damaged in (text[:100], "", text.replace("CC0-1.0", "CC0-1.1")):
        path.write_text(damaged)
        get(theirs, out)
        assert path.read_text() == text
    write(out, "own", source="mine")
    path.unlink()
    assert sorted(get(theirs, out).manifest.sources) == ["clips", "mine"]
    assert validate(out).ok
    foreign = tmp_path / "app"
    foreign.mkdir()
    for others in ('{"name": "An app"}', "[1]", "// not even JSON", json.dumps(json.loads(text) | {"version": "9.0"})):
        (foreign / "manifest.json").write_text(others)
        assert str(foreign / "manifest.json") in refused(lambda: get(theirs, foreign))
        assert [p.name for p in foreign.iterdir()] == ["manifest.json"]
        assert (foreign / "manifest.json").read_text() == others


def test_one_of_two_pulls_fetches_a_file_and_the_other_waits(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    name = "clips/train-00000.tar"
    data = (theirs / name).read_bytes()
    part = part_of(out / name, sha256(data))
    plan = plan_pull(str(theirs), out, Choice())
    (theirs / name).rename(tmp_path / "away.tar")  # it cannot be fetched twice
    part.parent.mkdir(parents=True)
    with part.open("wb") as other:  # of another process
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=pull, args=(plan,))
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        other.write(data)
        other.flush()
        part.replace(out / name)
    thread.join()
    (tmp_path / "away.tar").rename(theirs / name)
    assert contents(out) == contents(theirs)
