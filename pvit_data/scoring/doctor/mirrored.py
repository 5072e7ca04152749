"""Left and right swapped: clips were flipped in training without their labels, or mirrored at test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from pvit_data.scoring.doctor.finding import Finding

LEAST = 20  # videos
SURE = 1e-4


def mirrored(
    labels: Int64[np.ndarray, "n"],
    predicted: Int64[np.ndarray, "n"],
    pairs: Sequence[tuple[int, int]],
) -> Finding | None:
    """The finding, or None.

    Args:
        labels, predicted: class of each video.
        pairs: of classes.
    """
    from scipy.special import bdtrc

    swapped = right = 0
    for a, b in pairs:
        inside = np.isin(labels, (a, b)) & np.isin(predicted, (a, b))
        right += int((labels[inside] == predicted[inside]).sum())
        swapped += int((labels[inside] != predicted[inside]).sum())
    if swapped + right < LEAST or swapped <= right:
        return None
    chance = float(bdtrc(swapped - 1, swapped + right, 0.5))
    if chance >= SURE:
        return None
    return Finding(
        "left and right swapped",
        f"of {swapped + right} videos of the {len(pairs)} left/right pairs that were predicted inside their pair, "
        f"{swapped} are swapped",
        f"p = {chance:.1e}",
        "frames are mirrored, or training flipped clips without swapping their labels: train without flips, or with "
        "pairs that a flip swaps",
    )
