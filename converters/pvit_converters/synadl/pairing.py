"""Which video frame a skeleton entry belongs to (spec synadl, section 6)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.errors import SourceError

TOLERANCE = 2


def pair_frames(
    frames: int, index: Int64[np.ndarray, "m"], where: str, *, allow_mismatch: bool
) -> Int64[np.ndarray, "m"]:
    """Frame of every entry, -1 where it belongs to none.

    Args:
        frames: decoded frames of the video.
        index: `frame_index` of the entries.
        where: for messages.
        allow_mismatch: pair what there is although the lengths differ by more than two frames.

    Raises:
        SourceError: if the lengths differ too much or the entries step over frames (`"length-mismatch"`).
    """
    count = len(index)
    if count == frames:
        return np.arange(count)
    steps = np.diff(index)
    strides = bool(len(steps)) and bool((steps > 1).all())
    if abs(frames - count) > TOLERANCE or strides:
        if not allow_mismatch:
            first, last = (int(index[0]), int(index[-1])) if count else (-1, -1)
            step = int(np.median(steps)) if len(steps) else 0
            raise SourceError(
                f"{where}: the video has {frames} frames, the skeleton {count} (index {first}..{last} step {step}); "
                "--allow-length-mismatch pairs them from the first on",
                reason="length-mismatch",
            )
        return np.where(np.arange(count) < frames, np.arange(count), -1)
    place = index - index.min() if count else index
    seen = np.unique(place, return_index=True)[1]
    ok = np.zeros(count, bool)
    ok[seen] = True
    return np.where(ok & (place < frames), place, -1)
