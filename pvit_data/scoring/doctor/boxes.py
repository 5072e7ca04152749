"""Boxes of AVA: seconds that are shifted, pixels for shares, axes exchanged, widths for corners, movies exchanged, and
boxes that match nothing.

All by the recall of the truth's boxes at an overlap of .5, whatever the class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics import overlap
from pvit_data.scoring.metrics.ava import SECONDS, BoxTable

SHIFTS = (-902, -901, -900, -2, -1, 1, 2, 900, 901, 902)
SHIFT_GAIN = 0.10
ORDER_GAIN = 0.20
LARGE, LARGE_SHARE = 2.0, 0.01
MOVIE_GAIN = 0.20
FEW, FEW_FOUND, TRIES = 100, 20, 5  # persons; detected boxes; orders of the seconds
LOW, CHANCE = 0.50, 0.05  # recall, and how far it is above that of boxes of other seconds
TWICE = 0.10  # of the detections
TRUTH_TWICE = 0.01  # of the truth's rows
_ORDERS = {
    "y1,x1,y2,x2": "exchange x and y",
    "x,y,width,height": "add width and height to the corner",
    "centre x,centre y,width,height": "write the corners, half of width and height to each side of the centre",
    "x1,x2,y1,y2": "exchange the second and third number",
    "mirrored": "write 1 - x2 for x1 and 1 - x1 for x2, or look for the flip",
    "upside down": "write 1 - y2 for y1 and 1 - y1 for y2",
}


@dataclass(frozen=True)
class Boxes:
    """Boxes without classes: each box of an image once.

    Args:
        image: number of video and second.
        xyxy: corners.
    """

    image: Int64[np.ndarray, "n"]
    xyxy: Float[np.ndarray, "n 4"]

    @classmethod
    def of(cls, table: BoxTable) -> Boxes:
        """Those of a table."""
        rows, _ = overlap.distinct(table.image, table.xyxy)
        return cls(table.image[rows], table.xyxy[rows])

    def recall(self, found: Boxes) -> float:
        """Share of these boxes that others find."""
        return overlap.recall((self.image, self.xyxy), (found.image, found.xyxy))


def shifted(truth: Boxes, found: Boxes) -> Finding | None:
    """Seconds of the detections that are others than those of the truth."""
    plain = truth.recall(found)
    second = found.image % SECONDS
    values = {}
    for shift in SHIFTS:
        rows = (second + shift >= 0) & (second + shift < SECONDS)
        values[shift] = truth.recall(Boxes(found.image[rows] + shift, found.xyxy[rows]))
    best = max(values, key=values.__getitem__)
    error = math.sqrt(values[best] * (1 - values[best]) / max(1, len(truth.image)))
    if not values[best] - plain >= max(SHIFT_GAIN, 4 * error):  # the best of ten, of few boxes
        return None
    return Finding(
        "seconds shifted",
        f"recall of the truth's boxes is {values[best]:.3f} with {best:+d} seconds, {plain:.3f} without",
        f"gain {values[best] - plain:.2f}, of which {SHIFT_GAIN:.2f} would do",
        f"write the second of the key frame ({best:+d}): AVA's seconds count from the start of the movie, 902 to 1798",
    )


def misread(truth: Boxes, found: Boxes) -> Finding | None:
    """Boxes in pixels, with axes exchanged, or with widths."""
    large = float((np.abs(found.xyxy) > LARGE).mean()) if len(found.xyxy) else 0.0
    if large > LARGE_SHARE:
        return Finding(
            "box units",
            f"{100 * large:.1f} % of the coordinates are above {LARGE:g}, the largest is {found.xyxy.max():g}",
            "certain",
            "divide x by the width and y by the height of the picture: AVA's boxes are shares",
        )
    plain = truth.recall(found)
    x1, y1, x2, y2 = found.xyxy.T
    forms = {
        "y1,x1,y2,x2": np.column_stack([y1, x1, y2, x2]),
        "x,y,width,height": np.column_stack([x1, y1, x1 + x2, y1 + y2]),
        "centre x,centre y,width,height": np.column_stack(
            [x1 - x2 / 2, y1 - y2 / 2, x1 + x2 / 2, y1 + y2 / 2]
        ),
        "x1,x2,y1,y2": np.column_stack([x1, x2, y1, y2]),
        "mirrored": np.column_stack([1 - x2, y1, 1 - x1, y2]),
        "upside down": np.column_stack([x1, 1 - y2, x2, 1 - y1]),
    }
    values = {name: truth.recall(Boxes(found.image, xyxy)) for name, xyxy in forms.items()}
    best = max(values, key=values.__getitem__)
    if not values[best] - plain >= ORDER_GAIN:
        return None
    return Finding(
        "box axes",
        f"recall of the truth's boxes is {values[best]:.3f} if the four numbers are {best}, {plain:.3f} as x1,y1,x2,y2",
        f"gain {values[best] - plain:.2f}, of which {ORDER_GAIN:.2f} would do",
        f"{_ORDERS[best]} before writing",
    )


def exchanged(truth: Boxes, found: Boxes, names: Sequence[str]) -> Finding | None:
    """Detections that are under the name of another movie. Which one is found on the even seconds, and scored on the
    odd ones, and the other way round."""
    plain = truth.recall(found)
    movies = np.unique(truth.image // SECONDS)
    if len(movies) < 2 or len(truth.image) < FEW or not plain < 1 - MOVIE_GAIN:
        return None
    from scipy.optimize import linear_sum_assignment

    hits = [_hits(truth, found, movies, parity) for parity in (0, 1)]
    gained = own = 0
    for one, other in (hits, hits[::-1]):
        rows, columns = linear_sum_assignment(one, maximize=True)
        gained += int(other[rows, columns].sum())
        own += int(np.trace(other))
    gain = (gained - own) / max(1, len(truth.image))
    if gain < MOVIE_GAIN:
        return None
    rows, columns = linear_sum_assignment(hits[0] + hits[1], maximize=True)
    moved = np.flatnonzero(rows != columns)
    truly, given = names[int(movies[moved[0]])], names[int(movies[columns[moved[0]]])]
    return Finding(
        "movies exchanged",
        f"recall of the truth's boxes is {plain + gain:.3f} if {len(moved)} of the {len(movies)} movies have each "
        f"other's detections, {plain:.3f} as they are; first: those of {truly} are under {given}",
        f"gain {gain:.2f}, of which {MOVIE_GAIN:.2f} would do; found on one half of the seconds, scored on the other",
        "write the names of the movies in the order in which they were evaluated",
    )


def _hits(
    truth: Boxes, found: Boxes, movies: Int64[np.ndarray, "m"], parity: int
) -> Int64[np.ndarray, "m m"]:
    """Boxes of each movie's truth (row) that the detections of each movie (column) find, on half of the seconds."""
    counts = np.zeros((len(movies), len(movies)), np.int64)
    half = truth.image % 2 == parity
    image, xyxy = truth.image[half], truth.xyxy[half]
    row = np.searchsorted(movies, image // SECONDS)
    by_movie = found.image // SECONDS
    for column, movie in enumerate(movies.tolist()):
        given = by_movie == movie
        second = found.image[given] % SECONDS
        value = overlap.partners((image % SECONDS, xyxy), (second, found.xyxy[given]))[1]
        counts[:, column] = np.bincount(row[value >= overlap.IOU], minlength=len(movies))
    return counts


def unmatched(truth: Boxes, found: Boxes) -> Finding | None:
    """Boxes that find no more people than boxes of other seconds would, and of which no more find one, where nothing
    else explains it: of few good boxes the second holds, of many poor ones the first. Where people stay where they are,
    before a fixed camera, other seconds' boxes find as many."""
    plain, number = truth.recall(found), len(truth.image)
    if number < FEW or len(found.image) < FEW_FOUND or not plain < LOW:
        return None
    chance, margin = _by_chance(truth, found)
    share, (other, more) = found.recall(truth), _by_chance(found, truth)
    is_sound = plain > chance + margin or share > other + more
    if is_sound or (plain > CHANCE and _by_chance(truth, truth)[0] > LOW):
        return None
    matched = float(np.isin(np.unique(truth.image), found.image).mean())
    return Finding(
        "boxes match nothing",
        f"recall of the truth's {number:,} boxes is {plain:.3f}, with boxes of other seconds {chance:.3f}; "
        f"{share:.3f} of the {len(found.image):,} boxes find one, of other seconds' {other:.3f}; {100 * matched:.1f} % "
        "of the truth's seconds have a detection, and no known shift or order of the numbers explains it",
        f"{plain - chance:+.3f} and {share - other:+.3f} against chance; of sound boxes either is {margin:.3f} and "
        f"{more:.3f} above it",
        "look at one second: are these boxes of that second, of that movie, and shares of the whole picture (not of a "
        "crop, nor of a padded one)?",
    )


def _by_chance(of: Boxes, by: Boxes) -> tuple[float, float]:
    """Recall of boxes by others of other seconds, and how far above it is no chance."""
    images, place = np.unique(by.image, return_inverse=True)
    rng, values, other = np.random.default_rng(0), [], np.empty_like(images)
    for _ in range(TRIES):
        order = rng.permutation(len(images))
        other[order] = images[np.roll(order, 1)]
        values.append(of.recall(Boxes(other[place.reshape(-1)], by.xyxy)))
    chance = float(np.mean(values))
    return chance, max(CHANCE, 3 * math.sqrt(chance * (1 - chance) / max(1, len(of.image))))


def repeated(truth: BoxTable) -> Int64[np.ndarray, "m"]:
    """Rows of the truth that have stood there before: of the same second, box and action."""
    return overlap.repeated([truth.image, truth.class_id, *truth.xyxy.T.copy()])[:, 1]


def truth_twice(truth: BoxTable, number: int) -> Finding | None:
    """A truth in which many rows stand twice.

    Args:
        truth: its rows.
        number: how many have stood there before.
    """
    if number <= TRUTH_TWICE * len(truth):
        return None
    return Finding(
        "truth twice",
        f"{number:,} of the truth's {len(truth):,} rows have the second, box and action of a row before",
        "certain: each counts as a person of its own, of whom one at most is found",
        "write each row once: joined files, or several editions in one, do that",
    )


def doubled(found: BoxTable, again: Int64[np.ndarray, "m"]) -> Finding | None:
    """Detections that were made twice, with scores that differ a little. Few may be honest: boxes that were clipped.

    Args:
        found: detections.
        again: rows whose box has had their action before.
    """
    low, high = found.xyxy[again, :2], found.xyxy[again, 2:]
    number = int((low < high).all(axis=1).sum())  # others do not count
    if number <= TWICE * len(found):
        return None
    return Finding(
        "boxes twice",
        f"{number:,} of the {len(found):,} detections are of a box that has had their action before, with another "
        "score",
        "each counts as wrong",
        "write each box once: several processes with the same boxes, padding of batches, and several clips of a second "
        "do that",
    )
