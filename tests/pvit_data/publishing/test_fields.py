"""Publishing some fields: shards without the others, sound, equal in what is left, and the same every time."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data.errors import LicenceError, StorageError, UsageError
from pvit_data.format.manifest import BaseRef, Manifest, SourceSpec, read_manifest
from pvit_data.format.members import FIELDS
from pvit_data.lineage.fields import lineage_of
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.fields import only_fields
from pvit_data.publishing.guard import Consent
from pvit_data.publishing.publish import Options, plan_files
from pvit_data.sample.rights import Rights
from pvit_data.storage.storage import Storage
from tests.hub_server import Hub
from tests.pvit_data.publishing.test_publish import contents
from tests.pvit_data.reading.test_layers import equal

THINGS = pvit_data.LabelSpace("things", ("ball", "cube"))
FILMS = SourceSpec(
    name="films",
    licence="films of others (no redistribution)",
    rights={name: Rights("CC-BY-4.0", "yes", "Ours.") for name in ("boxes", "record")},
    spaces={"boxes": THINGS, "segm": THINGS},
    encodings={"depth": "float32"},
    tasks=("depth", "boxes"),
)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos whose boxes may be passed on, and nothing else; one has none. Three shards, one of them of val."""
    folder = tmp_path_factory.mktemp("films") / "data"
    rng = np.random.default_rng(0)
    for split, numbers in (("train", range(5)), ("val", range(5, 7))):
        with pvit_data.ShardWriter(folder, FILMS, split, shard_bytes=20_000) as writer:
            for i in numbers:
                ids = {"frame": np.array([0, i % 2]), "class_id": np.array([0, 1])}
                writer.write(
                    pvit_data.Sample(
                        key=f"k{i}",
                        rgb=rng.integers(0, 255, (2, 32, 32, 3), np.uint8),
                        fps=10,
                        depth=np.full((2, 32, 32), 2.0, np.float32),
                        segm=np.full((2, 32, 32), i % 2, np.uint8),
                        boxes=pvit_data.Boxes(rng.uniform(0, 1, (2, 4)).cumsum(1) / 4, **ids) if i else None,
                        meta={"film": f"a cube, X{i}", "video_id": f"X{i}"},
                    )
                )
    return folder


@pytest.fixture
def annotations(films: Path) -> Iterator[Storage]:
    chosen = Choice(sources=("films",), fields=("boxes",))
    with only_fields(Storage(films), chosen, Consent()) as (storage, choice):
        assert choice == Choice()
        yield storage


def test_what_is_left_is_a_sound_dataset_with_the_same_annotations(films: Path, annotations: Storage) -> None:
    assert main(["validate", annotations.url]) == 0
    whole, left = pvit_data.open(films, source="films"), pvit_data.open(annotations.url)
    assert len(whole) == len(left) > 0
    for one, other in zip(whole, left, strict=True):
        assert (other.rgb, one.key, one.split, one.num_frames) == (None, other.key, other.split, other.num_frames)
        assert other.meta == {"video_id": one.meta["video_id"]}
        assert equal(one.boxes, other.boxes)
        assert [name for name in FIELDS if getattr(other, name) is not None] == ["boxes"] * (other.boxes is not None)
    entry = read_manifest(annotations).sources["films"]
    assert entry.fields == {"boxes"}
    pixels = sum(info.bytes for info in read_manifest(Storage(films)).sources["films"].splits.values())
    assert sum(info.bytes for info in entry.splits.values()) < pixels / 2
    assert (entry.spec.licence, entry.spec.redistributable) == ("CC-BY-4.0", True)
    assert {sample.licence for sample in left} == {"CC-BY-4.0"}
    assert (entry.spec.spaces, entry.spec.encodings, entry.spec.tasks) == ({"boxes": THINGS}, {}, ("boxes",))
    assert [shard.number for shard in entry.splits["train"].shards] == [
        shard.number for shard in read_manifest(Storage(films)).sources["films"].splits["train"].shards
    ]


def test_layers_over_what_is_left_are_under_the_pictures_that_are_gone(annotations: Storage, tmp_path: Path) -> None:
    spec = read_manifest(annotations).sources["films"].spec
    assert spec.rights["rgb"].public == "no"
    assert BaseRef.of(spec) == BaseRef(source="films", licence="films of others (no redistribution)")
    with pvit_data.ShardWriter(tmp_path, "depths", base=f"{annotations.url}#films") as writer:
        writer.write(pvit_data.Sample(key="k1", depth=np.ones((2, 32, 32), np.float32)))
    assert {line.public for line in lineage_of(read_manifest(Storage(tmp_path)))} == {"unknown"}


def test_what_was_confirmed_is_to_be_confirmed_again_by_who_has_the_rest(films: Path, tmp_path: Path) -> None:
    """A layer without a licence is not as pictures that nobody may pass on, with or without them beside it."""
    shutil.copytree(films, tmp_path / "films")
    with pvit_data.ShardWriter(tmp_path / "films", "later", base="films") as writer:
        for i in range(7):
            writer.write(pvit_data.Sample(key=f"k{i}", normal=np.zeros((2, 32, 32, 3), np.float32)))
    chosen, sure = Choice(fields=("boxes", "normal")), Consent(confirmed=("later",))
    with only_fields(Storage(tmp_path / "films"), chosen, sure) as (storage, choice):
        with pytest.raises(LicenceError, match="--rights-confirmed later"):
            plan_files(storage, "me/films", Options(choice))
        _, files = plan_files(storage, "me/films", Options(choice, sure))
    card = next(str(file.data, "utf-8") for file in files if file.name == "README.md" and file.data)
    assert "- later: whoever published this confirmed" in card
    assert "| later | record, normal | not stated | unknown |" in card


def test_fields_keep_their_own_licences(tmp_path: Path) -> None:
    rights = {"rgb": Rights("Q", "no", "Never."), "depth": Rights("R", "unknown", "Who knows?")}
    spec = SourceSpec(name="part", licence="P", redistributable=True, rights=rights)
    with pvit_data.ShardWriter(tmp_path, spec) as writer:
        rgb, depth = np.zeros((1, 16, 16, 3), np.uint8), np.ones((1, 16, 16), np.float32)
        writer.write(pvit_data.Sample(key="a", rgb=rgb, depth=depth))
    sure = Consent(confirmed=("part",))
    with only_fields(Storage(tmp_path), Choice(fields=("depth",)), sure) as (storage, _):
        found = {line.field: line for line in lineage_of(read_manifest(storage))}
        assert read_manifest(storage).sources["part"].spec.licence == "P; R"
    assert {name: (line.licence, line.public) for name, line in found.items()} == {
        "record": ("P", "yes"),
        "depth": ("R", "unknown"),
    }


def test_the_same_bytes_every_time(films: Path, annotations: Storage) -> None:
    assert annotations.root is not None
    first = contents(annotations.root)
    chosen = Choice(sources=("films",), fields=("boxes",))
    with only_fields(Storage(films), chosen, Consent()) as (again, _):
        assert again.root is not None
        assert contents(again.root) == first
    assert not again.root.exists()


def test_entries_that_may_repeat_a_label_stay_where_records_are_wanted(films: Path) -> None:
    with only_fields(Storage(films), Choice(fields=("boxes", "record")), Consent()) as (storage, _):
        whole = pvit_data.open(films)
        assert [sample.meta for sample in pvit_data.open(storage.url)] == [sample.meta for sample in whole]
    every = tuple(read_manifest(Storage(films)).sources["films"].fields)
    with only_fields(Storage(films), Choice(fields=every), Consent(private=True, accepted=True)) as (storage, _):
        assert [sample.meta for sample in pvit_data.open(storage.url)] == [sample.meta for sample in whole]


def test_layers_and_records_alone(dataset: Path) -> None:
    chosen = Choice(layers_only=True, fields=("boxes", "action"))
    with only_fields(Storage(dataset), chosen, Consent()) as (storage, _):
        assert main(["validate", storage.url]) == 0
        here = pvit_data.open(dataset, source="clips", layers=["later"])
        there = pvit_data.open(dataset, source="clips", layers=[f"{storage.url}#later"])
        assert all(equal(one.boxes, other.boxes) for one, other in zip(here, there, strict=True))
        assert any(one.segm is not None for one in here)
        assert not any(one.segm is not None for one in there)
        few = pvit_data.open(storage.url, source="few", base=dataset)
        assert [s.action for s in few] == [s.action for s in pvit_data.open(dataset, source="few")]
    with only_fields(Storage(dataset), Choice(sources=("clips",), fields=("record",)), Consent()) as (storage, _):
        assert [*pvit_data.open(storage.url).keys()] == [*pvit_data.open(dataset, source="clips").keys()]


def test_fields_that_may_not_be_published_are_refused_before_anything_is_written(films: Path) -> None:
    with (
        pytest.raises(LicenceError, match="--fields boxes"),
        only_fields(Storage(films), Choice(fields=("rgb", "boxes")), Consent()),
    ):
        pass
    with pytest.raises(UsageError, match=r"no field 'boxs' .*did you mean 'boxes'"):
        Choice(fields=("boxs",)).of(read_manifest(Storage(films)))


def test_a_full_folder_for_temporary_files_is_named(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Storage, wanted: Manifest, out: Storage, *__: object) -> None:
        raise StorageError(f"{out.where('films/train-00000.tar')}: the disk is full")

    monkeypatch.setattr("pvit_data.publishing.fields.write_fields", full)
    with (
        pytest.raises(StorageError, match=r"the disk is full\): set TMPDIR to a folder with more room"),
        only_fields(Storage(films), Choice(fields=("boxes",)), Consent()),
    ):
        pass


def test_the_command_publishes_them_and_nothing_else(hub: Hub, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["publish", str(films), "--repo", "me/boxes", "--sources", "films"]
    assert main(argv) != 0
    assert "publish what of it may be passed on (--sources films --fields boxes)" in capsys.readouterr().err
    assert main([*argv, "--fields", "boxes", "--dry-run"]) == 0
    assert "of what records say in meta, only" in capsys.readouterr().out
    assert main([*argv, "--fields", "boxes"]) == 0
    found = hub.repositories["dataset", "me/boxes"].files
    assert any(name.endswith(".tar") for name in found)
    assert not [name for name, data in found.items() if name.endswith(".tar") and b"rgb.mp4" in data]
    assert b"name: rgb.mp4" not in found["README.md"]
    assert b"| boxes (4) | CC-BY-4.0 | yes |" in found["README.md"]
    capsys.readouterr()
    assert main([*argv, "--fields", "boxes"]) == 0
    assert "nothing has changed" in capsys.readouterr().out


def test_what_nobody_knows_of_goes_with_a_word_and_without_what_is_forbidden(tmp_path: Path) -> None:
    unknown = Rights("unknown", "unknown", "Nobody says.")
    spec = FILMS.model_copy(update={"name": "dives", "rights": {"boxes": unknown, "record": unknown}})
    with pvit_data.ShardWriter(tmp_path, spec) as writer:
        rgb = np.zeros((1, 16, 16, 3), np.uint8)
        writer.write(pvit_data.Sample(key="a", rgb=rgb, boxes=pvit_data.Boxes(np.array([[0, 0, 1, 1]]))))
    chosen, sure = Choice(fields=("boxes",)), Consent(confirmed=("dives",))
    with (
        pytest.raises(LicenceError, match="--rights-confirmed dives"),
        only_fields(Storage(tmp_path), chosen, Consent()),
    ):
        pass
    with pytest.raises(LicenceError, match="rgb: its licence forbids it"):
        plan_files(Storage(tmp_path), "me/dives", Options(consent=sure))
    with only_fields(Storage(tmp_path), chosen, sure) as (storage, choice):
        manifest, files = plan_files(storage, "me/dives", Options(choice, sure))
    assert (manifest.sources["dives"].spec.licence, manifest.sources["dives"].spec.redistributable) == (
        "unknown",
        False,
    )
    card = next(str(file.data, "utf-8") for file in files if file.name == "README.md" and file.data)
    said = "dives: whoever published this confirmed to have the right to pass it on (licence: unknown)."
    assert f"- {said}" in card
    described = next(file.data for file in files if file.name == "croissant.json")
    assert described is not None
    policies = [f["usageInfo"] for r in json.loads(described)["recordSet"] for f in r["field"]]
    assert all("odrl:permission" in policy and said in policy["description"] for policy in policies)
