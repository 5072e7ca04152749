"""What is said before something is published, what of a repository is taken for ours, and what leaves it."""

import json
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data.errors import UsageError
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.guard import Consent
from pvit_data.publishing.publish import Options
from pvit_data.writing.finish import write_manifest
from tests.hub_server import REPO, Hub
from tests.pvit_data.publishing.test_publish import KEY, put

FREE = {"licence": "CC0-1.0", "redistributable": True}


def write(folder: Path, *keys: str, source: str = "clips", split: str = "train") -> Path:
    rgb = np.full((1, 16, 16, 3), 120, np.uint8)
    with pvit_data.ShardWriter(folder, source, split, **FREE) as writer:
        for number, key in enumerate(keys):
            writer.write(pvit_data.Sample(key=key, rgb=rgb, boxes=pvit_data.Boxes([[0, 0, 1, 1]] * number)))
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return " ".join((captured.out + captured.err).split())


def test_only_files_of_ours_are_removed(hub: Hub, tmp_path: Path) -> None:
    """Whoever else has files there that are called as ours keeps them."""
    folder = write(write(tmp_path / "d", "a"), "b", source="old")
    put(folder)
    mine = {name for name in hub.repositories[KEY].files if name.startswith("old/")}
    theirs = {
        "data/train-00000.tar": b"an ordinary WebDataset",
        "data/index/train.parquet": b"its index",
        "test/val-00001.tar": b"another",
        "other/receipts/source.json": b"{}",
        "other/train-00000.tar": b"of the other",
        "gallery.html": b"their page",
    }
    hub.repositories[KEY].push(hub.repositories[KEY].files | theirs)
    only = Choice(sources=("clips",))
    assert put(folder, Options(only)).left == len(mine)
    assert put(folder, Options(only, delete_missing=True)).deleted == len(mine)  # of no manifest any more
    found = hub.repositories[KEY].files
    assert not mine & found.keys()
    assert {name: found.get(name) for name in theirs} == theirs
    put(folder, Options(only, card_only=True))
    assert b"gallery.html" not in hub.repositories[KEY].files["README.md"]


def test_pictures_of_what_is_published_no_more_go_at_once(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They may show what was taken out; the card alone does not bring them back."""
    folder = write(tmp_path / "d", "a", "b")
    both = {"preview.jpg", "gallery.html"}
    put(folder, Options(gallery=1))
    assert both <= hub.repositories[KEY].files.keys()
    command = ["publish", str(folder), "--repo", REPO, "--fields", "boxes"]
    assert main(command) == 0
    said = told(capsys)
    assert "preview.jpg shows what was published before, and is removed" in said
    assert ", 2 removed;" in said
    for more in (["--card-only", "--gallery", "2"], []):
        assert main([*command, *more]) == 0
        assert not both & hub.repositories[KEY].files.keys()
        assert not [name for name in both if name.encode() in hub.repositories[KEY].files["README.md"]]
    assert "--gallery: no page is made, since --card-only" in told(capsys)
    put(folder, Options(gallery=1))
    write(folder, "c", source="more")
    put(folder)
    assert both & hub.repositories[KEY].files.keys() == {"preview.jpg"}  # drawn anew


def test_a_manifest_of_somebody_else_is_told(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "d", "a")
    put(folder)
    files = hub.repositories[KEY].files
    newer = json.dumps(json.loads(files["manifest.json"]) | {"version": "9.0"}).encode()
    for other, why in ((newer, "format version 9.0"), (b'{"name": "app"}', "is not the manifest of a PViT dataset")):
        commit = hub.repositories[KEY].push(files | {"manifest.json": other})
        assert main(["publish", str(folder), "--repo", REPO]) == 0
        said = told(capsys)
        assert f"manifest.json there is written anew, and what it was stays in commit {commit[:10]}" in said
        assert why in said


def test_what_a_public_repository_holds_and_should_not_is_told(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pvit_data.ShardWriter(tmp_path / "closed", "closed", licence="Theirs (no redistribution)") as writer:
        writer.write(pvit_data.Sample(key="c", num_frames=1))
    put(tmp_path / "closed", Options(consent=Consent(private=True, accepted=True)))
    hub.repositories[KEY].private = False
    command = ["publish", str(write(tmp_path / "d", "a")), "--repo", REPO]
    for expected in (True, False):  # the second time it is not what is there
        assert main(command) == 0
        said = told(capsys)
        assert ("holds what may not be passed on (closed: its licence forbids it: Theirs" in said) is expected


def test_rows_without_their_samples_are_told(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(write(tmp_path / "d", "t1", "t2"), "v1", split="val")
    with pvit_data.ShardWriter(folder, "few", "val", kind="protocol", base="clips", **FREE) as writer:
        for key in ("t1", "t2", "v1"):
            writer.write(pvit_data.Sample(key=key))
    command = ["publish", str(folder), "--repo", REPO, "--dry-run"]
    assert main([*command, "--splits", "val"]) == 0
    assert "2 of 3 rows of 'few' are of samples that are not among what is published of 'clips' (val)" in told(capsys)
    for more in ([], ["--layers-only"]):
        assert main([*command, *more]) == 0
        assert "rows of" not in told(capsys)


def test_layers_without_the_chosen_fields_are_told(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "d", "a", "b")
    for name in ("one", "two"):
        with pvit_data.ShardWriter(folder, name, kind="protocol", base="clips", **FREE) as writer:
            writer.write(pvit_data.Sample(key="a"))
    command = ["publish", str(folder), "--repo", REPO, "--dry-run", "--fields"]
    assert main([*command, "boxes"]) == 0
    assert "not published, since without these fields: layer 'one', layer 'two' (--fields boxes,record" in told(capsys)
    assert main([*command, "boxes,record"]) == 0
    assert "not published" not in told(capsys)


def test_a_refusal_says_what_is_public_already(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(write(tmp_path / "d", "a"), "b", source="other")
    put(folder, Options(Choice(sources=("clips",))))
    for source in ("clips", "other"):
        path = folder / source / "receipts/source.json"
        stricter = {"licence": "Theirs (no redistribution)", "redistributable": False}
        path.write_text(json.dumps(json.loads(path.read_text()) | stricter))
    write_manifest(folder)
    command = ["publish", str(folder), "--repo", REPO]
    assert main(command) == 1
    assert f"{REPO} is public, and has clips from an earlier time" in told(capsys)
    assert main([*command, "--fields", "boxes"]) == 1
    assert "and has clips from an earlier time" in told(capsys)
    hub.repositories[KEY].private = True
    assert main(command) == 1
    assert "is public" not in told(capsys)


def test_no_tag_is_called_as_the_branch() -> None:
    for name in ("main", "HEAD"):
        with pytest.raises(UsageError, match=f"--tag {name}: is what is published last"):
            Options(tag=name)
