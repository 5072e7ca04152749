"""One geometric draw applied to everything a `Sample` carries, so that pixels, maps, boxes, joints and camera agree.

Plain numpy on the needed pixels instead of torchvision kernels: every op here is one affine map, so a dense map needs
only the pixels under its target grid (a 56 x 56 gather) and never a full-resolution float tensor. `RULES` has one entry
per field of `Sample`; a test holds it to that, because a field without a rule would silently stay behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt8

from pvit_data.clips.geometry import MIRROR, Geometry
from pvit_data.errors import FormatError
from pvit_data.sample.kinect25 import FLIP
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import ROLE_PERSON, Actions, Boxes, Camera, EncodedMedia, Sample

MIRROR_X = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True)
class Change:
    """A draw and how to apply it; see `apply`."""

    geometry: Geometry
    grid: tuple[int, int]
    antialias: bool = True
    gathered: bool = False
    keep_persons: bool = False


def apply(
    sample: Sample,
    geometry: Geometry,
    grid: tuple[int, int] | None = None,
    antialias: bool = True,
    gathered: bool = False,
    keep_persons: bool = False,
) -> Sample:
    """The sample as seen through a geometric draw.

    A flip mirrors x of normals and joints, exchanges left and right joints, box sides and the left/right pairs of every
    label space. A mirrored sample has no world frame: its camera keeps K and loses `world_from_camera`.

    Args:
        grid: (h, w) of the dense maps, taken at the nearest source pixel; default the size of the output.
        antialias: filter rgb before shrinking it.
        gathered: the sample was read with `grid=geometry.nearest(...)` and `window=geometry.cut()`, so that it holds
            only the needed pixels.
        keep_persons: persons outside of the picture stay, as boxes without area at its edge; other boxes there go.

    Raises:
        FormatError: if rgb is not decoded, or its size is not the one the draw was made for.
    """
    change = Change(geometry, grid or geometry.size, antialias, gathered, keep_persons)
    return replace(sample, **{name: rule(sample, change) for name, rule in RULES.items()})


def cut(rgb: UInt8[np.ndarray, "n h w 3"], geometry: Geometry) -> UInt8[np.ndarray, "n r c 3"]:
    """The window of a draw.

    Raises:
        FormatError: if the frames have another size than the draw was made for.
    """
    if rgb.shape[1:3] != geometry.source:
        raise FormatError(
            f"frames are {rgb.shape[1:3]}, the geometric draw was made for {geometry.source}"
        )
    (top, left), (height, width) = geometry.corner, geometry.window
    return rgb[:, top : top + height, left : left + width]


def resize(
    window: UInt8[np.ndarray, "n r c 3"], geometry: Geometry, antialias: bool = True
) -> UInt8[np.ndarray, "n h w 3"]:
    """Resizes (bilinear, pixel centres at +0.5), crops and mirrors frames that show just the window of a draw.

    They may show it at a lower resolution than the source's.
    """
    window = resized(window, geometry, antialias)
    (top, left), (height, width) = geometry.offset, geometry.size
    out = window[:, top : top + height, left : left + width]
    return np.ascontiguousarray(out[:, :, ::-1] if geometry.flip else out)


def resized(
    window: UInt8[np.ndarray, "n r c 3"], geometry: Geometry, antialias: bool = True
) -> UInt8[np.ndarray, "n h2 w2 3"]:
    """The first step of `resize` alone, which views share that differ in their place in the window."""
    import torch
    from torch.nn.functional import interpolate

    if geometry.resized == window.shape[1:3]:
        return window
    frames = torch.from_numpy(np.require(window, requirements="W")).permute(0, 3, 1, 2)
    frames = interpolate(frames, geometry.resized, mode="bilinear", antialias=antialias)
    return frames.permute(0, 2, 3, 1).numpy()


def mirrored_ids(
    ids: Integer[np.ndarray, "*shape"], space: LabelSpace | None
) -> Integer[np.ndarray, "*shape"]:
    """The class ids of a mirrored image: left and right classes of the space exchanged, everything else unchanged."""
    if space is None or not space.pairs or ids.size == 0:
        return ids
    out = ids.copy()
    for left, right in space.pairs:
        out[ids == left] = right
        out[ids == right] = left
    return out


def _unchanged(name: str) -> Callable[[Sample, Change], Any]:
    return lambda sample, change: getattr(sample, name)


def _rgb(sample: Sample, change: Change) -> UInt8[np.ndarray, "n h w 3"] | None:
    if isinstance(sample.rgb, EncodedMedia):
        raise FormatError(
            f"sample '{sample.key}': rgb is still encoded; decode it before transforming"
        )
    if sample.rgb is None:
        return None
    window = sample.rgb if change.gathered else cut(sample.rgb, change.geometry)
    return resize(window, change.geometry, change.antialias)


def _gather(maps: np.ndarray, change: Change) -> np.ndarray:
    if change.gathered:
        return maps
    rows, columns = change.geometry.nearest((maps.shape[1], maps.shape[2]), change.grid)
    return maps[:, rows[:, None], columns]


def _depth(sample: Sample, change: Change) -> Float32[np.ndarray, "n h w"] | None:
    return None if sample.depth is None else _gather(sample.depth, change)


def _normal(sample: Sample, change: Change) -> Float32[np.ndarray, "n h w 3"] | None:
    if sample.normal is None:
        return None
    normal = _gather(sample.normal, change)
    return normal * MIRROR_X if change.geometry.flip else normal


def _segm(sample: Sample, change: Change) -> Integer[np.ndarray, "n h w"] | None:
    if sample.segm is None:
        return None
    segm = _gather(sample.segm, change)
    return mirrored_ids(segm, sample.spaces.get("segm")) if change.geometry.flip else segm


def _mirror_joints(joints: np.ndarray | None, change: Change) -> np.ndarray | None:
    if joints is None or not change.geometry.flip:
        return joints
    return joints[:, :, list(FLIP)]


def _pose3d(sample: Sample, change: Change) -> Float32[np.ndarray, "t p 25 3"] | None:
    joints = _mirror_joints(sample.pose3d, change)
    return joints * MIRROR_X if joints is not None and change.geometry.flip else joints


def _pose3d_valid(sample: Sample, change: Change) -> UInt8[np.ndarray, "t p 25"] | None:
    return _mirror_joints(sample.pose3d_valid, change)


def _pose2d(sample: Sample, change: Change) -> Float32[np.ndarray, "t p 25 2"] | None:
    joints = _mirror_joints(sample.pose2d, change)
    if joints is None:
        return None
    absent = (joints == 0).all(-1, keepdims=True)
    return np.where(absent, np.float32(0), _move(joints, change.geometry))


def _move(points: Float[np.ndarray, "*n 2"], geometry: Geometry) -> Float32[np.ndarray, "*n 2"]:
    matrix = geometry.matrix()
    moved: Float32[np.ndarray, "*n 2"] = (points * matrix.diagonal()[:2] + matrix[:2, 2]).astype(
        np.float32
    )
    return moved


def _boxes(sample: Sample, change: Change) -> Boxes | None:
    boxes, geometry = sample.boxes, change.geometry
    if boxes is None:
        return None
    (height, width), (out_height, out_width) = geometry.source, geometry.size
    corners = _move(boxes.xyxy.reshape(-1, 2, 2) * [width, height], geometry) / [
        out_width,
        out_height,
    ]
    # A mirrored box has its corners exchanged in x: sort them again.
    xyxy = np.clip(np.concatenate([corners.min(1), corners.max(1)], 1), 0, 1)
    moved = replace(boxes, xyxy=xyxy.astype(np.float32))
    if geometry.flip:
        moved = _mirror_box_labels(moved, sample.spaces.get("boxes"))
    is_shown = (xyxy[:, 2:] > xyxy[:, :2]).all(1)
    if change.keep_persons:
        is_shown |= moved.role == ROLE_PERSON
    return moved.keep(is_shown)


def _mirror_box_labels(boxes: Boxes, space: LabelSpace | None) -> Boxes:
    side = np.where(boxes.side >= 0, 1 - boxes.side, boxes.side)
    labels = boxes.labels.copy()
    labels[:, 1] = mirrored_ids(labels[:, 1], space)
    return replace(boxes, side=side, class_id=mirrored_ids(boxes.class_id, space), labels=labels)


def _action(sample: Sample, change: Change) -> int | float | str | None:
    if not change.geometry.flip or not isinstance(sample.action, int):
        return sample.action
    return int(mirrored_ids(np.array([sample.action]), sample.spaces.get("action"))[0])


def _actions(sample: Sample, change: Change) -> Actions | None:
    if sample.actions is None or not change.geometry.flip:
        return sample.actions
    return replace(
        sample.actions, class_id=mirrored_ids(sample.actions.class_id, sample.spaces.get("action"))
    )


def _camera(sample: Sample, change: Change) -> Camera | None:
    if sample.camera is None:
        return None
    matrix = change.geometry.matrix() @ sample.camera.K
    if not change.geometry.flip:
        return replace(sample.camera, K=matrix.astype(np.float32))
    return Camera((matrix @ MIRROR).astype(np.float32), None, "")


NOT_SPATIAL = (
    "key",
    "group",
    "num_frames",
    "fps",
    "frame_times",
    "frames",
    "meta",
    "source",
    "split",
    "licence",
    "spaces",
    "origins",
)

RULES: dict[str, Callable[[Sample, Change], Any]] = {
    "rgb": _rgb,
    "depth": _depth,
    "normal": _normal,
    "segm": _segm,
    "pose3d": _pose3d,
    "pose3d_valid": _pose3d_valid,
    "pose2d": _pose2d,
    "boxes": _boxes,
    "action": _action,
    "actions": _actions,
    "camera": _camera,
    "height": lambda sample, change: change.geometry.size[0],
    "width": lambda sample, change: change.geometry.size[1],
    **{name: _unchanged(name) for name in NOT_SPATIAL},
}
"""How each field of `Sample` follows a geometric draw."""
