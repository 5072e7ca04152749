"""What a camera makes of linear radiance: plain sRGB, Hypersim's tone mapping, or a film with a real camera's flaws.

All flaws scale with one number, `gap` (0 = a clean render). Compression itself comes from the video encoder.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

Array = np.ndarray


def srgb(
    radiance: Float[np.ndarray, "*s"], exposure: float | Array = 1.0
) -> UInt8[np.ndarray, "*s"]:
    """Linear radiance as 8-bit values with gamma 2.2."""
    return np.asarray(np.clip(radiance * exposure, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


def tonemap(
    radiance: Float[np.ndarray, "h w 3"], entity: Int[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Hypersim's released operator: the 90th percentile of brightness is mapped to 0.8 (spec hypersim, section 6)."""
    brightness = radiance @ np.array([0.3, 0.59, 0.11])
    valid = brightness[entity != -1]
    scale = 1.0
    if valid.size:
        bright = float(np.percentile(valid, 90))
        scale = 0.0 if bright < 1e-4 else 0.8**2.2 / bright
    out: Array = np.clip(np.maximum(scale * radiance, 0) ** (1 / 2.2), 0, 1) * 255
    return out.astype(np.uint8)


def develop(
    radiance: Float[np.ndarray, "t h w 3"], rng: np.random.Generator, gap: float
) -> UInt8[np.ndarray, "t h w 3"]:
    """Linear radiance as the 8-bit frames of a camera whose flaws have strength `gap`."""
    balance = 1 + gap * rng.uniform(-0.15, 0.15, 3)
    gamma = 1 / (2.2 * (1 + gap * rng.uniform(-0.2, 0.2)))
    image = np.clip(radiance * (0.85 * balance).astype(np.float32), 0, 1) ** np.float32(gamma)
    if gap > 0:
        image = _blur(image, gap * rng.uniform(0.0, 0.8))
        image = image + rng.normal(0, 1, image.shape).astype(np.float32) * np.float32(
            gap * rng.uniform(0.01, 0.05)
        )
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255)).astype(np.uint8)


def _blur(image: Array, amount: float) -> Array:
    """A separable three-tap blur of (T,H,W,3); amount 0 leaves the image as it is."""
    side = amount / (1 + 2 * amount)
    for axis in (1, 2):
        padded = np.concatenate([image.take([0], axis), image, image.take([-1], axis)], axis)
        size = image.shape[axis]
        before, after = padded.take(range(size), axis), padded.take(range(2, size + 2), axis)
        image = image * (1 - 2 * side) + (before + after) * side
    return image
