"""Hypersim frames against the analytic truth of a tree built from the specification."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pvit_converters.base import Unwanted
from pvit_converters.hypersim import HypersimConverter, HypersimOptions
from pvit_converters.hypersim.tonemap import exposure, tonemap
from pvit_data.errors import SourceError
from pvit_data.sample.sample import EncodedMedia, Sample

Make = Callable[..., Any]


def load_all(root: Path, **options: Any) -> dict[str, Sample]:
    converter = HypersimConverter(root, HypersimOptions(**options))
    return {item.key: converter.load(item) for item in converter.list_items().items}


@pytest.mark.parametrize("scene", ["ai_901_001", "ai_901_002"])
def test_frame_agrees_with_the_truth(make_hypersim: Make, scene: str) -> None:
    raw = make_hypersim()
    sample = load_all(raw.root)[f"hypersim-{scene}-cam_00-0001"]
    truth = raw.truths[scene, 1]
    assert sample.depth is not None
    assert sample.normal is not None
    assert sample.camera is not None
    assert sample.segm is not None
    assert ((sample.depth[0] > 0) == truth.hit).all()
    error = np.abs(sample.depth[0] - truth.planar)[truth.hit]
    assert (error <= 0.0006 + 0.001 * truth.planar[truth.hit]).all()
    world = sample.normal_in("world")[0]
    np.testing.assert_allclose(world[truth.hit], np.broadcast_to([0, 0, 1.0], world[truth.hit].shape), atol=2e-3)
    assert not sample.normal[0][~truth.hit].any()
    np.testing.assert_allclose(np.linalg.norm(sample.normal[0][truth.hit], axis=-1), 1, atol=1e-5)
    assert (sample.segm[0] == np.where(truth.labels > 0, truth.labels, 255)).all()
    assert sample.segm.dtype == np.uint8
    # Points from depth, K and pose lie on the floor.
    v, u = np.mgrid[: truth.hit.shape[0], : truth.hit.shape[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(sample.camera.K[0].astype(float)).T
    points = rays / rays[..., 2:] * sample.depth[0][..., None]
    pose = sample.camera.world_from_camera
    assert pose is not None
    on_floor = points @ pose[0, :3, :3].T + pose[0, :3, 3]
    assert np.abs(on_floor[truth.hit][:, 2]).max() < 0.004
    assert sample.meta["warnings"] == []
    assert sample.meta["room"] == "Kitchen"


def test_boxes_hold_exactly_the_instance_pixels(make_hypersim: Make) -> None:
    sample = load_all(make_hypersim().root)["hypersim-ai_901_001-cam_00-0000"]
    boxes = sample.boxes
    assert boxes is not None
    assert boxes.track.tolist() == [7, 1200]
    assert boxes.class_id.tolist() == [5, 2]
    np.testing.assert_allclose(boxes.xyxy[0], [4 / 32, 15 / 24, 11 / 32, 20 / 24])
    np.testing.assert_allclose(boxes.xyxy[1], [30 / 32, 22 / 24, 31 / 32, 23 / 24])
    larger = load_all(make_hypersim(name="raw2").root, min_box_pixels=2)["hypersim-ai_901_001-cam_00-0000"].boxes
    assert larger is not None
    assert larger.track.tolist() == [7]


def test_ceiling_normals_point_down(make_hypersim: Make, write_array: Make) -> None:
    """The same tree seen from below: a plane above the camera has the world normal (0, 0, -1)."""
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    turned = np.diag([1.0, -1, -1]) @ raw.truths["ai_901_001", 0].rotation
    write_array(raw.root / "ai_901_001/_detail/cam_00/camera_keyframe_orientations.hdf5", turned[None])
    sample = load_all(raw.root)["hypersim-ai_901_001-cam_00-0000"]
    hit = raw.truths["ai_901_001", 0].hit
    world = sample.normal_in("world")[0][hit]
    np.testing.assert_allclose(world, np.broadcast_to([0, 0, -1.0], world.shape), atol=2e-3)


def test_missing_modalities_are_left_out(make_hypersim: Make) -> None:
    raw = make_hypersim()
    for name in ("color.hdf5", "tonemap.jpg", "normal_world.hdf5", "normal_cam.hdf5", "semantic.hdf5"):
        raw.file("ai_901_001", 0, name).unlink()
    raw.file("ai_901_001", 1, "semantic_instance.hdf5").unlink()
    (raw.root / "ai_901_002/_detail/cam_00/camera_keyframe_positions.hdf5").unlink()
    samples = load_all(raw.root)
    bare = samples["hypersim-ai_901_001-cam_00-0000"]
    assert [bare.has(n) for n in ("rgb", "depth", "normal", "segm", "boxes")] == [False, True, False, False, True]
    assert bare.boxes is not None
    assert set(bare.boxes.class_id) == {-1}
    assert samples["hypersim-ai_901_001-cam_00-0001"].boxes is None
    without_pose = samples["hypersim-ai_901_002-cam_00-0000"]
    assert without_pose.camera is not None
    assert without_pose.camera.world_from_camera is None
    assert without_pose.normal is not None  # from normal_cam
    assert without_pose.meta["warnings"] == ["no-camera-pose"]
    hit = raw.truths["ai_901_002", 0].hit
    expected = raw.truths["ai_901_002", 0].rotation.T @ [0, 0, 1] * [1, -1, -1]
    np.testing.assert_allclose(without_pose.normal[0][hit], np.broadcast_to(expected, (hit.sum(), 3)), atol=2e-3)


def test_world_normals_need_the_pose(make_hypersim: Make) -> None:
    """As after a download of normal_world alone: nothing is lost without a word."""
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    shutil.rmtree(raw.root / "ai_901_001/_detail")
    raw.file("ai_901_001", 0, "normal_cam.hdf5").unlink()
    (sample,) = load_all(raw.root).values()
    assert sample.normal is None
    assert sample.meta["warnings"] == ["no-camera-pose", "world-normals-without-camera-pose-left-out"]


def test_absent_frames_are_counted_and_not_failures(make_hypersim: Make) -> None:
    raw = make_hypersim(frames=3)
    for folder in ("final_hdf5", "final_preview", "geometry_hdf5"):
        for path in raw.folder("ai_901_001", folder).glob("frame.0001.*"):
            path.unlink()
    listing = HypersimConverter(raw.root, HypersimOptions()).list_items()
    assert len(listing.items) == 5
    assert listing.absent == {"no file of the frame present": 1}
    assert {i.group: i.split for i in listing.items} == {"ai_901_001": "train", "ai_901_002": "val"}


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"split": "val"}, ["2-0", "2-1", "2-2"]),
        ({"scenes": ("ai_901_001",)}, ["1-0", "1-1", "1-2"]),
        ({"scenes": ("*_002",), "every": 2}, ["2-0", "2-2"]),
        ({"cameras": ("cam_00",), "every": 3}, ["1-0", "2-0"]),
    ],
)
def test_options_select_frames(make_hypersim: Make, options: dict[str, Any], keys: list[str]) -> None:
    items = HypersimConverter(make_hypersim(frames=3).root, HypersimOptions(**options)).list_items().items
    assert [f"{i.group[-1]}-{i.ref['frame']}" for i in items] == keys


@pytest.mark.parametrize("variant", ["scenes", "evermotion_dataset/scenes"])
def test_root_variants(make_hypersim: Make, tmp_path: Path, variant: str) -> None:
    raw = make_hypersim()
    target = tmp_path / "other" / variant
    target.mkdir(parents=True)
    for scene in ("ai_901_001", "ai_901_002"):
        (raw.root / scene).rename(target / scene)
    assert len(load_all(tmp_path / "other", metadata=raw.root / "metadata")) == 4


def test_wrong_roots_say_which_is_right(make_hypersim: Make, tmp_path: Path) -> None:
    raw = make_hypersim(frames=1)
    for root in (raw.root / "ai_901_001", raw.root / "ai_901_001/images"):
        with pytest.raises(SourceError, match=rf"it is a scene or lies in one: give {raw.root}\..*Download with"):
            HypersimConverter(root, HypersimOptions())
    (tmp_path / "zips").mkdir()
    (tmp_path / "zips/ai_001_001.zip").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"ai_001_001.zip is not unzipped"):
        HypersimConverter(tmp_path / "zips", HypersimOptions())


def test_unknown_scene_needs_assume_pinhole(make_hypersim: Make, tmp_path: Path) -> None:
    raw = make_hypersim(scenes=("ai_901_001",))
    (raw.root / "metadata").rename(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"ai_901_001.*--assume-pinhole"):
        HypersimConverter(raw.root, HypersimOptions()).list_items()
    sample = load_all(raw.root, assume_pinhole=True)["hypersim-ai_901_001-cam_00-0001"]
    truth = raw.truths["ai_901_001", 1]
    assert sample.depth is not None
    np.testing.assert_allclose(sample.depth[0][truth.hit], truth.planar[truth.hit], rtol=1e-3)
    assert sample.split == ""
    assert "assumed-pinhole" in sample.meta["warnings"], "a guess must be recorded"


def test_bad_rotation_costs_normals_and_pose_only(make_hypersim: Make, write_array: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    rotation = raw.truths["ai_901_001", 0].rotation * 98.8
    write_array(raw.root / "ai_901_001/_detail/cam_00/camera_keyframe_orientations.hdf5", rotation[None])
    sample = load_all(raw.root)["hypersim-ai_901_001-cam_00-0000"]
    assert sample.normal is None
    assert sample.camera is not None
    assert sample.camera.world_from_camera is None
    assert sample.meta["warnings"] == ["bad-rotation"]
    assert all(sample.has(name) for name in ("rgb", "depth", "segm", "boxes"))


def test_self_check_notices_a_wrong_pose(make_hypersim: Make, write_array: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    truth = raw.truths["ai_901_001", 0]
    turned = truth.rotation[:, [1, 0, 2]] * [1, 1, -1]
    write_array(raw.root / "ai_901_001/_detail/cam_00/camera_keyframe_orientations.hdf5", turned[None])
    sample = load_all(raw.root)["hypersim-ai_901_001-cam_00-0000"]
    assert "check-normal-cam-disagrees" in sample.meta["warnings"]


def write_positions(raw: Any, write_array: Make, scene: str, frame: int, offset: float) -> None:
    """Points in asset units, from the truth, moved by some metres."""
    truth = raw.truths[scene, frame]
    y, x = np.mgrid[:24, :32]
    uv1 = np.stack([2 * (x + 0.5) / 32 - 1, 1 - 2 * (y + 0.5) / 24, np.ones_like(x, float)], -1)
    rays = uv1 @ truth.m.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    points = truth.distance[..., None] * (rays @ truth.rotation.T) + truth.centre * 0.0254
    write_array(raw.file(scene, frame, "position.hdf5"), ((points + offset) / 0.0254).astype(np.float16))


def test_self_check_is_told_before_the_conversion(
    make_hypersim: Make, write_array: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = make_hypersim(frames=3)
    monkeypatch.setattr("pvit_converters.hypersim.listing.FRAMES_PER_CHECK", 1)
    write_positions(raw, write_array, "ai_901_001", 1, 0.0)
    (note,) = HypersimConverter(raw.root, HypersimOptions()).list_items().notes
    assert re.fullmatch(
        r"check of one frame of 2 scenes: normal_cam differs from the turned normal_world by 0\.000\d+ at most "
        r"\(2 scenes\); points from depth and camera miss position by 0\.\d+ % at most \(1 scenes\); "
        r"\d+\.\d% of the normals faced away and were turned round",
        note,
    ), note
    write_positions(raw, write_array, "ai_901_001", 1, 0.5)
    raw.file("ai_901_002", 1, "normal_cam.hdf5").write_bytes(b"damaged")
    converter = HypersimConverter(raw.root, HypersimOptions())
    listing = converter.list_items()
    assert "WHICH IS TOO MUCH IN 1: the camera may be wrong there" in listing.notes[0]
    assert [i.ref["frame"] for i in listing.items if i.ref.get("check")] == [1, 1], "never an artist's first frame"
    assert "check-position-disagrees" in converter.load(listing.items[1]).meta["warnings"]
    for name in ("position", "normal_cam", "normal_world"):
        for path in raw.root.glob(f"ai*/images/*/*.{name}.hdf5"):
            path.unlink()
    (note,) = HypersimConverter(raw.root, HypersimOptions()).list_items().notes
    assert note == "the cameras are unchecked: no normal_cam, no position files"


def test_max_nan_fraction(make_hypersim: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    with pytest.raises(Unwanted, match="max-nan-fraction"):
        load_all(raw.root, max_nan_fraction=0.05)


def test_broken_list_can_be_switched_off(make_hypersim: Make) -> None:
    raw = make_hypersim(scenes=("ai_013_001", "ai_901_002"))
    assert len(load_all(raw.root)) == 2
    assert len(load_all(raw.root, exclude_broken=False)) == 4


def test_colour_comes_from_radiance_or_the_released_jpeg(make_hypersim: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    key = "hypersim-ai_901_001-cam_00-0000"
    assert isinstance(load_all(raw.root)[key].rgb, np.ndarray)
    jpeg = load_all(raw.root, rgb="jpg")[key].rgb
    assert isinstance(jpeg, EncodedMedia)
    assert jpeg.data == raw.file("ai_901_001", 0, "tonemap.jpg").read_bytes()
    raw.file("ai_901_001", 0, "color.hdf5").unlink()
    assert isinstance(load_all(raw.root)[key].rgb, EncodedMedia)
    assert load_all(raw.root, rgb="hdf5")[key].rgb is None


def test_without_entity_ids_the_released_jpeg_is_the_better_colour(make_hypersim: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    raw.file("ai_901_001", 0, "render_entity_id.hdf5").unlink()
    key = "hypersim-ai_901_001-cam_00-0000"
    assert isinstance(load_all(raw.root)[key].rgb, EncodedMedia)
    assert load_all(raw.root, rgb="hdf5")[key].meta["warnings"] == ["tone-mapped-without-entity-ids"]
    raw.file("ai_901_001", 0, "tonemap.jpg").unlink()
    assert isinstance(load_all(raw.root)[key].rgb, np.ndarray)


def test_a_clone_of_the_official_repository_serves_as_metadata(make_hypersim: Make, tmp_path: Path) -> None:
    raw = make_hypersim(frames=1)
    places = {
        "metadata_images_split_scene_v1.csv": "evermotion_dataset/analysis",
        "metadata_camera_trajectories.csv": "evermotion_dataset/analysis",
        "metadata_camera_parameters.csv": "contrib/mikeroberts3000",
    }
    for name, place in places.items():
        (tmp_path / "clone" / place).mkdir(parents=True, exist_ok=True)
        (raw.root / "metadata" / name).rename(tmp_path / "clone" / place / name)
    samples = load_all(raw.root, metadata=tmp_path / "clone")
    assert len(samples) == 2
    assert {s.meta["room"] for s in samples.values()} == {"Kitchen"}


def test_a_metadata_folder_of_something_else_is_passed_over(make_hypersim: Make) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_001_001",))
    for path in (raw.root / "metadata").iterdir():
        path.unlink()
    assert len(load_all(raw.root)) == 1, "the shipped tables know this scene"
    with pytest.raises(SourceError, match="holds none of the Hypersim tables"):
        load_all(raw.root, metadata=raw.root / "metadata")


def test_tone_mapping_follows_the_specification() -> None:
    rng = np.random.default_rng(1)
    radiance = rng.uniform(0, 5, (20, 30, 3)).astype(np.float32)
    surface = rng.random((20, 30)) < 0.7
    image, factor, _ = tonemap(radiance, surface)
    bright = 0.3 * radiance[..., 0] + 0.59 * radiance[..., 1] + 0.11 * radiance[..., 2]
    assert factor == pytest.approx(0.612066 / np.percentile(bright[surface], 90), rel=1e-5)
    expected = np.clip((factor * radiance.astype(float)) ** (1 / 2.2), 0, 1) * 255
    assert np.abs(image - expected).max() <= 1.01
    assert exposure(radiance, np.zeros((20, 30), bool)) == 1
    assert exposure(radiance * 1e-6, surface) == 0
    radiance[3, 4] = np.inf
    radiance[5, 6, 1] = np.nan
    image, _, bad = tonemap(radiance, None)
    assert bad == 2
    assert not image[3, 4].any()


@pytest.mark.parametrize(
    ("name", "array", "part"),
    [
        ("depth_meters.hdf5", np.ones((24, 31), np.float16), "31 x 24 pixels, but"),
        ("depth_meters.hdf5", np.ones((24, 32), np.int16), "type int16"),
        ("normal_world.hdf5", np.ones((24, 32), np.float16), r"shape \(24, 32\)"),
        ("semantic.hdf5", np.full((24, 32), 41, np.int16), r"labels \[41\]"),
        ("semantic.hdf5", np.zeros((24, 32), np.int16), r"labels \[0\]"),
    ],
)
def test_unexpected_files_are_named(make_hypersim: Make, write_array: Make, name: str, array: Any, part: str) -> None:
    raw = make_hypersim(frames=1, scenes=("ai_901_001",))
    write_array(raw.file("ai_901_001", 0, name), array)
    with pytest.raises(SourceError, match=part) as error:
        load_all(raw.root)
    assert f"frame.0000.{name}" in str(error.value)


def test_truncated_files_are_named(make_hypersim: Make) -> None:
    for name, reason in (("depth_meters.hdf5", "corrupt-hdf5"), ("tonemap.jpg", "corrupt-image")):
        raw = make_hypersim(frames=1, scenes=("ai_901_001",), name=f"raw-{reason}")
        path = raw.file("ai_901_001", 0, name)
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(SourceError, match=f"frame.0000.{name}") as error:
            load_all(raw.root, rgb="jpg")
        assert error.value.reason == reason
