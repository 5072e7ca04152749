"""From linear radiance to sRGB-like pixels, as Hypersim's official previews are made.

The operator scales the frame so that the 90th percentile of its brightness becomes 0.8 after gamma 2.2, over the
pixels that show a surface. Source: apple/ml-hypersim, code/python/tools/scene_generate_images_tonemap.py.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

GAMMA = 2.2
PERCENTILE = 90
TARGET = 0.8
MIN_BRIGHTNESS = 1e-4
_WEIGHTS = np.array([0.30, 0.59, 0.11], np.float32)


def exposure(radiance: Float[np.ndarray, "h w 3"], surface: Bool[np.ndarray, "h w"]) -> float:
    """The factor that the radiance is multiplied with; 1 without any surface, 0 for a black frame."""
    if not surface.any():
        return 1.0
    bright = float(np.percentile((radiance @ _WEIGHTS)[surface], PERCENTILE))
    return 0.0 if bright < MIN_BRIGHTNESS else float(TARGET**GAMMA / bright)


def tonemap(
    radiance: Float[np.ndarray, "h w 3"], surface: Bool[np.ndarray, "h w"] | None
) -> tuple[UInt8[np.ndarray, "h w 3"], float, int]:
    """The displayable image of a radiance map.

    Args:
        radiance: linear RGB, unbounded; pixels that are not finite become black.
        surface: pixels that show a surface (`render_entity_id != -1`); None: all finite pixels.

    Returns:
        The image, the exposure, and the number of pixels that were not finite.
    """
    linear = radiance.astype(np.float32)
    finite: Bool[np.ndarray, "h w"] = np.isfinite(linear[..., 0])
    for channel in (1, 2):
        finite &= np.isfinite(linear[..., channel])
    linear[~finite] = 0
    factor = exposure(linear, finite if surface is None else surface)
    with np.errstate(over="ignore"):
        bright = np.clip(np.maximum(factor * linear, 0) ** np.float32(1 / GAMMA), 0, 1)
    return (bright * 255).astype(np.uint8), factor, int((~finite).sum())
