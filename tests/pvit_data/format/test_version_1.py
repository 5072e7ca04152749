"""A dataset written by format version 1.0, kept as it was: every later reader must read it. Never written again."""

from pathlib import Path

import numpy as np

import pvit_data
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Camera, Sample

FOLDER = Path(__file__).with_name("version_1")
SPACES = {
    "segm": LabelSpace("shapes", ("ball", "box", "wall"), first=1, colours=((255, 0, 0), (0, 255, 0), (0, 0, 255))),
    "action": LabelSpace("moves", ("left", "right"), pairs=((0, 1),)),
}


def truth() -> list[Sample]:
    """Values by formula; all depths are exact in float16, all normals lie along axes."""
    t, y, x = np.mgrid[:3, :16, :20].astype(np.float32)
    normal = np.zeros((2, 16, 20, 3), np.float32)
    normal[0, :, :, 2], normal[1, :, 3:, 0] = -1, 1
    k = np.array([[[16, 0, 10], [0, 16, 8], [0, 0, 1]]], np.float32)
    pose = np.eye(4, dtype=np.float32)[None]
    pose[0, :3, 3] = (1, 2, 3)
    joints = np.arange(3 * 25 * 3, dtype=np.float32).reshape(3, 1, 25, 3)
    full = Sample(
        key="old-0001",
        group="scene",
        rgb=np.stack([(x * 10) % 256, (y * 14) % 256, t * 100], -1).astype(np.uint8),
        fps=10,
        depth=np.where(x < 2, 0, 1 + t / 4 + x / 8 + y).astype(np.float32),
        normal=normal,
        segm=np.where(y < 2, 255, 1 + (x + t) % 3).astype(np.int64),
        frames={"normal": np.array([0, 2])},
        pose3d=joints,
        pose3d_valid=(joints[..., 0] % 3).astype(np.uint8),
        pose2d=joints[..., :2] / 2,
        boxes=Boxes(np.array([[0.25, 0.5, 0.75, 1]]), frame=np.array([1]), role=np.array([2]), side=np.array([0])),
        action=1,
        camera=Camera(k, pose, "z"),
        meta={"from": "formula", "größe": [16, 20]},
    )
    return [Sample(key="old-0000", num_frames=1, action=0), full]


def test_version_1_is_read() -> None:
    found = list(pvit_data.open(FOLDER, source="old", split="train"))
    assert [s.key for s in found] == ["old-0000", "old-0001"]
    assert found[0].rgb is None
    assert found[0].action == 0
    sample, expected = found[1], truth()[1]
    for name in ("depth", "normal", "segm", "pose3d", "pose3d_valid", "pose2d"):
        np.testing.assert_array_equal(getattr(sample, name), getattr(expected, name))
    assert np.abs(sample.rgb.astype(int) - expected.rgb).mean() < 6
    for name in ("xyxy", "labels", *Boxes.COLUMNS):
        np.testing.assert_array_equal(getattr(sample.boxes, name), getattr(expected.boxes, name))
    np.testing.assert_array_equal(sample.camera.K, expected.camera.K)
    np.testing.assert_array_equal(sample.camera.world_from_camera, expected.camera.world_from_camera)
    assert (sample.meta, sample.action, sample.camera.up, sample.fps) == (expected.meta, 1, "z", 10)
    assert sample.spaces == SPACES
    assert list(sample.frames_of("normal")) == [0, 2]
    assert sample.licence == "CC-BY-4.0"
