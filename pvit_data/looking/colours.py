"""The colours of pictures, and what they mean: the ramp of depths, normals, classes, limbs, what is invalid.

They come from OKLab (Ottosson 2020), in which equal steps look equal: depth reads monotonically in grey too, and class
colours are told apart.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, UInt8

from pvit_data.sample.labels import LabelSpace

# OKLab to LMS (cubic root) and LMS to linear sRGB: https://bottosson.github.io/posts/oklab/
_LAB_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)

INVALID = (40, 40, 40)
LEFT, RIGHT, MIDDLE = (255, 140, 60), (70, 160, 255), (235, 235, 235)
GOLDEN_ANGLE = 137.508


def oklch_to_rgb(
    lightness: Float[np.ndarray, "..."],
    chroma: Float[np.ndarray, "..."],
    hue: Float[np.ndarray, "..."],
) -> UInt8[np.ndarray, "... 3"]:
    """OKLCh colours (lightness 0..1, hue in degrees) as sRGB; what lies outside sRGB is clipped."""
    angle = np.radians(hue)
    lab = np.stack(
        np.broadcast_arrays(lightness, chroma * np.cos(angle), chroma * np.sin(angle)), axis=-1
    )
    linear = np.clip((lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    colours: UInt8[np.ndarray, "... 3"] = np.rint(255 * srgb).astype(np.uint8)
    return colours


@functools.cache
def ramp() -> UInt8[np.ndarray, "256 3"]:
    """The colour table of depth: light yellow (near) over red and violet to dark blue (far)."""
    t = np.linspace(0, 1, 256)
    return oklch_to_rgb(0.93 - 0.75 * t, 0.08 + 0.30 * t * (1 - t), 100 - 195 * t)


def palette(number: int) -> UInt8[np.ndarray, "n 3"]:
    """`number` colours for classes: hues a golden angle apart, four levels of lightness in turn; never changes."""
    i = np.arange(number)
    return oklch_to_rgb(0.54 + 0.11 * (i % 4), np.full(number, 0.13), 25 + GOLDEN_ANGLE * i)


def class_colours(space: LabelSpace | None, num_ids: int = 0) -> UInt8[np.ndarray, "n 3"]:
    """One colour per id 0..: a label space's own, or generated ones."""
    if space is None or not space.colours:
        return palette(space.num_ids if space else num_ids)
    unused = np.zeros((space.first, 3), np.uint8)
    return np.concatenate([unused, np.asarray(space.colours, np.uint8)])


class Mark(NamedTuple):
    """One entry of a legend.

    Args:
        text: what a colour means.
        colours: it, or those of a ramp from left to right.
        start: what the left end of a ramp means.
    """

    text: str
    colours: UInt8[np.ndarray, "n 3"]
    start: str = ""


def _mark(text: str, colour: tuple[int, int, int]) -> Mark:
    return Mark(text, np.array([colour], np.uint8))


NOTHING = _mark("none", INVALID)
"""Pixels without a value."""
SIDES = (_mark("left", LEFT), _mark("right", RIGHT))
"""Limbs of people, theirs."""


def depth_marks(near: float, far: float, has_gaps: bool = False) -> tuple[Mark, ...]:
    """The legend of a depth map.

    Args:
        near, far: metres at the ends of the ramp.
        has_gaps: whether pixels are without depth.

    Example:
        >>> [(mark.start, mark.text) for mark in depth_marks(0.5, 4)]
        [('0.50', '4.00 m')]
    """
    digits = 2 if far - near < 5 else 1
    ends = Mark(f"{far:.{digits}f} m", ramp(), f"{near:.{digits}f}")
    return (ends, NOTHING) if has_gaps else (ends,)


def normal_marks(camera: bool = True) -> tuple[Mark, ...]:
    """The legend of a normal map: which way a surface faces, for an observer or by the axes of the world."""
    names = ("right", "up", "viewer") if camera else ("x", "y", "z")
    colours = ((255, 128, 128), (128, 255, 128), (128, 128, 255))
    return tuple(_mark(name, colour) for name, colour in zip(names, colours, strict=True))


def class_marks(
    ids: Integer[np.ndarray, "..."], space: LabelSpace | None = None
) -> tuple[Mark, ...]:
    """The legend of a map of classes, those that cover most first."""
    found, counts = np.unique(ids, return_counts=True)
    ordered = found[np.argsort(-counts, kind="stable")].tolist()
    table = class_colours(space, int(ids.max(initial=0)) + 1)
    if space is None:
        return tuple(Mark(f"class {i}", table[i : i + 1]) for i in ordered if i >= 0)
    known = [i for i in ordered if space.first <= i < space.num_ids]
    marks = tuple(Mark(space.class_name(i), table[i : i + 1]) for i in known)
    return marks if len(known) == len(ordered) else (*marks, NOTHING)
