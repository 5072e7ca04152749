"""Instance masks and the map of classes, through pycocotools (spec ehoi, section 4).

pycocotools trusts its input; what could make it write outside its memory, or allocate without limit, is refused here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pvit_converters.ehoi.classes import HAND
from pvit_converters.ehoi.coco import Row
from pvit_data.labels import IGNORE_8
from pvit_data.sample import UNKNOWN

MAX_POINTS = 100_000
"""Points of one mask's polygons."""

_FAR = 2.0  # image sizes that a polygon may reach beyond the image


def mask_of(row: Row, height: int, width: int, scale: tuple[float, float]) -> Bool[np.ndarray, "h w"] | None:
    """The pixels of an instance, or None where it has no usable mask.

    Args:
        row: the annotation.
        height, width: of the image.
        scale: image pixels per pixel of the annotation, x and y.
    """
    from pycocotools import mask as coco

    if row.polygons:
        parts = [polygon * scale for polygon in row.polygons]
        points = np.concatenate(parts)
        reach = np.array([width, height])
        if len(points) > MAX_POINTS or (points < -_FAR * reach).any() or (points > (1 + _FAR) * reach).any():
            return None
        runs = coco.merge(coco.frPyObjects([part.ravel().tolist() for part in parts], height, width))
        return np.asarray(coco.decode(runs)).astype(bool)
    if row.runs is None:
        return None
    counts = runs_of(row.runs, round(height / scale[1]), round(width / scale[0]))
    if counts is None:
        return None
    size = [round(height / scale[1]), round(width / scale[0])]
    decoded = np.asarray(coco.decode(coco.frPyObjects({"size": size, "counts": counts}, *size))).astype(bool)
    if decoded.shape == (height, width):
        return decoded
    rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), decoded.shape, strict=True))
    fitted: Bool[np.ndarray, "h w"] = decoded[rows][:, columns]
    return fitted


def runs_of(value: dict[str, Any], height: int, width: int) -> list[int] | None:
    """Run lengths that fill exactly the image, from a list or from COCO's text; None if they don't."""
    counts = value.get("counts")
    try:
        if [int(v) for v in value.get("size", [])] != [height, width]:
            return None
        runs = (
            unpack(counts.encode() if isinstance(counts, str) else counts)
            if isinstance(counts, str | bytes)
            else counts
        )
        out = [int(v) for v in runs or []]
    except (TypeError, ValueError):
        return None
    return out if all(v >= 0 for v in out) and sum(out) == height * width else None


def unpack(text: bytes) -> list[int]:
    """Run lengths of COCO's text: five bits a character, low ones first, differences from the third run on.

    Raises:
        ValueError: if the text ends within a number or holds other characters.
    """
    out: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"character {character}")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            out.append(value + (out[-2] if len(out) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("it ends within a number")
    return out


def class_map(
    rows: list[Row],
    masks: list[Bool[np.ndarray, "h w"] | None],
    boxes: list[tuple[int, int, int, int]],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "h w"]:
    """Ids of `ehoi_segm21`: large things first, hands last; 255 in the boxes of things without a mask.

    Args:
        rows: annotations of the image.
        masks: their pixels.
        boxes: their boxes in whole pixels: first column, first row, end column, end row.
        size: height and width.
    """
    out = np.zeros(size, np.uint8)
    drawn = np.zeros(size, bool)
    order = sorted(range(len(rows)), key=lambda i: (rows[i].class_id == HAND, -_area(masks[i])))
    for i in order:
        mask = masks[i]
        if mask is not None:
            out[mask] = IGNORE_8 if rows[i].class_id == UNKNOWN else rows[i].class_id + 1
            drawn |= mask
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        if mask is None:
            window = out[y0:y1, x0:x1]
            window[~drawn[y0:y1, x0:x1]] = IGNORE_8
    return out


def _area(mask: Bool[np.ndarray, "h w"] | None) -> int:
    return 0 if mask is None else int(mask.sum())
