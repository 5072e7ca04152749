"""Pictures: colour maps with known properties, geometry of boxes, skeletons and grids."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from pvit_data.looking import colours, pictures
from pvit_data.sample.labels import LabelSpace


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [
        ((1.0, 0.0, 0.0), (255, 255, 255)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((0.627955, 0.257683, 29.2339), (255, 0, 0)),  # sRGB red, green, blue in OKLCh (CSS Color 4, sample values)
        ((0.866440, 0.294827, 142.4953), (0, 255, 0)),
        ((0.452014, 0.313214, 264.0520), (0, 0, 255)),
    ],
)
def test_oklch(lab: tuple[float, float, float], rgb: tuple[int, int, int]) -> None:
    assert np.abs(colours.oklch_to_rgb(*map(np.array, lab)).astype(int) - rgb).max() <= 1


def test_depth_reads_monotonically_in_grey() -> None:
    grey = colours.ramp() @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) <= 0.51).all()
    assert grey[0] > 200 > 30 > grey[-1]


def test_depth_picture_marks_invalid_pixels_and_its_ends() -> None:
    depth = np.array([[1.0, 3.0, 0.0, np.nan, 9.0]], np.float32)
    picture = pictures.depth_picture(depth, (1.0, 3.0))[0]
    assert picture[0].tolist() == colours.ramp()[0].tolist()
    assert picture[1].tolist() == picture[4].tolist() == colours.ramp()[255].tolist()
    assert picture[2].tolist() == picture[3].tolist() == list(colours.INVALID)
    assert pictures.depth_range(np.zeros((2, 2))) == (0.0, 1.0)
    assert pictures.depth_range(np.full((2, 2), 4.0)) == (4.0, 4.001)


def test_normals_in_customary_colours() -> None:
    facing = np.array([[[0.0, 0.0, -2.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 0.0]]])
    picture = pictures.normal_picture(facing)[0].tolist()
    assert picture == [[128, 128, 255], [255, 128, 128], [128, 255, 128], list(colours.INVALID)]


def test_classes_are_told_apart() -> None:
    shades = colours.palette(24).astype(int)
    distance = np.abs(shades[:, None] - shades[None]).sum(-1)
    assert distance[~np.eye(24, dtype=bool)].min() >= 20


def test_segmentation_takes_the_spaces_own_colours() -> None:
    space = LabelSpace("two", ("a", "b"), first=1, colours=((9, 8, 7), (1, 2, 3)))
    picture = pictures.segm_picture(np.array([[1, 2, 255, -1, 7]]), space)[0].tolist()
    assert picture == [[9, 8, 7], [1, 2, 3], list(colours.INVALID), list(colours.INVALID), list(colours.INVALID)]


def test_boxes_are_drawn_on_their_pixels() -> None:
    ground = np.zeros((40, 80, 3), np.uint8)
    picture = pictures.draw_boxes(ground, np.array([[0.25, 0.5, 0.5, 1.0]]))
    rows, columns = np.nonzero(picture.any(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 39, 20, 39)
    assert not ground.any()
    pictures.draw_boxes(ground, np.array([[0.9, 0.9, 0.1, 0.1]]), ["corners swapped"])


@pytest.mark.parametrize("grey", [0, 128, 255])
@pytest.mark.parametrize("shade", [(250, 240, 180), (60, 20, 90), (200, 60, 60)])
def test_labels_are_read_on_any_ground(grey: int, shade: tuple[int, int, int]) -> None:
    """Letters on a patch of the box's colour, lighter or darker than it by far, inside the picture."""
    ground = np.full((200, 200, 3), grey, np.uint8)
    colours_ = np.array([shade], np.uint8)
    plain = pictures.draw_boxes(ground, np.array([[0.7, 0.0, 1.0, 1.0]]), (), colours_)
    named = pictures.draw_boxes(ground, np.array([[0.7, 0.0, 1.0, 1.0]]), ["oscilloscope"], colours_)
    rows, columns = np.nonzero((plain != named).any(-1))
    patch = named[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()].reshape(-1, 3).astype(int)
    assert 195 <= columns.max() <= 199  # moved to the left, not cut
    assert (patch == shade).all(-1).mean() > 0.4
    light = patch @ [0.2126, 0.7152, 0.0722]
    assert np.abs(light - np.dot(shade, [0.2126, 0.7152, 0.0722])).max() > 90


def test_labels_do_not_lie_on_each_other() -> None:
    ground = np.zeros((240, 240, 3), np.uint8)
    shades = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    boxes = np.array([[0.1, 0.3, 0.9, 0.9]] * 3)
    picture = pictures.draw_boxes(ground, boxes, ["first", "second", "third"], shades)
    bare = pictures.draw_boxes(ground, boxes, (), shades)
    changed = (picture != bare).any(-1)
    seen = [(changed & (picture == shade).all(-1)).sum() for shade in shades]
    assert min(seen) > 150
    spans = [np.nonzero((changed & (picture == shade).all(-1)).any(1))[0] for shade in shades]
    spans.sort(key=lambda rows: rows[0])
    assert all(above[-1] < below[0] for above, below in pairwise(spans))


def test_legends_show_what_fits() -> None:
    tile = np.zeros((10, 128, 3), np.uint8)
    shown = pictures.captioned(tile, "normals", legend=colours.normal_marks())
    assert shown.shape == (10 + 2 * pictures.CAPTION, 128, 3)
    strip = shown[-pictures.CAPTION :].reshape(-1, 3).tolist()
    assert all(mark.colours[0].tolist() in strip for mark in colours.normal_marks())
    ramp = pictures.captioned(tile, "depth", legend=colours.depth_marks(0.5, 4.0))[-pictures.CAPTION :]
    found = {tuple(c) for c in ramp[pictures.CAPTION // 2].tolist()} & {tuple(c) for c in colours.ramp().tolist()}
    assert len(found) >= 50
    many = colours.class_marks(np.arange(40))
    strip = pictures.captioned(tile, "classes", legend=many)[-pictures.CAPTION :].reshape(-1, 3).tolist()
    there = [mark.colours[0].tolist() in strip for mark in many]
    assert there[:2] == [True, True]
    assert not any(there[5:])
    long = colours.Mark("a name that is far too long for the picture", np.array([[9, 200, 9]], np.uint8))
    assert pictures.captioned(tile, "", legend=[long]).shape == shown.shape
    assert pictures.captioned(tile, "", legend=()).shape == shown.shape


def test_a_pose_lies_over_its_picture() -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    joints = np.zeros((25, 3))
    joints[5] = (-0.5, 0.25, 0)  # the left elbow, half a metre to the left of the root and a quarter below
    seen = pictures.pose_picture(joints, 40, span=2.0, over=picture)
    assert seen.shape == picture.shape
    assert seen[0, 0].tolist() == [100, 100, 100]
    assert seen[25, 20].tolist() == list(colours.LEFT)
    assert pictures.pose_picture(joints, 40).shape == (40, 40, 3)


def test_skeleton_colours_sides() -> None:
    ground = np.zeros((50, 50, 3), np.uint8)
    joints = np.full((25, 2), 25.0)
    joints[5], joints[9] = (5, 25), (45, 25)  # left and right elbow
    picture = pictures.draw_skeleton(ground, joints)
    assert picture[25, 5].tolist() == list(colours.LEFT)
    assert picture[25, 45].tolist() == list(colours.RIGHT)
    nobody = pictures.draw_skeleton(ground, joints, np.zeros(25, bool))
    assert not nobody.any()


def test_grid_places_tiles() -> None:
    red, blue = np.full((4, 6, 3), (255, 0, 0), np.uint8), np.full((2, 3, 3), (0, 0, 255), np.uint8)
    sheet = pictures.grid([[red, blue], [blue]], gap=1)
    assert sheet.shape == (4 + 2 + 3, 6 + 3 + 3, 3)
    assert sheet[1, 1].tolist() == [255, 0, 0]
    assert sheet[1, 8].tolist() == sheet[6, 1].tolist() == [0, 0, 255]


def test_caption_and_png_round_trip() -> None:
    picture = pictures.captioned(np.zeros((10, 60, 3), np.uint8), "a text far too long for sixty pixels")
    assert picture.shape == (28, 60, 3)
    assert picture[:18].max() > 150
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(pictures.png(picture)))), picture)
