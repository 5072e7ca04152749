"""Scores of a video from the logits of its views: softmax (or sigmoid) of each view, added up over the views.
Numbers that are probabilities already are added up as they are.

As facebookresearch/SlowFast counts (slowfast/utils/meters.py, TestMeter); adding up logits would rank differently.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from pvit_data.errors import FormatError
from pvit_data.words import short

BLOCK = 1 << 22  # values that are turned into float64 at a time
WHOLE = (1, 100)  # what the probabilities of a view add up to; the second are percentages
ROUNDING = 0.02  # of the sum, where numbers were written with few decimals


def softmax(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Rows turned into probabilities, in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    scores: Float[np.ndarray, "n k"] = shifted / shifted.sum(axis=1, keepdims=True)
    return scores


def sigmoid(logits: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The probability of each class by itself, in float64."""
    values = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(values))
    scores: Float[np.ndarray, "n k"] = np.where(values >= 0, 1.0, small) / (1 + small)
    return scores


def whole_of(logits: Float[np.ndarray, "n v k"], *, exclusive: bool = True) -> int | None:
    """What a probability of 1 is in these numbers; None: they are logits.

    Classes that exclude each other: 1 or 100, where no number is negative and each view adds up to it. Others: 1, where
    all numbers are within [0, 1]; logits of networks that are trained for several classes are mostly negative.
    """
    if not logits.size or not logits.min() >= 0:  # NaN is no probability either
        return None
    if not exclusive:
        return 1 if logits.max() <= 1 else None
    sums = logits.sum(axis=2, dtype=np.float64)
    return next(
        (whole for whole in WHOLE if (np.abs(sums - whole) <= ROUNDING * whole).all()), None
    )


def summed(
    logits: Float[np.ndarray, "n v k"],
    *,
    exclusive: bool = True,
    where: str = "logits",
    ids: Sequence[str] = (),
) -> Float[np.ndarray, "n k"]:
    """Scores of each video: those of its views, added one after the other.

    Args:
        logits: of each view; -inf (the logarithm of 0) is a value, NaN and +inf are none. Or probabilities, see
            `whole_of`.
        exclusive: one class per video (softmax), else any number (sigmoid).
        where: they are from, for messages.
        ids: of the videos, for messages.

    Raises:
        FormatError: with the first row whose scores are no numbers.
    """
    whole = whole_of(logits, exclusive=exclusive)
    activation = softmax if exclusive else sigmoid
    number, views, classes = logits.shape
    scores = np.zeros((number, classes))
    step = max(1, BLOCK // max(1, classes))
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, number, step):
            part = slice(start, start + step)
            for view in range(views):
                values = logits[part, view]
                scores[part] += activation(values) if whole is None else values / whole
    good = np.isfinite(scores).all(axis=1) & ~(logits == np.inf).any(axis=(1, 2))
    if not good.all():
        row = int(np.argmin(good))
        first = short(ids[row], 60) if ids else f"row {row}"
        raise FormatError(
            f"{where}: {int((~good).sum()):,} of {number:,} videos have scores that are NaN or infinite, first "
            f"{first}: the network that wrote them had diverged, or the file is damaged"
        )
    return scores
