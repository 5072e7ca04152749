"""SomethingElse's box records of a video, as a table of boxes.

A record is a frame at 12 frames per second, numbered from 1 in its `name`. Records may end before the video does, so a
frame without one was not looked at. Boxes are pixels of the video's original frames, which are 240 high: of hands, and
of the objects that the label names, which are the active ones.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pvit_converters.something_else.keys import is_video, video_of
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, UNKNOWN, Boxes
from pvit_data.words import short

RATE = 12.0
"""Frames per second of the records (README of joaanna/something_else)."""
HEIGHT = 240
"""Pixels of the released videos that boxes are drawn on (all 13 that the authors show)."""
OBJECT, HAND = 0, 1
SPACE = LabelSpace("something-else-boxes", ("object", "hand"))
MAX_RECORDS, MAX_BOXES, MAX_PIXEL = 10_000, 1000, 1e6
"""Of a video, of a record, of a box: more is damage."""

_NAME = re.compile(r"(?:(?P<video>[^/]*)/)?(?P<number>\d{1,9})\.jpe?g\Z", re.IGNORECASE)
_SLOT = re.compile(r"\d{4}\Z")


@dataclass
class Seen:
    """What the records of a video say.

    Args:
        boxes: rows of (x1, y1, x2, y2) in [0, 1].
        frame: of the base, per row.
        slot: number of the object among the placeholders, per row; -1: a hand.
        searched: frames of the base that have a record, sorted.
        warnings: what is odd, and how often.
    """

    boxes: list[tuple[float, ...]] = field(default_factory=list)
    frame: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    searched: list[int] = field(default_factory=list)
    warnings: Counter[str] = field(default_factory=Counter)

    def table(self) -> Boxes:
        """As a table: objects carry their number as track, hands none, since two may have the same name."""
        slot = np.array(self.slot, np.int32)
        is_hand = slot == UNKNOWN
        return Boxes(
            np.array(self.boxes, np.float32).reshape(-1, 4),
            frame=np.array(self.frame, np.int32),
            class_id=np.where(is_hand, HAND, OBJECT),
            track=slot,
            role=np.where(is_hand, ROLE_HAND, ROLE_ACTIVE),
        )


@dataclass(frozen=True)
class Film:
    """What the base says of a video.

    Args:
        video: its id.
        frames, fps: as they are stored.
        height, width: of the original, in pixels of its boxes.
    """

    video: str
    frames: int
    fps: float
    height: float
    width: float

    def frame_at(self, number: int) -> int:
        """The frame that is nearest to a record in time; number counts from 1 at `RATE` per second.

        >>> Film("1", 9, 12.0, 2, 2).frame_at(5), Film("1", 9, 30.0, 2, 2).frame_at(5)
        (4, 10)
        """
        return math.floor((number - 1) / RATE * self.fps + 0.5)

    def distance(self, number: int) -> float:
        """Seconds between a record and its frame."""
        return abs((number - 1) / RATE - self.frame_at(number) / self.fps)


def see(records: Any, film: Film) -> Seen:
    """The boxes of all records whose frames the base has.

    Raises:
        SourceError: if a record is not as released, or of another video.
    """
    if not isinstance(records, list) or len(records) > MAX_RECORDS:
        raise SourceError(
            f"video {film.video}: its boxes are {short(records)}, expected a list of at most {MAX_RECORDS} records",
            reason="bad-boxes",
        )
    seen = Seen()
    nearest: dict[int, tuple[float, int, list[Any]]] = {}
    for record in records:
        number, labels = _read(record, film, seen.warnings)
        frame = film.frame_at(number)
        if frame >= film.frames:
            seen.warnings["records-after-the-end"] += 1
            continue
        candidate = (film.distance(number), number, labels)
        if frame in nearest and candidate[:2] >= nearest[frame][:2]:
            continue
        nearest[frame] = candidate
    for frame in sorted(nearest):
        seen.searched.append(frame)
        for label in nearest[frame][2]:
            _add(label, frame, film, seen)
    return seen


def _read(record: Any, film: Film, warnings: Counter[str]) -> tuple[int, list[Any]]:
    """Number and labels of a record."""
    match = _NAME.match(str(record.get("name"))) if isinstance(record, dict) else None
    labels = record.get("labels") if match else None
    if match is None or int(match["number"]) < 1 or not isinstance(labels, list):
        raise SourceError(
            f'video {film.video}: expected a record {{"name": "{film.video}/0001.jpg", "labels": [...]}}, '
            f"found {short(record)}",
            reason="bad-boxes",
        )
    folder = match["video"]
    if folder is not None and not (is_video(folder) and video_of(folder) == film.video):
        raise SourceError(
            f"video {film.video}: has a record of another video, {short(match[0])}",
            reason="bad-boxes",
        )
    if len(labels) > MAX_BOXES:
        raise SourceError(
            f"{match[0]}: {len(labels)} boxes, expected at most {MAX_BOXES}", reason="bad-boxes"
        )
    if record.get("nr_instances", len(labels)) != len(labels):
        warnings["other-number-of-boxes"] += 1
    return int(match["number"]), labels


def _add(label: Any, frame: int, film: Film, seen: Seen) -> None:
    """Adds one box; one that has no area inside the picture is counted instead."""
    corners = _corners(label)
    if corners is None:
        raise SourceError(
            f'video {film.video}, frame {frame}: expected a box {{"box2d": {{"x1": ..., "y1": ..., "x2": ..., '
            f'"y2": ...}}}}, found {short(label)}',
            reason="bad-boxes",
        )
    slot = _slot_of(label.get("standard_category"))
    if slot is None:
        seen.warnings["boxes-of-unknown-category"] += 1
        return
    sides = (film.width, film.height, film.width, film.height)
    inside = tuple(min(max(v / s, 0.0), 1.0) for v, s in zip(corners, sides, strict=True))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        seen.warnings["empty-boxes"] += 1
        return
    if any(abs(v / s - i) * s > 0.5 for v, s, i in zip(corners, sides, inside, strict=True)):
        seen.warnings["boxes-outside-the-picture"] += 1
    seen.boxes.append(inside)
    seen.frame.append(frame)
    seen.slot.append(slot)


def _corners(label: Any) -> list[float] | None:
    """Four finite numbers, or None."""
    told = label.get("box2d") if isinstance(label, dict) else None
    found = [told.get(name) for name in ("x1", "y1", "x2", "y2")] if isinstance(told, dict) else []
    numbers = [v for v in found if isinstance(v, int | float) and abs(v) <= MAX_PIXEL]
    return numbers if len(numbers) == 4 else None


def _slot_of(category: Any) -> int | None:
    """The number of an object, `UNKNOWN` of a hand, None of anything else."""
    if category == "hand":
        return UNKNOWN
    is_slot = isinstance(category, str) and _SLOT.match(category)
    return int(category) if is_slot else None
