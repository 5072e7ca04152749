"""Per-frame maps of a clip: body parts, and the depth and normals that a user may have rendered.

Variables are named `segm_1`, `depth_1`, ... from 1; video frame i belongs to number i + 1 (spec surreact, section 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from pvit_converters.raw.mat import Array, MatFile
from pvit_converters.surreact.camera import HEIGHT, WIDTH, View, rays
from pvit_data.errors import SourceError

BACKGROUND = 1e3
"""Depth above which there is no person (SURREAL's own reader)."""

MAX_ANGLE = 15.0
"""Degrees between normals and depth, above which the normals' axes must be others."""

MAX_PART = 24
_INTERIOR = 0.05  # metres of depth change to a neighbour, above which it is another surface

SHAPES = {"segm": (HEIGHT, WIDTH), "depth": (HEIGHT, WIDTH), "normal": (HEIGHT, WIDTH, 3)}
"""Of one map of each kind of file."""


@dataclass(frozen=True)
class Series:
    """The maps of one file.

    Args:
        path: the file.
        name: one of `SHAPES`.
        upside_down: rows are stored from the bottom.
    """

    path: Path
    name: str
    file: MatFile
    upside_down: bool = False

    @classmethod
    def open(cls, path: Path, name: str, upside_down: bool = False) -> Series:
        """Indexes the file without inflating its maps.

        Raises:
            SourceError: if it is damaged or holds no first map (`"missing-variable"`).
        """
        file = MatFile(path)
        if f"{name}_1" not in file:
            raise SourceError(
                f"{path}: no variable '{name}_1', found {file.names[:5]}", reason="missing-variable"
            )
        return cls(path, name, file, upside_down)

    @property
    def length(self) -> int:
        """Number of consecutive maps from 1."""
        numbers = {
            int(m[1])
            for n in self.file.names
            if (m := re.fullmatch(rf"{self.name}_(\d{{1,6}})", n))
        }
        return next((i for i in range(len(numbers) + 1) if i + 1 not in numbers), 0)

    def read(self, frame: int) -> Array:
        """The map of a frame (from 0), rows from the top.

        Raises:
            SourceError: if it has another size or type than (240, 320).
        """
        array = self.file.array(f"{self.name}_{frame + 1}")
        shape = SHAPES[self.name]
        if array.shape != shape:
            found = f"{self.name}_{frame + 1} has shape {array.shape}, expected {shape}"
            raise SourceError(f"{self.path}: {found}", reason="wrong-shape")
        return array[::-1] if self.upside_down else array


def read_parts(series: Series, frames: int) -> UInt8[np.ndarray, "n 240 320"]:
    """Body parts 0..24 of the first frames.

    Raises:
        SourceError: if a map holds another label.
    """
    out = np.empty((frames, HEIGHT, WIDTH), np.uint8)
    for i in range(frames):
        raw = series.read(i)
        if raw.min() < 0 or raw.max() > MAX_PART:
            message = f"{series.path}: segm_{i + 1} holds {raw.min():g}..{raw.max():g}, expected 0..{MAX_PART}"
            raise SourceError(message, reason="bad-label")
        out[i] = raw
    return out


def read_depth(series: Series, frames: int, is_distance: bool) -> Float32[np.ndarray, "n 240 320"]:
    """Planar depth of the first frames in metres, 0 on the background."""
    out = np.empty((frames, HEIGHT, WIDTH), np.float32)
    for i in range(frames):
        out[i] = planar(series.read(i), is_distance)
    return out


def planar(raw: Float[np.ndarray, "240 320"], is_distance: bool) -> Float32[np.ndarray, "240 320"]:
    """Depth along the optical axis, 0 where there is no person."""
    raw = raw.astype(np.float32)
    depth = raw / _stretch() if is_distance else raw
    with np.errstate(invalid="ignore"):
        return np.where((raw > 0) & (raw < BACKGROUND), depth, np.float32(0)).astype(np.float32)


@lru_cache(maxsize=1)
def _stretch() -> Float32[np.ndarray, "240 320"]:
    """Distance per planar depth."""
    r = rays()
    out: Float32[np.ndarray, "240 320"] = np.sqrt(1 + (r * r).sum(-1)).astype(np.float32)
    return out


def read_normals(series: Series, frames: int, view: View) -> Float32[np.ndarray, "n 240 320 3"]:
    """Unit normals of the first frames in camera axes, facing the camera; zero on the background."""
    out = np.empty((frames, HEIGHT, WIDTH, 3), np.float32)
    for i in range(frames):
        out[i] = camera_normals(series.read(i), view)
    return out


def camera_normals(
    world: Float[np.ndarray, "240 320 3"], view: View
) -> Float32[np.ndarray, "240 320 3"]:
    """World normals as the camera sees them; only pixels with a person are touched."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    there = np.abs(world).max(-1) > 0  # false for NaN
    normal = view.turn(world[there].astype(np.float32))
    length = np.sqrt((normal * normal).sum(-1, keepdims=True))
    good = np.isfinite(length) & (length > 0.5)
    normal = np.where(good, normal / np.where(good, length, 1), 0)
    away = (normal[:, :2] * rays()[there]).sum(-1) + normal[:, 2] > 0
    out[there] = np.where(away[:, None], -normal, normal)
    return out


def angle_errors(
    depth: Float[np.ndarray, "240 320"], normal: Float32[np.ndarray, "240 320 3"]
) -> tuple[float, float]:
    """Mean angle in degrees between normals and the surface of a depth map, read as planar and as distance.

    Bodies are too thick for their joints to tell the two apart, normals are not (spec, section 5).
    """
    planar_error, distance_error = (_angle(planar(depth, kind), normal) for kind in (False, True))
    return planar_error, distance_error


def _angle(
    depth: Float32[np.ndarray, "240 320"], normal: Float32[np.ndarray, "240 320 3"]
) -> float:
    points = (
        np.concatenate([rays(), np.ones((HEIGHT, WIDTH, 1), np.float32)], -1) * depth[..., None]
    )
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    surface = np.cross(down, across)
    length = np.sqrt((surface * surface).sum(-1))
    wanted = normal[1:-1, 1:-1]
    good = (length > 0) & wanted.any(-1) & _interior(depth)
    if not good.any():
        return float("nan")
    cosine = (surface * wanted).sum(-1)[good] / length[good]
    return float(np.degrees(np.arccos(np.clip(np.abs(cosine), 0, 1))).mean())


def _interior(depth: Float32[np.ndarray, "240 320"]) -> Bool[np.ndarray, "238 318"]:
    middle = depth[1:-1, 1:-1]
    good = middle > 0
    for rows, columns in ((1, 0), (1, 2), (0, 1), (2, 1)):
        other = depth[rows : rows + HEIGHT - 2, columns : columns + WIDTH - 2]
        good &= (other > 0) & (np.abs(other - middle) < _INTERIOR)
    return good


def agreement(
    parts: UInt8[np.ndarray, "n 240 320"], depth: Float32[np.ndarray, "n 240 320"]
) -> float:
    """Intersection over union of the pixels with a person in both; 1 where neither has one."""
    a, b = parts > 0, depth > 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def decide_kind(errors: Sequence[tuple[float, float]]) -> tuple[bool, str]:
    """Whether depth is a distance, from the errors of several frames, and the sentence that says so."""
    known = np.array([pair for pair in errors if np.isfinite(pair).all()]).reshape(-1, 2)
    if not len(known):
        return False, "depth is taken as planar: there are no normals to judge it by (--depth-kind)"
    plain, distance = known.mean(0)
    kind = "distance to the camera" if distance < plain else "planar"
    text = (
        f"depth is {kind}: normals differ from it by {min(plain, distance):.2f} degrees, "
        f"{max(plain, distance):.2f} for the other kind ({len(known)} frames)"
    )
    if min(plain, distance) > MAX_ANGLE:
        text += "; NEITHER FITS: the normals have other axes than the world's, look at them before you use them"
    return bool(distance < plain), text
