"""`Sample`: the one thing that converters produce and readers return.

A field that a source lacks is None, never faked; an empty box table means "annotated, but nothing there".
Image coordinates: (0, 0) is the outer corner of the top-left pixel, pixel centres lie at +0.5.
Camera axes: x right, y down, z forward (OpenCV), metres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Integer, UInt8

from pvit_data.errors import FormatError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.origins import Origin
from pvit_data.words import brief, found

KEY_PATTERN = re.compile(r"[a-z0-9_-]{1,80}\Z")
DENSE_FIELDS = ("depth", "normal", "segm")
"""Fields of one map per annotated frame, (n, h, w, ...)."""
POSE_FIELDS = ("pose3d", "pose3d_valid", "pose2d")
"""They share their frames and people."""
LATER_FIELDS: tuple[str, ...] = ("boxes_score",)
"""Fields and members that format 1.0 does not have: what older files do not say of them is that they are absent."""


def is_later(name: str) -> bool:
    """Whether a name in a file (`FIELD_frames`, `has_FIELD`) belongs to a field that format 1.0 does not have."""
    return any(name == f"has_{field}" or name.startswith(f"{field}_") for field in LATER_FIELDS)


Container = Literal["mp4", "webm", "avi", "jpg"]
CONTAINERS: tuple[Container, ...] = get_args(Container)
"""What pictures are stored in: videos, and JPEG for stills."""

ROLE_OBJECT, ROLE_ACTIVE, ROLE_HAND, ROLE_PERSON = 0, 1, 2, 3
SIDE_LEFT, SIDE_RIGHT = 0, 1
UNKNOWN = -1


@dataclass(frozen=True)
class EncodedMedia:
    """An image or video file whose bytes are stored as they are, without decoding.

    Args:
        data: the whole file.
        extension: its container: `"mp4"`, `"webm"`, `"avi"` or `"jpg"`.
    """

    data: bytes
    extension: Container

    __repr__ = brief


def numbers(name: str, values: object, dtype: type[np.generic]) -> np.ndarray:
    """The values as an array of this type, which must hold them: no text, no truth values, no half ids.

    Raises:
        FormatError: if it does not.
    """
    try:
        given = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        raise FormatError(f"{name} is {found(values)}, expected numbers") from None
    if given.dtype == dtype:
        return given
    if given.size and given.dtype.kind not in "iuf":
        raise FormatError(f"{name} is {found(values)}, expected numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        array = given.astype(dtype)
    changed = array != given if array.dtype.kind == "i" else np.zeros(0, bool)
    if changed.any():
        raise FormatError(f"{name} holds {given[changed][0]}, expected whole numbers of 32 bits")
    return array


def _unset() -> Integer[np.ndarray, "0"]:
    return np.zeros(0, np.int32)


@dataclass
class Boxes:
    """A table of 2D boxes, one row per box and frame. Unknown or not applicable is -1.

    Args:
        xyxy: corners in [0, 1], half-open: x1 = first column / W, x2 = (last column + 1) / W.
        frame: frame index of each box.
        class_id: id in the sample's `boxes` label space.
        track: track or instance id.
        role: 0 object, 1 active object, 2 hand, 3 person.
        side: 0 left, 1 right.
        contact: 0 no, 1 yes.
        partner: row of this table that the box is in contact with.
        score: confidence of whatever found the box, usually in [0, 1].
        labels: further (row, class) pairs, for multi-label boxes.
    """

    xyxy: Float32[np.ndarray, "n 4"]
    frame: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    class_id: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    track: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    role: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    side: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    contact: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    partner: Integer[np.ndarray, "n"] = field(default_factory=_unset)
    score: Float32[np.ndarray, "n"] = field(default_factory=_unset)
    labels: Integer[np.ndarray, "m 2"] = field(default_factory=_unset)

    COLUMNS = ("frame", "class_id", "track", "role", "side", "contact", "partner")

    def __post_init__(self) -> None:
        xyxy = numbers("boxes.xyxy", self.xyxy, np.float32)
        if xyxy.size % 4 or xyxy.ndim > 2:
            raise FormatError(f"boxes.xyxy has shape {xyxy.shape}, expected (n, 4)")
        self.xyxy = xyxy.reshape(-1, 4)
        for name in self.COLUMNS:
            column = numbers(f"boxes.{name}", getattr(self, name), np.int32)
            if column.size == 0:
                column = np.full(len(self), 0 if name == "frame" else UNKNOWN, np.int32)
            if column.shape != (len(self),):
                raise FormatError(
                    f"boxes.{name} has shape {column.shape}, expected ({len(self)},) as boxes.xyxy"
                )
            setattr(self, name, column)
        score = numbers("boxes.score", self.score, np.float32)
        if score.size == 0:
            score = np.full(len(self), UNKNOWN, np.float32)
        if score.shape != (len(self),):
            raise FormatError(
                f"boxes.score has shape {score.shape}, expected ({len(self)},) as boxes.xyxy"
            )
        self.score = score
        labels = numbers("boxes.labels", self.labels, np.int32)
        if labels.size % 2 or labels.ndim > 2:
            raise FormatError(f"boxes.labels has shape {labels.shape}, expected (m, 2)")
        self.labels = labels.reshape(-1, 2)

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.xyxy)

    def keep(self, rows: Bool[np.ndarray, "n"] | Integer[np.ndarray, "k"]) -> Boxes:
        """Some rows as a table of their own; `partner` and `labels` follow their rows.

        A partner that is left out becomes -1, the labels of a row that is left out go with it.

        Args:
            rows: a mask over the rows, or row numbers in the wanted order, without repeats.

        Raises:
            FormatError: if a partner or a label refers to a row that the table does not have.

        Example:
            >>> hands = Boxes([[0, 0, 1, 1], [0, 0, 0.5, 1]], partner=[1, 0], labels=[[1, 7]])
            >>> kept = hands.keep(np.array([False, True]))
            >>> len(kept), kept.partner.tolist(), kept.labels.tolist()
            (1, [-1], [[0, 7]])
        """
        self._check_references()
        picks = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows)
        place = np.full(len(self) + 1, UNKNOWN, np.int32)  # the last entry serves partner -1
        place[picks] = np.arange(len(picks))
        columns = {name: getattr(self, name)[picks] for name in self.COLUMNS}
        columns["partner"] = place[columns["partner"]]
        labels = self.labels[place[self.labels[:, 0]] != UNKNOWN].copy()
        labels[:, 0] = place[labels[:, 0]]
        return Boxes(self.xyxy[picks], score=self.score[picks], labels=labels, **columns)

    def _check_references(self) -> None:
        for name, numbers, first in (
            ("partner", self.partner, UNKNOWN),
            ("labels", self.labels[:, 0], 0),
        ):
            if numbers.size and not first <= numbers.min() <= numbers.max() < len(self):
                raise FormatError(f"boxes.{name} refers to a row that the table does not have")


@dataclass
class Actions:
    """Several action labels of one clip, with times where the source has them.

    Args:
        class_id: ids in the sample's `action` label space.
        start, end: seconds; -1 = the whole clip.
    """

    class_id: Integer[np.ndarray, "n"]
    start: Float32[np.ndarray, "n"] = field(default_factory=_unset)
    end: Float32[np.ndarray, "n"] = field(default_factory=_unset)

    def __post_init__(self) -> None:
        self.class_id = numbers("actions.class_id", self.class_id, np.int32).reshape(-1)
        for name in ("start", "end"):
            column = numbers(f"actions.{name}", getattr(self, name), np.float32)
            if column.size == 0:
                column = np.full(len(self), UNKNOWN, np.float32)
            if column.shape != (len(self),):
                raise FormatError(
                    f"actions.{name} has shape {column.shape}, expected ({len(self)},) as actions.class_id"
                )
            setattr(self, name, column)

    __repr__ = brief

    def __len__(self) -> int:
        return len(self.class_id)


@dataclass
class Camera:
    """The camera of each frame.

    Args:
        K: any invertible matrix with (u, v, 1) ~ K (x, y, z), u, v in pixels; a tilted one is not triangular.
        world_from_camera: rigid transforms from camera to world axes, metres; None where the source has no world frame.
        up: the world axis that points up: `"x"`, `"-x"`, ... `"-z"`, or "" where unknown.
    """

    K: Float32[np.ndarray, "t 3 3"]
    world_from_camera: Float32[np.ndarray, "t 4 4"] | None = None
    up: str = ""

    __repr__ = brief

    def at(self, frames: Integer[np.ndarray, "n"]) -> Camera:
        """The cameras of the given frames; a single stored camera serves every frame."""
        pick = np.zeros_like(frames) if len(self.K) == 1 else frames
        pose = None if self.world_from_camera is None else self.world_from_camera[pick]
        return Camera(self.K[pick], pose, self.up)


@dataclass(kw_only=True)
class Sample:
    """One clip or still with whichever annotations its source has.

    Args:
        key: unique in the dataset, `[a-z0-9_-]`, at most 80 characters.
        group: scene, sequence or video id: what a split or shard must not tear apart. Default: the key.
        rgb: sRGB clip (a still has T = 1), or an encoded file to store as it is.
        num_frames: length of the clip; needed only where no array tells it.
        height, width: size in pixels; needed only where no array tells it.
        fps: native frame rate; 0 for stills or unknown.
        frame_times: seconds of each frame, where the rate is not constant.
        depth: planar z in metres; 0 = invalid. One map per annotated frame.
        normal: unit vectors in camera axes, facing the camera; zero = invalid.
        segm: ids in the label space `spaces["segm"]`; `LabelSpace.ignore` = not labelled.
        frames: frame indices of the dense maps (and of `rgb` in a partial read) that do not cover every frame; of
            `boxes` those in which boxes were looked for, where these are not all.
        pose3d: joints in Kinect v2 order, metres, camera axes; person 0 is the main one.
        pose3d_valid: 0 absent, 1 derived, 2 exact.
        pose2d: joints in pixels; (0, 0) where unknown.
        boxes: a box table, or None where boxes were not annotated.
        action: class id (int) in `spaces["action"]`, or one of its names when it is written; where the source declares
            no such space, a time in seconds (float); or None.
        actions: several labels, with times; see `Actions`.
        camera: see `Camera`.
        meta: whatever the converter wants to keep; must be JSON.
        source, split, licence: filled by the reader. A writer keeps `licence`, and its source is then under it, too;
            what was read from a source without one is `"not stated"` in a source that has one.
        spaces: label spaces by field (`"segm"`, `"boxes"`, `"action"`), filled by the reader.
        origins: filled by the reader: of what source or layer it has what, and whose that is. A writer keeps to it,
            unless `licence` is another one now: then the owner has spoken.

    Example:
        >>> import numpy as np, pvit_data
        >>> sample = pvit_data.Sample(
        ...     key="take_1", num_frames=8, depth=np.ones((2, 48, 64)), frames={"depth": np.array([0, 4])}
        ... )
        >>> sample.has("normal"), sample.frames_of("depth").tolist()
        (False, [0, 4])
    """

    key: str
    group: str = ""
    rgb: UInt8[np.ndarray, "t h w 3"] | EncodedMedia | None = None
    num_frames: int = 0
    height: int = 0
    width: int = 0
    fps: float = 0.0
    frame_times: Float32[np.ndarray, "t"] | None = None
    depth: Float32[np.ndarray, "n h w"] | None = None
    normal: Float32[np.ndarray, "n h w 3"] | None = None
    segm: Integer[np.ndarray, "n h w"] | None = None
    frames: dict[str, Integer[np.ndarray, "n"]] = field(default_factory=dict)
    pose3d: Float32[np.ndarray, "t p 25 3"] | None = None
    pose3d_valid: UInt8[np.ndarray, "t p 25"] | None = None
    pose2d: Float32[np.ndarray, "t p 25 2"] | None = None
    boxes: Boxes | None = None
    action: int | float | str | None = None
    actions: Actions | None = None
    camera: Camera | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    split: str = ""
    licence: str = ""
    spaces: Mapping[str, LabelSpace] = field(default_factory=dict)
    origins: tuple[Origin, ...] = field(default=(), repr=False)

    __repr__ = brief

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not KEY_PATTERN.match(self.key):
            raise FormatError(
                f"sample key is {found(self.key)}: expected 1 to 80 characters of a-z, 0-9, '_' and '-'"
            )
        self.group = self.group or self.key

    def has(self, name: str) -> bool:
        """Whether the sample carries a field (`"rgb"`, `"depth"`, ..., `"action"`, `"camera"`)."""
        return getattr(self, name) is not None

    def frames_of(self, name: str) -> Integer[np.ndarray, "n"]:
        """Frame indices of a per-frame field: which frames its entries (of `boxes`: its rows) belong to.

        Raises:
            KeyError: if the sample does not carry the field.
        """
        value = getattr(self, name, None)
        if value is None:
            raise KeyError(f"sample '{self.key}' has no {name}")
        if isinstance(value, Boxes):
            return value.frame
        if name in self.frames:
            return self.frames[name]
        return np.arange(self.num_frames if isinstance(value, EncodedMedia) else len(value))

    def normal_in(self, axes: Literal["camera", "world"]) -> Float32[np.ndarray, "n h w 3"]:
        """The normals in camera or world axes (the paper's target); invalid pixels stay zero.

        Raises:
            KeyError: if the sample has no normals, or world axes are asked for and it has no world pose.
        """
        frames = self.frames_of("normal")
        assert self.normal is not None
        if axes == "camera":
            return self.normal
        if self.camera is None or self.camera.world_from_camera is None:
            raise KeyError(
                f"sample '{self.key}' has no world_from_camera to turn its normals to world axes with"
            )
        pose = self.camera.at(frames).world_from_camera
        assert pose is not None
        world: Float32[np.ndarray, "n h w 3"] = np.einsum(
            "nij,nhwj->nhwi", pose[:, :3, :3], self.normal
        )
        return world.astype(np.float32)
