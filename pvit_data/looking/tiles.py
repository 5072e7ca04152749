"""One frame of a sample as pictures, one per annotation: the tiles of contact sheets and terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8

from pvit_data.looking import pictures as draw
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Boxes, Sample

COLUMNS = ("rgb", "depth", "normal", "segm", "boxes", "pose")
LEGEND = 3  # class names in a caption


class Tile(NamedTuple):
    """A picture and what its caption says."""

    picture: UInt8[np.ndarray, "h w 3"]
    caption: str


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


def best_frame(sample: Sample) -> int:
    """The frame with most dense maps, in the middle of several equal ones."""
    votes = np.zeros(max(sample.num_frames, 1), int)
    for name in ("depth", "normal", "segm"):
        if sample.has(name):
            votes[sample.frames_of(name)] += 1
    best = np.flatnonzero(votes == votes.max())
    return int(best[len(best) // 2])


def tiles(sample: Sample, frame: int, height: int) -> dict[str, Tile]:
    """Pictures of one frame, by column, all of one size.

    Args:
        sample: with decoded fields, whole or only this frame.
        frame: number in the clip.
        height: of the pictures, pixels.
    """
    size = (height, max(1, round(height * _aspect(sample))))
    found: dict[str, Tile] = {}
    rgb = _entry(sample, "rgb", frame)
    ground = np.full((*size, 3), 24, np.uint8) if rgb is None else draw.resize(rgb, *size)
    if rgb is not None:
        found["rgb"] = Tile(ground, f"frame {frame}" if sample.num_frames > 1 else "still")
    if (depth := _entry(sample, "depth", frame)) is not None:
        near, far = draw.depth_range(depth)
        found["depth"] = Tile(
            _pure(draw.depth_picture(depth), size), f"depth {near:.1f}-{far:.1f} m"
        )
    if (normal := _entry(sample, "normal", frame)) is not None:
        found["normal"] = Tile(_pure(draw.normal_picture(normal), size), "normals")
    if (segm := _entry(sample, "segm", frame)) is not None:
        space = sample.spaces.get("segm")
        found["segm"] = Tile(
            _pure(draw.segm_picture(segm, space), size), ", ".join(top_classes(segm, space))
        )
    if sample.boxes is not None:
        found["boxes"] = _boxes(sample.boxes, sample.spaces, frame, ground)
    if (joints := joints_of(sample, frame)) is not None:
        found["pose"] = _pose(joints, sample, ground)
    return found


def _aspect(sample: Sample) -> float:
    return sample.width / sample.height if sample.width and sample.height else 4 / 3


def _pure(picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    return draw.resize(picture, *size, smooth=False)


def _entry(sample: Sample, name: str, frame: int) -> np.ndarray | None:
    """The map or picture of a frame, if the sample has it."""
    if not sample.has(name):
        return None
    places = np.flatnonzero(sample.frames_of(name) == frame)
    value: np.ndarray | None = getattr(sample, name)[places[0]] if len(places) else None
    return value


def top_classes(
    segm: Integer[np.ndarray, "..."], space: LabelSpace | None, number: int = LEGEND
) -> list[str]:
    """Names of the classes that cover most of a segmentation, the largest first."""
    ids, counts = np.unique(segm, return_counts=True)
    ordered = ids[np.argsort(-counts, kind="stable")].tolist()
    if space is None:
        return [f"class {i}" for i in ordered[:number]]
    return [space.class_name(i) for i in ordered if space.first <= i < space.num_ids][:number]


def box_text(boxes: Boxes, row: int, space: LabelSpace | None) -> str:
    """A box's class, side and contact in words: `"knife"`, `"left hand, in contact"`."""
    number, role = int(boxes.class_id[row]), int(boxes.role[row])
    known = space is not None and space.first <= number < space.num_ids
    kind = ("object", "active object", "hand", "person")[role] if 0 <= role < 4 else ""
    name = (
        space.class_name(number)
        if space is not None and known
        else kind or ("" if number < 0 else f"{number}")
    )
    side = ("left ", "right ")[boxes.side[row]] if boxes.side[row] in (0, 1) else ""
    touching = ", in contact" if boxes.contact[row] == 1 else ""
    return f"{'' if side and name.startswith(side) else side}{name}{touching}"


def box_colours(boxes: Boxes, space: LabelSpace | None) -> UInt8[np.ndarray, "n 3"]:
    """Colours by class, or by track where boxes have no class."""
    numbers = np.where(boxes.class_id >= 0, boxes.class_id, np.maximum(boxes.track, 0))
    table = draw.class_colours(space, int(numbers.max(initial=0)) + 1)
    colours: UInt8[np.ndarray, "n 3"] = table[np.minimum(numbers, len(table) - 1)]
    return colours


def _boxes(
    boxes: Boxes, spaces: Mapping[str, LabelSpace], frame: int, ground: UInt8[np.ndarray, "h w 3"]
) -> Tile:
    space = spaces.get("boxes")
    rows = np.flatnonzero(boxes.frame == frame)
    texts = [box_text(boxes, int(row), space) for row in rows]
    picture = draw.draw_boxes(ground, boxes.xyxy[rows], texts, box_colours(boxes, space)[rows])
    return Tile(picture, f"{len(rows)} box{'' if len(rows) == 1 else 'es'}")


def joints_of(sample: Sample, frame: int) -> Joints | None:
    """Everybody's joints in a frame: 2D joints if stored, else 3D ones through the camera, else a front view."""
    flat, pose, valid = (
        _entry(sample, name, frame) for name in ("pose2d", "pose3d", "pose3d_valid")
    )
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


def _pose(joints: Joints, sample: Sample, ground: UInt8[np.ndarray, "h w 3"]) -> Tile:
    height, width = ground.shape[:2]
    scale = np.array([width / (sample.width or width), height / (sample.height or height)])
    picture = ground if joints.placed else np.full_like(ground, 24)
    for xy, valid in zip(joints.xy, joints.valid, strict=True):
        picture = draw.draw_skeleton(picture, xy * scale, valid)
    people = int(joints.valid.any(-1).sum())
    view = "" if joints.placed else ", front view"
    return Tile(picture, f"{people} {'person' if people == 1 else 'people'}{view}")
