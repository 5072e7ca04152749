"""Boxes of AVA: seconds that are shifted, pixels for shares, axes exchanged, widths for corners.

All by the recall of the truth's boxes at an overlap of .5, whatever the class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.metrics import overlap
from pvit_data.scoring.metrics.ava import SECONDS, BoxTable

SHIFTS = (-2, -1, 1, 2, 900, 902)
SHIFT_GAIN = 0.10
ORDER_GAIN = 0.20
LARGE, LARGE_SHARE = 2.0, 0.01
_ORDERS = {
    "y1,x1,y2,x2": "exchange x and y",
    "x,y,width,height": "add width and height to the corner",
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
    if not values[best] - plain >= SHIFT_GAIN:
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
