"""Frame tables kept in files: made once for a video, and there for every process that cuts windows out of it.

A line of JSON says of which video it is and how many frames follow: distances of their times and key frames, deflated.
What is damaged, or of a video that has changed since, counts as not there.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from fractions import Fraction
from typing import Any

import numpy as np

from pvit_data.codecs.video.file import VideoFile
from pvit_data.codecs.video.long.table import FrameTable
from pvit_data.sample.limits import MAX_FRAMES

_VERSION = 1
_FRAME = np.dtype([("step", "<i8"), ("is_key", "?")])
MAX_TABLE_BYTES = 1024 + MAX_FRAMES * _FRAME.itemsize
"""What a file may have; deflate makes nothing larger that is worth it."""


def _identity(file: VideoFile) -> list[int]:
    """Bytes and time of the last change: the same on every machine that sees the file."""
    return list(file.identity[2:])


def pack_table(file: VideoFile, table: FrameTable) -> bytes:
    """A table as the contents of a file."""
    rows = np.empty(len(table), _FRAME)
    rows["step"], rows["is_key"] = np.diff(table.pts, prepend=0), table.is_key
    packed = zlib.compress(rows.tobytes(), 1)
    head = {
        "version": _VERSION,
        "video": _identity(file),
        "frames": len(table),
        "unit": [table.unit.numerator, table.unit.denominator],
        "rate": table.rate,
        "size": [table.height, table.width],
        "sha256": hashlib.sha256(packed).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + packed


def unpack_table(file: VideoFile, data: bytes) -> FrameTable | None:
    """The table that was packed, if it is whole and of this video; else None."""
    try:
        head, _, packed = data.partition(b"\n")
        told = json.loads(head)
        if (told["version"], told["video"]) != (_VERSION, _identity(file)):
            return None
        if told["sha256"] != hashlib.sha256(packed).hexdigest():
            return None
        table = _table(told, packed)
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError, zlib.error):
        return None
    is_whole = math.isfinite(table.rate) and bool(np.all(np.diff(table.pts) > 0))
    return table if is_whole else None


def _table(told: Any, packed: bytes) -> FrameTable:
    count = told["frames"]
    if not isinstance(count, int) or not 0 < count <= MAX_FRAMES:
        raise ValueError(f"{count} frames")
    data = zlib.decompressobj().decompress(packed, count * _FRAME.itemsize)
    rows = np.frombuffer(data, _FRAME, count)
    height, width = map(int, told["size"])
    pts = np.cumsum(rows["step"], dtype=np.int64)
    unit, rate = Fraction(*told["unit"]), float(told["rate"])
    return FrameTable(pts, rows["is_key"].copy(), unit, rate, height, width)
