"""Hypersim's cameras against the specification's numbers and plain geometry."""

from collections import Counter

import numpy as np
import pytest

from pvit_converters.hypersim import camera
from pvit_converters.hypersim.nyu40 import NYU40
from pvit_converters.hypersim.tables import (
    CAMERA_CSV,
    Tables,
    format_ranges,
    is_broken,
    load_tables,
    parse_ranges,
    read_cameras,
    read_compact,
    write_compact,
)
from pvit_data.errors import SourceError

# Specification, section 3: -n[2] (the planar part of a unit distance) at pixels (x, y).
PIXELS = [(0, 0), (511, 383), (1023, 767), (100, 700)]
VECTORS = {
    "ai_001_001": ("standard", [0.8111886, 0.9999997, 0.8111886, 0.8630018]),
    "ai_021_002": ("tilted", [0.7000131, 0.9444793, 0.8826840, 0.8992799]),
    "ai_038_009": ("tilted", [0.8605370, 0.9933180, 0.7516638, 0.7897498]),
    # Its M_21 is not zero, which makes it one of the 257 tilted scenes.
    "ai_024_004": ("tilted", [0.8819046, 0.9999997, 0.7404411, 0.8219041]),
}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return load_tables(None)


@pytest.mark.parametrize("scene", VECTORS)
def test_planar_depth_has_the_specified_values(tables: Tables, scene: str) -> None:
    kind, expected = VECTORS[scene]
    m = tables.cameras[scene].m
    depth = camera.planar_depth(np.ones((768, 1024), np.float16), camera.unit_rays(m, 768, 1024))
    assert camera.camera_kind(m) == kind
    np.testing.assert_allclose([depth[y, x] for x, y in PIXELS], expected, atol=1.5e-7)


def test_standard_camera_is_the_centred_pinhole() -> None:
    k = camera.intrinsics(camera.standard_m(768, 1024), 768, 1024)
    np.testing.assert_allclose(k, [[886.81, 0, 512], [0, 886.81, 384], [0, 0, 1]], atol=1e-3)


@pytest.mark.parametrize("scene", VECTORS)
@pytest.mark.parametrize("size", [(768, 1024), (60, 80)])
def test_intrinsics_project_rays_back_to_their_pixels(tables: Tables, scene: str, size: tuple[int, int]) -> None:
    height, width = size
    m = tables.cameras[scene].m
    points = 3.7 * camera.unit_rays(m, height, width).astype(np.float64)
    projected = points @ camera.intrinsics(m, height, width).T
    projected = projected[..., :2] / projected[..., 2:]
    v, u = np.mgrid[:height, :width] + 0.5
    np.testing.assert_allclose(projected, np.stack([u, v], -1), atol=2e-4)


def test_invalid_distances_become_zero() -> None:
    rays = camera.unit_rays(camera.standard_m(1, 4), 1, 4)
    depth = camera.planar_depth(np.array([[np.nan, np.inf, 0, -1]], np.float16), rays)
    assert not depth.any()


def test_slightly_bad_rotations_are_repaired_and_others_refused() -> None:
    good = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    repaired = camera.clean_rotation(good + 2e-4)
    assert repaired is not None
    np.testing.assert_allclose(repaired @ repaired.T, np.eye(3), atol=1e-12)
    assert camera.clean_rotation(good * 98.8) is None  # as in ai_008_003/cam_01/0000
    assert camera.clean_rotation(np.diag([1.0, 1, -1])) is None
    assert camera.clean_rotation(np.full((3, 3), np.nan)) is None


def test_pose_is_in_metres_and_opencv_axes() -> None:
    # A camera that looks along world +y with world +z up, 100 asset units east of the origin.
    rotation = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose = camera.world_from_camera(rotation, np.array([100.0, 0, 50]), 0.01)
    ahead_right_down = pose @ np.array([2.0, 3.0, 5.0, 1.0])
    np.testing.assert_allclose(ahead_right_down, [1 + 2, 5, 0.5 - 3, 1], atol=1e-6)


def test_shipped_tables_hold_the_official_counts(tables: Tables) -> None:
    images, scenes, trajectories = Counter[str](), Counter(tables.splits.values()), Counter[str]()
    for (scene, _), frames in tables.frames.items():
        images[tables.splits[scene]] += len(frames)
        trajectories[tables.splits[scene]] += 1
    assert images == {"train": 59543, "val": 7386, "test": 7690}
    assert scenes == {"train": 365, "val": 46, "test": 46}
    assert trajectories["train"] == 614
    assert (len(tables.splits), len(tables.frames), len(tables.cameras)) == (457, 769, 482)
    kinds = Counter(camera.camera_kind(tables.cameras[scene].m) for scene in tables.splits)
    assert kinds == {"standard": 189, "shifted": 11, "tilted": 257}
    scales = Counter(round(tables.cameras[scene].scale, 6) for scene in tables.splits)
    assert scales == {0.01: 308, 0.0254: 119, 0.001: 17, 1.0: 12, 0.0255: 1}
    assert sum(len(f) == 100 for f in tables.frames.values()) == 610
    standard = [s for s in tables.splits if camera.camera_kind(tables.cameras[s].m) == "standard"]
    assert sum(len(f) for (scene, _), f in tables.frames.items() if scene in standard) == 30287


def test_exclude_list_is_the_published_one(tables: Tables) -> None:
    assert sum(len(f) for (scene, cam), f in tables.frames.items() if is_broken(scene, cam)) == 2200


def test_every_released_pixel_looks_forward(tables: Tables) -> None:
    for scene in tables.splits:
        assert camera.unit_rays(tables.cameras[scene].m, 8, 8)[..., 2].min() > 0


def test_compact_tables_round_trip(tables: Tables) -> None:
    data = write_compact(tables)
    again = read_compact(data)
    assert (again.frames, again.splits, again.rooms) == (tables.frames, tables.splits, tables.rooms)
    assert write_compact(again) == data
    assert len(data) < 400_000
    assert parse_ranges(format_ranges([0, 1, 2, 5, 9, 10])) == [0, 1, 2, 5, 9, 10]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("nonsense\n1\n", "no column scene_name"),
        ("", "no column"),
        ("{head}\nai_001_001,x{ones}\n", ":2: unexpected scene ai_001_001"),
        ("{head}\nai_001_001,1{ones}\n", "looks forward"),
        ("{head}\nai_001_001,1\n", "too few columns"),
        ("\xff\xfe", "not a text in UTF-8"),
    ],
)
def test_bad_tables_are_named(tmp_path, text: str, part: str) -> None:
    columns = ["scene_name", "settings_units_info_meters_scale"]
    columns += [f"M_cam_from_uv_{r}{c}" for r in range(3) for c in range(3)]
    filled = text.replace("{head}", ",".join(columns)).replace("{ones}", ",1" * 9)
    (tmp_path / CAMERA_CSV).write_bytes(filled.encode("latin-1"))
    with pytest.raises(SourceError, match=part) as error:
        read_cameras(tmp_path / CAMERA_CSV)
    assert CAMERA_CSV in str(error.value)


def test_label_space_has_the_official_names() -> None:
    assert (NYU40.first, NYU40.num_ids, NYU40.ignore) == (1, 41, 255)
    assert [NYU40.class_name(i) for i in (1, 2, 11, 22, 40)] == ["wall", "floor", "picture", "ceiling", "otherprop"]
    assert NYU40.colours[0] == (174, 199, 232)
    assert NYU40.colours[39] == (100, 85, 144)
