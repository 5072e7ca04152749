"""Ego4D's files of the tasks PNR and OSCC: annotations, and predictions in the challenges' forms.

`fho_oscc-pnr_{train,val}.json`: a list of rows, or `{"clips": [...]}`. Predictions: `[{"unique_id": ..., "pnr_frame":
frames from the clip's start}]`, `[{"unique_id": ..., "state_change": true}]`, or scores: 2 logits, or one for each of
16 frames (of a dump of ours: of as many as its network was shown).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.errors import FormatError
from pvit_data.scoring.files.kinds import kind_of
from pvit_data.scoring.files.scores import ClassScores, require_once
from pvit_data.scoring.files.tables import read_values
from pvit_data.scoring.metrics.ego4d import BINS, Windows
from pvit_data.words import short

WANTED = "fho_oscc-pnr_val.json"
MAX_FRAMES = 1 << 40
KEY_FRAME = "parent_pnr_frame"
ENDS = ("parent_start_frame", "parent_end_frame", "parent_start_sec", "parent_end_sec")


@dataclass(frozen=True)
class StateChanges:
    """What is true of N clips.

    Args:
        where: the file.
        ids: `unique_id` of each clip.
        windows: of the clips.
        state: 1: the state changes, 0: it does not, -1: nobody says.
    """

    where: str
    ids: list[str]
    windows: Windows
    state: Int64[np.ndarray, "n"]

    def keep(self, rows: Int64[np.ndarray, "m"]) -> StateChanges:
        """Some of the clips."""
        ids = [self.ids[row] for row in rows]
        return StateChanges(self.where, ids, self.windows.keep(rows), self.state[rows])

    @property
    def positive(self) -> Bool[np.ndarray, "n"]:
        """Clips with a frame in which the state changes."""
        return np.asarray((self.state == 1) & (self.windows.change >= 0))


def read_annotations(path: Path) -> StateChanges:
    """Reads annotations; rows of the test split have no state.

    Raises:
        FormatError: if it is another file.
    """
    if kind_of(path) != "json":
        raise FormatError(f"{path}: is no JSON; expected {WANTED}")
    values = read_values(path)
    rows = values.get("clips") if isinstance(values, dict) else values
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise FormatError(f"{path}: no list of clips in it; expected {WANTED}")
    if not {"unique_id", "parent_start_frame"} <= rows[0].keys():
        raise FormatError(
            f"{path}: its rows have {short(', '.join(sorted(map(str, rows[0]))), 80)}, no unique_id and "
            f"parent_start_frame; the file that is wanted is {WANTED}"
        )
    return state_changes(rows, str(path))


def state_changes(rows: list[dict[str, Any]], path: str) -> StateChanges:
    """What rows of the annotations say.

    Args:
        rows: with at least `unique_id`, and both ends of the window as frames and as seconds.
        path: where they are from, for messages.

    Raises:
        FormatError: if one is not as released.
    """
    numbers = [_window(row, path) for row in rows]
    ids = [str(row["unique_id"]) for row in rows]
    require_once(ids, path, "leave one row of each")
    start, end, start_sec, end_sec, change, state = (
        np.array(column) for column in zip(*numbers, strict=True)
    )
    whole = [column.astype(np.int64) for column in (start, end, change, state)]
    windows = Windows(whole[0], whole[1], start_sec, end_sec, whole[2])
    if (bad := np.flatnonzero((windows.length <= 0) | (end_sec <= start_sec))).size:
        raise FormatError(f"{path}: clip {short(ids[int(bad[0])], 80)} ends before it starts")
    return StateChanges(path, ids, windows, whole[3])


def _window(row: dict[str, Any], path: str) -> tuple[float, ...]:
    numbers = [_number(row.get(name), name, row, path) for name in ENDS]
    given = row.get(KEY_FRAME)
    change = -1.0 if given is None else _number(given, KEY_FRAME, row, path)
    for name, value in zip((*ENDS[:2], KEY_FRAME), (*numbers[:2], change), strict=True):
        if value % 1:
            raise FormatError(
                f"{path}: clip {short(row.get('unique_id'), 80)} has {name} = {value:g}, expected the number of a frame"
            )
    said = row.get("state_change")
    if said is not None and said not in (True, False):  # 1.0 is what tables with gaps make of true
        raise FormatError(
            f"{path}: clip {short(row.get('unique_id'), 80)} has state_change = {short(said, 40)}, expected true or "
            "false"
        )
    return (*numbers, change, -1 if said is None else int(said))


def _number(value: Any, name: str, row: dict[str, Any], path: Path | str) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or abs(value) > MAX_FRAMES:
        raise FormatError(
            f"{path}: clip {short(row.get('unique_id'), 80)} has {name} = {short(value, 40)}"
        )
    return float(value)


@dataclass(frozen=True)
class ClipAnswers:
    """Answers to either question.

    Args:
        where: the file.
        ids: `unique_id` of each clip.
        frames: predicted frames from the start of each clip; None: `bins` or `state` are there.
        bins: predicted bins.
        number: of bins that there are.
        state: 1: the state changes, 0: it does not.
        labels: what the file itself says of the state, -1 where it doesn't; None: it never does.
        scores: that the answers are from, where they are from scores; the challenge's JSON has none.
    """

    where: str
    ids: list[str]
    frames: Float[np.ndarray, "n"] | None = None
    bins: Int64[np.ndarray, "n"] | None = None
    number: int = BINS
    state: Int64[np.ndarray, "n"] | None = None
    labels: Int64[np.ndarray, "n"] | None = None
    scores: ClassScores | None = None


def read_answers(path: Path, metric: str) -> ClipAnswers:
    """Predictions for `"pnr"` or `"oscc"`.

    Raises:
        FormatError: if it holds none.
    """
    if kind_of(path) == "json":
        return _from_json(path, metric)
    from pvit_data.scoring.files.predictions import read_class_scores

    scores = read_class_scores(path)
    wanted, number = 2 if metric == "oscc" else _frames_of(scores), scores.logits.shape[2]
    if scores.views != 1 or number != wanted:
        raise FormatError(
            f"{path}: {scores.views} views of {number} logits, expected one view of {wanted}"
        )
    if not np.isfinite(scores.logits).all():
        raise FormatError(f"{path}: logits hold NaN or infinity")
    answer = scores.logits[:, 0].argmax(axis=1).astype(np.int64)
    if metric == "pnr":
        return ClipAnswers(str(path), scores.ids, bins=answer, number=number, scores=scores)
    return ClipAnswers(str(path), scores.ids, state=answer, labels=scores.labels, scores=scores)


def _frames_of(scores: ClassScores) -> int:
    """How many bins windows have: as many as a dump without classes tells frames, else those of the challenge."""
    frames = scores.about.get("frames")
    return frames if type(frames) is int and not scores.classes else BINS


def _from_json(path: Path, metric: str) -> ClipAnswers:
    rows = read_values(path)
    key = "pnr_frame" if metric == "pnr" else "state_change"
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise FormatError(f'{path}: expected a list [{{"unique_id": ..., "{key}": ...}}, ...]')
    if missing := [row for row in rows if "unique_id" not in row or row.get(key) is None]:
        raise FormatError(
            f"{path}: {len(missing)} rows have no unique_id or no {key}: {short(missing[0], 80)}"
        )
    ids = [str(row["unique_id"]) for row in rows]
    require_once(ids, str(path))
    if metric == "pnr":
        return ClipAnswers(
            str(path), ids, np.array([_number(row[key], key, row, path) for row in rows])
        )
    if wrong := [row for row in rows if row[key] not in (True, False)]:
        raise FormatError(
            f"{path}: state_change is {short(wrong[0][key], 40)}, expected true or false"
        )
    return ClipAnswers(str(path), ids, state=np.array([int(row[key]) for row in rows], np.int64))
