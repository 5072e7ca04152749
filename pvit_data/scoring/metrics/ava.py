"""AVA's mean average precision in the three variants that are in use, which give different numbers.

`pyslowfast` (the papers'): all detections, excluded seconds removed; detections on seconds without truth are wrong.
`activitynet` (the challenge's): the 50 best pairs of box and class of an image; only seconds that the truth lists.
`mmaction2`: only images with truth; excluded truth stays in the denominator; classes without detections are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from pvit_data.scoring.metrics import overlap
from pvit_data.scoring.metrics.precision import Ties, average_precision

CAP = 50
EVALUATED = (
    1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 20, 22, 24, 26, 27, 28, 29, 30, 34, 36, 37, 38, 41, 43, 45,
    46, 47, 48, 49, 51, 52, 54, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 72, 73, 74, 76, 77, 78,
    79, 80,
)  # fmt: skip
"""The 60 classes of AVA v2.2 that count."""
ALL = tuple(range(1, 81))
GROUPS = {"movement": (1, 14), "objects": (15, 63), "interaction": (64, 80)}
"""Ids of mmaction2's three groups, first and last."""
SECONDS = 100_000  # more than any video has; an image is video x SECONDS + second
_CLASSES = 1024  # more than any label map has


@dataclass(frozen=True)
class BoxTable:
    """Boxes of persons with an action each, one row per (box, action).

    Args:
        image: number of video and second.
        xyxy: corners, as shares of width and height.
        class_id: the action; 1 is the first.
        score: of detections; empty for the truth.
        listed: images without boxes, that the file lists.
    """

    image: Int64[np.ndarray, "n"]
    xyxy: Float[np.ndarray, "n 4"]
    class_id: Int64[np.ndarray, "n"]
    score: Float[np.ndarray, "n"] = field(default_factory=lambda: np.zeros(0))
    listed: Int64[np.ndarray, "m"] = field(default_factory=lambda: np.zeros(0, np.int64))

    def keep(self, rows: Bool[np.ndarray, "n"] | Int64[np.ndarray, "m"]) -> BoxTable:
        """Some of the rows."""
        if rows.dtype == bool and rows.all():
            return self
        score = self.score[rows] if len(self.score) else self.score
        return BoxTable(self.image[rows], self.xyxy[rows], self.class_id[rows], score, self.listed)

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Variant:
    """How mean average precision is counted.

    Args:
        name: of the protocol.
        classes: ids that count.
        cap: (box, class) pairs of an image that count, by score; 0: all.
    """

    name: str
    classes: tuple[int, ...] = EVALUATED
    cap: int = 0

    def __str__(self) -> str:
        capped = f", the {self.cap} best pairs of an image" if self.cap else ""
        if self.name == "activitynet" and not self.cap:
            capped = ", no cap"
        return f"{self.name}{capped}, {len(self.classes)} classes, IoU {overlap.IOU:g}"


@dataclass(frozen=True)
class Precision:
    """Results.

    Args:
        mean: over classes that count.
        by_class: average precision by id; nan: left out.
        low, high: the mean over all orders in which equal scores may rank, where the same detections are right.
        ranked: the mean if the rows came by score, best first: of several detections of a person the first is right.
        tied: share of detections whose score another one of the class has.
        detections, truth: rows that counted.
        degenerate: detections without area, which were dropped.
    """

    mean: float
    by_class: dict[int, float]
    low: float
    high: float
    ranked: float
    tied: float
    detections: int
    truth: int
    degenerate: int

    def groups(self) -> dict[str, float]:
        """The mean over each of mmaction2's groups; nan where a group has no class."""
        return {name: _mean(self.within(*ends)) for name, ends in GROUPS.items()}

    def within(self, first: int, last: int) -> list[float]:
        """Average precisions of some ids."""
        return [value for number, value in self.by_class.items() if first <= number <= last]


def mean_precision(
    truth: BoxTable,
    found: BoxTable,
    variant: Variant,
    excluded: Int64[np.ndarray, "m"] | None = None,
    *,
    ties: bool = True,
) -> Precision:
    """Scores detections.

    Args:
        truth, found: rows of the annotations and of the detections.
        variant: what counts.
        excluded: images that are left out; `activitynet` knows none.
        ties: also measure what equal scores, and the order of the rows, leave open.
    """
    every, left_out = truth, np.zeros(0, np.int64) if excluded is None else excluded
    truth = truth.keep(np.isin(truth.class_id, variant.classes))
    found = found.keep(np.isin(found.class_id, variant.classes))
    counted = truth
    if variant.name == "pyslowfast":
        counted = truth = truth.keep(~np.isin(truth.image, left_out))
        found = found.keep(~np.isin(found.image, left_out))
    else:
        if variant.cap:
            found = _best(found, variant.cap)
        if variant.name == "activitynet":
            images = np.concatenate([every.image, every.listed])
        else:
            truth = truth.keep(~np.isin(truth.image, left_out))
            images = truth.image
        found = found.keep(np.isin(found.image, images))
        found = found.keep(np.lexsort((-found.score, found.image)))
    full = (found.xyxy[:, 0] < found.xyxy[:, 2]) & (found.xyxy[:, 1] < found.xyxy[:, 3])
    degenerate = int((~full).sum())
    found = found.keep(full)
    rows, partner = _overlapping(truth, found)
    right = _first(rows, partner, len(found))
    precision = _score(counted, found, right, variant, degenerate, ties)
    by_score = np.argsort(-found.score[rows], kind="stable")
    best = _first(rows[by_score], partner[by_score], len(found))
    if not ties or (best == right).all():
        return precision
    ranked = _score(counted, found, best, variant, degenerate, ties=False).mean
    return replace(precision, ranked=ranked)


def _best(found: BoxTable, cap: int) -> BoxTable:
    """The pairs of each image with the highest scores, in the order of the file; of equal ones the first."""
    order = np.lexsort((-found.score, found.image))
    image = found.image[order]
    place = np.arange(len(order)) - np.searchsorted(image, image, "left")
    return found.keep(np.sort(order[place < cap]))


def _overlapping(
    truth: BoxTable, found: BoxTable
) -> tuple[Int64[np.ndarray, "m"], Int64[np.ndarray, "m"]]:
    """Detections whose best box of the truth of image and class overlaps by half, and that box. No second choice is
    tried."""
    key = [table.image * _CLASSES + table.class_id for table in (found, truth)]
    partner, value = overlap.partners((key[0], found.xyxy), (key[1], truth.xyxy))
    rows = np.flatnonzero(value >= overlap.IOU)
    return rows, partner[rows]


def _first(
    rows: Int64[np.ndarray, "m"], partner: Int64[np.ndarray, "m"], number: int
) -> Bool[np.ndarray, "n"]:
    """Which of so many detections are right: the first one, in the given order, of each box of the truth."""
    _, first = np.unique(partner, return_index=True)
    right = np.zeros(number, bool)
    right[rows[first]] = True
    return right


def _score(
    truth: BoxTable,
    found: BoxTable,
    right: Bool[np.ndarray, "n"],
    variant: Variant,
    degenerate: int,
    ties: bool,
) -> Precision:
    values: dict[Ties, dict[int, float]] = {"file": {}, "low": {}, "high": {}}
    totals = np.bincount(truth.class_id, minlength=_CLASSES)
    by_class = np.argsort(found.class_id, kind="stable")
    ends = np.searchsorted(found.class_id[by_class], [*variant.classes, max(variant.classes) + 1])
    tied = 0
    for number, start in zip(variant.classes, ends, strict=False):
        stop = np.searchsorted(found.class_id[by_class], number, "right")
        rows = by_class[start:stop]
        score, correct = found.score[rows], right[rows]
        _, count = np.unique(score, return_counts=True)
        alone = int((count == 1).sum())
        tied += len(rows) - alone
        skipped = variant.name == "mmaction2" and not len(rows)
        for kind, table in values.items():
            if kind == "file" or (ties and alone < len(rows)):
                total = 0 if skipped else int(totals[number])
                table[number] = average_precision(score, correct, total, kind)
            else:
                table[number] = values["file"][number]
    return Precision(
        mean=_mean(values["file"].values()),
        by_class=values["file"],
        low=_mean(values["low"].values()),
        high=_mean(values["high"].values()),
        ranked=_mean(values["file"].values()),
        tied=tied / max(1, len(found)),
        detections=len(found),
        truth=len(truth),
        degenerate=degenerate,
    )


def _mean(values: object) -> float:
    known = [value for value in values if not math.isnan(value)]  # type: ignore[attr-defined]
    return float(np.mean(known)) if known else math.nan


def oracle(truth: BoxTable, found: BoxTable) -> BoxTable:
    """The best that the boxes of detections allow: each scores its overlap (>= .5) for every class of its best box of
    the truth, in the order of their overlaps."""
    box, _ = overlap.distinct(found.image, found.xyxy)
    image, xyxy = found.image[box], found.xyxy[box]
    person, number = overlap.distinct(truth.image, truth.xyxy)
    best, value = overlap.partners((image, xyxy), (truth.image[person], truth.xyxy[person]))
    kept = np.flatnonzero(value >= overlap.IOU)
    parts = [
        (kept[rows], truth.class_id[others]) for rows, others in overlap.pairs(best[kept], number)
    ]
    rows = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0, np.int64)
    classes = np.concatenate([part[1] for part in parts]) if parts else np.zeros(0, np.int64)
    order = np.argsort(-value[rows], kind="stable")
    rows, classes = rows[order], classes[order]
    return BoxTable(image[rows], xyxy[rows], classes, value[rows])
