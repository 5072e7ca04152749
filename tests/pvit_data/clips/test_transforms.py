"""The joint transform against independent geometry: re-projection, planes, coordinate ramps, and torchvision."""

import importlib.util
from dataclasses import fields, replace

import numpy as np
import pytest

from pvit_data.clips import colour_jitter, crops, transforms
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.geometry import Geometry, whole_frame
from pvit_data.errors import FormatError
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.sample import Boxes, EncodedMedia, Sample
from tests.pvit_data.memory_set import ACTION, SEGM, camera, plane, synthetic

CONFIG = ClipConfig(size=(32, 32))


def draws(source: tuple[int, int], number: int = 20, **options: object) -> list[Geometry]:
    config = ClipConfig(size=(32, 32), **options)  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    return [crops.training_crop(source, config, 0.5, rng) for _ in range(number)]


def test_every_field_of_a_sample_has_a_rule() -> None:
    assert set(transforms.RULES) == {f.name for f in fields(Sample)}


@pytest.mark.parametrize("options", [{}, {"area": (0.2, 1.0)}])
def test_joints_project_through_the_transformed_camera(options: dict[str, object]) -> None:
    sample = replace(synthetic("k"), camera=camera(40, 60, 6, tilt=0.4))
    for draw in draws((40, 60), **options):
        out = transforms.apply(sample, draw)
        assert out.camera is not None
        uv = np.einsum("tij,tpnj->tpni", out.camera.K, out.pose3d)
        original = np.einsum("tij,tpnj->tpni", sample.camera.K, sample.pose3d)  # type: ignore[union-attr]
        original = original[..., :2] / original[..., 2:]
        # Where a point of the source lies in the output, told by the window alone.
        (top, left), (height, width) = draw.corner, draw.window
        moved = (original - [left, top]) / [width, height] * 32
        if draw.flip:
            moved[..., 0] = 32 - moved[..., 0]
            swap = [NAMES.index(n.translate(str.maketrans("", "")).replace("Left", "?").replace("Right", "Left")
                                .replace("?", "Right")) for n in NAMES]  # fmt: skip
            moved = moved[:, :, swap]
        np.testing.assert_allclose(uv[..., :2] / uv[..., 2:], moved, atol=2e-3)


def test_pose2d_follows_pose3d() -> None:
    sample = synthetic("k")
    for draw in draws((40, 60)):
        out = transforms.apply(sample, draw)
        assert out.camera is not None
        uv = np.einsum("tij,tpnj->tpni", out.camera.K, out.pose3d)
        np.testing.assert_allclose(uv[..., :2] / uv[..., 2:], out.pose2d, atol=2e-3)


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize("flip", [False, True])
def test_crops_and_flips_of_a_plane_equal_the_plane_rendered_anew(tilt: float, flip: bool) -> None:
    cam = camera(48, 64, 1, tilt)
    normal = np.array([0.3, -0.4, -1]) / np.linalg.norm([0.3, -0.4, -1])
    depth, normals = plane(cam, 48, 64, normal, 4.0)
    sample = Sample(key="p", depth=depth[None], normal=normals[None], camera=cam, num_frames=1, height=48, width=64)
    draw = Geometry((48, 64), (5, 9), (30, 40), (30, 40), (3, 2), (24, 32), flip)
    out = transforms.apply(sample, draw)
    assert out.camera is not None
    mirrored = normal * [-1, 1, 1] if flip else normal
    expected_depth, expected_normals = plane(out.camera, 24, 32, mirrored, 4.0)
    assert out.depth is not None
    assert out.normal is not None
    assert np.abs(out.depth[0] - expected_depth).max() < 0.0006 + 0.001 * expected_depth.min()
    np.testing.assert_allclose(out.normal[0], expected_normals, atol=1e-6)


def test_scaled_maps_take_the_nearest_pixel() -> None:
    ramp = np.arange(60, dtype=np.float32)[None, None].repeat(40, 1)
    sample = Sample(key="r", depth=ramp + 1, num_frames=1, height=40, width=60)
    for draw in draws((40, 60)):
        out = transforms.apply(sample, draw, (8, 8))
        centres = (np.arange(8) + 0.5) * 4
        centres = 32 - centres if draw.flip else centres
        x = draw.corner[1] + centres * draw.window[1] / 32
        assert out.depth is not None
        assert np.abs(out.depth[0, 0] - 1 - (x - 0.5)).max() <= 0.5 + 1e-6


def test_pixels_lie_where_the_matrix_says() -> None:
    """A linear ramp stays linear under bilinear resizing, so its values are source coordinates."""
    u = np.broadcast_to(np.arange(60) * 4, (40, 60))
    v = np.broadcast_to(np.arange(40)[:, None] * 4, (40, 60))
    sample = Sample(key="r", rgb=np.stack([u, v, u], -1)[None].astype(np.uint8), num_frames=1)
    views = [crops.evaluation_crop((40, 60), CONFIG, i, 3) for i in range(3)]
    for draw in [*draws((40, 60)), *views]:
        rgb = transforms.apply(sample, draw, antialias=False).rgb
        assert isinstance(rgb, np.ndarray)
        inverse = np.linalg.inv(draw.matrix())
        at = np.stack([np.arange(32) + 0.5, np.arange(32) + 0.5, np.ones(32)])
        x, y, _ = inverse @ at
        inner = slice(1, -1)
        assert np.abs(rgb[0, 16, :, 0] / 4 - (x - 0.5))[inner].max() < 0.3
        assert np.abs(rgb[0, :, 16, 1] / 4 - (y - 0.5))[inner].max() < 0.3


@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_equals_torchvision(antialias: bool) -> None:
    if importlib.util.find_spec("torchvision") is None:
        raise AssertionError("the extra [train] is not installed")
    import torch
    from torchvision.transforms.v2 import functional as reference

    rgb = np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3), np.uint8)
    for draw in draws((90, 120), 6):
        frames = torch.from_numpy(rgb).permute(0, 3, 1, 2)
        expected = reference.resized_crop(frames, *draw.corner, *draw.window, [32, 32], antialias=antialias)
        if draw.flip:
            expected = reference.horizontal_flip(expected)
        got = transforms.resize(transforms.cut(rgb, draw), draw, antialias)
        np.testing.assert_array_equal(got, expected.permute(0, 2, 3, 1).numpy())


def test_boxes_contain_exactly_the_pixels_of_their_object() -> None:
    rng = np.random.default_rng(5)
    for draw in draws((40, 60), area=(0.3, 1.0)):
        original = Geometry(draw.source, draw.corner, draw.window, draw.window, (0, 0), draw.window, draw.flip)
        top, left = rng.integers(0, 30), rng.integers(0, 45)
        mask = np.zeros((1, 40, 60), np.uint8)
        mask[0, top : top + 9, left : left + 13] = 1
        box = np.float32([[left / 60, top / 40, (left + 13) / 60, (top + 9) / 40]])
        sample = Sample(key="b", segm=mask, boxes=Boxes(box), num_frames=1, height=40, width=60)
        out = transforms.apply(sample, original)
        assert out.segm is not None
        assert out.boxes is not None
        rows, columns = np.nonzero(out.segm[0])
        if len(rows) == 0:
            assert len(out.boxes) == 0
            continue
        height, width = draw.window
        edges = [columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height]
        np.testing.assert_allclose(out.boxes.xyxy, [edges], atol=1e-6)


def test_a_flip_exchanges_left_and_right_everywhere() -> None:
    sample = replace(synthetic("k"), action=0)
    sample.boxes = Boxes(
        np.float32([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.9, 1.0]]), side=[0, -1], class_id=[2, 0], partner=[1, 0]
    )  # type: ignore[arg-type]
    sample.spaces = {"segm": SEGM, "boxes": SEGM, "action": ACTION}
    out = transforms.apply(sample, whole_frame((40, 60), flip=True))
    assert out.boxes is not None
    assert out.camera is not None
    assert out.segm is not None
    assert sample.segm is not None
    np.testing.assert_allclose(out.boxes.xyxy, [[0.7, 0.2, 0.9, 0.4], [0.1, 0.5, 0.5, 1.0]], atol=1e-6)
    assert (out.boxes.side.tolist(), out.boxes.class_id.tolist()) == ([1, -1], [3, 0])
    assert out.action == 1
    assert out.camera.world_from_camera is None
    exchanged = np.array([0, 1, 3, 2])[sample.segm[:, :, ::-1]]
    np.testing.assert_array_equal(out.segm, exchanged)
    left, right = NAMES.index("WristLeft"), NAMES.index("WristRight")
    np.testing.assert_array_equal(out.pose3d[:, :, left], sample.pose3d[:, :, right] * [-1, 1, 1])  # type: ignore[index]


def test_flipping_twice_gives_the_sample_back() -> None:
    sample = synthetic("k")
    flip = whole_frame((40, 60), flip=True)
    twice = transforms.apply(transforms.apply(sample, flip), flip)
    for name in ("rgb", "depth", "segm", "pose3d_valid"):
        np.testing.assert_array_equal(getattr(twice, name), getattr(sample, name))
    for name in ("normal", "pose3d", "pose2d"):
        np.testing.assert_allclose(getattr(twice, name), getattr(sample, name), atol=1e-4)
    np.testing.assert_allclose(twice.camera.K, sample.camera.K, atol=1e-4)  # type: ignore[union-attr]


def test_boxes_outside_the_crop_go_and_their_partners_and_labels_follow() -> None:
    table = Boxes(
        np.float32([[0, 0, 0.1, 0.1], [0.4, 0.4, 0.6, 0.6], [0.5, 0.5, 1, 1]]),
        partner=np.array([1, 2, 0]),
        labels=np.array([[0, 5], [2, 6], [1, 7]]),
    )
    sample = Sample(key="b", boxes=table, num_frames=1, height=40, width=40)
    out = transforms.apply(sample, Geometry((40, 40), (10, 10), (20, 20), (20, 20), (0, 0), (20, 20))).boxes
    assert out is not None
    np.testing.assert_allclose(out.xyxy, [[0.3, 0.3, 0.7, 0.7], [0.5, 0.5, 1, 1]], atol=1e-6)
    assert out.partner.tolist() == [1, -1]
    assert out.labels.tolist() == [[1, 6], [0, 7]]


def test_published_views() -> None:
    """ssv2.md section 5: short side exactly 224, long side floor(long / short * 224), offsets 0, ceil, L - 224."""
    config = ClipConfig()
    wide = [crops.evaluation_crop((240, 427), config, i, 3) for i in range(3)]
    assert [v.resized for v in wide] == [(224, 398)] * 3
    assert [v.offset for v in wide] == [(0, 0), (0, 87), (0, 174)]
    tall = [crops.evaluation_crop((427, 240), config, i, 3) for i in range(3)]
    assert [v.offset for v in tall] == [(0, 0), (87, 0), (174, 0)]
    assert crops.evaluation_crop((240, 427), config).offset == (0, 87)  # one view is the centre, not the left
    kinetics = crops.evaluation_crop((256, 340), ClipConfig(eval_scale=256 / 224))
    assert (kinetics.resized, kinetics.offset) == ((256, 340), (16, 58))


def test_short_side_jitter_is_uniform_in_inverse_size() -> None:
    rng = np.random.default_rng(0)
    config = ClipConfig()
    windows = np.array([crops.training_crop((2400, 4270), config, 0, rng).window[0] for _ in range(4000)]) / 2400
    assert windows.min() >= 224 / 320 - 1e-3
    assert windows.max() <= 224 / 256 + 1e-3
    assert abs(windows.mean() - (0.7 + 0.875) / 2) < 0.003  # 0.0505 / sqrt(4000) = 0.0008 per standard error
    assert abs(np.median(windows) - 0.7875) < 0.005


def test_draws_stay_inside_small_frames_and_odd_shapes() -> None:
    rng = np.random.default_rng(0)
    for source in [(10, 10), (224, 224), (31, 200), (200, 31)]:
        for config in (ClipConfig(jitter=(0.5, 1.0)), ClipConfig(size=(96, 160)), ClipConfig(area=(0.08, 1))):
            for _ in range(20):
                draw = crops.training_crop(source, config, 0.5, rng)
                for corner, window, full in zip(draw.corner, draw.window, source, strict=True):
                    assert 0 <= corner <= corner + window <= full


def test_colour_jitter_is_off_at_zero_and_never_moves_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    assert colour_jitter.jitter(rgb, 0, np.random.default_rng(1)) is rgb
    out = colour_jitter.jitter(rgb, 1, np.random.default_rng(1))
    for channel in range(3):
        order = np.argsort(rgb[..., channel], axis=None, kind="stable")
        assert (np.diff(out[..., channel].ravel()[order].astype(int)) >= 0).all()


def test_errors_name_the_cause() -> None:
    encoded = Sample(key="e", rgb=EncodedMedia(b"", "mp4"), num_frames=1)
    with pytest.raises(FormatError, match="sample 'e': rgb is still encoded"):
        transforms.apply(encoded, whole_frame((4, 4)))
    with pytest.raises(FormatError, match=r"frames are \(5, 5\), the geometric draw was made for \(4, 4\)"):
        transforms.cut(np.zeros((1, 5, 5, 3), np.uint8), whole_frame((4, 4)))
