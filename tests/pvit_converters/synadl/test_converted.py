"""Simulated SynADL, converted and read back: joints, camera and pixels against the exact truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job, convert
from pvit_converters.simulate import simulate
from pvit_converters.synadl import SynadlConverter, SynadlOptions
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.sample import Sample

Folders = tuple[Path, Path, Path]
AT = NAMES.index


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    base = tmp_path_factory.mktemp("synadl")
    raw, truth, out = base / "raw", base / "truth", base / "out"
    simulate("synadl", raw, samples=12, seed=1, preset="tiny", frames=4, truth=truth)
    report = convert(Job(SynadlConverter, raw, str(out), SynadlOptions(), Settings(holdout=0)))
    assert report.failed == {}
    assert report.warnings == {"no-skeleton": 1, "several-people": 4, "lengths-of-video-and-skeleton-differ": 1}
    return raw, truth, out


def pairs(folders: Folders) -> list[tuple[Any, Any]]:
    found = [(s, np.load(folders[1] / f"{s.meta['stem']}.npz")) for s in pvit_data.open(str(folders[2]))]
    assert len(found) == 12
    return found


def miss(sample: Sample, want: np.ndarray) -> np.ndarray:
    assert sample.pose3d is not None
    return np.linalg.norm(sample.pose3d - want[: len(sample.pose3d)], axis=-1)


def test_joints_of_kinect_files(folders: Folders) -> None:
    without = occluded = 0
    for sample, exact in pairs(folders):
        if sample.pose3d is None:
            without += 1
            assert not (folders[0] / f"Kinect/3DJ/{sample.meta['stem']}.json").exists()
            continue
        valid, score = sample.pose3d_valid, exact["kinect_score"]
        there = np.ones(valid.shape, bool)
        if sample.meta["stem"] == stem_of(folders, 4):
            there[1] = False  # a frame without a skeleton
            there[2, 0, 7] = False  # a joint that is not a number
            score = np.ones_like(score)  # these files carry no scores
        assert (miss(sample, exact["kinect"])[there] < 0.001).all(), "occluded joints keep their place"
        assert ((valid == 2) == (there & score)).all()
        occluded += int((valid == 0).sum())
        assert sample.meta["joint_source"] == "kinect"
        assert sample.meta["joint_misfit"] < 0.1
        assert np.abs(sample.meta["translation"]).max() > 0.01
    assert without == 1
    assert occluded > 10


def stem_of(folders: Folders, number: int) -> str:
    """Trap clips are numbered in the order of writing: two cameras of every recording."""
    from pvit_converters.simulate.synadl import ACTIONS, CAMERAS

    recording, camera = divmod(number, 2)
    action = ACTIONS[recording % len(ACTIONS)]
    return next(p.stem for p in folders[1].glob(f"A{action:03d}_*_C{CAMERAS[camera]:03d}.npz"))


def test_stored_joints_project_to_the_true_pixels(folders: Folders) -> None:
    for sample, exact in pairs(folders):
        if sample.pose3d is None:
            continue
        k = sample.camera.K[0]
        assert k.tolist() == [[320, 0, 320], [0, 320, 180], [0, 0, 1]]
        ok = (sample.pose3d_valid == 2) & (sample.pose3d[..., 2] > 0.3)
        points = sample.pose3d[ok] @ k.T
        want = exact["kinect_2d"][: len(ok)][ok]
        assert np.abs(points[:, :2] / points[:, 2:] - want).max() < 1.5
        assert np.abs(sample.pose2d[ok] - want).max() < 0.01


def test_frames_and_pairing(folders: Folders) -> None:
    lengths = []
    for sample, _ in pairs(folders):
        lengths.append(len(sample.rgb))
        assert sample.rgb.shape[1:] == (360, 640, 3)
        assert sample.fps == 20.0
        if sample.pose3d is not None:
            assert sample.frames_of("pose3d").tolist() == [0, 1, 2, 3]
    assert sorted(lengths) == [4] * 11 + [5]


def test_labels_and_declaration(folders: Folders) -> None:
    dataset = pvit_data.open(str(folders[2]))
    space = dataset.sources["synadl"].spaces["action"]
    assert len(space.classes) == 55
    groups: dict[str, int] = {}
    for sample in dataset:
        assert sample.action == int(sample.meta["stem"][1:4]) - 1
        assert sample.key == f"synadl-{sample.meta['stem'].lower()}"
        groups[sample.group] = groups.get(sample.group, 0) + 1
    assert set(groups.values()) == {2}, "cameras of a recording stay together"
    notes = "\n".join(dataset.sources["synadl"].notes)
    assert "y-up taken" in notes
    assert "check of Kinect's joint order on 11 clips" in notes
    assert [s.meta["suffix"] for s in dataset if s.meta["suffix"]] == ["_rgb"]


@pytest.mark.parametrize("kinect", [True, False])
def test_openpose_where_kinect_is_not_there_or_not_wanted(folders: Folders, tmp_path: Path, kinect: bool) -> None:
    raw, options = folders[0], SynadlOptions(joints="openpose")
    truth = folders[1]
    if not kinect:
        raw, truth, options = tmp_path / "raw", tmp_path / "truth", SynadlOptions()
        simulate("synadl", raw, samples=2, preset="tiny", frames=4, kinect=False, truth=truth)
    converter = SynadlConverter(raw, options)
    checked = 0
    for item in converter.list_items().items:
        sample = converter.load(item)
        exact = np.load(truth / f"{sample.meta['stem']}.npz")
        if sample.pose3d is None or sample.meta["stem"] in (stem_of(folders, 4) if kinect else ""):
            continue
        assert sample.meta["joint_source"] == "openpose"
        valid = sample.pose3d_valid
        assert not valid[:, :, [7, 11, 21, 22, 23, 24]].any(), "OpenPose has no hands"
        exact_joints = valid == 2
        assert miss(sample, exact["kinect"])[exact_joints].max() < 0.001
        head = exact["body25"][:, :, [17, 18]].mean(2)
        shown = exact["body25_score"][:, :, [17, 18]].all(2)  # one ear alone stands for the head
        assert np.linalg.norm(sample.pose3d[:, :, AT("Head")] - head, axis=-1)[shown].max() < 0.001
        checked += 1
    assert checked >= (9 if kinect else 1)


def test_without_recentring_the_raw_place_is_kept(folders: Folders) -> None:
    converter = SynadlConverter(folders[0], SynadlOptions(recenter="none"))
    item = next(i for i in converter.list_items().items if i.ref["stem"] == stem_of(folders, 0))
    sample, exact = converter.load(item), np.load(folders[1] / f"{item.ref['stem']}.npz")["kinect"]
    assert "joints-not-recentred" in sample.meta["warnings"]
    assert sample.camera is None
    away = sample.pose3d - exact
    assert np.abs(away).max() > 0.01
    assert np.ptp(away, axis=(0, 1, 2)).max() < 1e-4, "one translation for the whole file"
