"""Colour jitter of a whole clip: one brightness, contrast and white balance for all its frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def jitter(
    rgb: UInt8[np.ndarray, "n h w 3"], strength: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    """The clip with random gain and contrast (+-40 % at strength 1) and channel gains (+-10 %); 0 changes nothing."""
    gain, contrast = 1 + strength * rng.uniform(-0.4, 0.4, 2)
    balance = 1 + strength * rng.uniform(-0.1, 0.1, 3)
    if strength == 0:
        return rgb
    levels = np.arange(256)[:, None]
    table = (
        np.clip(((levels - 127.5) * contrast + 127.5) * gain * balance, 0, 255)
        .round()
        .astype(np.uint8)
    )
    return np.stack([table[:, c][rgb[..., c]] for c in range(3)], -1)
