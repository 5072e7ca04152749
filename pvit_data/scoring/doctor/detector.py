"""What the detector's boxes allow: always said of AVA, since most low numbers begin there."""

from __future__ import annotations

from pvit_data.scoring.doctor.boxes import Boxes
from pvit_data.scoring.doctor.finding import Finding, information


def detector(truth: Boxes, found: Boxes, matched: float, oracle: float) -> list[Finding]:
    """Information about the boxes.

    Args:
        truth, found: boxes of persons, each once.
        matched: share of the images of the truth that have a detection.
        oracle: mean average precision of scores that equal the overlap with the best box of the truth.
    """
    images = max(1, len(set(found.image.tolist())))
    return [
        information(
            "detector recall",
            f"{truth.recall(found):.4f} of the {len(truth.image):,} persons have a box (overlap .5); "
            f"{len(found.image):,} boxes, {len(found.image) / images:.2f} per image; {100 * matched:.1f} % of the "
            "images of the truth have one",
        ),
        information("oracle mAP", f"perfect classes on these boxes would score {oracle:.4f}"),
    ]
