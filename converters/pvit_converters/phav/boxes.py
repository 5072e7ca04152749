"""Boxes of persons and things from instance colours, one row per instance and frame (spec phav, section 7.4)."""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from pvit_converters.annotations.boxes import boxes_of_instances
from pvit_converters.phav.classes import FIRST_PART, HUMAN, PHAV63
from pvit_converters.phav.colours import Rows, pack
from pvit_data.sample.labels import IGNORE_8
from pvit_data.sample.sample import ROLE_OBJECT, ROLE_PERSON, UNKNOWN, Boxes

_PERSON = re.compile(r"person|human|character|actor", re.IGNORECASE)


def to_instances(image: UInt8[np.ndarray, "h w c"], rows: Rows) -> Int32[np.ndarray, "h w"]:
    """Instance ids 1, 2, ... in the order of `instances.txt`; 0 for the background and colours not in the table."""
    packed = pack(image)
    out = np.zeros(packed.shape, np.int32)
    for number, (_, (r, g, b)) in enumerate(rows, 1):
        if (r, g, b) != (0, 0, 0):
            out[packed == (r << 16 | g << 8 | b)] = number
    return out


def boxes_of_frame(
    instances: Int32[np.ndarray, "h w"],
    classes: UInt8[np.ndarray, "h w"] | None,
    rows: Rows,
    min_pixels: int,
) -> Boxes:
    """Boxes of one frame. Classes are ids of `phav63`, 255 or None where unknown; `track` is the row in the table."""
    shifted = (
        None if classes is None else np.where(classes == IGNORE_8, 0, classes.astype(np.int32) + 1)
    )
    boxes = boxes_of_instances(instances, shifted, min_pixels)
    seen = np.where(boxes.class_id > 0, boxes.class_id - 1, UNKNOWN)
    boxes.track = boxes.track - 1
    pairs = [class_and_role(rows[t][0], int(c)) for t, c in zip(boxes.track, seen, strict=True)]
    boxes.class_id = np.array([p[0] for p in pairs], np.int32)
    boxes.role = np.array([p[1] for p in pairs], np.int32)
    return boxes


def class_and_role(name: str, seen: int) -> tuple[int, int]:
    """Class and role of an instance from its name and the commonest class under its mask (-1: unknown)."""
    plain = re.sub(r"[\W_\d]+$", "", name).lower()
    named = next((i for i, known in enumerate(PHAV63.classes) if known.lower() == plain), UNKNOWN)
    if _PERSON.match(name) or HUMAN in (named, seen) or max(named, seen) >= FIRST_PART:
        return HUMAN, ROLE_PERSON
    return (named if named != UNKNOWN else seen), ROLE_OBJECT


def join(frames: Integer[np.ndarray, "n"], tables: list[Boxes]) -> Boxes:
    """One table of all frames."""
    counts = [len(table) for table in tables]
    return Boxes(
        np.concatenate([np.zeros((0, 4), np.float32), *(table.xyxy for table in tables)]),
        frame=np.repeat(frames, counts).astype(np.int32),
        **{
            name: np.concatenate(
                [np.zeros(0, np.int32), *(getattr(table, name) for table in tables)]
            )
            for name in ("class_id", "track", "role")
        },
    )
