"""What a sample must satisfy before it is written: shapes agree, values in range, ids inside their label spaces.

Every function raises `FormatError` with the field, what was found and what was expected; the caller adds the key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import FormatError
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import MAX_FRAMES, check_picture
from pvit_data.sample.sample import (
    CONTAINERS,
    DENSE_FIELDS,
    POSE_FIELDS,
    Actions,
    Boxes,
    Camera,
    EncodedMedia,
    Sample,
)
from pvit_data.words import did_you_mean, found

UP = ("", "x", "-x", "y", "-y", "z", "-z")
RIGID_TOLERANCE = 1e-3
MAX_RATE = 1000.0

JOINTS: dict[str, tuple[str, tuple[int, ...]]] = {
    "pose3d": ("f", (3,)),
    "pose2d": ("f", (2,)),
    "pose3d_valid": ("iu", ()),
}
"""Arrays (frames, people, joints, ...): their dtype kind, and what follows the joints."""

_ARRAY = (np.ndarray, type(None)), "a numpy array"
_COUNT = (int, np.integer), "a whole number"
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "group": ((str,), "a text"),
    "rgb": (
        (np.ndarray, EncodedMedia, type(None)),
        "a uint8 numpy array (frames, height, width, 3), or EncodedMedia(bytes of a file, container)",
    ),
    "num_frames": _COUNT,
    "height": _COUNT,
    "width": _COUNT,
    "fps": ((int, float, np.integer, np.floating), "a number"),
    "frame_times": _ARRAY,
    **dict.fromkeys((*DENSE_FIELDS, *POSE_FIELDS), _ARRAY),
    "frames": ((dict,), "frame numbers by field"),
    "boxes": ((Boxes, type(None)), "Boxes"),
    "actions": ((Actions, type(None)), "Actions"),
    "camera": ((Camera, type(None)), "Camera"),
    "meta": ((dict,), "a dict of JSON values"),
    "licence": ((str,), "a text"),
}
"""What each field of a sample may be; `action` is a rule of its own, see `stored_action`."""

Spaces = Mapping[str, LabelSpace]


def check_kinds(sample: Sample) -> None:
    """Every field is of a type that it may have: no lists, tensors of other libraries or names of files."""
    for name, (kinds, wanted) in KINDS.items():
        value = getattr(sample, name)
        if not isinstance(value, kinds):
            raise FormatError(f"{name} is {found(value)}, expected {wanted}{_advice(value)}")
    if sample.camera is not None:
        for name, matrix in (
            ("K", sample.camera.K),
            ("world_from_camera", sample.camera.world_from_camera),
        ):
            if not isinstance(matrix, np.ndarray if name == "K" else _ARRAY[0]):
                raise FormatError(
                    f"camera.{name} is {found(matrix)}, expected {_ARRAY[1]}{_advice(matrix)}"
                )


def _advice(value: object) -> str:
    return "; pass .numpy()" if hasattr(value, "numpy") else ""


def check_size(sample: Sample, num_frames: int, height: int, width: int) -> None:
    """Length and size of a clip; height and width may both be -1 where nothing tells them."""
    if not 1 <= num_frames <= MAX_FRAMES:
        raise FormatError(f"{num_frames} frames, expected 1 to {MAX_FRAMES}")
    if (height, width) != (-1, -1):
        check_picture("sample", height, width)
    times = sample.frame_times
    if times is not None and (times.shape != (num_frames,) or not np.isfinite(times).all()):
        raise FormatError(
            f"frame_times has shape {times.shape}, expected ({num_frames},) finite seconds"
        )


def check_rate(fps: float) -> None:
    """A frame rate, or 0 where it is unknown."""
    if not 0 <= fps <= MAX_RATE:
        raise FormatError(f"fps is {fps}, expected a rate up to {MAX_RATE}, or 0 where unknown")


def check_array(name: str, value: np.ndarray, shape: tuple[int | None, ...], kinds: str) -> None:
    """Rank, extents (None = any) and dtype kind (`"f"`, `"iu"`, ...)."""
    fits = value.ndim == len(shape) and all(
        e is None or e == n for e, n in zip(shape, value.shape, strict=True)
    )
    if not fits or value.dtype.kind not in kinds:
        wanted = "(" + ", ".join("n" if e is None else str(e) for e in shape) + ")"
        raise FormatError(
            f"{name} is {value.dtype}{value.shape}, expected shape {wanted} of dtype kind {kinds!r}"
        )


def check_frames(name: str, frames: Integer[np.ndarray, "n"], count: int, num_frames: int) -> None:
    """Frame numbers of a per-frame field: one per entry, ascending, inside the clip."""
    if frames.shape != (count,):
        raise FormatError(f"{name} has {count} maps, but {len(frames)} frame numbers")
    if count and (frames[0] < 0 or frames[-1] >= num_frames or (np.diff(frames) <= 0).any()):
        raise FormatError(
            f"{name} has frame numbers that are not ascending inside 0..{num_frames - 1}"
        )


def check_joints(sample: Sample, num_frames: int, spaces: Spaces) -> None:
    """Joint arrays of one length: finite, validity 0, 1 or 2, which goes with the joints in 3D."""
    arrays = {name: value for name in JOINTS if (value := getattr(sample, name)) is not None}
    if not arrays:
        return
    first = next(iter(arrays.values()))
    people = first.shape[1] if first.ndim > 1 else None
    for name, value in arrays.items():
        kinds, tail = JOINTS[name]
        check_array(name, value, (len(first), people, len(NAMES), *tail), kinds)
        if not np.isfinite(value).all():
            raise FormatError(
                f"{name} holds values that are not finite: use 0 where a joint is absent"
            )
    valid = sample.pose3d_valid
    if valid is not None and valid.size and valid.max() > 2:
        raise FormatError(
            f"pose3d_valid holds {valid.max()}, expected 0 absent, 1 derived, 2 exact"
        )
    if (sample.pose3d is None) != (valid is None):
        raise FormatError("pose3d and pose3d_valid: expected both or neither")


def check_boxes(sample: Sample, num_frames: int, spaces: Spaces) -> None:
    """Corners ordered inside [0, 1], frames inside the clip, ids inside the space, partners inside the table."""
    boxes = sample.boxes
    if boxes is None:
        return
    xyxy = boxes.xyxy
    if not ((xyxy >= 0) & (xyxy <= 1)).all() or (xyxy[:, :2] > xyxy[:, 2:]).any():
        bad = int(
            np.flatnonzero(
                ~((xyxy >= 0) & (xyxy <= 1)).all(1) | (xyxy[:, :2] > xyxy[:, 2:]).any(1)
            )[0]
        )
        raise FormatError(
            f"boxes row {bad} is {xyxy[bad].tolist()}, expected x1 <= x2, y1 <= y2 inside [0, 1]"
        )
    _inside("boxes.frame", boxes.frame, 0, num_frames)
    searched = searched_frames(sample)
    if searched is not None:
        check_frames("boxes", searched, len(searched), num_frames)
        if not np.isin(boxes.frame, searched).all():
            raise FormatError("boxes has rows of frames that are not among its frames['boxes']")
    _inside("boxes.partner", boxes.partner, -1, len(boxes))
    for name, top in (("role", 4), ("side", 2), ("contact", 2)):
        _inside(f"boxes.{name}", getattr(boxes, name), -1, top)
    if not np.isfinite(boxes.score).all():
        raise FormatError("boxes.score holds a number that is not finite: -1 = unknown")
    if boxes.labels.size:
        _inside("boxes.labels row", boxes.labels[:, 0], 0, len(boxes))
    ids = np.concatenate([boxes.class_id[boxes.class_id != -1], boxes.labels[:, 1]])
    _classes("boxes", ids, spaces.get("boxes"))


def searched_frames(sample: Sample) -> Integer[np.ndarray, "n"] | None:
    """The frames in which boxes were looked for; None: all."""
    found = sample.frames.get("boxes")
    return None if found is None else np.asarray(found)


def check_actions(sample: Sample, num_frames: int, spaces: Spaces) -> None:
    """Class ids inside the label space; times finite."""
    actions = sample.actions
    space = spaces.get("action")
    stored_action(sample.action, space)
    if actions is not None:
        _classes("action", actions.class_id, space)
        if not (np.isfinite(actions.start).all() and np.isfinite(actions.end).all()):
            raise FormatError("actions hold times that are not finite: use -1 for the whole clip")


def stored_action(action: object, space: LabelSpace | None) -> int | float | None:
    """The action as a record holds it: a class id, or (where no label space is declared) a time in seconds.

    A name becomes its id. A whole float is an id as well, as tables with gaps give them.

    Raises:
        FormatError: if it is neither.
    """
    if action is None:
        return None
    if space is None:
        return _without_space(action)
    if isinstance(action, str):
        if action not in space.classes:
            raise FormatError(
                f"action is {found(action)}, expected a class of '{space.name}'"
                f"{did_you_mean(action, space.classes)}"
            )
        return space.first + space.classes.index(action)
    whole = isinstance(action, int | np.integer | float | np.floating) and action % 1 == 0
    if isinstance(action, bool) or not whole:
        raise FormatError(
            f"action is {found(action)}, expected a class id {space.first}..{space.num_ids - 1} of "
            f"'{space.name}', or a class name"
        )
    _classes("action", np.array([int(action)]), space)  # type: ignore[call-overload]
    return int(action)  # type: ignore[call-overload, no-any-return]


def _without_space(action: object) -> int | float:
    """An id of a space that no one declares (data sets written before may hold some), or a time."""
    if isinstance(action, float | np.floating):
        if not 0 <= action < np.inf:
            raise FormatError(f"action time is {action}, expected seconds >= 0")
        return float(action)
    if isinstance(action, bool) or not isinstance(action, int | np.integer):
        raise FormatError(
            f"action is {found(action)}, but no label space is declared for action: "
            "pass spaces={'action': LabelSpace(...)}"
        )
    _classes("action", np.array([int(action)]), None)
    return int(action)


def check_camera(sample: Sample, num_frames: int, spaces: Spaces) -> None:
    """One camera for all frames or one each; K invertible, poses rigid."""
    camera = sample.camera
    if camera is None:
        return
    count = len(camera.K)
    check_array("camera.K", camera.K, (count, 3, 3), "f")
    if count not in (1, num_frames):
        raise FormatError(f"camera.K has {count} matrices, expected 1 or {num_frames}")
    if (
        not np.isfinite(camera.K).all()
        or (np.linalg.matrix_rank(camera.K.astype(np.float64)) < 3).any()
    ):
        raise FormatError("camera.K holds a matrix that is not invertible")
    if camera.up not in UP:
        raise FormatError(f"camera.up is {camera.up!r}, expected one of {UP}")
    pose = camera.world_from_camera
    if pose is None:
        return
    check_array("camera.world_from_camera", pose, (count, 4, 4), "f")
    turn = pose[:, :3, :3].astype(np.float64)
    rigid = np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max(initial=0) < RIGID_TOLERANCE
    if not (np.isfinite(pose).all() and rigid and (pose[:, 3] == [0, 0, 0, 1]).all()):
        raise FormatError("camera.world_from_camera holds a matrix that is not a rigid transform")


TABLES: tuple[Callable[[Sample, int, Spaces], None], ...] = (
    check_joints,
    check_boxes,
    check_camera,
    check_actions,
)
"""What must hold of everything but pictures and maps, given the clip's length; a sample may lack any of it."""


def need_space(spaces: Spaces, field: str) -> LabelSpace:
    """The label space of a field, which must be declared."""
    if field not in spaces:
        raise FormatError(
            f"no label space is declared for {field}: pass spaces={{'{field}': LabelSpace(...)}}"
        )
    return spaces[field]


def check_rgb(rgb: np.ndarray | EncodedMedia) -> None:
    """A clip is uint8 (t, h, w, 3); encoded media has an allowed extension."""
    if isinstance(rgb, EncodedMedia):
        if not isinstance(rgb.data, bytes | bytearray | memoryview):
            raise FormatError(
                f"rgb is EncodedMedia with data = {found(rgb.data)}, expected the bytes of a file: "
                "EncodedMedia(data, extension)"
            )
        if rgb.extension not in CONTAINERS:
            raise FormatError(
                f"rgb has extension {found(rgb.extension)}, expected one of {', '.join(CONTAINERS)}"
            )
        return
    check_array("rgb", rgb, (None, None, None, 3), "u")
    if rgb.dtype != np.uint8:
        raise FormatError(f"rgb is {rgb.dtype}, expected uint8")


def _inside(name: str, values: Integer[np.ndarray, "n"], first: int, end: int) -> None:
    outside = (values < first) | (values >= end)
    if outside.any():
        raise FormatError(f"{name} holds {values[outside][0]}, expected {first}..{end - 1}")


def _classes(field: str, ids: Integer[np.ndarray, "n"], space: LabelSpace | None) -> None:
    if ids.size == 0:
        return
    first, end = (0, 1 << 31) if space is None else (space.first, space.num_ids)
    outside = (ids < first) | (ids >= end)
    if outside.any():
        named = "" if space is None else f" of '{space.name}'"
        raise FormatError(
            f"{field} has class id {ids[outside][0]}, expected {first}..{end - 1}{named}"
        )
