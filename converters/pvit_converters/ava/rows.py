"""AVA's CSV files, row by row; boxes are told apart by the text of their corners, as published loaders do.

Ground truth `movie,second,x1,y1,x2,y2,action,person`, detections the same with an action that may be empty or -1 and a
score at the end, excluded seconds `movie,second`; no header.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pvit_converters.ava.clock import FIRST, LAST
from pvit_converters.raw.files import open_file
from pvit_data.errors import SourceError
from pvit_data.sample.sample import ROLE_PERSON, Boxes
from pvit_data.words import shown

_LINE = 4096  # characters at most
ACTIONS = 80
PERSONS = 1 << 30


@dataclass
class Person:
    """A box of one second.

    Args:
        track: number of the person; -1 for a detected one.
        score: of the detector; 1 for ground truth.
        actions: ids, 1 to 80, in the order of the file.
    """

    track: int = -1
    score: float = 1.0
    actions: list[int] = field(default_factory=list)


Second = dict[str, Person]
"""Persons by the text of their corners."""


@dataclass
class Table:
    """The boxes of a file.

    Args:
        movies: by movie and second.
        outside: rows at seconds that AVA does not annotate, which are left out.
    """

    movies: dict[str, dict[int, Second]]
    outside: int = 0

    def at(self, movie: str, second: int) -> Second:
        """The persons at a second; none where the file has none."""
        return self.movies.get(movie, {}).get(second, {})


def read_truth(path: Path) -> Table:
    """Ground truth: rows of the same corners are one person.

    Raises:
        SourceError: naming the line that is not as released (`"bad-table"`).
    """
    table = Table(defaultdict(dict))
    for where, row in _rows(path, (8,)):
        person = _person(table, row, where)
        if person is not None:
            person.track = _whole(row[7], where, PERSONS)
            _add_action(person, row[6], where)
    return table


def read_detections(path: Path, threshold: float) -> Table:
    """Detected persons whose score is at least the threshold.

    Raises:
        SourceError: naming the line that is not as released (`"bad-table"`).
    """
    table = Table(defaultdict(dict))
    for where, row in _rows(path, (8,)):
        score = _number(row[7], where)
        if not 0 <= score <= 1:
            raise _bad(where, f"score {shown(row[7])}, expected 0 to 1")
        table.movies[row[0]]  # a movie in which persons were looked for
        if score < threshold:
            continue
        person = _person(table, row, where)
        if person is not None:
            person.score = score
            _add_action(person, row[6], where)
    return table


def read_excluded(path: Path) -> set[tuple[str, int]]:
    """Seconds, by movie, that are left out of evaluation.

    Raises:
        SourceError: naming the line that is not as released (`"bad-table"`).
    """
    return {(row[0], _second(row, where)) for where, row in _rows(path, (2,))}


def merged(truth: Second, detected: Second) -> Second:
    """Ground truth, and detected persons; where both have the same corners, it is one person with all actions."""
    found = {corners: Person(p.track, p.score, [*p.actions]) for corners, p in truth.items()}
    for corners, person in detected.items():
        known = found.setdefault(corners, Person(score=person.score))
        known.actions += [a for a in person.actions if a not in known.actions]
    return found


def to_json(persons: Second) -> list[Any]:
    """As JSON values; `boxes_of` takes them."""
    return [[corners, p.track, p.score, p.actions] for corners, p in persons.items()]


def boxes_of(rows: list[Any], frame: int, *, scored: bool, labelled: bool) -> tuple[Boxes, int]:
    """A table of persons in one frame, and the number of boxes that are none and were left out.

    Args:
        rows: see `to_json`.
        frame: in which they are.
        scored: with the detector's score; else none is told.
        labelled: with their actions.
    """
    xyxy: list[Any] = []
    labels: list[tuple[int, int]] = []
    tracks, scores, dropped = [], [], 0
    for corners, track, score, actions in rows:
        box = np.clip(np.array(corners.split(","), np.float64), 0, 1)
        if box[0] >= box[2] or box[1] >= box[3]:
            dropped += 1
            continue
        labels += [(len(xyxy), action) for action in actions] if labelled else []
        xyxy.append(box)
        tracks.append(track)
        scores.append(score if scored else -1.0)
    count = len(xyxy)
    boxes = Boxes(
        np.array(xyxy, np.float32).reshape(-1, 4),
        frame=np.full(count, frame, np.int32),
        track=np.array(tracks, np.int32),
        role=np.full(count, ROLE_PERSON, np.int32),
        score=np.array(scores, np.float32),
        labels=np.array(labels, np.int32).reshape(-1, 2),
    )
    return boxes, dropped


def _rows(path: Path, widths: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    with io.TextIOWrapper(
        open(open_file(path), "rb"), encoding="utf-8-sig", errors="replace", newline=""
    ) as file:
        lines = iter(lambda: file.readline(_LINE), "")
        for number, row in enumerate(csv.reader(lines), 1):
            if not row:
                continue
            if number == 1 and row[1:] and row[1].strip().isidentifier():
                raise _bad(f"{path}, line 1", "a header, which AVA's files do not have; delete it")
            if len(row) not in widths:
                raise _bad(f"{path}, line {number}", f"{len(row)} columns, expected {widths[0]}")
            yield f"{path}, line {number}", row


def _person(table: Table, row: list[str], where: str) -> Person | None:
    """The person of a row, a new one where the corners are new; None at seconds that are not annotated."""
    second = _second(row, where)
    if not FIRST <= second <= LAST:
        table.outside += 1
        return None
    for corner in row[2:6]:
        _number(corner, where)
    persons = table.movies[row[0]].setdefault(second, {})
    return persons.setdefault(",".join(row[2:6]), Person())


def _add_action(person: Person, text: str, where: str) -> None:
    if text.strip() in ("", "-1"):
        return
    action = _whole(text, where, ACTIONS)
    if action < 1:
        raise _bad(where, f"action {action}, expected 1 to {ACTIONS}: AVA's ids begin at 1")
    if action not in person.actions:
        person.actions.append(action)


def _second(row: list[str], where: str) -> int:
    number = _number(row[1], where)
    if not number.is_integer() or not 0 <= number < 1e6:
        raise _bad(where, f"second {shown(row[1])}, expected a whole number")
    return int(number)


def _whole(text: str, where: str, most: int) -> int:
    number = _number(text, where)
    if not number.is_integer() or not -1 <= number <= most:
        raise _bad(where, f"{shown(text)}, expected a whole number up to {most}")
    return int(number)


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise _bad(where, f"{shown(text[:40])}, expected a number") from None
    if not math.isfinite(number):
        raise _bad(where, f"{shown(text)}, expected a number")
    return number


def _bad(where: str, what: str) -> SourceError:
    return SourceError(f"{where}: {what}", reason="bad-table")
