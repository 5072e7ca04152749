"""The COCO files of a simulated EgoISM-HOI tree (spec ehoi, sections 3-5): objects, hands, links, categories.

A row carries `_instance` and, for a hand, `_partner`; `dump` leaves these out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from pvit_converters.simulate.world.outlines import boxes_of, outlines

Row = dict[str, Any]
PixelBox = tuple[int, int, int, int]

CLASSES = (
    "power supply", "oscilloscope", "welder station", "electric screwdriver", "screwdriver", "pliers",
    "welder probe tip", "oscilloscope probe tip", "low voltage board", "high voltage board", "register",
    "electric screwdriver battery", "working area", "welder base", "socket", "left red button", "left green button",
    "right red button", "right green button", "hand",
)  # fmt: skip
"""Category names in id order (spec, section 3)."""

HAND = CLASSES.index("hand")
BENCH = CLASSES.index("working area")


@dataclass(frozen=True)
class Hand:
    """A hand in a picture.

    Args:
        side: 0 left, 1 right.
        instance: id of the hand.
        partner: id of the thing it touches, -1: none.
    """

    side: int
    instance: int
    partner: int


@dataclass(frozen=True)
class Shown:
    """What an image shows, and how its annotations are written.

    Args:
        image_id: of the image in the file.
        instance: id of every pixel's thing, -1: none.
        classes: class of every id.
        hands: those of which something is seen.
        lost: the thing that loses its segmentation, -1: none.
        has_traps: with run lengths and a box of no area.
        as_text: numbers of the offset are texts.
    """

    image_id: str | int
    instance: Int[np.ndarray, "h w"]
    classes: Mapping[int, int]
    hands: Sequence[Hand]
    lost: int = -1
    has_traps: bool = False
    as_text: bool = False


def annotate(shown: Shown, first: int) -> list[Row]:
    """COCO annotations of one image, ids counting from `first`."""
    boxes = boxes_of(shown.instance)
    hands = {hand.instance: hand for hand in shown.hands}
    rows: list[Row] = []
    for i, box in boxes.items():
        row = _thing(shown, i, box, first + len(rows))
        if i in hands:
            row |= _contact(hands[i], boxes, as_text=shown.as_text)
        rows.append(row | {"_instance": i})
    if shown.has_traps:
        rows.append(_without_area(rows[-1], first + len(rows)))
    return rows


def _thing(shown: Shown, i: int, box: PixelBox, number: int) -> Row:
    x0, y0, x1, y1 = box
    mask = shown.instance == i
    beyond = 1 if x1 == mask.shape[1] else 0
    return {
        "id": number,
        "category_id": shown.classes[i],
        "iscrowd": 0,
        "area": int(mask.sum()),
        "image_id": shown.image_id,
        "bbox": [x0, y0, x1 - x0 + beyond, y1 - y0],
        "segmentation": _segmentation(shown, i, mask),
    }


def _segmentation(shown: Shown, i: int, mask: Bool[np.ndarray, "h w"]) -> Any:
    if i == shown.lost:
        return []
    polygons = outlines(mask)
    if polygons is None or (shown.has_traps and i == BENCH):
        return _runs(mask)
    return polygons


def _runs(mask: Bool[np.ndarray, "h w"]) -> dict[str, Any]:
    """Uncompressed COCO run lengths (column-major, starting with background)."""
    flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
    change = np.nonzero(np.diff(flat))[0]
    ends = np.concatenate([[0], change, [mask.size]])
    counts = np.diff(ends)
    if len(change) and change[-1] == mask.size:
        counts = counts[:-1]
    return {"size": [int(s) for s in mask.shape], "counts": [int(c) for c in counts]}


def _without_area(last: Row, number: int) -> Row:
    """The last row once more, as an object with a box of no area."""
    of_hands = {"hand_side", "contact_state", "dx", "dy", "magnitude", "keypoints"}
    row = {key: value for key, value in last.items() if key not in of_hands}
    row |= {"id": number, "bbox": [5, 5, 0, 7], "category_id": 4, "segmentation": []}
    return row | {"_instance": -1}


def _contact(hand: Hand, boxes: Mapping[int, PixelBox], *, as_text: bool) -> Row:
    row: Row = {
        "hand_side": hand.side,
        "contact_state": int(hand.partner >= 0),
        "keypoints": [],
    }
    if hand.partner >= 0:
        way = _centre(boxes[hand.partner]) - _centre(boxes[hand.instance])
        length = float(np.hypot(*way))
        unit = way / max(length, 1e-9)
        values = {"dx": float(unit[0]), "dy": float(unit[1]), "magnitude": length}
        row |= {k: f"{v:.6f}" if as_text else v for k, v in values.items()}
    return row | {"_partner": hand.partner}


def _centre(box: PixelBox) -> np.ndarray:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])


def categories(split: str) -> list[Row]:
    """The categories of a split's file: one is misspelt in `train`, the hand is Italian in `val`."""
    names = list(CLASSES)
    if split == "train":
        names[4] = "screwdriver,"
    if split == "val":
        names[HAND] = "mano"
    return [{"id": i, "name": n, "supercategory": ""} for i, n in enumerate(names)]


def dump(
    path: Path,
    images: list[Row],
    categories: list[Row],
    rows: list[Row],
) -> None:
    """Writes an annotation file."""
    clean = [{k: v for k, v in r.items() if not k.startswith("_")} for r in rows]
    value = {
        "info": {},
        "licenses": {},
        "images": images,
        "categories": categories,
        "annotations": clean,
    }
    path.write_text(json.dumps(value), encoding="utf-8")


def linked(rows: list[Row]) -> list[Row]:
    """The rows of `*_hands.json`: hands with the box and class of what they touch."""
    things = {(row["image_id"], row["_instance"]): row for row in reversed(rows)}
    out = []
    for hand in rows:
        if "hand_side" not in hand:
            continue
        row = {k: hand[k] for k in ("id", "image_id", "bbox", "area", "hand_side", "contact_state")}
        row |= {"category_id": 0, "category_id_obj": -1, "bbox_obj": [], "area_obj": 0}
        touched = things.get((hand["image_id"], hand["_partner"]))
        if touched is not None:
            row |= {
                "category_id_obj": touched["category_id"],
                "bbox_obj": touched["bbox"],
                "area_obj": touched["area"],
            }
        out.append(row)
    return out
