"""Instance masks and the map of classes, through pycocotools (spec ehoi, section 4).

pycocotools trusts its input; what could make it write outside its memory, or allocate without limit, is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from pvit_converters.ehoi.classes import HAND
from pvit_converters.ehoi.coco import Row
from pvit_data.sample.labels import IGNORE_8
from pvit_data.sample.sample import UNKNOWN

MAX_POINTS = 100_000
"""Points of one mask's polygons."""

_FAR = 2.0  # image sizes that a polygon may reach beyond the image


@dataclass(frozen=True)
class Mask:
    """The pixels of an instance, in the part of the image that they cover.

    Args:
        rows, columns: where that part lies.
        pixels: which of its pixels belong to the instance.
        area: their number.
    """

    rows: slice
    columns: slice
    pixels: Bool[np.ndarray, "h w"]
    area: int


def mask_of(row: Row, height: int, width: int, scale: tuple[float, float]) -> Mask | None:
    """The pixels of an instance, or None where it has no usable mask.

    Args:
        row: the annotation.
        height, width: of the image.
        scale: image pixels per pixel of the annotation, x and y.
    """
    from pycocotools import mask as coco

    size = [height, width]
    if row.polygons:
        parts = [polygon * scale for polygon in row.polygons]
        points = np.concatenate(parts)
        reach = np.array([width, height])
        if (
            len(points) > MAX_POINTS
            or (points < -_FAR * reach).any()
            or (points > (1 + _FAR) * reach).any()
        ):
            return None
        runs = coco.merge(
            coco.frPyObjects([part.ravel().tolist() for part in parts], height, width)
        )
    elif row.runs is not None:
        size = [round(height / scale[1]), round(width / scale[0])]
        counts = runs_of(row.runs, *size)
        if counts is None:
            return None
        runs = coco.frPyObjects({"size": size, "counts": counts}, *size)
    else:
        return None
    decoded = np.asarray(coco.decode(runs))
    if size != [height, width]:
        rows, columns = (np.arange(n) * m // n for n, m in zip((height, width), size, strict=True))
        decoded = decoded[rows][:, columns]
        return _cut(decoded, slice(0, height), slice(0, width))
    x, y, w, h = (int(v) for v in coco.toBbox(runs))
    return _cut(decoded, slice(y, y + h), slice(x, x + w))


def _cut(decoded: UInt8[np.ndarray, "h w"], rows: slice, columns: slice) -> Mask:
    """pycocotools keeps columns together; what is drawn later must lie row by row to be fast."""
    pixels = np.ascontiguousarray(decoded[rows, columns]).view(bool)
    return Mask(rows, columns, pixels, int(np.count_nonzero(pixels)))


def runs_of(value: dict[str, Any], height: int, width: int) -> list[int] | None:
    """Run lengths that fill exactly the image, from a list or from COCO's text; None if they don't."""
    counts = value.get("counts")
    try:
        if [int(v) for v in value.get("size", [])] != [height, width]:
            return None
        if isinstance(counts, str):
            counts = counts.encode()
        runs = unpack(counts) if isinstance(counts, bytes) else counts
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
    masks: list[Mask | None],
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
    drawn = [
        (row.class_id, mask) for row, mask in zip(rows, masks, strict=True) if mask is not None
    ]
    for class_id, mask in sorted(drawn, key=lambda pair: (pair[0] == HAND, -pair[1].area)):
        value = IGNORE_8 if class_id == UNKNOWN else class_id + 1
        np.copyto(out[mask.rows, mask.columns], np.uint8(value), where=mask.pixels)
    # Drawn pixels have an id above 0, so only what is left over becomes "ignore".
    for found, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        if found is None:
            window = out[y0:y1, x0:x1]
            window[window == 0] = IGNORE_8
    return out
