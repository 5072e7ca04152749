"""Sample to members: checks every field against the schema and encodes it. Never changes the sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Integer

from pvit_data.codecs.depth import DepthEncoding, encode_depth
from pvit_data.codecs.normal import encode_normal
from pvit_data.codecs.npy import write_npy
from pvit_data.codecs.segm import encode_segm
from pvit_data.errors import FormatError
from pvit_data.format.members import RECORD, RGB_EXTENSIONS
from pvit_data.format.record import Record, write_record
from pvit_data.sample import schema
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.limits import MAX_MEMBER_BYTES
from pvit_data.sample.sample import DENSE_FIELDS, EncodedMedia, Sample

POSE_FIELDS = ("pose3d", "pose2d", "pose3d_valid")


@dataclass(frozen=True)
class Encoding:
    """What a source decides once for all its samples.

    Args:
        source, split, licence: written into each record.
        spaces: label spaces by field.
        depth: how depth is stored.
        normal: `"xyz8"` or `"octahedral"`.
    """

    source: str = ""
    split: str = ""
    licence: str = ""
    spaces: Mapping[str, LabelSpace] | None = None
    depth: DepthEncoding = field(default_factory=DepthEncoding)
    normal: str = "xyz8"


@dataclass(frozen=True)
class Encoded:
    """One sample as it lies in a shard: its record, its files by extension in shard order, and two counts."""

    record: Record
    files: dict[str, bytes]
    num_boxes: int


@dataclass(frozen=True)
class _Clip:
    num_frames: int
    height: int
    width: int
    fps: float
    rgb: EncodedMedia | None


def encode_sample(sample: Sample, encoding: Encoding) -> Encoded:
    """Checks and encodes one sample.

    Raises:
        FormatError: if a field breaks the schema; the message names the sample's key and the field.
    """
    try:
        return _encode(sample, encoding)
    except FormatError as error:
        raise FormatError(f"sample '{sample.key}': {error}") from error


def _encode(sample: Sample, encoding: Encoding) -> Encoded:
    spaces = encoding.spaces or {}
    clip = _clip(sample)
    record = Record(
        key=sample.key,
        group=sample.group,
        source=encoding.source,
        split=encoding.split,
        licence=sample.licence or encoding.licence,
        frames=clip.num_frames,
        height=clip.height,
        width=clip.width,
        fps=float(clip.fps),
        meta=_meta(sample),
    )
    if sample.frame_times is not None:
        record.frame_times = [float(t) for t in sample.frame_times]
    files: dict[str, bytes] = {}
    if clip.rgb is not None:
        record.rgb_encoding = clip.rgb.extension
        files[RGB_EXTENSIONS[clip.rgb.extension]] = clip.rgb.data
    _dense(sample, encoding, spaces, record, files)
    _pose(sample, record, files)
    num_boxes = _boxes(sample, spaces, record, files)
    _action(sample, spaces, record)
    _camera(sample, record, files)
    record.fields = sorted(_annotated(sample, clip))
    files[RECORD] = write_record(record)
    for extension, data in files.items():
        if len(data) > MAX_MEMBER_BYTES:
            raise FormatError(f"{extension} has {len(data)} bytes, at most {MAX_MEMBER_BYTES}")
    return Encoded(record, dict(sorted(files.items())), num_boxes)


def _annotated(sample: Sample, clip: _Clip) -> list[str]:
    fields = ("depth", "normal", "segm", "pose3d", "pose2d", "boxes", "action", "actions", "camera")
    return [name for name in fields if sample.has(name)] + (["rgb"] if clip.rgb is not None else [])


def _clip(sample: Sample) -> _Clip:
    """Length, size, rate and encoded pictures of the clip, from whatever tells them; all that do must agree."""
    media = None
    lengths: dict[str, int] = {"num_frames": sample.num_frames} if sample.num_frames else {}
    sizes: dict[str, tuple[int, int]] = (
        {"height and width": (sample.height, sample.width)} if sample.height else {}
    )
    fps = sample.fps
    schema.check_rate(fps)
    if sample.rgb is not None:
        schema.check_rgb(sample.rgb)
        media, length, sizes["rgb"], rate = _media(sample.rgb, fps)
        lengths["rgb"], fps = length, fps or rate
    for name in DENSE_FIELDS:
        value = getattr(sample, name)
        if value is not None:
            if value.ndim < 3:
                raise FormatError(
                    f"{name} has shape {value.shape}, expected (frames, height, width, ...)"
                )
            sizes[name] = (value.shape[1], value.shape[2])
            if name not in sample.frames:
                lengths[name] = len(value)
    if sample.pose3d is not None and "pose3d" not in sample.frames:
        lengths["pose3d"] = len(sample.pose3d)
    if not lengths and sample.camera is not None:
        lengths["camera"] = len(sample.camera.K)
    for told, what in ((lengths, "number of frames"), (sizes, "(height, width)")):
        if len(set(told.values())) > 1:
            raise FormatError(
                f"fields disagree about the {what}: "
                + ", ".join(f"{k} {v}" for k, v in told.items())
            )
    if not lengths:
        raise FormatError("nothing tells the number of frames: set num_frames")
    height, width = next(iter(sizes.values()), (-1, -1))
    schema.check_size(sample, next(iter(lengths.values())), height, width)
    return _Clip(next(iter(lengths.values())), height, width, fps, media)


def _media(
    rgb: np.ndarray | EncodedMedia, fps: float
) -> tuple[EncodedMedia, int, tuple[int, int], float]:
    from pvit_data.codecs.still import encode_still, probe_still

    if isinstance(rgb, EncodedMedia):
        if rgb.extension == "jpg":
            still = probe_still(rgb.data)
            return rgb, 1, (still.height, still.width), 0.0
        from pvit_data.codecs.video import storable

        data, video = storable(rgb.data)
        kept = rgb if data is rgb.data else EncodedMedia(data, "mp4")
        return kept, video.num_frames, (video.height, video.width), video.fps
    if len(rgb) == 0:
        raise FormatError("rgb has no frames")
    if len(rgb) == 1:
        return EncodedMedia(encode_still(rgb[0]), "jpg"), 1, rgb.shape[1:3], 0.0
    from pvit_data.codecs.video import encode_video

    return EncodedMedia(encode_video(rgb, fps), "mp4"), len(rgb), rgb.shape[1:3], 0.0


def _dense(
    sample: Sample,
    encoding: Encoding,
    spaces: Mapping[str, LabelSpace],
    record: Record,
    files: dict[str, bytes],
) -> None:
    size = (None, record.height, record.width)
    if sample.depth is not None:
        schema.check_array("depth", sample.depth, size, "f")
        record.depth_frames = _frames(sample, "depth", len(sample.depth), record.frames)
        record.depth_encoding, record.depth_scale = encoding.depth.name, encoding.depth.scale
        files["depth.tif"] = encode_depth(
            sample.depth.astype(np.float32, copy=False), encoding.depth
        )
    if sample.normal is not None:
        schema.check_array("normal", sample.normal, (*size, 3), "f")
        record.normal_frames = _frames(sample, "normal", len(sample.normal), record.frames)
        record.normal_encoding = encoding.normal
        files["normal.tif"] = encode_normal(
            sample.normal.astype(np.float32, copy=False), encoding.normal
        )
    if sample.segm is not None:
        schema.check_array("segm", sample.segm, size, "iu")
        record.segm_frames = _frames(sample, "segm", len(sample.segm), record.frames)
        space = schema.need_space(spaces, "segm")
        record.segm_space = space.name
        files["segm.tif"] = encode_segm(sample.segm, space)


def _pose(sample: Sample, record: Record, files: dict[str, bytes]) -> None:
    arrays = {
        name: getattr(sample, name) for name in POSE_FIELDS if getattr(sample, name) is not None
    }
    if not arrays:
        return
    name, first = next(iter(arrays.items()))
    record.pose_frames = _frames(sample, name, len(first), record.frames)
    schema.check_pose(sample, len(first))
    record.people = first.shape[1]
    for name, value in arrays.items():
        dtype = np.uint8 if name == "pose3d_valid" else np.float32
        files[f"{name}.npy"] = write_npy(value.astype(dtype))


def _boxes(
    sample: Sample, spaces: Mapping[str, LabelSpace], record: Record, files: dict[str, bytes]
) -> int:
    boxes = sample.boxes
    if boxes is None:
        return 0
    space = spaces.get("boxes")
    schema.check_boxes(boxes, record.frames, space)
    record.boxes_space = "" if space is None else space.name
    columns = [getattr(boxes, name) for name in boxes.COLUMNS]
    files["boxes.npy"] = write_npy(boxes.xyxy)
    files["boxes_id.npy"] = write_npy(np.stack(columns, 1).astype(np.int32))
    files["boxes_labels.npy"] = write_npy(boxes.labels)
    return len(boxes)


def _action(sample: Sample, spaces: Mapping[str, LabelSpace], record: Record) -> None:
    space = spaces.get("action")
    schema.check_actions(sample, sample.actions, space)
    record.action_space = "" if space is None else space.name
    if isinstance(sample.action, float | np.floating):
        record.action_time = float(sample.action)
    elif sample.action is not None:
        record.action_id = int(sample.action)
    if sample.actions is not None:
        record.actions_id = [int(i) for i in sample.actions.class_id]
        record.actions_start = [float(t) for t in sample.actions.start]
        record.actions_end = [float(t) for t in sample.actions.end]


def _camera(sample: Sample, record: Record, files: dict[str, bytes]) -> None:
    camera = sample.camera
    if camera is None:
        return
    schema.check_camera(camera, record.frames)
    record.camera_up = camera.up
    files["camera_k.npy"] = write_npy(camera.K.astype(np.float32))
    if camera.world_from_camera is not None:
        files["camera_pose.npy"] = write_npy(camera.world_from_camera.astype(np.float32))


def _frames(sample: Sample, name: str, count: int, num_frames: int) -> list[int]:
    frames: Integer[np.ndarray, "n"] = np.asarray(sample.frames.get(name, np.arange(count)))
    schema.check_frames(name, frames, count, num_frames)
    if count == 0:
        raise FormatError(f"{name} has no frames: leave it None where it is not annotated")
    if name not in sample.frames and count != num_frames:
        raise FormatError(
            f"{name} has {count} frames of {num_frames}: give their numbers in frames['{name}']"
        )
    return [int(f) for f in frames]


def _meta(sample: Sample) -> str:
    try:
        return json.dumps(sample.meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(f"meta is not JSON: {error}") from error
