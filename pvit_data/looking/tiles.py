"""One frame of a sample as pictures: the tile of each annotation in contact sheets and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8

from pvit_data.looking import pictures
from pvit_data.looking.colours import (
    SIDES,
    Mark,
    class_colours,
    class_marks,
    depth_marks,
    normal_marks,
)
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import UNKNOWN, Boxes, Sample
from pvit_data.words import counted

DARK = 24  # grey level where there is no picture
ROLES = ("object", "active object", "hand", "person")
SIDE_WORDS = ("left ", "right ")

Ground = UInt8[np.ndarray, "h w 3"]


class Tile(NamedTuple):
    """A picture, what its caption says, and what its colours mean."""

    picture: UInt8[np.ndarray, "h w 3"]
    caption: str
    legend: Sequence[Mark] = ()


class Joints(NamedTuple):
    """The people of one frame in the picture.

    Args:
        xy: pixels.
        valid: which joints are known and in front of the camera.
        placed: whether they lie where the picture shows them; else they are a front view, fitted into it.
    """

    xy: Float32[np.ndarray, "p 25 2"]
    valid: Bool[np.ndarray, "p 25"]
    placed: bool


def rgb_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """The picture itself."""
    if entry_of(sample, "rgb", frame) is None:
        return None
    return Tile(ground, f"frame {frame}" if sample.num_frames > 1 else "still")


def depth_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """Depth in colours, in metres."""
    depth = entry_of(sample, "depth", frame)
    if depth is None:
        return None
    near, far = pictures.depth_range(depth)
    marks = depth_marks(near, far, bool((depth <= 0).any()))
    return Tile(_pure(pictures.depth_picture(depth), ground), "depth", marks)


def normal_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """Normals in the customary colours."""
    normal = entry_of(sample, "normal", frame)
    if normal is None:
        return None
    return Tile(_pure(pictures.normal_picture(normal), ground), "normals", normal_marks())


def segm_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """Classes in their colours, the largest ones first in the legend."""
    segm = entry_of(sample, "segm", frame)
    if segm is None:
        return None
    space = sample.spaces.get("segm")
    picture = _pure(pictures.segm_picture(segm, space), ground)
    named = f"classes of {space.name}" if space is not None else "classes"
    return Tile(picture, named, class_marks(segm, space))


def boxes_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """Boxes over the picture, with what they show."""
    boxes = sample.boxes
    if boxes is None:
        return None
    space = sample.spaces.get("boxes")
    rows = np.flatnonzero(boxes.frame == frame)
    texts = [box_text(boxes, int(row), space) for row in rows]
    picture = pictures.draw_boxes(ground, boxes.xyxy[rows], texts, box_colours(boxes, space)[rows])
    return Tile(picture, counted(len(rows), "box", "boxes"))


def pose_tile(sample: Sample, frame: int, ground: Ground) -> Tile | None:
    """Everybody's skeleton over the picture, or beside it where nothing tells the place."""
    joints = joints_of(sample, frame)
    if joints is None:
        return None
    height, width = ground.shape[:2]
    scale = np.array([width / (sample.width or width), height / (sample.height or height)])
    picture = ground if joints.placed else np.full_like(ground, DARK)
    for xy, valid in zip(joints.xy, joints.valid, strict=True):
        picture = pictures.draw_skeleton(picture, xy * scale, valid)
    people = counted(int(joints.valid.any(-1).sum()), "person", "people")
    return Tile(picture, people if joints.placed else f"{people}, front view", SIDES)


def ground_of(sample: Sample, frame: int, height: int) -> Ground:
    """What annotations are drawn on: the picture at this height, or a dark one of its shape."""
    rgb = entry_of(sample, "rgb", frame)
    known = sample.width and sample.height
    aspect = sample.width / sample.height if known else 4 / 3
    size = (height, max(1, round(height * aspect)))
    return np.full((*size, 3), DARK, np.uint8) if rgb is None else pictures.resize(rgb, *size)


def _pure(picture: UInt8[np.ndarray, "h w 3"], ground: Ground) -> UInt8[np.ndarray, "H W 3"]:
    height, width = ground.shape[:2]
    return pictures.resize(picture, height, width, smooth=False)


def entry_of(sample: Sample, name: str, frame: int) -> np.ndarray | None:
    """The map or picture of a frame, if the sample has it."""
    if not sample.has(name):
        return None
    places = np.flatnonzero(sample.frames_of(name) == frame)
    value: np.ndarray | None = getattr(sample, name)[places[0]] if len(places) else None
    return value


def top_classes(
    segm: Integer[np.ndarray, "..."], space: LabelSpace | None, number: int
) -> list[str]:
    """Names of the classes that cover most of a segmentation, the largest first."""
    ids, counts = np.unique(segm, return_counts=True)
    ordered = ids[np.argsort(-counts, kind="stable")].tolist()
    if space is None:
        return [f"class {i}" for i in ordered[:number]]
    return [space.class_name(i) for i in ordered if space.first <= i < space.num_ids][:number]


def class_name(number: int, space: LabelSpace | None) -> str:
    """The name of a class, or "" where the number is none of the space's."""
    known = space is not None and space.first <= number < space.num_ids
    return space.class_name(number) if space is not None and known else ""


def box_text(boxes: Boxes, row: int, space: LabelSpace | None) -> str:
    """A box in words, with its score: `"knife"`, `"cup 0.87"`."""
    score = f"{boxes.score[row]:.2f}" if boxes.score[row] != UNKNOWN else ""
    return f"{box_kind(boxes, row, space)} {score}".strip()


def box_kind(boxes: Boxes, row: int, space: LabelSpace | None) -> str:
    """A box's class, side and contact in words: `"knife"`, `"left hand, in contact"`."""
    number, role = int(boxes.class_id[row]), int(boxes.role[row])
    kind = ROLES[role] if 0 <= role < len(ROLES) else ""
    name = class_name(number, space) or kind or (str(number) if number >= 0 else "")
    side = SIDE_WORDS[boxes.side[row]] if 0 <= boxes.side[row] < len(SIDE_WORDS) else ""
    touching = ", in contact" if boxes.contact[row] == 1 else ""
    return f"{'' if side and name.startswith(side) else side}{name}{touching}"


def box_colours(boxes: Boxes, space: LabelSpace | None) -> UInt8[np.ndarray, "n 3"]:
    """Colours by class, or by track where boxes have no class."""
    numbers = np.where(boxes.class_id >= 0, boxes.class_id, np.maximum(boxes.track, 0))
    table = class_colours(space, int(numbers.max(initial=0)) + 1)
    colours: UInt8[np.ndarray, "n 3"] = table[np.minimum(numbers, len(table) - 1)]
    return colours


def joints_of(sample: Sample, frame: int) -> Joints | None:
    """Everybody's joints in a frame: 2D joints if stored, else 3D ones through the camera, else a front view."""
    flat = entry_of(sample, "pose2d", frame)
    pose = entry_of(sample, "pose3d", frame)
    valid = entry_of(sample, "pose3d_valid", frame)
    if valid is None and pose is not None and sample.pose3d_valid is not None:
        valid = sample.pose3d_valid[np.flatnonzero(sample.frames_of("pose3d") == frame)[0]]
    if flat is not None:
        known = np.isfinite(flat).all(-1) & flat.any(-1)
        return Joints(flat, known if valid is None else known & (valid > 0), True)
    if pose is None or valid is None:
        return None
    shown = valid > 0
    if sample.camera is not None:
        image = pose @ sample.camera.at(np.array([frame])).K[0].T
        in_front = shown & (image[..., 2] > 1e-3)
        xy = np.divide(
            image[..., :2],
            image[..., 2:],
            out=np.zeros_like(pose[..., :2]),
            where=in_front[..., None],
        )
        return Joints(xy.astype(np.float32), in_front, True)
    return Joints(_fitted(pose[..., :2], shown, sample), shown, False)


def _fitted(
    xy: Float32[np.ndarray, "p 25 2"], valid: Bool[np.ndarray, "p 25"], sample: Sample
) -> Float32[np.ndarray, "p 25 2"]:
    """Metres to pixels, so that everybody fits."""
    height, width = sample.height or 240, sample.width or 320
    if not valid.any():
        return np.zeros_like(xy)
    low, high = xy[valid].min(0), xy[valid].max(0)
    scale = 0.8 * min(width / max(high[0] - low[0], 0.5), height / max(high[1] - low[1], 0.5))
    placed: Float32[np.ndarray, "p 25 2"] = (xy - (low + high) / 2) * np.float32(scale)
    return placed + np.array([width / 2, height / 2], np.float32)
