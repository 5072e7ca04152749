"""The JSON member of a sample: one fixed key set with constant types and no nulls.

Unknown integers are -1, unknown rates 0.0, absent texts "" and absent lists []. `fields` tells what is annotated, so
that "annotated, but nothing there" stays different from "not annotated". Keys are written in sorted order.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_FRAMES, MAX_JSON_BYTES, MAX_JSON_DEPTH, check_picture
from pvit_data.sample.sample import is_later
from pvit_data.storage.files import utf8

RECORD_VERSION = 1
MAX_INTEGER = (1 << 31) - 1
NO_META = "{}"


@dataclass(kw_only=True)
class Record:
    """Everything about a sample that is not an array file.

    Args:
        format: major version of the format.
        key, group, source, split, licence: as in `Sample`.
        fields: names of the annotated fields, sorted.
        frames, height, width, fps: of the clip; height and width are -1 where nothing tells them.
        frame_times: seconds of each frame, or [].
        rgb_encoding: `"mp4"`, `"webm"`, `"avi"`, `"jpg"` or "".
        depth_encoding: `"float16"`, `"uint16"`, `"float32"` or "".
        depth_scale: metres per step of `"uint16"`, else 0.0.
        normal_encoding: `"xyz8"`, `"octahedral"` or "".
        depth_frames, normal_frames, segm_frames, pose_frames: frame number of each page or row.
        segm_space, boxes_space, action_space: names of label spaces, or "".
        action_id: class, or -1.
        action_time: seconds, or -1.0.
        actions_id, actions_start, actions_end: labels with times (seconds; -1.0 = the whole clip).
        camera_up: `"x"`, `"-x"`, ... `"-z"`, or "".
        people: number of people in the pose arrays.
        meta: JSON text of `Sample.meta`.
    """

    format: int = RECORD_VERSION
    key: str
    group: str
    source: str = ""
    split: str = ""
    licence: str = ""
    fields: list[str] = field(default_factory=list)
    frames: int = 1
    height: int = -1
    width: int = -1
    fps: float = 0.0
    frame_times: list[float] = field(default_factory=list)
    rgb_encoding: str = ""
    depth_encoding: str = ""
    depth_scale: float = 0.0
    depth_frames: list[int] = field(default_factory=list)
    normal_encoding: str = ""
    normal_frames: list[int] = field(default_factory=list)
    segm_space: str = ""
    segm_frames: list[int] = field(default_factory=list)
    pose_frames: list[int] = field(default_factory=list)
    people: int = 0
    boxes_space: str = ""
    action_space: str = ""
    action_id: int = -1
    action_time: float = -1.0
    actions_id: list[int] = field(default_factory=list)
    actions_start: list[float] = field(default_factory=list)
    actions_end: list[float] = field(default_factory=list)
    camera_up: str = ""
    meta: str = NO_META


@dataclass(kw_only=True)
class LayerRecord(Record):
    """The record of a row of a layer (format 1.1); frames, fps, height, width and group are its base's.

    Args:
        base_crc32: of the pictures that it was made from, 8 hexadecimal digits; "" where the base has none.
        boxes_frames: frame numbers in which boxes were looked for; [] = all.
    """

    base_crc32: str = ""
    boxes_frames: list[int] = field(default_factory=list)


TYPES: dict[str, Any] = dict(sorted(get_type_hints(Record).items()))
LAYER_TYPES: dict[str, Any] = dict(sorted(get_type_hints(LayerRecord).items()))
_CRC = re.compile(r"([0-9a-f]{8})?\Z")
_ITEMS: dict[Any, type] = {list[int]: int, list[float]: float, list[str]: str}


def write_record(record: Record) -> bytes:
    """Encodes with sorted keys, UTF-8, no blanks: the same bytes every time."""
    values = vars(record)
    return utf8(
        json.dumps(
            values, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    )


def read_record(data: bytes | memoryview) -> Record:
    """Decodes and checks key set and types; keys of later fields may be absent.

    Raises:
        FormatError: if the bytes are not such a record.
    """
    values = parse_json(bytes(data), "record")
    if not isinstance(values, dict):
        raise FormatError("record is not a JSON object")
    if isinstance(version := values.get("format"), int) and version > RECORD_VERSION:
        raise FormatError(
            f"record has format version {version}, this reader knows {RECORD_VERSION}: update pvit-toolkit"
        )
    is_layer = "base_crc32" in values
    types, kind = (LAYER_TYPES, LayerRecord) if is_layer else (TYPES, Record)
    absent = types.keys() - values.keys()
    if missing := sorted(name for name in absent if not is_later(name)):
        raise FormatError(f"record lacks the key(s) {', '.join(missing)}")
    given = {name: of for name, of in types.items() if name not in absent}
    record = kind(**{name: _checked(name, values[name], of) for name, of in given.items()})
    if isinstance(record, LayerRecord) and not _CRC.match(record.base_crc32):
        raise FormatError(
            f"record has base_crc32 = {record.base_crc32[:20]!r}, expected 8 hexadecimal digits"
        )
    if not 1 <= record.frames <= MAX_FRAMES:
        raise FormatError(f"record has {record.frames} frames, expected 1 to {MAX_FRAMES}")
    if (record.height, record.width) != (-1, -1):
        check_picture("record", record.height, record.width)
    return record


def parse_json(data: bytes, what: str, limit: int = MAX_JSON_BYTES) -> Any:
    """Parses JSON text of bounded size and depth, without NaN.

    Raises:
        FormatError: if it is not JSON.
    """
    if len(data) > limit:
        raise FormatError(f"{what} has {len(data)} bytes of JSON, at most {limit}")
    try:
        values = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not JSON: {error}") from error
    if data.count(b"[") + data.count(b"{") > MAX_JSON_DEPTH and _is_deep(values):
        raise FormatError(f"{what} has more than {MAX_JSON_DEPTH} levels of brackets")
    return values


def _is_deep(values: Any) -> bool:
    """Whether values lie in each other too deep: what was parsed with less depth is still too deep to be written."""
    level = [values]
    for _ in range(MAX_JSON_DEPTH):
        level = [v for found in level for v in _within(found) if isinstance(v, dict | list)]
    return bool(level)


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _checked(name: str, value: Any, kind: Any) -> Any:
    item = _ITEMS.get(kind)
    values = [value] if item is None else value
    item = item or kind
    if type(values) is list and item is float:
        values = [float(v) if type(v) is int and abs(v) <= MAX_INTEGER else v for v in values]
    if type(values) is not list or any(type(v) is not item for v in values):
        raise FormatError(
            f"record has {name} = {str(value)[:40]!r}, expected {getattr(kind, '__name__', kind)}"
        )
    if item is float and not all(map(math.isfinite, values)):
        raise FormatError(f"record has a number in {name} that is not finite")
    if item is int and any(not -MAX_INTEGER <= v <= MAX_INTEGER for v in values):
        raise FormatError(f"record has a number in {name} that does not fit into 32 bits")
    return values if kind in _ITEMS else values[0]
