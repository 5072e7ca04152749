"""What a sample's metadata tell its clip sampler: a key frame, a grid, a range, or a window of a longer video."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

_MOST = 1 << 40


@dataclass(frozen=True)
class About:
    """Where a sample's clips lie; None and () where it says nothing.

    Args:
        key_frame: that clips lie around.
        grid: the stored frame of each place of a stream of 30 per second, the key frame at the middle one.
        start, end: of the window in its full video, as frames.
        seconds: the same, as seconds.
        event: the frame of the full video that stays in every window.
        within: the frames that clips are taken from, where not all show what the label says.
    """

    key_frame: int | None = None
    grid: tuple[int, ...] = ()
    start: int | None = None
    end: int | None = None
    seconds: tuple[float, float] | None = None
    event: int | None = None
    within: range | None = None

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> About:
        """From metadata, which may be anybody's: what is of another form counts as not said."""
        grid = meta.get("grid")
        is_grid = isinstance(grid, list) and all(_whole(place) is not None for place in grid)
        start, end = (meta.get(f"parent_{side}_sec") for side in ("start", "end"))
        return cls(
            key_frame=_whole(meta.get("key_frame")),
            grid=tuple(grid) if is_grid and grid is not None else (),
            start=_whole(meta.get("parent_start_frame")),
            end=_whole(meta.get("parent_end_frame")),
            seconds=(float(start), float(end)) if _is_second(start) and _is_second(end) else None,
            event=_whole(meta.get("parent_pnr_frame")),
        )

    def of_part(self, first: int) -> About:
        """The same of a video that begins with frame `first`."""
        if self.key_frame is None:
            return self
        return replace(self, key_frame=self.key_frame - first)


def _whole(value: object) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST
    return value if is_whole and isinstance(value, int) else None


def _is_second(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value < _MOST
