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
MOST_WHOLE = 5000  # of percentages that were added up over fifty crops
ROUNDING = 0.02  # of the sum, where numbers were written with few decimals
TINY = 1e-6  # by which float32 passes 0 and 1
_RIGHT = {
    True: "add up to 1 (of logits their softmax)",
    False: "are within 0 and 1 (of logits their sigmoid)",
}
"""By whether classes exclude each other."""
MOST = 0.8  # of the views, of which logits hardly look like probabilities


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
    if not logits.size or not logits.min() >= -TINY:  # NaN is no probability either
        return None
    if not exclusive:
        return 1 if logits.max() <= 1 + TINY else None
    sums = logits.sum(axis=2, dtype=np.float64)
    return next(
        (whole for whole in WHOLE if (np.abs(sums - whole) <= ROUNDING * whole).all()), None
    )


def require_clear(
    logits: Float[np.ndarray, "n v k"],
    *,
    exclusive: bool = True,
    where: str = "logits",
    ids: Sequence[str] = (),
) -> None:
    """Refuses scores that rank otherwise when they are read as probabilities, if they may be some: they are in most
    views, but not in all, or all views add up to another whole number.

    Raises:
        FormatError: with the first view that is none.
    """
    if logits.shape[1] < 2 or whole_of(logits, exclusive=exclusive) is not None:
        return
    said = _probable(logits, exclusive, ids)
    if not said:
        return
    axis = 1 if exclusive else 0  # classes of a video are ranked, or videos of a class
    ranks = [_added(logits, exclusive, w).argsort(axis=axis, kind="stable") for w in (None, 1)]
    if not np.array_equal(ranks[0], ranks[1]):
        raise FormatError(
            f"{where}: {said}; read as logits they rank otherwise. Write probabilities of each view that "
            f"{_RIGHT[exclusive]}, and leave out videos that have none (--partial)"
        )


def _probable(logits: Float[np.ndarray, "n v k"], exclusive: bool, ids: Sequence[str]) -> str:
    """What makes numbers look like probabilities, though they are none; "" where nothing does."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = logits.sum(axis=2, dtype=np.float64)
    if not np.isfinite(sums).all():  # logarithms, or no numbers at all
        return ""
    positive = logits.min(axis=2) >= -TINY
    forms = []
    if exclusive:
        # Rounded to two decimals many classes add up to much less than 1; whole numbers may be sums over crops.
        several = min(max(2, round(np.median(sums))), MOST_WHOLE)
        for whole, part in ((1, 0.5), (100, ROUNDING), (several, 0.001)):
            far = np.abs(sums - whole) / whole
            alike, good = positive & (far <= part), positive & (far <= ROUNDING)
            forms.append((f"not negative, adding up to about {whole}", alike, good))
    else:
        alike = positive & (logits.max(axis=2) <= 1 + TINY)
        forms.append(("within 0 and 1", alike, alike))
    found = next((form for form in forms if form[1].mean() > MOST), None)
    if found is None:
        return ""
    what, alike, good = found
    row, view = divmod(int(np.argmin(good)), logits.shape[1])
    first = f"view {view} of {short(ids[row], 60) if ids else f'row {row}'}"
    other = "" if good.all() else f", but {int((~good).sum()):,} do not quite, first {first}"
    return f"{int(alike.sum()):,} of {alike.size:,} views look like probabilities ({what}){other}"


def _added(
    logits: Float[np.ndarray, "n v k"], exclusive: bool, whole: int | None
) -> Float[np.ndarray, "n k"]:
    """Probabilities of views, added up; `whole` as of `whole_of`."""
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
    return scores


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
        FormatError: with the first row whose scores are no numbers, or where it is not clear what they are.
    """
    require_clear(logits, exclusive=exclusive, where=where, ids=ids)
    scores = _added(logits, exclusive, whole_of(logits, exclusive=exclusive))
    good = np.isfinite(scores).all(axis=1) & ~(logits == np.inf).any(axis=(1, 2))
    if not good.all():
        row = int(np.argmin(good))
        first = short(ids[row], 60) if ids else f"row {row}"
        raise FormatError(
            f"{where}: {int((~good).sum()):,} of {len(good):,} videos have scores that are NaN or infinite, first "
            f"{first}: the network that wrote them had diverged, or the file is damaged"
        )
    return scores
