"""Tiles, contact sheets and facts: the right frame, the right place, the right words."""

from pathlib import Path

import numpy as np
import pytest

import pvit_data
from pvit_data.looking.colours import INVALID, LEFT, RIGHT, class_colours
from pvit_data.looking.facts import facts
from pvit_data.looking.pictures import HEADING
from pvit_data.looking.sheet import (
    CAPTION,
    GAP,
    PER_ROW,
    STRIP,
    frames_sheet,
    heading,
    key_frame,
    read_frame,
    samples_sheet,
    spaced,
    tiles,
)
from pvit_data.looking.tiles import box_text, joints_of
from pvit_data.sample.sample import Boxes, Camera, Sample
from tests.pvit_data.samples import SPACES, H, T, W, bare_sample, full_sample


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pvit_data.ShardDataset:
    out: Path = tmp_path_factory.mktemp("sheet") / "data"
    with pvit_data.ShardWriter(out, "mine", "train", licence="MIT", spaces=SPACES) as writer:
        writer.write(full_sample(0))
        writer.write(bare_sample(1))
    return pvit_data.open(out)


def test_key_frame_is_where_the_maps_are(dataset: pvit_data.ShardDataset) -> None:
    assert key_frame(dataset.record(0)) == 2  # normals exist for 0, 2 and 5
    assert key_frame(dataset.record(1)) == T // 2


def test_sheet_sizes(dataset: pvit_data.ShardDataset) -> None:
    width, explained = round(46 * W / H), 46 + 2 * CAPTION
    picture = samples_sheet(dataset, [0, 1], height=46)
    assert picture.shape == (2 * (explained + HEADING) + 3 * GAP, 6 * width + 7 * GAP, 3)
    several = frames_sheet(dataset, 0, count=3, height=46)
    assert several.shape == (HEADING + 3 * explained + 4 * GAP, 6 * width + 7 * GAP, 3)
    plain = frames_sheet(dataset, 1, count=9, height=46)
    lines = -(-T // PER_ROW)
    assert plain.shape == (HEADING + lines * (46 + CAPTION) + (lines + 1) * GAP, PER_ROW * (width + GAP) + GAP, 3)


def test_a_clip_without_maps_shows_its_frames_below_its_label(tmp_path: Path) -> None:
    """Frame n is of grey 20 n: each place of the sheet shows the frame that it should."""
    frames = np.repeat(np.arange(0, 240, 20, dtype=np.uint8), 32 * 32 * 3).reshape(12, 32, 32, 3)
    with pvit_data.ShardWriter(tmp_path, "mine", spaces=SPACES) as writer:
        writer.write(Sample(key="clip-0", rgb=frames, fps=25, action=3))
    ds = pvit_data.open(tmp_path)
    assert heading(ds[0], ds.record(0)) == "clip-0   action: 3 verb 3   12 frames at 25 frames/s"
    one = frames_sheet(ds, 0, count=8, height=32)
    row, column = HEADING + CAPTION + GAP + 16, GAP + 16
    step = (32 + GAP, 32 + CAPTION + GAP)
    seen = [int(one[row + y * step[1], column + x * step[0], 0]) for y in range(2) for x in range(4)]
    assert np.abs(np.array(seen) - [20 * n for n in spaced(range(12), 8)]).max() <= 2
    many = samples_sheet(ds, [0], height=32)
    seen = [int(many[row, column + x * step[0], 0]) for x in range(STRIP)]
    assert np.abs(np.array(seen) - [20 * n for n in spaced(range(12), STRIP)]).max() <= 2
    assert many[GAP : GAP + HEADING].max() > 150  # the label is written


def test_legends_say_what_is_drawn() -> None:
    found = tiles(toy(normal=np.full((1, 30, 40, 3), (0, 0, -1), np.float32)), 0, 60)
    ends, gaps = found["depth"].legend
    assert (ends.start, ends.text, gaps.text) == ("2.00", "2.00 m", "none")
    assert [mark.text for mark in found["normal"].legend] == ["right", "up", "viewer"]
    assert found["normal"].picture[0, 0].tolist() == found["normal"].legend[2].colours[0].tolist()
    classes, gaps = found["segm"].legend
    assert (classes.text, gaps.text) == ("class 7", "none")
    assert (found["segm"].picture[0, 0] == classes.colours[0]).all()


def test_spaced() -> None:
    assert spaced(range(10), 4) == [0, 3, 6, 9]
    assert spaced([5], 4) == [5]


def toy(**changes: object) -> Sample:
    """One frame of 40 x 30 pixels whose left half is class 7 at 2 m."""
    segm = np.full((1, 30, 40), 255)
    segm[:, :, :20] = 7
    depth = np.where(segm == 7, 2, 0).astype(np.float32)
    values = {"key": "toy", "rgb": np.zeros((1, 30, 40, 3), np.uint8), "segm": segm, "depth": depth, "spaces": SPACES}
    return Sample(**(values | {"num_frames": 1, "height": 30, "width": 40} | changes))


def test_dense_tiles() -> None:
    found = tiles(toy(), 0, 60)
    assert list(found) == ["rgb", "depth", "segm"]
    assert {tile.picture.shape for tile in found.values()} == {(60, 80, 3)}
    assert found["segm"].caption == "classes of nyu40"
    assert (found["segm"].picture[:, :40] == class_colours(SPACES["segm"])[7]).all()
    assert (found["segm"].picture[:, 40:] == INVALID).all()
    assert (found["depth"].picture[:, 40:] == INVALID).all()
    assert tiles(toy(), 5, 60) == {}


def skeleton() -> np.ndarray:
    """A flat figure 3 m ahead: left joints at x = -0.5 m, right ones at 0.5 m."""
    from pvit_data.sample.kinect25 import NAMES

    x = [-0.5 if "Left" in n else 0.5 if "Right" in n else 0 for n in NAMES]
    return np.stack([x, np.linspace(-0.5, 0.5, 25), np.full(25, 3.0)], -1).astype(np.float32)[None, None]


def test_skeleton_is_projected_through_the_camera() -> None:
    k = np.array([[[30, 0, 20], [0, 30, 15], [0, 0, 1]]], np.float32)
    valid = np.full((1, 1, 25), 2, np.uint8)
    valid[0, 0, 3] = 0
    sample = toy(pose3d=skeleton(), pose3d_valid=valid, camera=Camera(k))
    joints = joints_of(sample, 0)
    assert joints is not None
    assert joints.placed
    assert joints.valid[0].sum() == 24
    np.testing.assert_allclose(joints.xy[0, 4], [30 * -0.5 / 3 + 20, 30 * (-0.5 + 4 / 24) / 3 + 15], rtol=1e-5)
    picture = tiles(sample, 0, 60)["pose"].picture
    assert (picture[:, 25:35] == LEFT).all(-1).any()
    assert (picture[:, 45:55] == RIGHT).all(-1).any()
    behind = toy(pose3d=skeleton() * (1, 1, -1), pose3d_valid=valid, camera=Camera(k))
    assert not joints_of(behind, 0).valid.any()  # type: ignore[union-attr]
    unplaced = joints_of(toy(pose3d=skeleton(), pose3d_valid=valid), 0)
    assert unplaced is not None
    assert not unplaced.placed
    assert ((unplaced.xy[unplaced.valid] >= 0) & (unplaced.xy[unplaced.valid] <= (40, 30))).all()


def test_box_texts() -> None:
    boxes = Boxes(
        np.zeros((4, 4), np.float32),
        class_id=np.array([1, 2, -1, -1]),
        role=np.array([0, 2, 3, -1]),
        side=np.array([-1, 0, -1, -1]),
        contact=np.array([0, 1, -1, -1]),
    )
    assert [box_text(boxes, row, SPACES["boxes"]) for row in range(4)] == [
        "knife", "left hand, in contact", "person", "",
    ]  # fmt: skip


def test_facts(dataset: pvit_data.ShardDataset) -> None:
    sample, frame = read_frame(dataset, 0, 0)
    assert frame == 0
    found = dict(facts(dataset, 0, sample, dataset.record(0)))
    assert found["source"] == "mine, train, licence MIT"
    assert found["clip"] == "6 frames, 12.5 frames/s, 0.48 s, 60 x 46, mp4"
    assert found["normal"].startswith("3 of 6 frames (0, 2, 5), xyz8")
    assert found["boxes"] == "2 in this frame, 'things': knife, in contact, left hand, in contact"
    assert found["action"] == "3 verb 3"
    assert found["actions"] == "1 verb 1 (0-0.125 s), 4 verb 4 (0.25-0.5 s)"
    assert found["camera"] == "fx 50.0 fy 50.0 cx 30.0 cy 23.0, world pose, up is z, one per frame"
    assert "Küche" in found["meta"]
    bare, _ = read_frame(dataset, 1)
    assert [name for name, _ in facts(dataset, 1, bare, dataset.record(1))] == [
        "key",
        "source",
        "group",
        "clip",
        "stored",
    ]
