"""Renders a scene: exact planar depth, normals and ids of every pixel, and linear colour.

`trace` finds what each ray sees (each primitive only inside the pixel window of its bounding sphere); normals and
colours are then computed once, for what is visible (`shade`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pvit_converters.simulate.world.intersect import NEAR, depth_of_hits
from pvit_converters.simulate.world.scene import Camera, Primitive, Scene, span
from pvit_converters.simulate.world.shade import Placed, shade, surface

Array = np.ndarray

PIXELS_AT_ONCE = 1_000_000
"""Pixels rendered together: about half a GiB of temporary arrays."""


@dataclass(frozen=True)
class Render:
    """The truth of a rendered clip.

    Args:
        radiance: linear RGB, unbounded, (T,H,W,3) float32.
        depth: planar z in metres along the optical axis, inf where there is no surface, (T,H,W) float64.
        normal: unit vectors in camera axes, facing the camera, zero where there is no surface, (T,H,W,3) float64.
        primitive: index into `scene.primitives` of what each pixel sees, -1 where there is no surface, (T,H,W) int16.
        scene: what was rendered.
    """

    radiance: Float[np.ndarray, "t h w 3"]
    depth: Float[np.ndarray, "t h w"]
    normal: Float[np.ndarray, "t h w 3"]
    primitive: Int[np.ndarray, "t h w"]
    scene: Scene

    def ids(self, name: str, nothing: int = -1) -> Int[np.ndarray, "t h w"]:
        """Per-pixel values (T,H,W) int16 of a primitive attribute: `"class_id"`, `"instance"` or `"part"`."""
        table = np.array([getattr(p, name) for p in self.scene.primitives] + [nothing], np.int16)
        out: Array = table[self.primitive]
        return out

    @property
    def surface(self) -> Bool[np.ndarray, "t h w"]:
        """Where there is a surface at all."""
        return self.primitive >= 0


def rays_of(K: Float[np.ndarray, "s 3 3"], height: int, width: int) -> Float[np.ndarray, "s h w 2"]:
    """x and y of the ray direction (z = 1, OpenCV axes) through every pixel centre, for any invertible K.

    Raises:
        ValueError: if some pixel looks backwards, so that planar depth is not defined.
    """
    u = np.arange(width)[None, None, :] + 0.5
    v = np.arange(height)[None, :, None] + 0.5
    m = np.linalg.inv(np.asarray(K, float))[..., None, None]
    x, y, z = (m[:, i, 0] * u + m[:, i, 1] * v + m[:, i, 2] for i in range(3))
    if not (z * np.sign(z.flat[0]) > 0).all():
        raise ValueError("camera matrix K sends some pixels behind the camera")
    return np.stack([x / z, y / z], -1)


def place(primitive: Primitive, camera: Camera, frames: int) -> Placed:
    """The primitive in camera axes, with a full time axis."""
    view = np.broadcast_to(camera.world_from_camera, (frames, 4, 4))
    pose = np.broadcast_to(primitive.pose, (frames, 4, 4))
    turn = np.swapaxes(view[:, :3, :3], 1, 2)
    axes = np.einsum("tij,tjk->tik", turn, pose[:, :3, :3])
    centre = np.einsum("tij,tj->ti", turn, pose[:, :3, 3] - view[:, :3, 3])
    return Placed(axes, centre, np.broadcast_to(primitive.half, (frames, 3)))


def _window(kind: str, at: Placed, camera: Camera) -> tuple[slice, slice] | None:
    """Pixels that may see the primitive in any frame; None if none can."""
    everything = slice(0, camera.height), slice(0, camera.width)
    if kind in ("room", "plane"):
        return everything
    half = at.half
    radius = half[:, 0] + half[:, 2] if kind == "capsule" else np.sqrt((half * half).sum(-1))
    seen = at.centre[:, 2] + radius > NEAR
    if not seen.any():
        return None
    centre, radius = at.centre[seen], radius[seen]
    if (centre[:, 2] - radius < 2 * NEAR).any():
        return everything
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3, indexing="ij"), -1).reshape(8, 3)
    points = centre[:, None] + corners * radius[:, None, None]
    K = np.broadcast_to(camera.K, (len(seen), 3, 3))[seen]
    image = np.einsum("tij,tnj->tni", K, points)
    uv = image[..., :2] / image[..., 2:]
    low = np.floor(uv.min((0, 1)) - 1).astype(int)
    high = np.ceil(uv.max((0, 1)) + 1).astype(int)
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], camera.width), min(high[1], camera.height)
    return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None


def trace(scene: Scene) -> tuple[Array, Array, Array, list[Placed]]:
    """Depth (T,H,W), primitive index (T,H,W) int16, rays (T or 1,H,W,2) and the placed primitives."""
    camera = scene.camera
    rays = rays_of(camera.K, camera.height, camera.width)
    shape = (scene.frames, camera.height, camera.width)
    depth, index = np.full(shape, np.inf), np.full(shape, -1, np.int16)
    placed = [place(p, camera, scene.frames) for p in scene.primitives]
    for i, (primitive, at) in enumerate(zip(scene.primitives, placed, strict=True)):
        window = _window(primitive.kind, at, camera)
        if window is None:
            continue
        rows, columns = window
        t = depth_of_hits(primitive.kind, at.axes, at.centre, at.half, rays[:, rows, columns])
        nearest = depth[:, rows, columns]
        closer = t < nearest
        nearest[closer] = t[closer]
        index[:, rows, columns][closer] = i
    return depth, index, rays, placed


def _render(scene: Scene) -> Render:
    depth, index, rays, placed = trace(scene)
    void = np.array([p.void for p in scene.primitives] + [True])[index]
    depth[void] = np.inf
    index[void] = -1
    hits = surface(scene, depth, index, rays, placed)
    normal = np.zeros((*depth.shape, 3))
    normal[~void] = hits.normal.T
    radiance = np.empty((*depth.shape, 3), np.float32)
    radiance[...] = scene.sky
    radiance[~void] = shade(scene, hits).T
    return Render(radiance, depth, normal, index, scene)


def render(scene: Scene) -> Render:
    """Renders every frame of a scene, a few at a time where they are large."""
    step = max(1, PIXELS_AT_ONCE // (scene.camera.height * scene.camera.width))
    if scene.frames <= step:
        return _render(scene)
    parts = [
        _render(span(scene, i, min(i + step, scene.frames))) for i in range(0, scene.frames, step)
    ]
    return Render(
        radiance=np.concatenate([p.radiance for p in parts]),
        depth=np.concatenate([p.depth for p in parts]),
        normal=np.concatenate([p.normal for p in parts]),
        primitive=np.concatenate([p.primitive for p in parts]),
        scene=scene,
    )
