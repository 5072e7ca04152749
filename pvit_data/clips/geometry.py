"""One geometric draw: which pixels of a frame become the clip, as an affine map from source to output pixels.

The draw cuts a window with whole-pixel corners, resizes it, cuts the output from that, and may mirror it. Because rgb
is cut and resized by exactly these numbers, the same affine holds exactly for maps, boxes, joints and the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from pvit_data.clips.config import ClipConfig
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


def random_view(
    source: tuple[int, int], config: ClipConfig, flip: float, rng: np.random.Generator
) -> Geometry:
    """A random training view: a crop of a randomly scaled frame, mirrored with probability `flip`."""
    window = _resized_crop(source, config, rng) if config.area else _jittered(source, config, rng)
    shrink = _shrink(source, window, config.size)
    rows, columns = (part - part % shrink for part in window)
    top, left = (
        int(rng.integers(0, (full - part) // shrink, endpoint=True)) * shrink
        for full, part in zip(source, (rows, columns), strict=True)
    )
    mirrored = bool(rng.random() < flip)
    return Geometry(
        source, (top, left), (rows, columns), config.size, (0, 0), config.size, mirrored, shrink
    )


def _shrink(source: tuple[int, int], window: tuple[int, int], size: tuple[int, int]) -> int:
    """The strongest whole-number shrinking (of JPEG decoders: 2, 4, 8) that still leaves more pixels than needed."""
    fits = (s for s in (8, 4, 2) if all(n % s == 0 for n in source))
    return next(
        (s for s in fits if all(part // s >= out for part, out in zip(window, size, strict=True))),
        1,
    )


def view(source: tuple[int, int], config: ClipConfig, index: int = 0, views: int = 1) -> Geometry:
    """The published evaluation view: the frame resized to a short side, then crop `index` of `views` along the long.

    One view is the centre; of three, 0 is left (top), 1 centre, 2 right (bottom): offsets 0, ceil((L - S) / 2), L - S
    (PySlowFast slowfast/datasets/transform.py, uniform_crop).
    """
    scale = (
        max(out / full for out, full in zip(config.size, source, strict=True)) * config.eval_scale
    )
    # Floor of the exact product, so that the long side is floor(long / short * size) as published.
    resized = tuple(
        max(int(full * scale + 1e-6), out) for full, out in zip(source, config.size, strict=True)
    )
    slack = [full - out for full, out in zip(resized, config.size, strict=True)]
    offset = [math.ceil(s / 2) for s in slack]
    if views > 1:
        longer = 0 if slack[0] > slack[1] else 1
        offset[longer] = (slack[longer] * index + views - 2) // (views - 1)
    return Geometry(
        source, (0, 0), source, (resized[0], resized[1]), (offset[0], offset[1]), config.size
    )


def _jittered(
    source: tuple[int, int], config: ClipConfig, rng: np.random.Generator
) -> tuple[int, int]:
    low, high = config.jitter
    share = rng.uniform(1 / high, 1 / low)
    unit = min(full / out for full, out in zip(source, config.size, strict=True))
    # A jitter below 1 would need pixels outside the frame: the window then is as large as the frame allows.
    window = [max(round(min(share, 1.0) * unit * out), 1) for out in config.size]
    return min(window[0], source[0]), min(window[1], source[1])


def _resized_crop(
    source: tuple[int, int], config: ClipConfig, rng: np.random.Generator
) -> tuple[int, int]:
    assert config.area is not None
    for _ in range(10):
        area = rng.uniform(*config.area) * source[0] * source[1]
        aspect = math.exp(rng.uniform(*np.log(config.aspect)))
        window = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < window[0] <= source[0] and 0 < window[1] <= source[1]:
            return window
    side = min(source)
    return side, side
