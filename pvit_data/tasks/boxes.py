"""Boxes: hands and active objects, each in a slot of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, SIDE_LEFT, SIDE_RIGHT, Boxes, Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target, target_of


def boxes(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Boxes as cxcywh in [0, 1], float32 (T', O, 4): left hand, right hand, then active objects, larger first.

    A hand of unknown side takes a hand slot that is still free, so that sources without sides fill both as SViT does.
    Active objects with a track keep their slot over the clip: tracks are ordered by their summed area.
    """
    if sample.boxes is None:
        return None
    value = np.zeros((len(frames), config.num_boxes, 4), np.float32)
    valid = np.zeros((len(frames), config.num_boxes), bool)
    table = sample.boxes
    size = table.xyxy[:, 2:] - table.xyxy[:, :2]
    area = size.prod(1)
    slot_of = _track_slots(table, area, frames)
    for t, frame in enumerate(frames):
        for slot, row in _slots(table, area, int(frame), config.num_boxes, slot_of):
            value[t, slot] = *(table.xyxy[row, :2] + size[row] / 2), *size[row]
            valid[t, slot] = True
    return target_of(value, valid)


def _track_slots(
    table: Boxes, area: Float32[np.ndarray, "n"], frames: Int64[np.ndarray, "t"]
) -> dict[int, int]:
    rows = np.flatnonzero(
        (table.role == ROLE_ACTIVE) & (table.track >= 0) & np.isin(table.frame, frames)
    )
    total = {
        int(track): float(area[rows][table.track[rows] == track].sum())
        for track in np.unique(table.track[rows])
    }
    return {
        track: rank
        for rank, track in enumerate(sorted(total, key=lambda track: (-total[track], track)))
    }


def _slots(
    table: Boxes,
    area: Float32[np.ndarray, "n"],
    frame: int,
    num_boxes: int,
    slot_of: Mapping[int, int],
) -> list[tuple[int, int]]:
    rows = np.flatnonzero(table.frame == frame)
    rows = rows[np.argsort(-area[rows], kind="stable")]
    taken: dict[int, int] = {}
    hands = rows[table.role[rows] == ROLE_HAND]
    for side in (SIDE_LEFT, SIDE_RIGHT):
        for row in hands[table.side[hands] == side][:1]:
            taken[side] = int(row)
    for row in hands[table.side[hands] < 0]:
        free = [slot for slot in (0, 1) if slot not in taken]
        if free:
            taken[free[0]] = int(row)
    active = rows[table.role[rows] == ROLE_ACTIVE]
    for row in active[table.track[active] >= 0]:
        taken.setdefault(2 + slot_of[int(table.track[row])], int(row))
    for row in active[table.track[active] < 0]:
        taken[
            next(slot for slot in range(2, 2 + len(rows) + len(slot_of)) if slot not in taken)
        ] = int(row)
    return [(slot, row) for slot, row in taken.items() if slot < num_boxes]


def shapes(config: ClipConfig) -> Shapes:
    """(T', O, 4) and (T', O)."""
    slots = (config.num_targets, config.num_boxes)
    return (*slots, 4), slots


TARGET = TargetSpec(name="boxes", field="boxes", build=boxes, shapes=shapes)
