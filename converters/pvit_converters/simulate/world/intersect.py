"""Where a bundle of rays meets one primitive: closed-form roots, vectorised over frames and pixels.

Rays start at the camera centre and their direction has camera z = 1, so the ray parameter is the planar depth.
Everything is plain elementwise arithmetic, so the result does not depend on threads or on how rays are grouped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate.world.scene import Kind

NEAR = 0.02
"""Depth in metres below which a hit is ignored."""

Array = np.ndarray


def _ball(o: Sequence[Array], d: Sequence[Array]) -> Array:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1.0
    disc = b * b - a * c
    root = (-b - np.sqrt(np.maximum(disc, 0.0))) / a
    return np.where(disc > 0, root, np.inf)


def _slabs(o: Sequence[Array], d: Sequence[Array]) -> tuple[Array, Array]:
    enter: Array | None = None
    leave: Array | None = None
    for oi, di in zip(o, d, strict=True):
        inverse = 1.0 / np.where(np.abs(di) < 1e-12, 1e-12, di)
        middle, reach = -oi * inverse, np.abs(inverse)
        near, far = middle - reach, middle + reach
        enter = near if enter is None else np.maximum(enter, near)
        leave = far if leave is None else np.minimum(leave, far)
    assert enter is not None
    assert leave is not None
    return enter, leave


def _box(o: Sequence[Array], d: Sequence[Array]) -> Array:
    enter, leave = _slabs(o, d)
    return np.where(enter < leave, enter, np.inf)


def _capsule(o: Sequence[Array], d: Sequence[Array], half: Array) -> Array:
    """Side first; where it is met beyond the axis, the cap on that end (a ray that misses the side misses all)."""
    r2, h = half[0] * half[0], half[2]
    a = np.maximum(d[0] * d[0] + d[1] * d[1], 1e-18)
    b = o[0] * d[0] + o[1] * d[1]
    c = o[0] * o[0] + o[1] * o[1] - r2
    disc = b * b - a * c
    side = (-b - np.sqrt(np.maximum(disc, 0.0))) / a
    z = o[2] + side * d[2]
    oz = o[2] - np.where(z > 0, h, -h)
    a3 = a + d[2] * d[2]
    b3 = b + oz * d[2]
    disc3 = b3 * b3 - a3 * (c + oz * oz)
    cap = np.where(disc3 > 0, (-b3 - np.sqrt(np.maximum(disc3, 0.0))) / a3, np.inf)
    return np.where(disc > 0, np.where(np.abs(z) <= h, side, cap), np.inf)


def _plane(o: Sequence[Array], d: Sequence[Array]) -> Array:
    return -o[2] / np.where(np.abs(d[2]) < 1e-12, 1e-12, d[2])


def depth_of_hits(
    kind: Kind,
    axes: Float[np.ndarray, "t 3 3"],
    centre: Float[np.ndarray, "t 3"],
    half: Float[np.ndarray, "t 3"],
    rays: Float[np.ndarray, "s h w 2"],
) -> Float[np.ndarray, "t h w"]:
    """Planar depth in metres of the first hit of every ray, inf where it misses.

    Args:
        kind: the primitive.
        axes: camera_from_object rotations.
        centre: object centres in camera axes.
        half: half sizes as in `Primitive`.
        rays: x and y of directions with z = 1; s is T or 1.
    """
    scale = np.ones_like(half) if kind in ("capsule", "plane") else half
    x, y = rays[..., 0], rays[..., 1]
    o, d = [], []
    for i in range(3):
        a = (axes[:, :, i] / scale[:, i : i + 1])[:, :, None, None]
        c = centre[:, :, None, None]
        o.append(-(a[:, 0] * c[:, 0] + a[:, 1] * c[:, 1] + a[:, 2] * c[:, 2]))
        d.append(x * a[:, 0] + y * a[:, 1] + a[:, 2])
    if kind == "ball":
        t = _ball(o, d)
    elif kind == "box":
        t = _box(o, d)
    elif kind == "room":
        t = _slabs(o, d)[1]
    elif kind == "plane":
        t = _plane(o, d)
    else:
        t = _capsule(o, d, half.T[:, :, None, None])
    return np.where(t > NEAR, t, np.inf)
