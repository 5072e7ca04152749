"""Which object a hand touches (spec ehoi, section 8): by id, by the linked box, or by the offset vector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pvit_converters.ehoi.classes import HAND
from pvit_converters.ehoi.coco import Box, Coco, Row

MIN_OVERLAP = 0.9
TOLERANCE = 1.0
"""Pixels by which boxes of the same hand in two files may differ."""

NEAR_PIXELS, NEAR_DIAGONAL = 10.0, 0.05


class Partner(NamedTuple):
    """The position of the object among the image's rows (-1: not found), and how it was found.

    Args:
        row: position.
        way: `"id"`, `"box"`, `"offset"` or `""`.
        agrees: whether the offset says the same, where it was found in another way; None: cannot be told.
    """

    row: int
    way: str
    agrees: bool | None = None


def find_partner(coco: Coco, position: int, hand: int, diagonal: float) -> Partner:
    """The active object of a hand in contact.

    Args:
        coco: the file.
        position: of the image.
        hand: position of the hand among the image's rows.
        diagonal: of the image in pixels.
    """
    rows = coco.rows[position]
    by_offset = _by_offset(rows, hand, diagonal)
    way = "id"
    found = _by_id(rows, hand)
    if found < 0:
        way = "box"
        found = _by_box(coco, position, hand)
    if found < 0:
        return Partner(by_offset, "offset" if by_offset >= 0 else "")
    return Partner(found, way, None if rows[hand].offset is None else by_offset == found)


def _by_id(rows: list[Row], hand: int) -> int:
    wanted = rows[hand].object_id
    if wanted is None or wanted == -1:
        return -1
    ids = [row.id for row in rows]
    if wanted in ids:
        return ids.index(wanted)
    texts = [str(i) for i in ids]
    return texts.index(str(wanted)) if str(wanted) in texts else -1


def _by_box(coco: Coco, position: int, hand: int) -> int:
    rows = coco.rows[position]
    # Ids may count anew in the file of hands: a link by id is trusted first where the hand's box is the same too.
    by_id = coco.links.get(rows[hand].id)
    same = [
        link
        for box, link in coco.links_by_box.get(position, [])
        if max(abs(a - b) for a, b in zip(box, rows[hand].box, strict=True)) <= TOLERANCE
    ]
    links = sorted(same, key=lambda link: link is not by_id)
    links += [] if by_id is None else [by_id]
    for link in links:
        scores = [overlap(row.box, link.box) * (row.class_id == link.class_id) for row in rows]
        best = int(np.argmax(scores))
        if scores[best] >= MIN_OVERLAP:
            return best
    return -1


def _by_offset(rows: list[Row], hand: int, diagonal: float) -> int:
    offset = rows[hand].offset
    things = [i for i, row in enumerate(rows) if row.class_id != HAND]
    if offset is None or not things:
        return -1
    x, y = centre(rows[hand].box)
    distance = [
        float(np.hypot(*np.subtract(centre(rows[i].box), (x + offset[0], y + offset[1]))))
        for i in things
    ]
    best = int(np.argmin(distance))
    return things[best] if distance[best] <= max(NEAR_PIXELS, NEAR_DIAGONAL * diagonal) else -1


def centre(box: Box) -> tuple[float, float]:
    """Middle of a box."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - common
    return common / union if union > 0 else 0.0
