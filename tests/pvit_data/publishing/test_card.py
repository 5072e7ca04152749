"""The published card: what `datasets` reads of it, what it shows, and that it shows nothing that is not published."""

import io
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import pvit_data
from pvit_data.format.manifest import FileInfo, Manifest, SourceEntry, SourceSpec, SplitInfo, read_manifest
from pvit_data.format.names import GALLERY, PICTURE
from pvit_data.publishing.card import FIRST, LAST, lost_words, published_card
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.connection import connected
from pvit_data.publishing.describing.preview import Wanted, look
from pvit_data.publishing.publish import Options, plan_publication
from pvit_data.publishing.repository import Repository
from pvit_data.storage.storage import Storage
from pvit_data.writing.card import features
from tests.hub_server import REPO, Hub
from tests.pvit_data.publishing.test_publish import KEY, put


def head_of(card: bytes) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.decode().split("---\n")[1])
    return found


def test_datasets_reads_the_declared_features_and_every_sample(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    """Of the folder as it is on the Hub, with the picture and the description beside the shards."""
    put(dataset)
    folder = tmp_path / "published"
    for name, data in hub.repositories[KEY].files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    manifest = read_manifest(Storage(dataset))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of datasets' own dependencies
        import datasets

        for entry in (manifest.sources["clips"], manifest.layers["later"]):
            cache = str(tmp_path / "cache")
            builder = datasets.load_dataset_builder(str(folder), entry.spec.name, cache_dir=cache)
            declared = datasets.Features._from_yaml_list(features(entry))
            assert builder.info.features == declared
            assert {"__key__", "json"} < declared.keys()
            loaded = datasets.load_dataset(str(folder), entry.spec.name, streaming=True, cache_dir=cache)
            for split, info in entry.splits.items():
                rows = [*loaded[split]]
                assert len(rows) == info.samples
                assert all(row.keys() == declared.keys() for row in rows)


@pytest.mark.parametrize(
    ("choice", "layers"),
    [(Choice(), 2), (Choice(layers=("later",)), 1), (Choice(layers_only=True), 2), (Choice(layers=("few",)), 1)],
    ids=["all", "annotations", "layers", "protocol"],
)
def test_the_lines_that_load_it_run_as_they_stand(
    hub: Hub, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: Choice, layers: int
) -> None:
    """Layers without their base are opened over the reader's own, here `data`."""
    put(dataset, Options(choice))
    copy = tmp_path / "copy"
    for name, data in hub.repositories[KEY].files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(data)
    card = (copy / "README.md").read_text()
    monkeypatch.chdir(copy)
    (copy / "data").symlink_to(dataset)
    warnings.simplefilter("ignore")  # of datasets' own dependencies
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == (2 if choice.layers == ("few",) else 3)
    for block in blocks:
        found: dict[str, Any] = {}
        exec(block.replace('load_dataset("me/mine"', f'load_dataset("{copy}"'), found)
        assert next(iter(found["ds"])) is not None
    lines = re.findall(r"`(pvit_data\.open\(.*?\))`", card)
    assert len(lines) == layers
    for line in lines:
        assert len(eval(line, {"pvit_data": pvit_data, "BASE": str(dataset)})) > 0
    tables = re.findall(r"`(load_dataset\(.*?\}\))`", card)
    assert len(tables) == (choice.layers != ("later",))
    assert all("hf://datasets/me/mine/layers/few/index/" in line for line in tables)
    assert ("`BASE` is your own folder or URL of shards with clips." in card) == (choice != Choice())


OURS = "what the owner wrote"


@pytest.mark.parametrize(
    ("old", "new", "stays", "is_told"),
    [
        (FIRST, f"{FIRST}\n{OURS}", True, False),
        (LAST, f"{OURS}\n\n## Conventions\n\nMine.\n{LAST}", True, False),
        (LAST, f"{LAST}\n{OURS}", False, True),
        ("## Conventions", f"{OURS}\n## Conventions", False, True),
        ("tags:", f"pretty: {OURS}\ntags:", False, True),
        (LAST, OURS, False, True),
        ("-->\n", f"-->\n{OURS}\n", False, True),  # at the end
    ],
)
def test_own_words_stay_and_the_loss_of_others_is_told(old: str, new: str, stays: bool, is_told: bool) -> None:
    """Whatever line ends the editor of the Hub gives them."""
    spec = SourceSpec(name="clips", licence="CC0-1.0", redistributable=True)
    info = SplitInfo(samples=0, frames=0, bytes=0, fields={}, members=[], index=FileInfo(bytes=1, sha256=""), shards=[])
    found = Manifest(sources={"clips": SourceEntry(spec=spec, splits={"train": info})}, checksum="").sealed()
    first = published_card(found, "me/mine", []).decode()
    assert lost_words(first, "c0ffee") == ()
    edited = new.join(first.rsplit(old, 1))
    assert edited != first
    for card in (edited, edited.replace("\n", "\r\n")):
        again = published_card(found, "me/mine", [], card).decode()
        assert (OURS in again) == stays
        assert bool(lost_words(card, "c0ffee")) == is_told
        assert again.count("## Conventions") == 1 + again.count("Mine.")
        assert published_card(found, "me/mine", [], again).decode() == again
        assert lost_words(again, "c0ffee") == ()
    assert lost_words("# A card of somebody's\n", "c0ffee")


def test_a_plan_tells_what_is_written_over(hub: Hub, dataset: Path) -> None:
    put(dataset)
    files = dict(hub.repositories[KEY].files)
    files["README.md"] += b"More.\n"
    commit = hub.push(files)
    with connected() as connection:
        plan = plan_publication(Storage(dataset), Repository(connection, REPO), Options())
    assert [file.name for file in plan.send] == ["README.md"]
    assert plan.notes == (
        "README.md there has other words outside of the section for your own: it is written anew; "
        f"what it was stays in commit {commit[:10]}",
    )


def test_the_head_says_what_it_is_for_and_how_large(hub: Hub, dataset: Path) -> None:
    put(dataset)
    head = head_of(hub.repositories[KEY].files["README.md"])
    assert head["license"] == "cc0-1.0"
    given = {field for e in read_manifest(Storage(dataset)).entries.values() for field in e.fields}
    named = {"action": "video-classification", "depth": "depth-estimation", "segm": "image-segmentation"}
    named |= {"boxes": "object-detection", "pose3d": "keypoint-detection"}
    assert head["task_categories"] == [task for field, task in named.items() if field in given]
    assert {"action", "segm", "boxes"} < given
    assert head["size_categories"] == ["n<1K"]
    assert "license_name" not in head
    with pvit_data.ShardWriter(tmp := dataset.parent / "other", "mine", licence="Mine", redistributable=True) as writer:
        writer.write(pvit_data.Sample(key="a", num_frames=1))
    put(tmp, repo="me/other")
    head = head_of(hub.repositories["dataset", "me/other"].files["README.md"])
    assert (head["license"], head["license_name"], head["license_link"]) == ("other", "mine", "README.md")
    assert "task_categories" not in head
    shutil.rmtree(tmp)


def test_the_card_shows_numbers_lineage_and_a_picture(hub: Hub, dataset: Path) -> None:
    put(dataset)
    files = hub.repositories[KEY].files
    card = files["README.md"].decode()
    groups = {split: len(set(pvit_data.open(dataset, "clips", split).column("group"))) for split in ("train", "val")}
    for split, number in groups.items():
        assert f"| clips | {split} | {number} | 0.00 |" in card
    assert "\n- clips, action (" in card
    lines = [line for line in card.splitlines() if line.startswith("| later | record")]
    assert len(lines) == 1
    assert "| CC0-1.0 | yes |" in lines[0]
    assert "from the pictures of clips" in lines[0]
    assert "![Samples with their annotations](preview.jpg)" in card
    assert Image.open(io.BytesIO(files["preview.jpg"])).size[0] > 100


def test_no_picture_of_what_is_not_published(hub: Hub, tmp_path: Path) -> None:
    """Red pictures of one source, blue ones of another; what is left of an earlier picture goes with the rest."""
    free = {"licence": "CC0-1.0", "redistributable": True}
    for name, colour in (("red", (250, 0, 0)), ("blue", (0, 0, 250))):
        with pvit_data.ShardWriter(tmp_path / "d", name, **free) as writer:
            rgb = np.broadcast_to(np.array(colour, np.uint8), (1, 64, 64, 3))
            writer.write(pvit_data.Sample(key=name, rgb=rgb, depth=np.ones((1, 64, 64), np.float32)))

    def colours() -> tuple[bool, bool]:
        data = np.array(Image.open(io.BytesIO(hub.repositories[KEY].files["preview.jpg"]))).astype(int)
        red, green, blue = data[..., 0], data[..., 1], data[..., 2]
        return bool(((red - blue > 200) & (green < 40)).sum() > 999), bool(
            ((blue - red > 200) & (green < 40)).sum() > 999
        )

    put(tmp_path / "d")
    assert colours() == (True, True)
    put(tmp_path / "d", Options(Choice(sources=("red",)), delete_missing=True))
    assert colours() == (True, False)
    with pvit_data.ShardWriter(tmp_path / "e", "plain", **free) as writer:
        writer.write(pvit_data.Sample(key="p", num_frames=1))
    done = put(tmp_path / "e")
    assert done.left > 0
    put(tmp_path / "e", Options(delete_missing=True))
    assert "preview.jpg" not in hub.repositories[KEY].files
    assert "preview.jpg" not in hub.repositories[KEY].files["README.md"].decode()


def test_no_shard_is_opened_where_there_is_a_picture_already(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest(Storage(dataset))
    monkeypatch.setattr("pvit_data.publishing.describing.preview._picture", None)
    monkeypatch.setattr("pvit_data.publishing.describing.preview._gallery", None)
    both = [PICTURE, GALLERY]
    assert look(Storage(dataset), manifest, both, Wanted(True, 3)).names == {*both}
    assert look(Storage(dataset), manifest, [], Wanted(False, 0)).names == set()


def test_a_gallery_is_published_where_it_is_wanted(hub: Hub, dataset: Path) -> None:
    put(dataset)
    assert GALLERY not in hub.repositories[KEY].files
    assert put(dataset, Options(gallery=2)).is_new
    files = hub.repositories[KEY].files
    assert files[GALLERY].startswith(b"<!doctype html>")
    assert f"]({GALLERY})" in files["README.md"].decode()
    assert not put(dataset).is_new  # it stays, and is not made again
    put(dataset, Options(Choice(layers_only=True), delete_missing=True))
    assert not {PICTURE, GALLERY} & hub.repositories[KEY].files.keys()
