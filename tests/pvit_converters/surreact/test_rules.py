"""SURREACT's names, vectors, shapes and pitfalls (spec surreact): each documented variant is adapted to or refused."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pvit_converters.engine.preview import preview
from pvit_converters.engine.run import Job
from pvit_converters.simulate import simulate
from pvit_converters.surreact import SMPL14, SMPL24, SurreactConverter, SurreactOptions, maps
from pvit_converters.surreact.camera import project, view_of
from pvit_converters.surreact.classes import ACTIONS, NTU60, TO_14, UESTC40, action_of
from pvit_converters.surreact.layout import FILE, PAPER, PUBLISHED
from pvit_converters.surreact.person import to_joints, to_pose
from pvit_data.errors import SourceError, UsageError
from pvit_data.sample.sample import Sample

Edit = Callable[[dict[str, Any]], None]


@pytest.mark.parametrize(
    ("view", "distance", "height", "camera", "pixel"),
    [
        (0, 5, 1, (0.3, -0.6, 5.2), (194.6154, 50.7692)),
        (45, 4.3, 2.1, (0.353553, -0.598806, 4.518663), (206.9457, 40.4890)),
        (270, 5.9, -0.7, (-0.2, -0.659606, 6.262182), (140.8373, 56.8010)),
    ],
)
def test_camera_vectors(view: float, distance: float, height: float, camera: Any, pixel: Any) -> None:
    seen = view_of(view, distance, height).see(np.array([0.3, -0.2, 0.4]))
    np.testing.assert_allclose(seen, camera, atol=1e-6)
    np.testing.assert_allclose(project(seen), pixel, atol=1e-4)
    back = view_of(view, distance, height).world_from_camera()
    assert back is not None
    np.testing.assert_allclose(back @ [*camera, 1], [0.3, -0.2, 0.4, 1], atol=1e-5)
    mirrored = view_of(view, distance, height, True)
    np.testing.assert_allclose(mirrored.see(np.array([0.3, -0.2, 0.4])), np.array(camera) * [-1, 1, 1], atol=1e-6)
    assert mirrored.world_from_camera() is None


def test_file_names() -> None:
    good = (
        "S001C002P003R002A001_v045_r00_info.mat", "a25_d1_p048_c1_color.avi_v270_r00.mp4",
        "S001C002P003R002A001_v045_r00_segm.mat", "S001C002P003R002A001_v045_r00_gtflow.mat",
        "a25_d1_p048_c1_color.avi_v270_r00_depth.mat", "S001C002P003R002A001_v045_r00_normal.mat",
    )  # fmt: skip
    bad = ("S001C002P003R002A001_v045_r00_fg.mp4", "S001C002P003R002A001_v45_r00.mp4", "S001C002P003R002A001.mp4",
           "x_S001C002P003R002A001_v045_r00.mp4")  # fmt: skip
    assert all(FILE.match(name) for name in good)
    assert not any(FILE.match(name) for name in bad)
    match = FILE.match(good[1])
    assert match is not None
    assert (match["seq"], match["view"], match["rep"], match["kind"]) == (
        "a25_d1_p048_c1_color.avi",
        "270",
        "00",
        ".mp4",
    )


def test_published_numbers() -> None:
    assert {k: sum(n for s, n in PUBLISHED.items() if s[:2] == k) for k in {s[:2] for s in PUBLISHED}} == {
        ("ntu", "vibe"): 105_642, ("ntu", "hmmr"): 105_983, ("uestc", "vibe"): 12_800, ("uestc", "hmmr"): 3_193,
    }  # fmt: skip
    assert sum(PUBLISHED[name] for name in PAPER) == 108_316
    trains = [n for (_, _, split), n in PUBLISHED.items() if split == "train"]
    sums = {a + b for i, a in enumerate(trains) for b in trains[:i]}
    assert [s for s in sums if round(s, -2) == 108_300] == [108_316], "no other pair gives 108.3 thousand"


def test_part_tables() -> None:
    text = """1 hips, 2 leftUpLeg, 3 rightUpLeg, 4 spine, 5 leftLeg, 6 rightLeg, 7 spine1, 8 leftFoot, 9 rightFoot,
        10 spine2, 11 leftToeBase, 12 rightToeBase, 13 neck, 14 leftShoulder, 15 rightShoulder, 16 head, 17 leftArm,
        18 rightArm, 19 leftForeArm, 20 rightForeArm, 21 leftHand, 22 rightHand, 23 leftHandIndex1,
        24 rightHandIndex1"""
    assert {int(i): n for i, n in (p.split() for p in text.split(","))} == dict(enumerate(SMPL24.classes[1:], 1))
    assert SMPL24.classes[0] == "background"
    assert len(SMPL24.pairs) == 9
    assert all(SMPL24.classes[a][4:] == SMPL24.classes[b][5:] for a, b in SMPL24.pairs)
    assert TO_14[1:].tolist() == [2, 12, 9, 2, 13, 10, 2, 14, 11, 2, 14, 11, 2, 2, 2, 1, 6, 3, 7, 4, 8, 5, 8, 5]
    for part, name in ((16, "head"), (1, "torso"), (18, "right_upper_arm"), (2, "left_thigh"), (12, "right_foot")):
        assert SMPL14.classes[TO_14[part]] == name
    swap = dict([*SMPL24.pairs, *(p[::-1] for p in SMPL24.pairs)])
    swap14 = dict([*SMPL14.pairs, *(p[::-1] for p in SMPL14.pairs)])
    assert all(swap14.get(TO_14[p], TO_14[p]) == TO_14[swap.get(p, p)] for p in range(25)), "flips commute"


def test_action_labels() -> None:
    assert (len(NTU60), len(UESTC40), len(ACTIONS.classes)) == (60, 40, 100)
    assert action_of("S001C002P003R002A001") == (0, "ntu60:0")
    assert action_of("S001C002P003R002A060") == (59, "ntu60:59")
    assert action_of("a25_d1_p048_c1_color.avi") == (85, "uestc40:25")
    assert action_of("S001C002P003R002A061") == (None, "")
    assert [NTU60[i] for i in (0, 23, 42, 49, 59)] == [
        "drink water", "kicking something", "falling", "punching/slapping other person",
        "walking apart from each other",
    ]  # fmt: skip
    assert [UESTC40[i] for i in (0, 12, 25, 39)] == [
        "punching and knee lifting", "punching", "spinal stretching", "high knees running",
    ]  # fmt: skip


def test_array_forms() -> None:
    full = np.random.default_rng(0).normal(size=(2, 3, 24, 5)).astype(np.float32)
    where = Path("x_info.mat")
    want = np.transpose(full, (3, 0, 2, 1))
    np.testing.assert_array_equal(to_joints(full, 3, where), want)
    np.testing.assert_array_equal(to_joints(full[0], 3, where), want[:, :1])
    np.testing.assert_array_equal(to_joints(full[..., 0], 3, where), want[:1])
    np.testing.assert_array_equal(to_joints(full[0, ..., 0], 3, where), want[:1, :1])
    for shape in ((24, 3, 5), (2, 24, 3, 5), (3, 25, 5), (72,)):
        with pytest.raises(SourceError, match=rf"x_info.mat: joints3D has shape {re.escape(str(shape))}, expected"):
            to_joints(np.zeros(shape), 3, where)
    pose = np.random.default_rng(1).normal(size=(2, 72, 5)).astype(np.float32)
    np.testing.assert_array_equal(to_pose(pose, where), np.transpose(pose, (2, 0, 1)))
    np.testing.assert_array_equal(to_pose(pose[0], where), np.transpose(pose[:1], (2, 0, 1)))
    np.testing.assert_array_equal(to_pose(pose[..., 0], where), np.transpose(pose[..., :1], (2, 0, 1)))
    with pytest.raises(SourceError, match="pose has shape"):
        to_pose(np.zeros((3, 24)), where)


# ---- trees that differ from the usual ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "raw"
    simulate("surreact", folder, samples=4, seed=7, preset="tiny", frames=4, sets=("uestc/vibe", "ntu/hmmr"))
    simulate(
        "surreact", folder.parent / "maps", samples=4, seed=8, preset="tiny", frames=4, sets=("ntu/vibe",), maps=True
    )
    return folder.parent


@pytest.fixture
def tree(base: Path, tmp_path: Path) -> Path:
    """Four clips of ntu/vibe with depth and normals: three views of single people in the train split."""
    shutil.copytree(base / "maps", tmp_path / "maps")
    return tmp_path / "maps"


def edit(root: Path, kind: str, change: Edit) -> None:
    for path in root.rglob(f"*_{kind}.mat"):
        values = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        change(values)
        savemat(path, values, do_compression=True)


def convert(root: Path, **options: Any) -> tuple[list[Sample], str]:
    converter = SurreactConverter(root, SurreactOptions(**options))
    listing = converter.list_items()
    return [converter.load(item) for item in listing.items], "\n".join(listing.notes)


def test_the_angle_is_taken_from_where_it_fits(tree: Path) -> None:
    """Files whose joints3D were already turned to the camera: angle 0 fits, the view of the name does not."""
    plain = {s.key: s for s in convert(tree)[0]}
    for path in tree.rglob("*_info.mat"):
        values = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
        th = np.radians(int(path.stem[-12:-9]))
        turn = np.array([[np.cos(th), -np.sin(th), 0], [np.sin(th), np.cos(th), 0], [0, 0, 1]])
        values["joints3D"] = np.einsum("ij,pjkt->pikt", turn, values["joints3D"]).astype(np.float32)
        values["zrot_euler"] = 77.0
        savemat(path, values)
    samples, notes = convert(tree)
    assert "joints project with angle 0, joints2D from the bottom" in notes
    for sample in samples:
        np.testing.assert_allclose(sample.pose3d, plain[sample.key].pose3d, atol=1e-4)


def test_mirrored_pictures_give_mirrored_joints(tree: Path) -> None:
    plain = {s.key: s for s in convert(tree)[0]}

    def mirror(values: dict[str, Any]) -> None:
        values["joints2D"][:, 0] = 320 - values["joints2D"][:, 0]

    edit(tree, "info", mirror)
    edit(tree, "segm", lambda values: values.update({k: v[:, ::-1] for k, v in values.items()}))
    samples, notes = convert(tree)
    assert "mirrored, median error 0." in notes
    for sample in samples:
        want = plain[sample.key].pose3d * np.array([-1, 1, 1], np.float32)
        np.testing.assert_allclose(sample.pose3d, want, atol=1e-6)
        assert sample.camera is not None
        assert sample.camera.world_from_camera is None


def test_joints_that_do_not_project_are_left_out(tree: Path) -> None:
    def wrong(values: dict[str, Any]) -> None:
        values["joints2D"] = np.random.default_rng(0).uniform(0, 200, values["joints2D"].shape).astype(np.float32)

    edit(tree, "info", wrong)
    for sample in convert(tree)[0]:
        assert sample.pose3d is None
        assert sample.segm is not None
        assert "joints-do-not-project-left-out" in sample.meta["warnings"]
        assert sample.meta["joint_misfit"] > 20


def test_maps_stored_upside_down_are_turned(tree: Path) -> None:
    plain = {s.key: s for s in convert(tree)[0]}
    for kind in ("segm", "depth", "normal"):
        edit(tree, kind, lambda values: values.update({k: v[::-1] for k, v in values.items()}))
    samples, notes = convert(tree)
    assert "the maps are stored upside down and were turned" in notes
    for sample in samples:
        assert (sample.segm == plain[sample.key].segm).all()
        np.testing.assert_array_equal(sample.depth, plain[sample.key].depth)


def test_crossed_sides_are_found(tree: Path) -> None:
    swap = np.arange(25, dtype=np.uint8)
    for a, b in SMPL24.pairs:
        swap[a], swap[b] = b, a
    edit(tree, "segm", lambda values: values.update({k: swap[v] for k, v in values.items()}))
    samples, notes = convert(tree)
    assert "LEFT AND RIGHT of joints and parts disagree" in notes
    assert all(s.pose3d is None and "joints-on-the-wrong-side-left-out" in s.meta["warnings"] for s in samples)


def test_maps_of_another_rendering_are_left_out(tree: Path) -> None:
    assert "people in depth and body parts overlap by 100% at least (1 clips)" in convert(tree)[1]
    edit(tree, "depth", lambda values: values.update({k: np.roll(v, 40, 1) for k, v in values.items()}))
    samples, notes = convert(tree)
    assert "(1 clips); 1 OF THEM ARE OF ANOTHER RENDERING" in notes
    for sample in samples:
        assert sample.depth is None
        assert sample.normal is None
        assert "depth-and-normals-of-another-rendering-left-out" in sample.meta["warnings"]


def test_depth_without_normals_is_planar_and_says_so(tree: Path) -> None:
    for path in tree.rglob("*_normal.mat"):
        path.unlink()
    samples, notes = convert(tree)
    assert "depth is taken as planar: there are no normals to judge it by (--depth-kind)" in notes
    further, told = convert(tree, depth_kind="distance")
    assert "depth is taken as distance (--depth-kind)" in told
    both = samples[0].depth > 0
    ratio = (samples[0].depth[both] / further[0].depth[both]).max()
    assert 1.001 < ratio < 1.054, "at most 5.4 % in the corner"


def test_reduction_to_14_parts(tree: Path) -> None:
    full, reduced = convert(tree)[0], convert(tree, parts="14")[0]
    for a, b in zip(full, reduced, strict=True):
        assert (TO_14[a.segm] == b.segm).all()
    assert SurreactConverter(tree, SurreactOptions(parts="14")).spaces()["segm"].name == "smpl14"


def test_maps_of_another_size_or_with_other_labels_are_refused(tree: Path) -> None:
    edit(tree, "segm", lambda values: values.update({k: v + 20 * (v > 0) for k, v in values.items()}))
    converter = SurreactConverter(tree, SurreactOptions())
    item = converter.list_items().items[0]
    with pytest.raises(SourceError, match=r"_segm.mat: segm_1 holds 0..\d+, expected 0..24") as error:
        converter.load(item)
    assert error.value.reason == "bad-label"
    edit(tree, "segm", lambda values: values.update({k: v[:120] for k, v in values.items()}))
    with pytest.raises(SourceError, match=r"segm_1 has shape \(120, 320\), expected \(240, 320\)"):
        converter.load(item)


@pytest.mark.parametrize("kind", ["info", "segm", "depth", "normal"])
def test_truncated_files_are_named(tree: Path, kind: str) -> None:
    converter = SurreactConverter(tree, SurreactOptions())
    item = converter.list_items().items[0]
    path = tree / item.ref["files"][kind]
    data = path.read_bytes()
    for damage in (data[: len(data) // 2], b"", data[:128], bytes(500)):
        path.write_bytes(damage)
        with pytest.raises(SourceError, match=re.escape(path.name)):
            converter.load(item)


def test_a_damaged_video_is_named(tree: Path) -> None:
    converter = SurreactConverter(tree, SurreactOptions())
    item = converter.list_items().items[0]
    path = tree / item.ref["files"]["mp4"]
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(SourceError, match=re.escape(path.name)) as error:
        converter.load(item)
    assert error.value.reason == "corrupt-video"


def test_garbage_frames_keep_their_pixels(tree: Path) -> None:
    def spoil(values: dict[str, Any]) -> None:
        values["joints3D"][:, :, :, 0] = np.nan
        values["joints3D"][:, :, :, 1] = 1e6
        values["joints3D"][:, :, :, 2] = 0.5

    edit(tree, "info", spoil)
    for sample in convert(tree)[0]:
        assert sample.pose3d_valid is not None
        assert sample.pose3d_valid.any((1, 2)).tolist() == [False, False, False, True]
        assert not sample.pose3d[:3].any()
        assert sample.num_frames == 4


def test_archives_unpacked_side_by_side_are_joined(tree: Path) -> None:
    plain = [s.segm for s in convert(tree)[0]]
    for path in list(tree.rglob("*_segm.mat")):
        other = tree / "surreact_ntu_vibe_segm" / path.relative_to(tree / "ntu/vibe")
        other.parent.mkdir(parents=True, exist_ok=True)
        path.rename(other)
    joined = [s.segm for s in convert(tree)[0]]
    assert all((a == b).all() for a, b in zip(plain, joined, strict=True))


def test_the_set_is_told_by_folders_or_by_option(tree: Path) -> None:
    nameless = tree.parent / "plain"
    shutil.move(tree / "ntu/vibe/train", nameless / "train")
    with pytest.raises(SourceError, match="no folder name says vibe or hmmr"):
        convert(nameless)
    samples, _ = convert(nameless, estimator="hmmr")
    assert all(s.key.startswith("surreact-ntu-hmmr-s") for s in samples)


def test_the_split_is_told_by_the_folder_wherever_the_root_is(tree: Path) -> None:
    test = tree / "ntu/vibe/test"
    every = SurreactConverter(tree, SurreactOptions()).list_items().items
    assert sorted(i.split for i in every) == ["test", "test", "train", "train"]
    for root in (test, next(test.iterdir())):
        items = SurreactConverter(root, SurreactOptions()).list_items().items
        assert {i.split for i in items} == {"test"}, root
    test.rename(test.with_name("all"))
    listing = SurreactConverter(tree, SurreactOptions()).list_items()
    assert {i.split for i in listing.items} == {"train"}
    assert "2 clips lie neither in train/ nor in test/; they count as training data" in listing.notes


def test_recordings_with_the_names_of_their_own_dataset(tmp_path: Path) -> None:
    """UESTC calls some persons p81, SURREACT calls them p081; NTU has recordings that show nobody."""
    simulate("surreact", tmp_path / "raw", samples=2, seed=3, preset="tiny", sets=("uestc/hmmr",), skeletons=True)
    (path,) = (tmp_path / "raw/skeletons").iterdir()
    path.rename(path.with_name(path.name.replace("_p081_", "_p81_")))
    front, side = convert(tmp_path / "raw", skeletons=tmp_path / "raw/skeletons")[0]
    assert [front.meta["joint_source"], side.meta["joint_source"]] == ["kinect", "smpl"]
    (path.with_name(path.name.replace("_p081_", "_p81_"))).unlink()
    path.with_name("a0_d1_p081_c1.skeleton").write_bytes(b"2\r\n0\r\n0\r\n")
    front = convert(tmp_path / "raw", skeletons=tmp_path / "raw/skeletons")[0][0]
    assert front.meta["joint_source"] == "smpl"
    assert "no-recording-of-the-front-view" in front.meta["warnings"]


def test_a_check_that_fails_says_so(tree: Path) -> None:
    edit(tree, "segm", lambda values: values.update({k: np.roll(v, 160, 1) for k, v in values.items()}))
    edit(tree, "normal", lambda values: values.update({k: v[..., [1, 2, 0]] for k, v in values.items()}))
    told = convert(tree)[1]
    assert "FEW JOINTS LIE ON BODIES" in told
    assert "NEITHER FITS: the normals have other axes" in told
    for path in tree.rglob("*_segm.mat"):
        path.unlink()
    (tree / "surreact_ntu_vibe_segm.tar.gz").write_bytes(b"x")
    assert "4 clips have no _segm.mat; surreact_ntu_vibe_segm.tar.gz lies there, is it unpacked?" in convert(tree)[1]
    edit(tree, "info", lambda values: values.pop("joints2D"))
    assert "NO CAMERA FITS" in convert(tree)[1]
    for path in tree.rglob("*_info.mat"):
        path.write_bytes(b"")
    notes = SurreactConverter(tree, SurreactOptions()).list_items().notes
    assert "check of ntu/vibe: no clip that was tried can be read" in notes


def test_selections_and_the_paper(base: Path, tree: Path) -> None:
    every = SurreactConverter(base, SurreactOptions()).list_items()
    assert len(every.items) == 8
    assert len(SurreactConverter(base, SurreactOptions(sets=("ntu/hmmr",))).list_items().items) == 2
    assert len(SurreactConverter(base, SurreactOptions(views=("0",))).list_items().items) == 4
    with pytest.raises(SourceError, match="selected by the options"):
        SurreactConverter(base, SurreactOptions(views=("17",))).list_items()
    paper = SurreactConverter(base, SurreactOptions(preset="paper")).list_items()
    assert {tuple(i.ref["set"]) for i in paper.items} == {("ntu", "vibe")}
    assert "uestc/hmmr/train: 0 of the 3,154 published videos are here" in paper.notes
    assert any("of 108,316 videos" in note for note in paper.notes)


def test_roots_that_are_not_ready(tree: Path, tmp_path: Path) -> None:
    def dry_run(root: Path) -> Any:
        return preview(Job(SurreactConverter, root, str(tmp_path / "out"), SurreactOptions()))

    with pytest.raises(SourceError, match="no such folder"):
        dry_run(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"no clip; expected files such as ntu/vibe.*SURREAL licence"):
        dry_run(tmp_path / "empty")
    (tmp_path / "empty/surreact_ntu_vibe.tar.gz").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"surreact_ntu_vibe.tar.gz is not unpacked"):
        dry_run(tmp_path / "empty")
    for path in list(tree.rglob("*_v000*.mp4")):
        path.unlink()
    found = dry_run(tree)
    assert found.absent == {"video of the clip not present": 2}
    assert any("3 of the 105,162 published" in n or "published videos are here" in n for n in found.notes)
    for path in list(tree.rglob("*.mp4")):
        path.unlink()
    with pytest.raises(SourceError, match="4 clips without their videos"):
        dry_run(tree)
    with pytest.raises(UsageError, match="--skeletons"):
        SurreactConverter(tree, SurreactOptions(skeletons=tmp_path / "nowhere"))


def test_angle_errors_tell_depth_kinds_apart(tree: Path) -> None:
    depth = maps.Series.open(next(tree.rglob("*_v000_*_depth.mat")), "depth")
    assert depth.length == 4
    raw = depth.read(1)
    normal = loadmat(depth.path.with_name(depth.path.name.replace("depth", "normal")))["normal_2"]
    info = loadmat(depth.path.with_name(depth.path.name.replace("depth", "info")))
    view = view_of(0, info["cam_dist"].item(), info["cam_height"].item())
    plain, distance = maps.angle_errors(raw, maps.camera_normals(normal, view))
    assert plain < 2.7 < 3 < distance
