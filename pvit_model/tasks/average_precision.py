"""COCO average precision of boxes that carry scores, by pycocotools.

The network's own boxes carry none: it predicts one box per slot, which is measured by its IoU (see `boxes`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Detections:
    """Boxes of one image.

    Args:
        xyxy: corners, in any one unit.
        class_id: class of each box.
        score: confidence of each box; ignored for ground truth.
    """

    xyxy: Float[np.ndarray, "n 4"]
    class_id: Sequence[int]
    score: Sequence[float] = ()


def average_precision(found: Sequence[Detections], truth: Sequence[Detections]) -> dict[str, float]:
    """COCO `ap` (mean over IoU .50:.95), `ap50` and `ap75` of detections, image by image; nan without any truth.

    Boxes are scaled to a 1000-pixel frame, so COCO's size classes do not matter here and all sizes count.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = [_row(i, d, k, 1 + n) for n, (i, d, k) in enumerate(_flat(truth))]
    if not rows:
        return {"ap": float("nan"), "ap50": float("nan"), "ap75": float("nan")}
    classes = sorted({int(c) for d in truth for c in d.class_id})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": c} for c in classes],
            "annotations": rows,
        }
        coco.createIndex()
        guesses = [
            _row(i, d, k, 1 + n) | {"score": float(d.score[k])}
            for n, (i, d, k) in enumerate(_flat(found))
        ]
        evaluation = COCOeval(coco, _results(coco, guesses), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[k]) for k, name in enumerate(("ap", "ap50", "ap75"))}


def _flat(images: Sequence[Detections]) -> list[tuple[int, Detections, int]]:
    return [(i, d, k) for i, d in enumerate(images) for k in range(len(d.xyxy))]


def _row(image: int, d: Detections, k: int, number: int) -> dict[str, object]:
    x1, y1, x2, y2 = (1000 * float(v) for v in d.xyxy[k])
    return {
        "id": number,
        "image_id": image,
        "category_id": int(d.class_id[k]),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
        "iscrowd": 0,
    }


def _results(coco: object, rows: list[dict[str, object]]) -> object:
    """A COCO object of results; `loadRes` refuses an empty list."""
    from pycocotools.coco import COCO

    result = COCO()
    result.dataset = {**coco.dataset, "annotations": rows}  # type: ignore[attr-defined]
    result.createIndex()
    return result
