"""Rows of EHOI as a table of boxes with roles, sides, contacts and the object that each hand touches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pvit_converters.ehoi.classes import HAND
from pvit_converters.ehoi.coco import Coco, Row
from pvit_converters.ehoi.links import find_partner
from pvit_data.sample.sample import ROLE_ACTIVE, ROLE_HAND, ROLE_OBJECT, UNKNOWN, Boxes

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the image."""


def corners(row: Row, scale: tuple[float, float], height: int, width: int) -> Corners:
    """A row's box inside the image; `scale` is image pixels per annotated pixel."""
    x, y, w, h = row.box
    left, right = (min(max(v * scale[0], 0.0), width) for v in (x, x + w))
    top, bottom = (min(max(v * scale[1], 0.0), height) for v in (y, y + h))
    return left, top, right, bottom


def has_area(box: Corners) -> bool:
    """Whether a box holds anything."""
    left, top, right, bottom = box
    return right > left and bottom > top


def whole_pixels(box: Corners, height: int, width: int) -> tuple[int, int, int, int]:
    """The pixels that a box touches: first and last column and row, half-open."""
    left, top, right, bottom = box
    return int(left), int(top), min(int(np.ceil(right)), width), min(int(np.ceil(bottom)), height)


def make_boxes(
    coco: Coco, index: int, boxes: Sequence[Corners], kept: Sequence[int], size: tuple[int, int]
) -> Boxes:
    """The kept boxes of an image.

    Args:
        coco: the annotation file.
        index: of the image in it.
        boxes: of all its rows.
        kept: rows that are kept.
        size: height and width of the image.
    """
    rows = coco.rows.get(index, [])
    chosen = [rows[i] for i in kept]
    partner = _partners(coco, index, kept)
    is_hand = np.array([row.class_id == HAND for row in chosen], bool)
    role = np.where(is_hand, ROLE_HAND, ROLE_OBJECT)
    role[partner[partner >= 0]] = ROLE_ACTIVE
    height, width = size
    pixels = np.array([boxes[i] for i in kept], np.float64).reshape(-1, 4)
    return Boxes(
        pixels / [width, height, width, height],
        class_id=np.array([row.class_id for row in chosen], np.int32),
        track=np.array(kept, np.int32),
        role=role,
        side=np.array([row.side for row in chosen], np.int32),
        contact=np.array([row.contact for row in chosen], np.int32),
        partner=partner,
    )


def _partners(coco: Coco, index: int, kept: Sequence[int]) -> np.ndarray:
    """The place among the kept rows of what each of them touches."""
    image, rows = coco.images[index], coco.rows.get(index, [])
    place = {row: i for i, row in enumerate(kept)}
    diagonal = float(np.hypot(image.width, image.height))
    partner = np.full(len(kept), UNKNOWN)
    for i, row in enumerate(kept):
        if rows[row].contact == 1:
            partner[i] = place.get(find_partner(coco, index, row, diagonal).row, UNKNOWN)
    return partner


def is_unresolved(boxes: Boxes) -> bool:
    """Whether some hand touches a thing that is not in the table."""
    return bool(((boxes.contact == 1) & (boxes.partner < 0)).any())
