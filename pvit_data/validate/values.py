"""Values of one sample: whether its members decode to what the record says, and lie in their ranges.

Small tables are always checked, dense maps by their first page only, unless everything is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from pvit_data.codecs import tiff
from pvit_data.codecs.depth import DepthEncoding, decode_depth
from pvit_data.codecs.normal import decode_normal
from pvit_data.codecs.segm import decode_segm
from pvit_data.errors import FormatError
from pvit_data.format.members import RGB_EXTENSIONS
from pvit_data.format.record import Record
from pvit_data.reading.decode import decode_sample, select_frames
from pvit_data.sample import schema
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import DENSE_FIELDS, Sample

BLOCK_BYTES = 1 << 28  # decoded at a time
XYZ8_TOLERANCE = 0.02  # 1 % that the schema allows, and 0.5 * sqrt(3) / 127 of rounding
_PIXEL_BYTES = {"depth": 4, "normal": 12, "segm": 2, "rgb": 3}

Files = Mapping[str, bytes]
Spaces = Mapping[str, LabelSpace]


def check_values(
    record: Record, files: Files, spaces: Spaces, deep: bool
) -> Iterator[tuple[str, str]]:
    """What is wrong with a sample's values.

    Args:
        record: its JSON member.
        files: its other members by extension, with right checksums.
        spaces: label spaces of its source.
        deep: decode every page and frame.

    Returns:
        Pairs of kind and message, in the order of the fields.
    """
    for name in DENSE_FIELDS:
        if name in record.fields:
            yield from _attempt(_check_dense, name, record, files, spaces, deep)
    small = [name for name in record.fields if name not in (*DENSE_FIELDS, "rgb")]
    try:
        sample = decode_sample(record, files, small, spaces=spaces)
    except FormatError as error:
        yield "undecodable", _without_key(error, record)
    else:
        yield from _small_tables(sample, record, spaces)
    if "rgb" in record.fields and deep:
        yield from _attempt(_check_rgb, record, files)


class _ValueError(FormatError):
    """A value that decodes, and lies outside its range."""


def _attempt(check: Any, *arguments: Any) -> Iterator[tuple[str, str]]:
    try:
        check(*arguments)
    except _ValueError as error:
        yield "value", str(error)
    except FormatError as error:
        yield "undecodable", str(error)


def _small_tables(sample: Sample, record: Record, spaces: Spaces) -> Iterator[tuple[str, str]]:
    checks: list[tuple[Any, ...]] = [
        (schema.check_size, sample, record.frames, record.height, record.width)
    ]
    if sample.pose3d is not None or sample.pose2d is not None:
        checks.append((schema.check_pose, sample, len(record.pose_frames)))
    if sample.boxes is not None:
        checks.append((schema.check_boxes, sample.boxes, record.frames, spaces.get("boxes")))
    if sample.camera is not None:
        checks.append((schema.check_camera, sample.camera, record.frames))
    checks.append((schema.check_actions, sample, sample.actions, spaces.get("action")))
    for check, *arguments in checks:
        try:
            check(*arguments)
        except FormatError as error:
            yield "value", str(error)


def _check_dense(name: str, record: Record, files: Files, spaces: Spaces, deep: bool) -> None:
    stored: list[int] = getattr(record, f"{name}_frames")
    if not stored:
        raise FormatError(f"{name} is annotated, but {name}_frames is empty")
    select_frames(stored, record.frames, None)
    data = files.get(f"{name}.tif", b"")
    reader = tiff.TiffReader(data)
    height = (
        reader.height // 2
        if record.normal_encoding == "octahedral" and name == "normal"
        else reader.height
    )
    found, expected = (
        (reader.num_pages, height, reader.width),
        (len(stored), record.height, record.width),
    )
    if found != expected:
        raise FormatError(
            f"{name}.tif has (pages, height, width) {found}, the record says {expected}"
        )
    block = max(1, BLOCK_BYTES // (_PIXEL_BYTES[name] * height * reader.width))
    for start in range(0, len(stored) if deep else 1, block):
        pages = np.arange(start, min(start + block, len(stored) if deep else 1))
        if name == "depth":
            _check_depth(data, record, pages)
        elif name == "normal":
            _check_normal(data, record, pages)
        else:
            _check_segm(data, pages, spaces.get("segm"))


def _check_depth(data: bytes, record: Record, pages: Integer[np.ndarray, "k"]) -> None:
    depth = decode_depth(data, DepthEncoding(record.depth_encoding, record.depth_scale), pages)
    bad = ~np.isfinite(depth) | (depth < 0)
    if bad.any():
        raise _ValueError(
            f"depth holds {depth[bad][0]} ({int(bad.sum())} such pixels), expected finite metres, 0 where invalid"
        )


def _check_normal(data: bytes, record: Record, pages: Integer[np.ndarray, "k"]) -> None:
    """Lengths as stored for `xyz8`: the decoder would renormalise them."""
    decode_normal(data, record.normal_encoding, pages[:1])
    if record.normal_encoding != "xyz8":
        decode_normal(
            data, record.normal_encoding, pages
        )  # octahedral: of unit length by construction
        return
    stored: UInt8[np.ndarray, "k h w 3"] = tiff.TiffReader(data).read(pages)
    vector = (stored.astype(np.float32) - 128) / 127
    length = np.sqrt(np.einsum("nhwc,nhwc->nhw", vector, vector))
    bad = (np.abs(length - 1) > XYZ8_TOLERANCE) & stored.any(-1)
    if bad.any():
        raise _ValueError(
            f"normal holds a vector of length {length[bad][0]:.3f} ({int(bad.sum())} such pixels), expected 1, "
            "or (0, 0, 0) where invalid"
        )


def _check_segm(data: bytes, pages: Integer[np.ndarray, "k"], space: LabelSpace | None) -> None:
    segm = decode_segm(data, pages)
    if space is None:
        raise _ValueError("segm has no label space in the manifest")
    bad = ((segm < space.first) | (segm >= space.num_ids)) & (segm != space.ignore)
    if bad.any():
        raise _ValueError(
            f"segm holds id {segm[bad][0]} ({int(bad.sum())} such pixels), expected {space.first}..{space.num_ids - 1} "
            f"of '{space.name}', or {space.ignore}"
        )


def _check_rgb(record: Record, files: Files) -> None:
    if record.rgb_encoding not in RGB_EXTENSIONS:
        raise FormatError(
            f"rgb encoding {record.rgb_encoding!r} is not one of {list(RGB_EXTENSIONS)}"
        )
    if record.rgb_encoding != "jpg":
        from pvit_data.codecs.video import check_stored

        check_stored(files.get(RGB_EXTENSIONS[record.rgb_encoding], b""), record.frames)
    block = max(1, BLOCK_BYTES // (3 * max(1, record.height * record.width)))
    for start in range(0, record.frames, block):
        frames = np.arange(start, min(start + block, record.frames))
        try:
            decode_sample(record, files, ["rgb"], frames)
        except FormatError as error:
            raise FormatError(_without_key(error, record)) from error


def _without_key(error: FormatError, record: Record) -> str:
    return str(error).removeprefix(f"sample '{record.key}': ")
