"""Annotations as whole numbers for the gallery, which draws them itself: boxes and joints in thousandths."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Integer

from pvit_data.looking.tiles import Joints, joints_of
from pvit_data.sample.sample import UNKNOWN, Boxes, Sample

MAX_BOXES, MAX_PEOPLE = 40, 6  # per frame
SCALE = 1000  # of coordinates
FAR = 9  # pictures away: as far as joints may lie; the negative means unknown
BOX_COLUMNS = ("class_id", "track", "role", "side", "contact")


def boxes(sample: Sample, at: list[int]) -> list[list[list[int]]] | None:
    """Per preview frame: rows of x1, y1, x2, y2 (thousandths), class, track, role, side, contact; largest first.

    Where scores are known they follow, in hundredths, -1 = unknown.
    """
    table = sample.boxes
    if table is None:
        return None
    return [_box_rows(table, np.flatnonzero(table.frame == frame)) for frame in at]


def _box_rows(table: Boxes, rows: Integer[np.ndarray, "n"]) -> list[list[int]]:
    size = table.xyxy[rows, 2:] - table.xyxy[rows, :2]
    kept = rows[np.argsort(-size.prod(1), kind="stable")[:MAX_BOXES]]
    corners = np.rint(table.xyxy[kept] * SCALE).astype(int)
    columns = [getattr(table, name)[kept] for name in BOX_COLUMNS]
    if (table.score != UNKNOWN).any():
        scores = table.score[kept]
        columns.append(np.where(scores == UNKNOWN, -1, np.rint(100 * scores)).astype(int))
    found: list[list[int]] = np.concatenate([corners, np.stack(columns, 1)], 1).tolist()
    return found


def joints(sample: Sample, at: list[int]) -> dict[str, Any] | None:
    """Per preview frame: people as 25 pairs of thousandths of width and height; [-9, -9] = unknown."""
    found = [joints_of(sample, frame) for frame in at]
    known = [people for people in found if people is not None]
    if not known:
        return None
    size = np.array([max(sample.width, 1), max(sample.height, 1)])
    people = [[] if frame is None else _people(frame, size) for frame in found]
    return {"placed": all(frame.placed for frame in known), "people": people}


def _people(frame: Joints, size: Integer[np.ndarray, "2"]) -> list[list[int]]:
    rows = []
    for xy, valid in zip(frame.xy, frame.valid, strict=True):
        if valid.any():
            places = np.rint(np.clip(xy / size, -FAR, FAR) * SCALE).astype(int)
            places[~valid] = -FAR * SCALE
            rows.append(places.ravel().tolist())
    return rows[:MAX_PEOPLE]
