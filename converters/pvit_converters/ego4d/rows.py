"""The rows of Ego4D's annotation files: windows of videos, and whether and when a state changes in them."""

from __future__ import annotations

import math
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
        clip_start: the first one's number in the canonical clip; None where the row does not say, or it is not in it.
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
    def place(self) -> tuple[str, int, int]:
        """Which frames it has, whatever it is called."""
        return self.video_uid, self.start, self.end

    @property
    def is_outside(self) -> bool:
        """Whether its state is said to change before or after it."""
        return self.change is not None and not self.start <= self.change <= self.end


class _BadRow(ValueError):
    """A row that is not as released: which, and what it says."""


def read_windows(path: Path, wanted: str) -> tuple[list[Row], list[str]]:
    """The windows of a file, and what is wrong with the rows that are not as released.

    Args:
        path: of the file.
        wanted: the name of the file that should be there, for messages.

    Raises:
        SourceError: if it is another file, or no row is as released (`"bad-json"`).
    """
    values = read_json(path)
    rows = values.get("clips") if isinstance(values, dict) else values
    if rows == []:
        return [], []
    first = rows[0] if isinstance(rows, list) else values
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
    found: list[Row] = []
    bad: list[str] = []
    for row in rows:
        try:
            found.append(_row(row))
        except _BadRow as error:
            bad.append(str(error))
    if not found:
        raise SourceError(f"{path}: {bad[0]}", reason="bad-json")
    return found, bad


def _row(row: Any) -> Row:
    if not isinstance(row, dict):
        raise _BadRow(f"a row is {short(row, 40)}, expected an object")
    texts = [row.get(name) for name in ("unique_id", "video_uid")]
    if not all(isinstance(text, str) and text for text in texts):
        raise _BadRow("a row has no unique_id or video_uid")
    unique_id, video_uid = map(str, texts)
    start, end = (_frame(row, f"parent_{side}_frame") for side in ("start", "end"))
    if start is None or end is None or end <= start:
        raise _BadRow(f"{short(unique_id, 80)} reaches from frame {start} to {end}")
    state = row.get("state_change")
    is_told = isinstance(state, bool)
    _require_numbers(row)
    clip_uid = row.get("clip_uid")
    return Row(
        unique_id,
        video_uid,
        clip_uid if isinstance(clip_uid, str) else "",
        start,
        end,
        _clip_start(row),
        _frame(row, "parent_pnr_frame") if state is True else None,
        state if is_told else None,
        {name: row[name] for name in _UNROUNDED if row.get(name) is not None},
    )


def _clip_start(row: dict[str, Any]) -> int | None:
    """A clip that begins after the window has no first frame of it; the full video has."""
    try:
        return _frame(row, "clip_start_frame")
    except _BadRow:
        return None


def _require_numbers(row: dict[str, Any]) -> None:
    """Values that are kept as they are must be numbers that JSON knows."""
    for name in _UNROUNDED:
        value = row.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            raise _BadRow(
                f"{short(row.get('unique_id'), 80)} has {name} = {value}, expected a number"
            )


def _frame(row: dict[str, Any], name: str) -> int | None:
    value = row.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value != int(value) or not 0 <= value < _MOST:
        told = f"{short(row.get('unique_id'), 80)} has {name} = {short(value, 40)}"
        raise _BadRow(f"{told}, expected a frame's number")
    return int(value)
