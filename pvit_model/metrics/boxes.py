"""Box metrics: mean IoU of slot boxes, and COCO average precision by pycocotools.

The network predicts one box per slot and no score, so the IoU of a slot with its own target is the natural metric; AP
is for detections that carry scores.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pvit_model.metrics.ratio import ratio


def to_xyxy(boxes: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "... 4"]:
    """Centre, width and height to corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def iou(a: Float[np.ndarray, "... 4"], b: Float[np.ndarray, "... 4"]) -> Float[np.ndarray, "..."]:
    """Intersection over union of corner boxes, pair by pair; 0 where both are empty."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    common = size[..., 0] * size[..., 1]
    union = sum(np.clip(x[..., 2:] - x[..., :2], 0, None).prod(axis=-1) for x in (a, b)) - common
    found: Float[np.ndarray, "..."] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return found


def sums(
    prediction: Float[np.ndarray, "... 4"],
    target: Float[np.ndarray, "... 4"],
    valid: Bool[np.ndarray, "..."],
) -> Float[np.ndarray, "3"]:
    """Sums over labelled slots: IoU, boxes with IoU >= 0.5, number.

    Args:
        prediction, target: cxcywh in [0, 1].
        valid: labelled slots.
    """
    found = iou(to_xyxy(prediction[valid]), to_xyxy(target[valid]))
    return np.array([found.sum(), float((found >= 0.5).sum()), len(found)])


def result(total: Float[np.ndarray, "3"]) -> dict[str, float]:
    """`iou` (mean) and `recall50`, the share of boxes met with IoU >= 0.5."""
    return {"iou": ratio(total[0], total[2]), "recall50": ratio(total[1], total[2])}


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
