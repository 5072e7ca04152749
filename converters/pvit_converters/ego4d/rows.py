"""The rows of Ego4D's annotation files: windows of videos, and whether and when a state changes in them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvit_converters.raw.files import read_json
from pvit_data.errors import SourceError
from pvit_data.words import short

_MOST = 1 << 31
_NEEDED = ("unique_id", "video_uid", "parent_start_frame", "parent_end_frame")
_UNROUNDED = (
    "unique_id", "video_uid", "clip_uid", "parent_start_frame", "parent_end_frame", "parent_pnr_frame",
    "parent_start_sec", "parent_end_sec",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A window.

    Args:
        unique_id, video_uid, clip_uid: its names; `clip_uid` may be "".
        start, end: frames of the full video, both in it.
        clip_start: the first one's number in the canonical clip; None where the row does not say.
        change: the frame in which the state changes; None where it does not, or nobody says.
        state: whether it changes; None where nobody says.
        meta: the row's own values, as in the file.
    """

    unique_id: str
    video_uid: str
    clip_uid: str
    start: int
    end: int
    clip_start: int | None
    change: int | None
    state: bool | None
    meta: dict[str, Any]

    @property
    def is_outside(self) -> bool:
        """Whether its state is said to change before or after it."""
        return self.change is not None and not self.start <= self.change <= self.end


def read_windows(path: Path, wanted: str) -> Iterator[Row]:
    """The windows of a file.

    Args:
        path: of the file.
        wanted: the name of the file that should be there, for messages.

    Raises:
        SourceError: if it is another file, or a row is not as released (`"bad-json"`).
    """
    values = read_json(path)
    rows = values.get("clips") if isinstance(values, dict) else values
    first = rows[0] if isinstance(rows, list) and rows else values
    if not isinstance(rows, list) or not isinstance(first, dict) or not first.keys() >= {*_NEEDED}:
        keys = (
            ", ".join(sorted(map(str, first)))[:80]
            if isinstance(first, dict)
            else type(first).__name__
        )
        raise SourceError(
            f"{path}: is another file of Ego4D (it has {keys}): the one that is wanted is {wanted}",
            reason="bad-json",
        )
    for row in rows:
        yield _row(row, path)


def _row(row: Any, path: Path) -> Row:
    if not isinstance(row, dict):
        raise SourceError(
            f"{path}: a row is {short(row, 40)}, expected an object", reason="bad-json"
        )
    texts = [row.get(name) for name in ("unique_id", "video_uid")]
    if not all(isinstance(text, str) and text for text in texts):
        raise SourceError(f"{path}: a row has no unique_id or video_uid", reason="bad-json")
    unique_id, video_uid = map(str, texts)
    start, end = (_frame(row, f"parent_{side}_frame", path) for side in ("start", "end"))
    if start is None or end is None or end <= start:
        raise SourceError(
            f"{path}: {short(unique_id, 80)} reaches from frame {start} to {end}", reason="bad-json"
        )
    state = row.get("state_change")
    is_told = isinstance(state, bool)
    _require_numbers(row, path)
    clip_uid = row.get("clip_uid")
    return Row(
        unique_id,
        video_uid,
        clip_uid if isinstance(clip_uid, str) else "",
        start,
        end,
        _frame(row, "clip_start_frame", path),
        _frame(row, "parent_pnr_frame", path) if state is True else None,
        state if is_told else None,
        {name: row[name] for name in _UNROUNDED if row.get(name) is not None},
    )


def _require_numbers(row: dict[str, Any], path: Path) -> None:
    """Values that are kept as they are must be numbers that JSON knows."""
    for name in _UNROUNDED:
        value = row.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise SourceError(
                f"{path}: {short(row.get('unique_id'), 80)} has {name} = {value}, expected a number",
                reason="bad-json",
            )


def _frame(row: dict[str, Any], name: str, path: Path) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value != int(value) or not 0 <= value < _MOST:
        raise SourceError(
            f"{path}: {short(row.get('unique_id'), 80)} has {name} = {short(value, 40)}, expected a frame's number",
            reason="bad-json",
        )
    return int(value)
