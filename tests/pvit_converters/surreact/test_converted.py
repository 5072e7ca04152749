"""Simulated SURREACT, converted and read back: maps, joints, camera and lengths against the exact truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pvit_data
from pvit_converters.engine.run import Job, convert
from pvit_converters.simulate import simulate
from pvit_converters.surreact import SurreactConverter, SurreactOptions
from pvit_data.sample.kinect25 import FLIP, NAMES

Folders = tuple[Path, Path, Path]
AT = NAMES.index


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    base = tmp_path_factory.mktemp("surreact")
    raw, truth, out = base / "raw", base / "truth", base / "out"
    simulate("surreact", raw, samples=20, seed=2, preset="tiny", truth=truth, maps=True, skeletons=True)
    report = convert(Job(SurreactConverter, raw, str(out), SurreactOptions()))
    assert report.failed == {}
    assert report.warnings == {"frames-without-joints": 4, "lengths-of-files-differ": 5}
    return raw, truth, out


def pairs(folders: Folders) -> list[tuple[Any, Any]]:
    _, truth, out = folders
    found = []
    for sample in pvit_data.open(str(out)):
        stem = f"{sample.meta['sequence']}_v{sample.meta['view']:03d}_r00"
        found.append((sample, np.load(truth / sample.meta["set"] / sample.meta["split"] / f"{stem}.npz")))
    assert len(found) == 20
    return found


def test_lengths_are_those_that_all_files_share(folders: Folders) -> None:
    for sample, exact in pairs(folders):
        length = int(exact["length"])
        assert sample.meta["annotated_frames"] == length
        assert len(sample.rgb) == 6
        for name in ("pose3d", "depth", "normal"):
            assert sample.frames_of(name).tolist() == list(range(length))
        if sample.segm is not None:
            assert sample.frames_of("segm").tolist() == list(range(length))


def test_parts_depth_and_normals(folders: Folders) -> None:
    without = 0
    for sample, exact in pairs(folders):
        without += sample.segm is None
        if sample.segm is not None:
            assert (sample.segm == exact["segm"]).all()
        there = exact["depth"] > 0
        assert ((sample.depth > 0) == there).all()
        assert (np.abs(sample.depth - exact["depth"])[there] <= 0.001 * exact["depth"][there]).all()
        want, got = exact["normal"][there], sample.normal[there]
        angle = np.degrees(np.arctan2(np.linalg.norm(np.cross(want, got), axis=-1), (want * got).sum(-1)))
        assert angle.max() < 0.5
    assert without == 5


def test_joints_camera_and_pixels(folders: Folders) -> None:
    absent = 0
    for sample, exact in pairs(folders):
        valid = sample.pose3d_valid
        there = ~exact["joints_absent"]
        absent += int((~there).sum())
        assert (valid.any((1, 2)) == there).all()
        people = exact["kinect"].shape[1]
        assert sample.pose3d.shape == (len(there), people, 25, 3)
        miss = np.linalg.norm(sample.pose3d - exact["kinect"], axis=-1)
        assert miss[valid == 2].max() < 0.001
        assert miss[valid == 1].max() < 0.005, "the simulated body is built like the mapping assumes"
        assert (valid[there][:, :, [AT("ThumbLeft"), AT("ThumbRight")]] == 0).all()
        assert (valid[there] == 2).sum() == there.sum() * people * 18
        k, pose = sample.camera.K[0], sample.camera.world_from_camera[0]
        np.testing.assert_allclose(k, exact["K"], atol=1e-4)
        np.testing.assert_allclose(pose, exact["world_from_camera"], atol=1e-5)
        assert sample.camera.up == "-z"
        flat = np.einsum("ij,tpkj->tpki", k, sample.pose3d)
        exact2d = np.einsum("ij,tpkj->tpki", exact["K"], exact["kinect"])
        ok = valid == 2
        projected, truth2d = (a[ok][:, :2] / a[ok][:, 2:] for a in (flat, exact2d))
        assert np.abs(projected - truth2d).max() < 1.5
        assert np.abs(sample.pose2d[ok] - projected).max() < 0.05
    assert absent == 4


def test_labels_groups_and_declaration(folders: Folders) -> None:
    dataset = pvit_data.open(str(folders[2]))
    groups: dict[str, set[int]] = {}
    for sample in dataset:
        groups.setdefault(sample.group, set()).add(sample.meta["view"])
        name = dataset.sources["surreact"].spaces["action"].classes[sample.action]
        assert name.startswith(sample.meta["action_label"].split(":")[0])
        assert sample.split == sample.meta["split"]
    assert all(len(views) == 2 for views in groups.values())
    spec = dataset.sources["surreact"]
    assert (spec.redistributable, spec.tasks) == (False, ("depth", "segm", "pose3d"))
    notes = "\n".join(spec.notes)
    for name in ("ntu/vibe", "ntu/hmmr", "uestc/hmmr", "uestc/vibe"):
        assert f"check of {name}" in notes
        assert f"{name}: depth is planar" in notes
    assert "joints2D from the bottom" in notes
    assert "ntu/vibe/train: 4 of the 105,162 published videos are here" in notes


@pytest.mark.parametrize(("kind", "rows", "zrot"), [("distance", "top", "view"), ("planar", "bottom", "view")])
def test_other_variants_are_recognised(tmp_path: Path, kind: str, rows: str, zrot: str) -> None:
    simulate("surreact", tmp_path / "raw", samples=4, seed=4, preset="tiny", frames=4, truth=tmp_path / "truth",
             maps=True, depth_kind=kind, joints2d=rows, zrot=zrot, sets=("ntu/vibe",))  # fmt: skip
    converter = SurreactConverter(tmp_path / "raw", SurreactOptions())
    listing = converter.list_items()
    assert any(f"joints2D from the {rows}" in note for note in listing.notes)
    for item in listing.items:
        sample = converter.load(item)
        exact = np.load(next((tmp_path / "truth").rglob(f"{sample.meta['sequence']}_v{sample.meta['view']:03d}*.npz")))
        there = exact["depth"] > 0
        np.testing.assert_allclose(sample.depth[there], exact["depth"][there], rtol=1e-5)
        assert not sample.depth[~there].any()
        assert sample.pose3d_valid is not None


def test_original_recordings_replace_the_front_view(folders: Folders) -> None:
    raw, truth, _ = folders
    converter = SurreactConverter(raw, SurreactOptions(skeletons=raw / "skeletons"))
    front = 0
    for item in converter.list_items().items:
        sample = converter.load(item)
        if item.ref["view"] != 0:
            assert sample.meta["joint_source"] == "smpl"
            continue
        stem = f"{item.ref['sequence']}_v000_r00"
        exact = np.load(truth / sample.meta["set"] / item.split / f"{stem}.npz")["kinect"]
        assert sample.meta["joint_source"] == "kinect"
        assert np.linalg.norm(sample.pose3d - exact, axis=-1).max() < 0.001
        assert np.linalg.norm(sample.pose3d[:, :, list(FLIP)] - exact, axis=-1).max() > 0.05
        assert (sample.pose3d_valid == 2).all(), "thumbs and hand tips as well"
        front += 1
    assert front == 5
