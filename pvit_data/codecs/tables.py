"""Joints, boxes, cameras and action labels: small tables, as `.npy` members and keys of the record.

Each has an encoder (sample to files and what the record says) and a decoder (the way back). What a sample lacks gives
no file and leaves its keys as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pvit_data.codecs.npy import read_npy, write_npy
from pvit_data.codecs.window import Asked, Files, Frames, Told
from pvit_data.errors import FormatError
from pvit_data.sample import schema
from pvit_data.sample.frames import entry_frames, select_frames
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.sample import UNKNOWN, Actions, Boxes, Camera, Sample
from pvit_data.sample.schema import Spaces

Encoded = tuple[dict[str, bytes], dict[str, Any]]
Decoded = tuple[dict[str, Any], Frames | None]
"""Values by attribute of `Sample`, and their frame numbers where they are not those of the whole clip."""


def encode_joints(sample: Sample, num_frames: int, spaces: Spaces) -> Encoded:
    """`pose3d.npy`, `pose3d_valid.npy`, `pose2d.npy`: rows of frames that all have in common."""
    arrays = {name: value for name in schema.JOINTS if (value := getattr(sample, name)) is not None}
    if not arrays:
        return {}, {}
    first = next(iter(arrays))
    frames = entry_frames(sample, first, num_frames)
    schema.check_joints(sample, num_frames, spaces)
    files = {
        f"{name}.npy": write_npy(value.astype(_joint_dtype(name))) for name, value in arrays.items()
    }
    return files, {"pose_frames": frames, "people": arrays[first].shape[1]}


def decode_joints(name: str, told: Told, files: Files, asked: Asked) -> Decoded:
    """`pose3d` with its validity, or `pose2d`."""
    stored: list[int] = told["pose_frames"]
    rows, numbers = select_frames(stored, told["frames"], asked.frames)
    values = {}
    for part in (part for part in schema.JOINTS if part.startswith(name)):
        array = read_npy(files[f"{part}.npy"])
        expected = (len(stored), told["people"], len(NAMES), *schema.JOINTS[part][1])
        if array.shape != expected or array.dtype.kind != np.dtype(_joint_dtype(part)).kind:
            raise FormatError(
                f"{part}.npy holds {array.dtype}{array.shape}, the record says {expected}"
            )
        values[part] = array if rows is None else array[rows]
    partial = asked.frames is not None or len(stored) != told["frames"]
    return values, numbers if partial else None


def _joint_dtype(name: str) -> type[np.generic]:
    return np.float32 if schema.JOINTS[name][0] == "f" else np.uint8


def encode_boxes(sample: Sample, num_frames: int, spaces: Spaces) -> Encoded:
    """`boxes.npy` (corners), `boxes_id.npy` (the columns of `Boxes`), `boxes_labels.npy`; `boxes_score.npy`
    where a score is known."""
    boxes = sample.boxes
    space = spaces.get("boxes")
    if boxes is None:
        return {}, {}
    schema.check_boxes(sample, num_frames, spaces)
    if len(boxes.labels) or (boxes.class_id != UNKNOWN).any():
        space = schema.need_space(spaces, "boxes")
    columns = [getattr(boxes, name) for name in boxes.COLUMNS]
    files = {
        "boxes.npy": write_npy(boxes.xyxy),
        "boxes_id.npy": write_npy(np.stack(columns, 1).astype(np.int32)),
        "boxes_labels.npy": write_npy(boxes.labels),
    }
    if (boxes.score != UNKNOWN).any():
        files["boxes_score.npy"] = write_npy(boxes.score)
    told: dict[str, Any] = {"boxes_space": "" if space is None else space.name}
    searched = schema.searched_frames(sample)
    if searched is not None:
        told["boxes_frames"] = [int(frame) for frame in searched]
    return files, told


def decode_boxes(name: str, told: Told, files: Files, asked: Asked) -> Decoded:
    """The table; of some frames their rows only."""
    xyxy, ids, labels = (
        read_npy(files[file]) for file in ("boxes.npy", "boxes_id.npy", "boxes_labels.npy")
    )
    shapes = (xyxy.shape[1:], ids.shape, labels.shape[1:])
    right = shapes == ((4,), (len(xyxy), len(Boxes.COLUMNS)), (2,))
    if not right or [a.dtype.str for a in (xyxy, ids, labels)] != ["<f4", "<i4", "<i4"]:
        raise FormatError(
            f"box tables have shapes {xyxy.shape}, {ids.shape}, {labels.shape}, expected (n, 4), (n, 7), (m, 2)"
        )
    score = read_npy(files["boxes_score.npy"]) if "boxes_score.npy" in files else None
    if score is not None and (score.shape, score.dtype.str) != ((len(xyxy),), "<f4"):
        raise FormatError(
            f"boxes_score.npy holds {score.dtype}{score.shape}, expected {len(xyxy)} f4"
        )
    columns = dict(zip(Boxes.COLUMNS, ids.T.copy(), strict=True))
    known = {} if score is None else {"score": score}
    boxes = Boxes(xyxy, **columns, **known, labels=labels)
    if asked.frames is not None:
        boxes = boxes.keep(np.isin(boxes.frame, asked.frames))
    searched: list[int] = told.get("boxes_frames", [])
    numbers = select_frames(searched, told["frames"], asked.frames)[1] if searched else None
    return {name: boxes}, numbers


def encode_labels(sample: Sample, num_frames: int, spaces: Spaces) -> Encoded:
    """The action and the list of actions; both live in the record."""
    schema.check_actions(sample, num_frames, spaces)
    space = spaces.get("action")
    action = schema.stored_action(sample.action, space)
    if isinstance(action, int) or (sample.actions is not None and len(sample.actions)):
        space = schema.need_space(spaces, "action")
    told: dict[str, Any] = {"action_space": "" if space is None else space.name}
    if isinstance(action, float):
        told["action_time"] = action
    elif action is not None:
        told["action_id"] = action
    if sample.actions is not None:
        told["actions_id"] = [int(i) for i in sample.actions.class_id]
        told["actions_start"] = [float(t) for t in sample.actions.start]
        told["actions_end"] = [float(t) for t in sample.actions.end]
    return {}, told


def decode_action(name: str, told: Told, files: Files, asked: Asked) -> Decoded:
    """A class, or a time in seconds."""
    return {name: told["action_id"] if told["action_time"] < 0 else told["action_time"]}, None


def decode_actions(name: str, told: Told, files: Files, asked: Asked) -> Decoded:
    """Several labels of the clip."""
    times = (np.array(told[f"actions_{end}"], np.float32) for end in ("start", "end"))
    return {name: Actions(np.array(told["actions_id"], np.int32), *times)}, None


def encode_camera(sample: Sample, num_frames: int, spaces: Spaces) -> Encoded:
    """`camera_k.npy`, and `camera_pose.npy` where the source has a world frame."""
    camera = sample.camera
    if camera is None:
        return {}, {}
    schema.check_camera(sample, num_frames, spaces)
    files = {"camera_k.npy": write_npy(camera.K.astype(np.float32))}
    if camera.world_from_camera is not None:
        files["camera_pose.npy"] = write_npy(camera.world_from_camera.astype(np.float32))
    return files, {"camera_up": camera.up}


def decode_camera(name: str, told: Told, files: Files, asked: Asked) -> Decoded:
    """Always whole, so that `Camera.at` takes frame numbers of the clip."""
    k = read_npy(files["camera_k.npy"])
    pose = read_npy(files["camera_pose.npy"]) if "camera_pose.npy" in files else None
    right = k.shape[1:] == (3, 3) and len(k) in (1, told["frames"]) and k.dtype == np.float32
    if pose is not None:
        right &= pose.shape == (len(k), 4, 4) and pose.dtype == np.float32
    if not right:
        raise FormatError(
            f"camera members have shapes {k.shape} and {None if pose is None else pose.shape}"
        )
    return {name: Camera(k, pose, told["camera_up"])}, None


ENCODERS: tuple[Callable[[Sample, int, Spaces], Encoded], ...] = (
    encode_joints,
    encode_boxes,
    encode_labels,
    encode_camera,
)
"""Called for every sample, with its length and the label spaces of its source."""
