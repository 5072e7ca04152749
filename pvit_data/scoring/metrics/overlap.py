"""Boxes of one image against each other, for all images at once: intersection over union, best partners, recall.

An image is a number; tables of boxes need not be sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.errors import FormatError

IOU = 0.5
MOST = 1000  # boxes of one image and class
BLOCK = 1 << 20  # pairs that are computed at a time


def iou(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    """Intersection over union of xyxy boxes, row by row; 0 where both are empty."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = np.prod(a[:, 2:] - a[:, :2], axis=1) + np.prod(b[:, 2:] - b[:, :2], axis=1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros(len(a)), where=union > 0))


def pairs(
    wanted: Int64[np.ndarray, "n"], given: Int64[np.ndarray, "m"]
) -> Iterator[tuple[Int64[np.ndarray, "p"], Int64[np.ndarray, "p"]]]:
    """Rows of both with the same number: first each row's first partner, then each one's second, ...

    Raises:
        FormatError: if more than `MOST` rows of `given` have one number.
    """
    order = np.argsort(given, kind="stable")
    known = given[order]
    start = np.searchsorted(known, wanted, "left")
    stop = np.searchsorted(known, wanted, "right")
    most = int((stop - start).max(initial=0))
    if most > MOST:
        raise FormatError(f"{most:,} boxes in one image and class, at most {MOST:,}: is it AVA's?")
    rows = np.flatnonzero(stop > start)
    for number in range(most):
        rows = rows[start[rows] + number < stop[rows]]
        yield rows, order[start[rows] + number]


def partners(
    wanted: tuple[Int64[np.ndarray, "n"], Float[np.ndarray, "n 4"]],
    given: tuple[Int64[np.ndarray, "m"], Float[np.ndarray, "m 4"]],
) -> tuple[Int64[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """For each box of `wanted` the box of `given` in the same image with the highest overlap: its row, and the overlap.

    Args:
        wanted, given: image numbers and boxes.

    Returns:
        The first of several best rows; -1 and an overlap of -1 where the image has none.
    """
    found = np.full(len(wanted[0]), -1, np.int64)
    overlap = np.full(len(wanted[0]), -1.0)
    for all_rows, all_others in pairs(wanted[0], given[0]):
        for start in range(0, len(all_rows), BLOCK):
            part = slice(start, start + BLOCK)
            rows, others = all_rows[part], all_others[part]
            value = iou(wanted[1][rows], given[1][others])
            better = value > overlap[rows]
            found[rows[better]], overlap[rows[better]] = others[better], value[better]
    return found, overlap


def recall(
    truth: tuple[Int64[np.ndarray, "n"], Float[np.ndarray, "n 4"]],
    boxes: tuple[Int64[np.ndarray, "m"], Float[np.ndarray, "m 4"]],
) -> float:
    """Share of the boxes of the truth that some box of the same image overlaps by half."""
    if not len(truth[0]):
        return float("nan")
    return float((partners(truth, boxes)[1] >= IOU).mean())


def distinct(
    image: Int64[np.ndarray, "n"], xyxy: Float[np.ndarray, "n 4"]
) -> tuple[Int64[np.ndarray, "m"], Int64[np.ndarray, "n"]]:
    """Rows with the first appearance of each box of an image, in order, and for each row the number of its box."""
    if not len(image):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    columns = [
        image,
        *(np.ascontiguousarray(column) for column in (xyxy + 0.0).T),
    ]  # + 0.0: one zero, not two
    mixed = _mixed(columns)
    _, first, number = np.unique(mixed, return_index=True, return_inverse=True)
    del mixed
    if not all(
        np.array_equal(column[first[number]], column) for column in columns
    ):  # numbers that collide
        table = np.column_stack(columns)
        _, first, number = np.unique(table, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(first), np.int64)
    place[order] = np.arange(len(first))
    return first[order], place[number.reshape(-1)]


def repeated(columns: Sequence[np.ndarray]) -> Int64[np.ndarray, "m 2"]:
    """Rows that are equal in all columns (of 8 bytes each): pairs of one and the next such row."""
    mixed = _mixed(columns)
    order = np.argsort(mixed, kind="stable")
    first, following = order[:-1], order[1:]
    alike = np.flatnonzero(mixed[first] == mixed[following])
    numbers = [column.view(np.int64) for column in columns]
    same = np.ones(len(alike), bool)
    for column in numbers:
        same &= column[first[alike]] == column[following[alike]]
    return np.column_stack([first[alike[same]], following[alike[same]]])


def _mixed(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One number for a row: millions are sorted in little memory. Two rows may have the same by chance."""
    mixed = np.zeros(len(columns[0]), np.uint64)
    with np.errstate(over="ignore"):
        for column in columns:
            mixed = (mixed ^ column.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
    return mixed
