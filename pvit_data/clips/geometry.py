"""One geometric draw: which pixels of a frame become the clip, as an affine map from source to output pixels.

The draw cuts a window with whole-pixel corners, resizes it, cuts the output from that, and may mirror it. Because rgb
is cut and resized by exactly these numbers, the same affine holds exactly for maps, boxes, joints and the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from pvit_data.codecs.window import Window

MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Geometry:
    """Window -> resize -> crop -> flip, all (height, width) or (top, left) in pixels.

    Args:
        source: size of the frames it applies to.
        corner, window: top-left corner and size of the window.
        resized: size that the window is resized to.
        offset: top-left corner of the output in the resized window.
        size: size of the output.
        shrink: corner and window are multiples of it, and a window shrunk by it is no smaller than `resized`.
        flip: whether the output is mirrored left to right.
    """

    source: tuple[int, int]
    corner: tuple[int, int]
    window: tuple[int, int]
    resized: tuple[int, int]
    offset: tuple[int, int]
    size: tuple[int, int]
    flip: bool = False
    shrink: int = 1

    def cut(self) -> Window:
        """What of rgb is needed."""
        return Window(*self.corner, *self.window, self.shrink)

    def matrix(self) -> Float64[np.ndarray, "3 3"]:
        """The affine in homogeneous pixel coordinates: (x', y', 1) = M (x, y, 1)."""
        sy, sx = (r / w for r, w in zip(self.resized, self.window, strict=True))
        tx = -self.corner[1] * sx - self.offset[1]
        ty = -self.corner[0] * sy - self.offset[0]
        matrix = np.array([[sx, 0, tx], [0, sy, ty], [0, 0, 1]])
        if self.flip:
            matrix[0] = [-sx, 0, self.size[1] - tx]
        return matrix

    def nearest(
        self, shape: tuple[int, int], grid: tuple[int, int]
    ) -> tuple[Int64[np.ndarray, "h"], Int64[np.ndarray, "w"]]:
        """Rows and columns of a stored map that lie under the cell centres of a target grid over the output.

        Args:
            shape: size of the stored map, which covers the whole frame and may be smaller than it.
            grid: (h, w) of the target grid.
        """
        matrix = self.matrix()
        picks = []
        for axis in (0, 1):
            scale, shift = matrix[1 - axis, 1 - axis], matrix[1 - axis, 2]
            centres = (np.arange(grid[axis]) + 0.5) * (self.size[axis] / grid[axis])
            # Rounded so that a centre on a pixel border falls on one side whatever the scale's last digits are.
            places = np.round((centres - shift) / scale * (shape[axis] / self.source[axis]), 6)
            picks.append(np.clip(np.floor(places), 0, shape[axis] - 1).astype(np.int64))
        return picks[0], picks[1]


def whole_frame(
    source: tuple[int, int], size: tuple[int, int] | None = None, flip: bool = False
) -> Geometry:
    """The whole frame, resized to `size` without keeping its aspect (default: untouched)."""
    size = size or source
    return Geometry(source, (0, 0), source, size, (0, 0), size, flip)
