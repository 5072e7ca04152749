"""Members to sample: decodes only the asked fields and only the asked frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.depth import DepthEncoding, decode_depth
from pvit_data.codecs.normal import decode_normal
from pvit_data.codecs.npy import read_npy
from pvit_data.codecs.segm import decode_segm
from pvit_data.codecs.window import Window
from pvit_data.errors import FormatError
from pvit_data.format.members import FIELDS, RGB_EXTENSIONS
from pvit_data.format.record import Record, parse_json
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Actions, Boxes, Camera, Sample

Frames = Integer[np.ndarray, "n"]
Grid = tuple[Integer[np.ndarray, "r"], Integer[np.ndarray, "c"]]


def decode_sample(
    record: Record,
    files: Mapping[str, bytes],
    fields: Collection[str] | None = None,
    frames: Frames | None = None,
    spaces: Mapping[str, LabelSpace] | None = None,
    grid: Grid | None = None,
    window: Window | None = None,
    *,
    checked: bool = True,
) -> Sample:
    """Builds a sample from its record and its files.

    Args:
        record: the parsed JSON member.
        files: members by extension; those of fields that are not asked for may be absent.
        fields: names to decode. Default: all that are annotated.
        frames: frame numbers to decode, in any order, repeats allowed; per-frame fields hold those that exist, in
            the asked order, and `Sample.frames` says which. Default: all.
        spaces: label spaces of the source.
        grid: row and column numbers at which dense maps are sampled. Default: all.
        window: the part of rgb to decode. Default: everything.
        checked: a video was found sound when it was stored; False for files that we did not store.

    Raises:
        FormatError: if a member is missing or does not decode to what the record says.
    """
    wanted = [
        name for name in FIELDS if name in record.fields and (fields is None or name in fields)
    ]
    try:
        values, kept = _decode(record, files, wanted, frames, (grid, window, checked))
        return Sample(
            key=record.key,
            group=record.group,
            num_frames=record.frames,
            height=max(record.height, 0),
            width=max(record.width, 0),
            fps=record.fps,
            frame_times=np.array(record.frame_times, np.float32) if record.frame_times else None,
            frames=kept,
            meta=_meta(record),
            source=record.source,
            split=record.split,
            licence=record.licence,
            spaces=spaces or {},
            **values,
        )
    except FormatError as error:
        raise FormatError(f"sample '{record.key}': {error}") from error


def _decode(
    record: Record,
    files: Mapping[str, bytes],
    wanted: list[str],
    frames: Frames | None,
    pixels: tuple[Grid | None, Window | None, bool],
) -> tuple[dict[str, Any], dict[str, Frames]]:
    values: dict[str, Any] = {}
    kept: dict[str, Frames] = {}
    grid, window, checked = pixels
    for name in wanted:
        if name == "rgb":
            values["rgb"] = _rgb(record, files, (frames, window, checked), kept)
        elif name in ("depth", "normal", "segm"):
            values[name] = _dense(name, record, files, (frames, grid), kept)
        elif name in ("pose3d", "pose2d"):
            _pose(name, record, files, frames, values, kept)
        elif name == "boxes":
            values["boxes"] = _boxes(files, frames)
        elif name == "camera":
            values["camera"] = _camera(record, files)
        elif name == "action":
            values["action"] = record.action_id if record.action_time < 0 else record.action_time
        elif name == "actions":
            values["actions"] = Actions(
                np.array(record.actions_id, np.int32),
                np.array(record.actions_start, np.float32),
                np.array(record.actions_end, np.float32),
            )
    return values, kept


def select_frames(
    stored: list[int], num_frames: int, frames: Frames | None
) -> tuple[Frames | None, Frames]:
    """Which entries of a per-frame field to decode, and the frame numbers they belong to.

    Args:
        stored: frame number of each entry, ascending.
        num_frames: length of the clip.
        frames: asked frame numbers, or None for all.

    Returns:
        Entry numbers (None = all), and frame numbers in the same order.

    Raises:
        FormatError: if the stored numbers are not ascending inside the clip.
    """
    have = np.array(stored, np.int64)
    if have.size and (have[0] < 0 or have[-1] >= num_frames or (np.diff(have) <= 0).any()):
        raise FormatError(
            f"frame numbers {stored[:8]} are not ascending inside 0..{num_frames - 1}"
        )
    if frames is None:
        return None, have
    places = np.searchsorted(have, frames)
    exists = places < len(have)
    exists[exists] = have[places[exists]] == np.asarray(frames)[exists]
    return places[exists], np.asarray(frames)[exists]


def _file(files: Mapping[str, bytes], extension: str) -> bytes:
    if extension not in files:
        raise FormatError(f"member {extension} is missing")
    return files[extension]


def _rgb(
    record: Record,
    files: Mapping[str, bytes],
    asked: tuple[Frames | None, Window | None, bool],
    kept: dict[str, Frames],
) -> Shaped[np.ndarray, "n h w 3"]:
    frames, window, checked = asked
    extension = record.rgb_encoding
    if extension not in RGB_EXTENSIONS:
        raise FormatError(f"rgb encoding {extension!r} is not one of {list(RGB_EXTENSIONS)}")
    data = _file(files, RGB_EXTENSIONS[extension])
    picks = None
    if frames is not None:
        inside = (np.asarray(frames) >= 0) & (np.asarray(frames) < record.frames)
        picks = kept["rgb"] = np.asarray(frames)[inside]
    size = (record.height, record.width)
    if extension == "jpg":
        from pvit_data.codecs.still import decode_still

        rgb = decode_still(data, window, size)[None]
        rgb = rgb if picks is None else rgb[picks]
    else:
        from pvit_data.codecs.video import decode_video

        every = range(record.frames) if picks is None else picks
        rgb = decode_video(data, every, size, window, checked=checked)
    count = record.frames if picks is None else len(picks)
    sides = (
        {size}
        if window is None
        else {(window.height // s, window.width // s) for s in (1, window.shrink)}
    )
    expected = (count, *size, 3)
    if rgb.shape not in {(count, *side, 3) for side in sides}:
        raise FormatError(f"rgb decodes to {rgb.shape}, the record says {expected}")
    return rgb


def _dense(
    name: str,
    record: Record,
    files: Mapping[str, bytes],
    asked: tuple[Frames | None, Grid | None],
    kept: dict[str, Frames],
) -> Shaped[np.ndarray, "n h w *c"]:
    frames, grid = asked
    rows, columns = grid or (None, None)
    stored: list[int] = getattr(record, f"{name}_frames")
    pages, numbers = select_frames(stored, record.frames, frames)
    data = _file(files, f"{name}.tif")
    value: Shaped[np.ndarray, "n h w *c"]
    if name == "depth":
        value = decode_depth(
            data, DepthEncoding(record.depth_encoding, record.depth_scale), pages, rows, columns
        )
    elif name == "normal":
        value = decode_normal(data, record.normal_encoding, pages, rows, columns)
    else:
        value = decode_segm(data, pages, rows, columns)
    size = (record.height, record.width) if grid is None else (len(grid[0]), len(grid[1]))
    if value.shape[:3] != (len(numbers), *size):
        raise FormatError(
            f"{name}.tif decodes to {value.shape}, the record says {(len(numbers), *size)}"
        )
    if frames is not None or len(stored) != record.frames:
        kept[name] = numbers
    return value


def _pose(
    name: str,
    record: Record,
    files: Mapping[str, bytes],
    frames: Frames | None,
    values: dict[str, Any],
    kept: dict[str, Frames],
) -> None:
    rows, numbers = select_frames(record.pose_frames, record.frames, frames)
    for part in ("pose3d", "pose3d_valid") if name == "pose3d" else ("pose2d",):
        array = read_npy(_file(files, f"{part}.npy"))
        tail = {"pose3d": (25, 3), "pose2d": (25, 2), "pose3d_valid": (25,)}[part]
        expected = (len(record.pose_frames), record.people, *tail)
        if array.shape != expected or (array.dtype == np.uint8) != (part == "pose3d_valid"):
            raise FormatError(
                f"{part}.npy holds {array.dtype}{array.shape}, the record says {expected}"
            )
        values[part] = array if rows is None else array[rows]
    if frames is not None or len(record.pose_frames) != record.frames:
        kept[name] = numbers


def _boxes(files: Mapping[str, bytes], frames: Frames | None) -> Boxes:
    xyxy, ids = read_npy(_file(files, "boxes.npy")), read_npy(_file(files, "boxes_id.npy"))
    labels = read_npy(_file(files, "boxes_labels.npy"))
    width = len(Boxes.COLUMNS)
    right = (xyxy.shape[1:], ids.shape, labels.shape[1:]) == ((4,), (len(xyxy), width), (2,))
    if not right or [a.dtype.str for a in (xyxy, ids, labels)] != ["<f4", "<i4", "<i4"]:
        raise FormatError(
            f"box tables have shapes {xyxy.shape}, {ids.shape}, {labels.shape}, expected (n, 4), (n, 7), (m, 2)"
        )
    rows = np.arange(len(xyxy)) if frames is None else np.flatnonzero(np.isin(ids[:, 0], frames))
    if frames is not None:
        ids, labels = _renumber(ids, labels, rows)
        xyxy = xyxy[rows]
    return Boxes(xyxy, **dict(zip(Boxes.COLUMNS, ids.T.copy(), strict=True)), labels=labels)


def _renumber(
    ids: Integer[np.ndarray, "n 7"],
    labels: Integer[np.ndarray, "m 2"],
    rows: Integer[np.ndarray, "k"],
) -> tuple[Integer[np.ndarray, "k 7"], Integer[np.ndarray, "l 2"]]:
    """Keeps some rows of a box table; partners and labels follow their rows, or are dropped with them."""
    new = np.full(len(ids) + 1, -1, np.int32)  # the last entry serves partner -1
    new[rows] = np.arange(len(rows))
    partner, row = ids[:, 6], labels[:, 0]
    if (
        (partner < -1).any()
        or (partner >= len(ids)).any()
        or (row < 0).any()
        or (row >= len(ids)).any()
    ):
        raise FormatError("box table refers to a row that it does not have")
    ids, labels = ids[rows], labels[new[row] >= 0].copy()
    ids[:, 6] = new[ids[:, 6]]
    labels[:, 0] = new[labels[:, 0]]
    return ids, labels


def _camera(record: Record, files: Mapping[str, bytes]) -> Camera:
    """Always whole, so that `Camera.at` takes frame numbers of the clip."""
    k = read_npy(_file(files, "camera_k.npy"))
    pose = read_npy(files["camera_pose.npy"]) if "camera_pose.npy" in files else None
    shapes = k.shape[1:] == (3, 3) and len(k) in (1, record.frames) and k.dtype == np.float32
    if not shapes or (
        pose is not None and (pose.shape != (len(k), 4, 4) or pose.dtype != np.float32)
    ):
        raise FormatError(
            f"camera members have shapes {k.shape} and {None if pose is None else pose.shape}"
        )
    return Camera(k, pose, record.camera_up)


def _meta(record: Record) -> dict[str, Any]:
    meta = parse_json(record.meta.encode(), "meta")
    if not isinstance(meta, dict):
        raise FormatError("meta is not a JSON object")
    return meta
