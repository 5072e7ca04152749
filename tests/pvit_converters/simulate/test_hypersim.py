"""The simulated Hypersim tree: documented layout, dtypes and traps, and agreement with the analytic truth."""

import csv
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pvit_converters.simulate import simulate
from pvit_data.errors import UsageError


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("hypersim")
    simulate("hypersim", folder / "raw", samples=28, preset="tiny", truth=folder / "truth", everything=True)
    return folder / "raw", folder / "truth"


def dataset(path: Path) -> np.ndarray:
    with h5py.File(path) as file:
        assert list(file) == ["dataset"]
        array: np.ndarray = file["dataset"][()]
        return array


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_tables_list_whole_trajectories(tree: tuple[Path, Path]) -> None:
    images = rows(tree[0] / "metadata/metadata_images_split_scene_v1.csv")
    trajectories = {(r["scene_name"], r["camera_name"]) for r in images}
    assert len(images) == 100 * len(trajectories)
    released = [r for r in images if r["included_in_public_release"] == "True"]
    assert len(released) == 28
    assert {r["split_partition_name"] for r in released} == {"train", "val", "test"}
    assert {(bool(r["exclude_reason"]), r["split_partition_name"]) for r in images if r not in released} == {(True, "")}
    cameras = rows(tree[0] / "metadata/metadata_camera_parameters.csv")
    assert {r["settings_output_img_width"] for r in cameras} == {"64.0"}
    assert {float(r["settings_units_info_meters_scale"]) for r in cameras} == {0.0254, 0.01, 1.0, 0.001}
    assert len({(r["M_cam_from_uv_02"], r["M_cam_from_uv_20"]) for r in cameras}) == 3
    for r in cameras:
        m = np.array([[float(r[f"M_cam_from_uv_{i}{j}"]) for j in range(3)] for i in range(3)])
        p = np.array([[float(r[f"M_proj_{i}{j}"]) for j in range(4)] for i in range(4)])
        clip = p @ np.append(m @ [0.3, -0.6, 1.0], 1.0)
        np.testing.assert_allclose(clip[:2] / clip[3], [0.3, -0.6], atol=1e-12)


def test_arrays_have_the_documented_shapes_and_types(tree: tuple[Path, Path]) -> None:
    scene = tree[0] / "ai_901_001"
    for name, shape in (("positions", (100, 3)), ("orientations", (100, 3, 3)), ("frame_indices", (100,))):
        assert dataset(scene / f"_detail/cam_00/camera_keyframe_{name}.hdf5").shape == shape
    geometry = scene / "images/scene_cam_00_geometry_hdf5"
    kinds = {"depth_meters": ("float16", 2), "position": ("float16", 3), "semantic": ("int16", 2)}
    kinds |= {"normal_cam": ("float16", 3), "normal_world": ("float16", 3), "render_entity_id": ("int16", 2)}
    for name, (dtype, ndim) in kinds.items():
        array = dataset(geometry / f"frame.0000.{name}.hdf5")
        assert (array.dtype, array.ndim, array.shape[:2]) == (dtype, ndim, (48, 64))
    assert dataset(scene / "images/scene_cam_00_final_hdf5/frame.0000.color.hdf5").dtype == np.float16
    with Image.open(scene / "images/scene_cam_00_final_preview/frame.0000.tonemap.jpg") as image:
        assert (image.size, image.mode) == ((64, 48), "RGB")
    assert (geometry / "frame.0000.semantic.hdf5").read_bytes()[:4] == b"\x89HDF"


def test_distances_give_the_true_depth_and_points(tree: tuple[Path, Path]) -> None:
    raw, truth = tree
    lenses = {r["scene_name"]: r for r in rows(raw / "metadata/metadata_camera_parameters.csv")}
    holes = 0
    files = sorted(truth.rglob("*.npz"))
    assert len(files) == 27
    for path in files:
        exact = np.load(path)
        scene, camera = path.parts[-3], path.parts[-2]
        stem = raw / scene / f"images/scene_{camera}_geometry_hdf5"
        distance = dataset(stem / f"{path.stem}.depth_meters.hdf5").astype(float)
        r = lenses[scene]
        m = np.array([[float(r[f"M_cam_from_uv_{i}{j}"]) for j in range(3)] for i in range(3)])
        x, y = np.meshgrid((2 * np.arange(64) + 1) / 64 - 1, 1 - (2 * np.arange(48) + 1) / 48)
        d = np.stack([x, y, np.ones_like(x)], -1) @ m.T
        n = d / np.linalg.norm(d, axis=-1, keepdims=True)
        valid = np.isfinite(distance)
        np.testing.assert_array_equal(valid, exact["depth"] > 0)
        planar = (distance * -n[..., 2])[valid]
        np.testing.assert_allclose(planar, exact["depth"][valid], rtol=6e-4)
        semantic = dataset(stem / f"{path.stem}.semantic.hdf5")
        assert not (semantic == 0).any()
        np.testing.assert_array_equal(np.where(semantic > 0, semantic, 255), exact["segm"])
        holes += (~valid).sum()
        if not exact["rigid"]:
            continue
        scale = float(r["settings_units_info_meters_scale"])
        i = int(path.stem[-4:])
        R = dataset(raw / scene / f"_detail/{camera}/camera_keyframe_orientations.hdf5")[i]
        C = dataset(raw / scene / f"_detail/{camera}/camera_keyframe_positions.hdf5")[i]
        world = (distance[..., None] * n / scale) @ R.T + C
        position = dataset(stem / f"{path.stem}.position.hdf5").astype(float)
        assert np.abs((world - position)[valid] * scale).max() < 0.02
        np.testing.assert_allclose(exact["world_from_camera"][:3, 3], C * scale)
        _check_boxes(exact)
    assert holes > 100


def _check_boxes(exact: np.lib.npyio.NpzFile) -> None:
    assert set(exact["box_instance"]) == set(np.unique(exact["instance"])) - {-1}
    for instance, (x0, y0, x1, y1) in zip(exact["box_instance"], exact["box_xyxy"], strict=True):
        mask = exact["instance"] == instance
        assert mask.any(0).nonzero()[0][[0, -1]].tolist() == [x0, x1 - 1]
        assert mask.any(1).nonzero()[0][[0, -1]].tolist() == [y0, y1 - 1]


def test_normals_carry_their_traps(tree: tuple[Path, Path]) -> None:
    raw, truth = tree
    seen = {"zero": 0, "long": 0, "backward": 0, "unrigid": 0}
    for path in sorted(truth.rglob("*.npz")):
        exact = np.load(path)
        scene, camera = path.parts[-3], path.parts[-2]
        stem = raw / scene / f"images/scene_{camera}_geometry_hdf5"
        if not (stem / f"{path.stem}.normal_world.hdf5").exists():
            continue
        world = dataset(stem / f"{path.stem}.normal_world.hdf5").astype(float)
        R = dataset(raw / scene / f"_detail/{camera}/camera_keyframe_orientations.hdf5")[int(path.stem[-4:])]
        cam = dataset(stem / f"{path.stem}.normal_cam.hdf5").astype(float)
        np.testing.assert_allclose(np.nan_to_num(world @ R), np.nan_to_num(cam), atol=3e-3)
        seen["unrigid"] += np.abs(R @ R.T - np.eye(3)).max() > 1e-3
        length = np.linalg.norm(world, axis=-1)
        usable = exact["normal_world"].any(-1)
        aligned = (world * exact["normal_world"]).sum(-1)[usable] / length[usable]
        seen["backward"] += (aligned < -0.99).sum()
        np.testing.assert_allclose(np.abs(aligned), 1.0, atol=1e-4)
        seen["zero"] += (length == 0).sum()
        seen["long"] += (np.abs(length[usable] - 1) > 0.1).sum()
    assert seen.pop("unrigid") == 1
    assert min(seen.values()) > 10


def test_missing_files_are_where_they_should_be(tree: tuple[Path, Path]) -> None:
    raw = tree[0]
    assert not list((raw / "ai_901_003").rglob("*color.hdf5"))
    assert list((raw / "ai_901_003").rglob("*tonemap.jpg"))
    normals = len(list((raw / "ai_901_004").rglob("*normal_cam.hdf5")))
    assert normals == len(list((raw / "ai_901_004").rglob("*depth_meters.hdf5"))) - 1
    listed = [r for r in rows(raw / "metadata/metadata_images.csv") if r["included_in_public_release"] == "True"]
    absent = [
        r for r in listed
        if not (raw / r["scene_name"] / f"images/scene_{r['camera_name']}_geometry_hdf5").exists()
        or not list((raw / r["scene_name"]).rglob(f"scene_{r['camera_name']}_*/frame.{int(r['frame_id']):04d}.*"))
    ]  # fmt: skip
    assert [(r["scene_name"], r["camera_name"]) for r in absent] == [("ai_901_002", "cam_02")]


def digest(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return sha.hexdigest()


def test_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    for name, workers, seed in (("one", 1, 5), ("two", 2, 5), ("other", 1, 6)):
        simulate("hypersim", tmp_path / name, samples=8, seed=seed, preset="tiny", workers=workers)
    assert digest(tmp_path / "one") == digest(tmp_path / "two") != digest(tmp_path / "other")


def test_wrong_requests_are_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    with pytest.raises(UsageError, match="unknown source 'hypersin'"):
        simulate("hypersin", tmp_path / "x")
    with pytest.raises(UsageError, match="unknown preset"):
        simulate("hypersim", tmp_path / "x", preset="huge")
    with pytest.raises(UsageError, match="unknown option 'trap'"):
        simulate("hypersim", tmp_path / "x", trap=1)
    with pytest.raises(UsageError, match="not an empty folder"):
        simulate("hypersim", tmp_path / "full")
    with pytest.raises(UsageError, match="at least 1"):
        simulate("hypersim", tmp_path / "x", samples=0)
