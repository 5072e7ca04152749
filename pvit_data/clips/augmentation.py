"""RandAugment and random erasing of a whole clip: one draw for all its frames, from the clip's own generator.

The operations are torchvision's; which of them, how strong and where is drawn here, because torchvision draws from a
state that all threads of a process share. Operations that move pixels are drawn only where a source asks for them, and
loading refuses that for sources that train annotations with a place in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from pvit_data.clips.config import ClipConfig

if TYPE_CHECKING:
    from torch import Tensor

STRONGEST = 10.0
"""Magnitude at which an operation is as strong as RandAugment (Cubuk et al., 2020) makes it."""
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 1 / 0.3)
"""Random erasing (Zhong et al., 2020): the rectangle's share of the picture, and its width over its height."""

Operation = Callable[["Tensor", float, float], "Tensor"]
"""Of the frames (n, 3, h, w) uint8, a strength in [0, 1] and a sign, -1 or 1."""


def augment(
    rgb: UInt8[np.ndarray, "n h w 3"], config: ClipConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    """The clip with `config.rand_ops` random operations, then perhaps with a rectangle erased.

    Nothing is drawn for what is off, and then the clip is returned as it is.

    Args:
        rgb: the frames, as large as the network sees them.
        config: of the source's clips.
        rng: a pure function of (seed, epoch, key), so that the clip is one, too.
    """
    if config.rand_ops:
        rgb = _operated(rgb, config, rng)
    if config.erase and rng.random() < config.erase:
        rgb = erased(rgb, config, rng)
    return rgb


def operations(with_geometry: bool) -> dict[str, Operation]:
    """The operations by name, in the order in which they are drawn; `with_geometry`: also those that move pixels."""
    return {**_colours(), **(_moves() if with_geometry else {})}


def _operated(
    rgb: UInt8[np.ndarray, "n h w 3"], config: ClipConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    import torch

    known = operations(config.rand_geometry)
    names = list(known)
    frames = torch.from_numpy(np.require(rgb, requirements=["W", "C"])).permute(0, 3, 1, 2)
    for number in rng.integers(0, len(names), config.rand_ops):
        sign = 1.0 if rng.random() < 0.5 else -1.0
        frames = known[names[number]](frames, config.rand_magnitude / STRONGEST, sign)
    return np.ascontiguousarray(frames.permute(0, 2, 3, 1).numpy())


def _colours() -> dict[str, Operation]:
    """Operations that leave every pixel where it is; ranges are those of RandAugment."""
    from torchvision.transforms.v2 import functional as tv

    def factor(strength: float, sign: float) -> float:
        return 1 + 0.9 * strength * sign

    return {
        "identity": lambda x, strength, sign: x,
        "brightness": lambda x, strength, sign: tv.adjust_brightness(x, factor(strength, sign)),
        "saturation": lambda x, strength, sign: tv.adjust_saturation(x, factor(strength, sign)),
        "contrast": lambda x, strength, sign: tv.adjust_contrast(x, factor(strength, sign)),
        "sharpness": lambda x, strength, sign: tv.adjust_sharpness(x, factor(strength, sign)),
        "posterize": lambda x, strength, sign: tv.posterize(x, 8 - round(4 * strength)),
        "solarize": lambda x, strength, sign: tv.solarize(x, 255 * (1 - strength)),
        "autocontrast": lambda x, strength, sign: tv.autocontrast(x),
        "equalize": lambda x, strength, sign: tv.equalize(x),
    }


def _moves() -> dict[str, Operation]:
    """Operations that move pixels: at most 30 degrees, a shear of 0.3, a shift by 0.45 of a side."""
    from torchvision.transforms.v2 import functional as tv

    def moved(x: Tensor, angle: float = 0.0, shift: Any = (0, 0), shear: Any = (0.0, 0.0)) -> Any:
        return tv.affine(
            x, angle, [round(by) for by in shift], 1.0, list(shear),
            interpolation=tv.InterpolationMode.BILINEAR, fill=[127.0],
        )  # fmt: skip

    def degrees(strength: float, sign: float) -> float:
        return math.degrees(math.atan(0.3 * strength * sign))

    def part(side: int, strength: float, sign: float) -> float:
        return 0.45 * side * strength * sign

    return {
        "rotate": lambda x, strength, sign: moved(x, 30 * strength * sign),
        "shear-x": lambda x, strength, sign: moved(x, shear=(degrees(strength, sign), 0.0)),
        "shear-y": lambda x, strength, sign: moved(x, shear=(0.0, degrees(strength, sign))),
        "shift-x": lambda x, strength, sign: moved(x, shift=(part(x.shape[3], strength, sign), 0)),
        "shift-y": lambda x, strength, sign: moved(x, shift=(0, part(x.shape[2], strength, sign))),
    }


def erased(
    rgb: UInt8[np.ndarray, "n h w 3"], config: ClipConfig, rng: np.random.Generator
) -> UInt8[np.ndarray, "n h w 3"]:
    """The clip with one rectangle, the same in all frames, of noise with mean and deviation of the normalisation."""
    height, width = rgb.shape[1:3]
    area = rng.uniform(*ERASED_AREA) * height * width
    aspect = math.exp(rng.uniform(*np.log(ERASED_ASPECT)))
    rows = min(height, max(1, round(math.sqrt(area / aspect))))
    columns = min(width, max(1, round(math.sqrt(area * aspect))))
    top = int(rng.integers(0, height - rows, endpoint=True))
    left = int(rng.integers(0, width - columns, endpoint=True))
    noise = 255 * rng.normal(config.mean, config.std, (rows, columns, 3))
    out = rgb.copy()
    out[:, top : top + rows, left : left + columns] = noise.clip(0, 255).round().astype(np.uint8)
    return out
