"""Two ways to frames by their numbers: from the start, which is always right, and from key frames, which is faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Integer

from pvit_data.codecs.video.container import Listing, open_video


def front_to_back(data: bytes, *, careful: bool = False) -> Iterator[Any]:
    """All pictures as the decoder gives them; the place in this order is a frame's number."""
    with open_video(data, careful=careful) as container:
        yield from container.decode(container.streams.video[0])


def by_seeking(container: Any, listing: Listing, numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """Frames with their numbers, each run of them from the last key frame before it; some may not come.

    Args:
        container: opened, and at any place.
        listing: of the container, with exact times.
        numbers: ascending.
    """
    stream = container.streams.video[0]
    number_of = {pts: i for i, pts in enumerate(listing.pts)}
    keys = np.flatnonzero(listing.is_key)
    remaining = list(numbers)
    while remaining:
        before = keys[keys <= remaining[0]]
        start = int(before[-1]) if len(before) else 0
        container.seek(listing.pts[start], stream=stream, backward=True)
        found = len(remaining)
        for picture in container.decode(stream):
            number = number_of.get(picture.pts)
            if number is None:
                continue
            if remaining and number == remaining[0]:
                yield number, picture
                remaining.pop(0)
            if not remaining or _next_key(keys, number) <= remaining[0]:
                break
        if found == len(remaining):
            return


def _next_key(keys: Integer[np.ndarray, "k"], number: int) -> int:
    """The second key frame ahead: a jump to the next one would cost as much as decoding on."""
    position = int(np.searchsorted(keys, number, side="right")) + 1
    return int(keys[position]) if position < len(keys) else 1 << 62
