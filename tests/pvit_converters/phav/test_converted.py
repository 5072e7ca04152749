"""Simulated PHAV, converted and read back from shards: depth, classes, boxes and frames against the exact truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.phav import PHAV63, PhavConverter, PhavOptions
from pvit_converters.simulate import simulate

Folders = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    base = tmp_path_factory.mktemp("phav")
    raw, truth, out = base / "raw", base / "truth", base / "out"
    simulate("phav", raw, samples=7, seed=3, preset="tiny", truth=truth)
    report = convert(Job(PhavConverter, raw, str(out), PhavOptions(), Settings(holdout=0)))
    assert report.failed == {}
    assert any("1 folder names do not parse" in note for note in report.notes)
    assert any("1 taken" in note for note in report.notes), "map i belongs to RGB i + 1"
    assert report.warnings["unknown colour; --label-map line: extra_colors: {Misc: [[38, 115, 71]]}"] == 1
    assert report.warnings["some-frames-without-depth"] == 1
    return raw, truth, out


def pairs(folders: Folders) -> list[tuple[Any, Any]]:
    _, truth, out = folders
    found = []
    for sample in pvit_data.open(str(out)):
        path = truth / sample.meta["action_folder"] / f"{sample.meta['name']}.npz"
        found.append((sample, np.load(path)))
    assert len(found) == 7
    return found


def test_depth_in_metres_at_the_right_frames(folders: Folders) -> None:
    without = 0
    for sample, exact in pairs(folders):
        without += sample.depth is None
        assert (sample.depth is not None) == bool(exact["has_depth"])
        if sample.depth is None:
            continue
        assert sample.frames_of("depth").tolist() == exact["frames"].tolist()
        valid = exact["depth"] > 0
        assert ((sample.depth > 0) == valid).all()
        error = np.abs(sample.depth - exact["depth"])[valid]
        assert (error <= 0.00501 + 0.001 * exact["depth"][valid]).all()
    assert without == 1


def test_classes(folders: Folders) -> None:
    unknown = 0
    for sample, exact in pairs(folders):
        assert sample.frames_of("segm").tolist() == exact["frames"].tolist()
        assert (sample.segm == exact["segm"]).all()
        unknown += int((sample.segm == 255).sum())
    assert unknown > 50


def test_boxes_of_instances(folders: Folders) -> None:
    persons = things = 0
    for sample, exact in pairs(folders):
        height, width = exact["segm"].shape[1:]
        want = {}
        for frame, ids in zip(exact["frames"].tolist(), exact["instance"], strict=True):
            for instance in np.unique(ids[ids >= 0]):
                rows, columns = np.nonzero(ids == instance)
                if len(rows) >= 25:
                    want[frame, int(instance)] = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        boxes = sample.boxes
        places = zip(boxes.frame.tolist(), boxes.track.tolist(), strict=True)
        got = dict(zip(places, boxes.xyxy * [width, height, width, height], strict=True))
        assert got.keys() == want.keys()
        for key, corners in want.items():
            np.testing.assert_allclose(got[key], corners, atol=1e-3)
        for track, class_id, role in zip(boxes.track, boxes.class_id, boxes.role, strict=True):
            assert (PHAV63.classes[class_id], role) == (("Human", 3) if track < 2 else ("Ball", 0))
            persons, things = persons + (track < 2), things + (track == 2)
    assert persons > 20
    assert things > 0


def test_pictures_actions_names(folders: Folders) -> None:
    for sample, exact in pairs(folders):
        assert sample.rgb.shape == (6, 48, 64, 3)
        assert (sample.fps, sample.action) == (30.0, int(exact["action"]))
        if sample.meta["name_parsed"]:
            assert sample.key == f"phav-{sample.meta['name'][-32:]}"
            assert sample.meta["camera"] == "Kite"
        else:
            assert sample.meta["name"] == "take_4 (copy)"
    spec = pvit_data.open(str(folders[2])).sources["phav"]
    assert (spec.redistributable, spec.tasks) == (False, ("depth", "segm"))
    assert any("1 taken" in note for note in spec.notes), "what was decided stands in the manifest"


@pytest.mark.parametrize(("numbering", "offset", "frames"), [("equal", 0, [0, 1, 2]), ("zero", 0, [0, 1, 2])])
def test_other_numberings(tmp_path: Path, numbering: str, offset: int, frames: list[int]) -> None:
    simulate("phav", tmp_path / "raw", samples=2, preset="tiny", frames=4, numbering=numbering, truth=tmp_path / "t")
    converter = PhavConverter(tmp_path / "raw", PhavOptions())
    for item in converter.list_items().items:
        sample = converter.load(item)
        assert sample.meta["index_offset"] == offset
        assert sample.frames["segm"].tolist() == frames
        exact = np.load(tmp_path / "t" / sample.meta["action_folder"] / f"{sample.meta['name']}.npz")
        assert exact["frames"].tolist() == frames
        assert (sample.segm == exact["segm"]).all()


def test_centimetres_can_be_stored_exactly(folders: Folders, tmp_path: Path) -> None:
    settings = Settings(holdout=0, limit=3, encodings={"depth": "uint16:0.01"})
    report = convert(Job(PhavConverter, folders[0], str(tmp_path / "out"), PhavOptions(), settings))
    assert report.failed == {}
    for sample in pvit_data.open(str(tmp_path / "out")):
        path = folders[1] / sample.meta["action_folder"] / f"{sample.meta['name']}.npz"
        exact = np.load(path)
        if sample.depth is not None:
            assert np.abs(sample.depth - exact["depth"])[exact["depth"] > 0].max() <= 0.00501
