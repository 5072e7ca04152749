"""SynADL's units, axes, joint orders and pitfalls (spec synadl), on small trees written by hand."""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.engine.preview import preview
from pvit_converters.engine.run import Job
from pvit_converters.raw.zips import members, read_place
from pvit_converters.simulate.files.video import encode
from pvit_converters.synadl import SynadlConverter, SynadlOptions
from pvit_converters.synadl import geometry as geo
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.kinect25 import FLIP, NAMES
from pvit_data.sample.sample import Sample

# ---- a body, written by hand -----------------------------------------------------------------------------------

BODY = np.array([
    [0, 0, 0], [0, -0.3, 0], [0, -0.56, 0], [0, -0.7, 0.02], [0.18, -0.5, 0], [0.22, -0.22, 0.05], [0.24, 0, -0.02],
    [0.25, 0.05, -0.05], [-0.18, -0.5, 0], [-0.22, -0.22, 0.05], [-0.24, 0, -0.02], [-0.25, 0.05, -0.05],
    [0.09, 0.02, 0], [0.1, 0.42, 0.02], [0.1, 0.82, 0.05], [0.1, 0.88, -0.1], [-0.09, 0.02, 0], [-0.1, 0.42, 0.02],
    [-0.1, 0.82, 0.05], [-0.1, 0.88, -0.1], [0, -0.5, 0], [0.25, 0.1, -0.08], [0.21, 0.06, -0.05], [-0.25, 0.1, -0.08],
    [-0.21, 0.06, -0.05],
])  # fmt: skip
"""Kinect order, metres, camera axes about the pelvis; the person looks at the camera, so its left is at x > 0."""

FROM_KINECT = [3, 20, 8, 9, 10, 4, 5, 6, 0, 16, 17, 18, 12, 13, 14, 3, 3, 3, 3, 15, 15, 14, 19, 19, 18]
"""For each BODY_25 joint a Kinect joint in (about) the same place."""

SHIFT = np.array([0.3, -0.2, 0.5])


def walk(frames: int) -> np.ndarray:
    """Joints (T,1,25,3) of the body turning and walking, in metres before the camera."""
    angle = np.linspace(0, 0.6, frames)
    turn = np.stack([np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) for a in angle])
    return (
        np.einsum("tij,kj->tki", turn, BODY)[:, None]
        + np.linspace([-0.5, 0.1, 2.5], [0.5, 0.1, 3.0], frames)[:, None, None]
    )


def pixels(joints: np.ndarray) -> np.ndarray:
    out: np.ndarray = 320 * joints[..., :2] / joints[..., 2:] + [320, 180]
    return out


def dump(
    path: Path, values: np.ndarray, first: int = 0, step: int = 1, change: Callable[[Any], None] | None = None
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = [
        {
            "frame_index": first + step * t,
            "skeleton": [{"pose": p.ravel().tolist(), "score": [1.0] * 25} for p in people],
        }
        for t, people in enumerate(values)
    ]
    if change is not None:
        change(frames)
    path.write_text(json.dumps({"data": frames}), encoding="utf-8")


VIDEO = encode(np.full((6, 36, 64, 3), 90, np.uint8), 20, "avi")


def make(root: Path, stem: str = "A016_P101_G001_C001", frames: int = 6, **files: Any) -> np.ndarray:
    """One clip with all four skeleton files; `files` replaces how a kind is written. Returns the true joints."""
    joints = walk(frames)
    stored = (joints - SHIFT) * [100, -100, 100]
    body25 = stored[:, :, FROM_KINECT]
    (root / "RGB").mkdir(parents=True, exist_ok=True)
    (root / f"RGB/{stem}.avi").write_bytes(VIDEO)
    values = {
        "Kinect/3DJ": stored, "Kinect/2DJ": pixels(joints), "Openpose/3DJ": body25,
        "Openpose/2DJ": pixels(joints[:, :, FROM_KINECT]),
    }  # fmt: skip
    for folder, array in values.items():
        options = files.get(folder.replace("/", ""), {})
        if options is not None:
            dump(root / folder / f"{stem}.json", options.pop("array", array), **options)
    return joints


def load(root: Path, **options: Any) -> Sample:
    converter = SynadlConverter(root, SynadlOptions(**options))
    return converter.load(converter.list_items().items[0])


def notes(root: Path, **options: Any) -> str:
    return "\n".join(SynadlConverter(root, SynadlOptions(**options)).list_items().notes)


def test_the_hand_made_tree(tmp_path: Path) -> None:
    joints = make(tmp_path)
    sample = load(tmp_path)
    assert sample.pose3d is not None
    assert sample.pose2d is not None
    np.testing.assert_allclose(sample.pose3d, joints, atol=1e-4)
    assert (sample.pose3d_valid == 2).all()
    np.testing.assert_allclose(sample.meta["translation"], SHIFT, atol=1e-5)
    scale = np.array([64 / 640, 36 / 360])
    np.testing.assert_allclose(sample.pose2d, pixels(joints) * scale, atol=1e-3)
    assert sample.camera is not None
    assert sample.camera.K[0].tolist() == [[32, 0, 32], [0, 32, 18], [0, 0, 1]], "the camera of the video's own size"


def test_least_squares_finds_the_translation_of_the_published_equations() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, (20, 1, 25, 3)) + np.array([0, 0, 4])
    found = geo.find_shift(true - SHIFT, pixels(true), np.ones((20, 1, 25), bool))
    np.testing.assert_allclose(found.vector, SHIFT, atol=1e-9)
    assert found.misfit < 1e-6
    assert np.isnan(geo.find_shift(true, pixels(true), np.zeros((20, 1, 25), bool)).misfit)


def test_scores_nan_and_huge_numbers_mask_joints(tmp_path: Path) -> None:
    def spoil(frames: Any) -> None:
        frames[0]["skeleton"][0]["score"][5] = 0
        frames[1]["skeleton"][0]["pose"][3 * 6] = float("nan")
        frames[2]["skeleton"][0]["pose"][3 * 7] = 1e30
        frames[3]["skeleton"] = []
        frames[4]["skeleton"][0]["score"][5] = 0.7

    joints = make(tmp_path, Kinect3DJ={"change": spoil})
    sample = load(tmp_path)
    assert sample.pose3d is not None
    assert sample.pose3d_valid is not None
    valid = sample.pose3d_valid[:, 0]
    assert [valid[0, 5], valid[1, 6], valid[2, 7], valid[3].max(), valid[4, 5]] == [0, 0, 0, 0, 2]
    np.testing.assert_allclose(sample.pose3d[0, 0, 5], joints[0, 0, 5], atol=1e-4)
    assert not sample.pose3d[1, 0, 6].any()
    again = load(tmp_path, use_occluded_joints=True)
    assert again.pose3d_valid is not None
    assert again.pose3d_valid[0, 0, 5] == 2


def test_a_skeleton_with_a_hole_leaves_that_frame_bare(tmp_path: Path) -> None:
    make(tmp_path, **{k: {"change": lambda frames: frames.pop(2)} for k in ("Kinect3DJ", "Kinect2DJ")})
    sample = load(tmp_path)
    assert sample.frames["pose3d"].tolist() == [0, 1, 3, 4, 5]
    assert "lengths-of-video-and-skeleton-differ" in sample.meta["warnings"]


def test_kinect_files_in_another_order_are_refused(tmp_path: Path) -> None:
    joints = walk(6)
    stored = (joints - SHIFT) * [100, -100, 100]
    make(tmp_path, Kinect3DJ={"array": stored[:, :, list(FLIP)]}, Kinect2DJ={"array": pixels(joints)[:, :, list(FLIP)]})
    with pytest.raises(SourceError, match=r"not in Kinect's joint order: .*left/right swapped; give --kinect-order"):
        load(tmp_path)
    assert load(tmp_path, joints="openpose").meta["joint_source"] == "openpose"
    order = tmp_path / "order.yaml"
    order.write_text(json.dumps([NAMES[i] for i in FLIP]))
    sample = load(tmp_path, kinect_order=order)
    np.testing.assert_allclose(sample.pose3d, joints, atol=1e-4)
    order.write_text("[SpineBase]")
    with pytest.raises(UsageError, match=r"--kinect-order .* expected a list of these 25 names"):
        load(tmp_path, kinect_order=order)


def test_without_openpose_files_the_body_itself_is_checked(tmp_path: Path) -> None:
    make(tmp_path / "good", Openpose3DJ=None, Openpose2DJ=None)
    assert "bones of equal sides agree" in notes(tmp_path / "good")
    rng = np.random.default_rng(0)
    order = rng.permutation(25)
    joints = walk(6)
    stored = ((joints - SHIFT) * [100, -100, 100])[:, :, order]
    make(tmp_path / "bad", Openpose3DJ=None, Openpose2DJ=None, Kinect3DJ={"array": stored}, Kinect2DJ=None)
    with pytest.raises(SourceError, match=r"joint order|unit"):
        load(tmp_path / "bad")
    assert not geo.check_body([joints[:, :, order]]).is_good
    assert not geo.check_body([joints * [1, -1, 1]]).is_good, "upside down"


def test_units_are_told_by_the_bones(tmp_path: Path) -> None:
    joints = walk(6)
    make(tmp_path / "metres", Kinect3DJ={"array": (joints - SHIFT) * [1, -1, 1]})
    np.testing.assert_allclose(load(tmp_path / "metres").pose3d, joints, atol=1e-4)
    assert "taken as 1 m" in notes(tmp_path / "metres")
    make(tmp_path / "inches", Kinect3DJ={"array": (joints - SHIFT) * [39.37, -39.37, 39.37]})
    with pytest.raises(
        SourceError, match=r"Kinect 3D files: upper arm 11\.\d+, thigh 15\.\d+ in the files' unit.*--joint-scale"
    ):
        load(tmp_path / "inches")
    make(
        tmp_path / "inches",
        Openpose3DJ=None,
        Openpose2DJ=None,
        Kinect3DJ={"array": (joints - SHIFT) * [39.37, -39.37, 39.37]},
    )
    for name in ("3DJ", "2DJ"):
        (tmp_path / f"inches/Openpose/{name}/A016_P101_G001_C001.json").unlink()
    np.testing.assert_allclose(load(tmp_path / "inches", joint_scale=0.0254).pose3d, joints, atol=1e-3)


def test_axes_are_told_by_the_2d_joints(tmp_path: Path) -> None:
    joints = walk(6)
    down = (joints - SHIFT) * 100
    make(tmp_path / "down", Kinect3DJ={"array": down}, Openpose3DJ={"array": down[:, :, FROM_KINECT]})
    assert "y-down taken" in notes(tmp_path / "down")
    np.testing.assert_allclose(load(tmp_path / "down").pose3d, joints, atol=1e-4)
    turned = ((joints - SHIFT) * 100)[..., [2, 0, 1]]
    make(tmp_path / "turned", Kinect3DJ={"array": turned}, Openpose3DJ={"array": turned[:, :, FROM_KINECT]})
    assert "NONE FITS" in notes(tmp_path / "turned")
    assert "joints-do-not-project" in load(tmp_path / "turned").meta["warnings"]
    np.testing.assert_allclose(load(tmp_path / "turned", joint_axes="y,z,x").pose3d, joints, atol=1e-4)
    for text in ("x,y", "x,y,y", "x,y,w", "+x,y,z"):
        with pytest.raises(UsageError, match="--joint-axes"):
            load(tmp_path / "turned", joint_axes=text)


def test_files_of_an_unknown_form_stop_the_conversion(tmp_path: Path) -> None:
    """The form of the Kinect files is not published: no pose would be lost without a word."""
    make(tmp_path)
    other = {"info": {}, "bodies": [{"joints": [[0, 0, 0]] * 25}]}
    for path in tmp_path.glob("Kinect/?DJ/*.json"):
        path.write_text(json.dumps(other))
    with pytest.raises(
        SourceError, match=r"Kinect/3DJ/A016.*not a skeleton file.*keys \['bodies', 'info'\].*--joints openpose"
    ):
        load(tmp_path)
    assert load(tmp_path, joints="openpose").meta["joint_source"] == "openpose"
    for path in tmp_path.glob("Openpose/?DJ/*.json"):
        path.write_text(json.dumps(other))
    with pytest.raises(SourceError, match=r"Openpose/3DJ/A016.*not a skeleton file"):
        load(tmp_path, joints="openpose")


def test_unreadable_openpose_files_cost_the_comparison_only(tmp_path: Path) -> None:
    joints = make(tmp_path)
    (tmp_path / "Openpose/3DJ/A016_P101_G001_C001.json").write_text("{")
    assert "OpenPose files are not used: Openpose/3DJ/A016" in notes(tmp_path)
    np.testing.assert_allclose(load(tmp_path).pose3d, joints, atol=1e-4)
    inches = ((joints - SHIFT) * [39.37, -39.37, 39.37])[:, :, FROM_KINECT]
    make(tmp_path, Openpose3DJ={"array": inches})
    assert "OpenPose files are not used: OpenPose 3D files: upper arm 11." in notes(tmp_path)
    np.testing.assert_allclose(load(tmp_path).pose3d, joints, atol=1e-4)


def test_up_is_told_by_the_body_where_no_2d_joints_are(tmp_path: Path) -> None:
    joints = walk(6)
    for name, sign, label in (("up", -1, "y-up"), ("down", 1, "y-down")):
        stored = (joints - SHIFT) * [100, 100 * sign, 100]
        without = {"Kinect2DJ": None, "Openpose2DJ": None, "Openpose3DJ": None}
        make(tmp_path / name, Kinect3DJ={"array": stored}, **without)
        assert f"{label} taken" in notes(tmp_path / name)
        np.testing.assert_allclose(load(tmp_path / name).pose3d, joints - SHIFT, atol=1e-4)
        assert "joints-not-recentred" in load(tmp_path / name).meta["warnings"]


def test_units_and_axes_of_the_user_are_those_of_the_chosen_set(tmp_path: Path) -> None:
    """Kinect in inches with other axes, OpenPose as published: neither may make the other unreadable."""
    joints = walk(6)
    make(tmp_path, Kinect3DJ={"array": ((joints - SHIFT) * 39.37)[..., [2, 0, 1]]})
    sample = load(tmp_path, joint_scale=0.0254, joint_axes="y,z,x")
    np.testing.assert_allclose(sample.pose3d, joints, atol=1e-3)
    assert "y-up taken" in notes(tmp_path, joint_scale=0.0254, joint_axes="y,z,x"), "OpenPose's own axes"


def test_sets_are_compared_on_clips_that_have_both(tmp_path: Path) -> None:
    swapped = ((walk(6) - SHIFT) * [100, -100, 100])[:, :, list(FLIP)]
    for camera in range(1, 24):
        stem = f"A016_P101_G001_C{camera:03d}"
        few = {} if camera == 23 else {"Openpose3DJ": None, "Openpose2DJ": None}
        make(tmp_path, stem, Kinect3DJ={"array": swapped}, Kinect2DJ=None, **few)
    with pytest.raises(SourceError, match=r"left/right swapped"):
        load(tmp_path)


def test_kinect_joints_may_be_far_if_no_other_is_nearer() -> None:
    joints = walk(6)
    openpose = joints[:, :, FROM_KINECT]
    wide = joints.copy()
    wide[:, :, [14, 18], 1] += 0.25
    assert geo.compare_order([wide], [openpose]).is_good
    wide[:, :, [12, 16]] = wide[:, :, [16, 12]]
    wide[:, :, [4, 8]] = wide[:, :, [8, 4]]
    assert not geo.compare_order([wide], [openpose]).is_good
    nothing = np.full_like(joints, np.nan)
    assert "no frame" in geo.compare_order([nothing], [openpose]).sentence
    assert "no frame" in geo.check_body([nothing]).sentence


def test_a_video_without_skeleton_has_its_action_only(tmp_path: Path) -> None:
    make(tmp_path, **dict.fromkeys(("Kinect3DJ", "Kinect2DJ", "Openpose3DJ", "Openpose2DJ")))
    sample = load(tmp_path)
    assert sample.pose3d is None
    assert sample.action == 15
    assert sample.meta["warnings"] == ["no-skeleton"]


def test_selection_draw_and_splits(tmp_path: Path) -> None:
    stems = [f"A{a:03d}_P{p:03d}_G001_C{c:03d}" for a in (1, 10) for p in (101, 115) for c in (1, 28)]
    for stem in stems:
        make(tmp_path, stem, Openpose3DJ=None, Openpose2DJ=None)
    (tmp_path / "RGB/A001_P101_G001_C001 (1).avi").write_bytes(VIDEO)
    (tmp_path / "RGB/A077_P090_G001_C001.avi").write_bytes(VIDEO)

    def keys(**options: Any) -> list[str]:
        return [i.ref["stem"] for i in SynadlConverter(tmp_path, SynadlOptions(**options)).list_items().items]

    assert sorted(keys()) == sorted([*stems, "A077_P090_G001_C001"])
    found = notes(tmp_path)
    assert "1 files are there twice" in found
    assert "1 file names have numbers outside" in found
    assert keys(cameras=("28",), subjects=("101",)) == ["A001_P101_G001_C028", "A010_P101_G001_C028"]
    assert keys(actions=("10",), groups=("1",)) == [s for s in stems if s.startswith("A010")]
    few = keys(max_clips=3)
    assert len(few) == 3
    assert few == keys(max_clips=3)
    assert any(few != keys(max_clips=3, seed=n) for n in range(1, 5))
    assert "3 of 9 videos drawn with seed 0" in notes(tmp_path, max_clips=3)
    with pytest.raises(SourceError, match="none of the 9 videos"):
        keys(cameras=("5",))
    with pytest.raises(UsageError, match="expected numbers such as 1,5,9"):
        keys(cameras=("x",))
    items = SynadlConverter(tmp_path, SynadlOptions(val_subjects=("115",))).list_items().items
    assert {(i.ref["stem"][5:9], i.split) for i in items} == {("P101", "train"), ("P115", "val"), ("P090", "train")}
    items = SynadlConverter(tmp_path, SynadlOptions(preset="paper")).list_items().items
    assert {i.split for i in items} == {"train"}
    assert "which ones is unknown" in notes(tmp_path, preset="paper")


def test_names_and_folders_of_the_user(tmp_path: Path) -> None:
    joints = make(tmp_path / "raw")
    (tmp_path / "raw/Kinect").rename(tmp_path / "raw/K")
    assert "2 skeleton files lie in folders that don't say Kinect or OpenPose" in notes(tmp_path / "raw")
    layout = tmp_path / "layout.yaml"
    layout.write_text("synadl: {k3d: K/3DJ, k2d: K/2DJ}")
    sample = load(tmp_path / "raw", layout=layout)
    assert sample.meta["joint_source"] == "kinect"
    np.testing.assert_allclose(sample.pose3d, joints, atol=1e-4)
    shutil.rmtree(tmp_path / "raw/Openpose")
    with pytest.raises(SourceError, match=r"raw/K/\dDJ/A016.*2 skeleton files .*--layout FILE.yaml"):
        load(tmp_path / "raw")
    assert load(tmp_path / "raw", layout=layout).meta["joint_source"] == "kinect"
    layout.write_text("synadl: {k4d: K}")
    with pytest.raises(UsageError, match="--layout"):
        load(tmp_path / "raw", layout=layout)
    names = tmp_path / "names.yaml"
    names.write_text("actions: {10: washing}")
    space = SynadlConverter(tmp_path, SynadlOptions(label_map=names)).spaces()["action"]
    assert (space.classes[9], space.classes[10]) == ("washing", "washing hands")
    for text in ("actions: {99: x}", "x: 1", "[3]"):
        names.write_text(text)
        with pytest.raises(UsageError, match="--label-map"):
            SynadlConverter(tmp_path, SynadlOptions(label_map=names)).spaces()


def test_zip_archives_are_read_in_place(tmp_path: Path) -> None:
    joints = make(tmp_path / "plain")
    root = tmp_path / "zipped"
    root.mkdir()
    for name in ("RGB", "Openpose", "Kinect"):
        with zipfile.ZipFile(root / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for path in sorted((tmp_path / "plain" / name).rglob("*.*")):
                file.write(path, path.relative_to(tmp_path / "plain"))
    with pytest.raises(SourceError, match=r"\.zip is not unpacked \(unzip it, or pass --from-zip\)"):
        load(root)
    with zipfile.ZipFile(root / "RGB.zip") as file:
        file.extractall(root)
    assert "3 archives, first Kinect.zip, are not read; unzip or --from-zip" in notes(root)
    sample = load(root, from_zip=True)
    np.testing.assert_allclose(sample.pose3d, joints, atol=1e-4)
    assert [n for n, _ in members(root / "RGB.zip")] == ["RGB/A016_P101_G001_C001.avi"]
    with pytest.raises(SourceError, match="no member 'x'"):
        read_place(root, "RGB.zip!x")
    data = bytearray((root / "Kinect.zip").read_bytes())
    data[200:260] = bytes(60)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/K.zip").write_bytes(data)
    with pytest.raises(SourceError, match=r"K.zip: '.*' cannot be read"):
        read_place(tmp_path / "damaged", "K.zip!Kinect/2DJ/A016_P101_G001_C001.json")
    (tmp_path / "damaged/L.zip").write_bytes(data[:-40])
    with pytest.raises(SourceError, match=r"L.zip: not a complete zip archive"):
        list(members(tmp_path / "damaged/L.zip"))


def test_broken_videos_and_skeletons_are_named(tmp_path: Path) -> None:
    make(tmp_path)
    converter = SynadlConverter(tmp_path, SynadlOptions())
    item = converter.list_items().items[0]
    path = tmp_path / "RGB/A016_P101_G001_C001.avi"
    for damage in (b"", VIDEO[:300], b"RIFF" + bytes(100)):
        path.write_bytes(damage)
        with pytest.raises(SourceError, match=re.escape("A016_P101_G001_C001.avi")) as error:
            converter.load(item)
        assert error.value.reason == "corrupt-video"
    path.write_bytes(VIDEO)
    skeleton = tmp_path / "Kinect/3DJ/A016_P101_G001_C001.json"
    skeleton.write_text(skeleton.read_text()[:500])
    with pytest.raises(SourceError, match=r"Kinect/3DJ/A016_P101_G001_C001.json: cannot be read as JSON"):
        converter.load(item)


def test_roots_that_are_not_ready(tmp_path: Path) -> None:
    def dry_run(root: Path) -> Any:
        return preview(Job(SynadlConverter, root, str(tmp_path / "out"), SynadlOptions()))

    with pytest.raises(SourceError, match="no such folder"):
        dry_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no video; expected files such as RGB/A001.*sign the EULA"):
        dry_run(tmp_path / "empty")
    make(tmp_path / "half")
    make(tmp_path / "half", "A016_P101_G001_C002")
    (tmp_path / "half/RGB/A016_P101_G001_C002.avi").unlink()
    assert dry_run(tmp_path / "half").absent == {"video of the skeleton not present": 1}
    (tmp_path / "half/RGB/A016_P101_G001_C001.avi").unlink()
    with pytest.raises(SourceError, match="2 skeletons without videos"):
        dry_run(tmp_path / "half")
