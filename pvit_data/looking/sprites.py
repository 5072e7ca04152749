"""Sprites: the preview frames of one annotation as one WebP picture, which any browser can step through.

Colours (clip, normals) are stored as drawn; depth and segmentation as numbers, so that the page can name what is under
the pointer. What is invalid is transparent.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from pvit_data.looking import pictures
from pvit_data.sample.labels import IGNORE_8
from pvit_data.sample.sample import Sample

QUALITIES = (72, 58, 44, 32, 22)  # of WebP, from the best; the first that fits the budget is taken
EFFORT = 4  # of WebP's encoder, 0 to 6
LEVELS = 255.0  # of depth


@dataclass(frozen=True)
class Sprite:
    """A picture of several frames, row by row.

    Args:
        pixels: RGB or RGBA tiles of one size.
        lossless: numbers that must not change.
        at: position of each tile among the preview frames.
        extra: what the page needs to read it.
    """

    pixels: UInt8[np.ndarray, "n h w c"]
    lossless: bool
    at: Sequence[int]
    extra: dict[str, Any]

    def encode(self, quality: int) -> bytes:
        """As WebP."""
        buffer = io.BytesIO()
        mode = "RGB" if self.pixels.shape[-1] == 3 else "RGBA"
        image = Image.fromarray(_tiled(self.pixels), mode)
        image.save(
            buffer,
            "WEBP",
            lossless=self.lossless,
            quality=50 if self.lossless else quality,
            method=EFFORT,
        )
        return buffer.getvalue()

    def entry(self, data: bytes) -> dict[str, Any]:
        """As the page takes it."""
        return {"src": base64.b64encode(data).decode(), "at": list(self.at), **self.extra}


def columns_of(number: int) -> int:
    """Tiles per row."""
    return math.ceil(math.sqrt(number))


def _tiled(tiles: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "H W c"]:
    number, height, width, channels = tiles.shape
    columns = columns_of(number)
    rows = math.ceil(number / columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:number] = tiles
    grid = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * height, columns * width, channels))


def encode_within(
    sprites: dict[str, Sprite], budget: int
) -> tuple[dict[str, dict[str, Any]], bool]:
    """Entries of all sprites at the best quality at which they fit together, and whether they do.

    Args:
        sprites: by layer.
        budget: bytes of all files together.
    """
    exact = {name: sprite.encode(0) for name, sprite in sprites.items() if sprite.lossless}
    files: dict[str, bytes] = {}
    for quality in QUALITIES:
        files = exact | {name: s.encode(quality) for name, s in sprites.items() if not s.lossless}
        if sum(map(len, files.values())) <= budget:
            break
    entries = {name: sprites[name].entry(files[name]) for name in sprites}
    return entries, sum(map(len, files.values())) <= budget


def rgb_sprite(sample: Sample, size: tuple[int, int], at: Sequence[int]) -> Sprite:
    """The clip itself."""
    assert isinstance(sample.rgb, np.ndarray)
    frames = np.stack([pictures.resize(frame, *size) for frame in sample.rgb])
    return Sprite(frames, False, at, {})


def depth_sprite(sample: Sample, size: tuple[int, int], at: Sequence[int]) -> Sprite:
    """Depth in 255 steps between near and far (2nd and 98th percentile of the clip)."""
    assert sample.depth is not None
    near, far = pictures.depth_range(sample.depth)
    small = _nearest(sample.depth, size)
    valid: Bool[np.ndarray, "n h w"] = np.greater(small, 0) & np.isfinite(small)
    level = np.clip((np.where(valid, small, near) - near) / (far - near), 0, 1) * LEVELS
    pixels = np.repeat(np.rint(level).astype(np.uint8)[..., None], 3, -1)
    ends = {"near": round(near, 3), "far": round(far, 3)}
    return Sprite(_with_alpha(pixels, valid), False, at, ends)


def normal_sprite(sample: Sample, size: tuple[int, int], at: Sequence[int]) -> Sprite:
    """Normals in the customary colours."""
    assert sample.normal is not None
    small = _nearest(sample.normal, size)
    pixels = np.stack([pictures.normal_picture(frame) for frame in small])
    return Sprite(_with_alpha(pixels, np.any(small, -1).astype(bool)), False, at, {})


def segm_sprite(sample: Sample, size: tuple[int, int], at: Sequence[int]) -> Sprite:
    """Ids, low byte in red and high byte in green."""
    assert sample.segm is not None
    space = sample.spaces.get("segm")
    small = _nearest(sample.segm, size)
    pixels = np.stack([small & 255, small >> 8, np.zeros_like(small)], -1).astype(np.uint8)
    ignore = IGNORE_8 if space is None else space.ignore
    return Sprite(_with_alpha(pixels, np.not_equal(small, ignore)), True, at, {})


def _nearest(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels nearest to the new centres: values are picked, never mixed."""
    rows = ((np.arange(size[0]) + 0.5) * maps.shape[1] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * maps.shape[2] / size[1]).astype(int)
    return maps[:, rows[:, None], columns]


def _with_alpha(
    pixels: UInt8[np.ndarray, "n h w 3"], valid: Bool[np.ndarray, "n h w"]
) -> UInt8[np.ndarray, "n h w c"]:
    if valid.all():
        return pixels
    alpha = np.where(valid, 255, 0).astype(np.uint8)[..., None]
    return np.concatenate([pixels, alpha], -1)
