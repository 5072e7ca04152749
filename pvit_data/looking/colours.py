"""The colours of pictures: the ramp of depths, classes, limbs, what is invalid.

They come from OKLab (Ottosson 2020), in which equal steps look equal: depth reads monotonically in grey too, and class
colours are told apart.
"""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float, UInt8

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
