"""Pixels as boxes, and as COCO polygons that rasterise to exactly the same pixels.

An outline follows pixel edges, so its corners are whole numbers. A mask with holes has no such polygon.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

Point = tuple[int, int]


def _edges(mask: np.ndarray) -> dict[Point, list[Point]]:
    """Directed pixel edges with the mask on their right (in image axes), by start point."""
    padded = np.pad(mask, 1).astype(np.int8)
    out: dict[Point, list[Point]] = {}
    down = np.diff(padded, axis=0)[:, 1:-1]
    across = np.diff(padded, axis=1)[1:-1]
    for y, x in zip(*np.nonzero(down), strict=True):
        ends = ((x, y), (x + 1, y)) if down[y, x] > 0 else ((x + 1, y), (x, y))
        out.setdefault((int(ends[0][0]), int(ends[0][1])), []).append(
            (int(ends[1][0]), int(ends[1][1]))
        )
    for y, x in zip(*np.nonzero(across), strict=True):
        ends = ((x, y + 1), (x, y)) if across[y, x] > 0 else ((x, y), (x, y + 1))
        out.setdefault((int(ends[0][0]), int(ends[0][1])), []).append(
            (int(ends[1][0]), int(ends[1][1]))
        )
    return out


def _next(edges: dict[Point, list[Point]], before: Point, at: Point) -> Point:
    """Where the outline goes on; where two outlines touch, turn towards the mask so that they stay apart."""
    choices = edges[at]
    if len(choices) > 1:
        ahead = (at[0] - before[0], at[1] - before[1])
        right = (at[0] - ahead[1], at[1] + ahead[0])
        pick = choices.index(right)
    else:
        pick = 0
    step = choices.pop(pick)
    if not choices:
        del edges[at]
    return step


def outlines(mask: Bool[np.ndarray, "h w"]) -> list[list[int]] | None:
    """Closed outlines `[x0, y0, x1, y1, ...]` of a mask, straight runs merged; None if the mask has a hole."""
    edges, out = _edges(mask), []
    while edges:
        start = min(edges)
        points, before, at = [start], start, _next(edges, (start[0] - 1, start[1]), start)
        while at != start:
            points.append(at)
            before, at = at, _next(edges, before, at)
        x, y = np.array([*points, start]).T
        if (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() < 0:
            return None
        corner = [p for a, p, b in zip([points[-1], *points[:-1]], points, [*points[1:], points[0]], strict=True)
                  if (p[0] - a[0]) * (b[1] - p[1]) != (p[1] - a[1]) * (b[0] - p[0])]  # fmt: skip
        out.append([v for p in corner for v in p])
    return out


def boxes_of(ids: Int[np.ndarray, "h w"]) -> dict[int, tuple[int, int, int, int]]:
    """Half-open pixel box (x0, y0, x1, y1) of the pixels of every id >= 0."""
    out = {}
    for i in np.unique(ids[ids >= 0]):
        rows, columns = np.nonzero(ids == i)
        out[int(i)] = (
            int(columns.min()),
            int(rows.min()),
            int(columns.max()) + 1,
            int(rows.max()) + 1,
        )
    return out
