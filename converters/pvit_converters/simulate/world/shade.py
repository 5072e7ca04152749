"""Normals, textures and light of the visible surface points, one column per pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pvit_converters.simulate.world.scene import KINDS, Primitive, Scene

Array = np.ndarray


@dataclass(frozen=True)
class Placed:
    """A primitive in camera axes: rotation (T,3,3) camera_from_object, centre (T,3), half sizes (T,3)."""

    axes: Float[np.ndarray, "t 3 3"]
    centre: Float[np.ndarray, "t 3"]
    half: Float[np.ndarray, "t 3"]


@dataclass(frozen=True)
class Hits:
    """Visible surface points, N columns.

    Args:
        frame: (N,) frame index.
        primitive: (N,) index of the primitive.
        point: (3,N) camera axes, metres.
        local: (3,N) object axes, in units that do not change when the object grows.
        normal: (3,N) camera axes, unit, facing the camera.
    """

    frame: Int[np.ndarray, "n"]
    primitive: Int[np.ndarray, "n"]
    point: Float[np.ndarray, "3 n"]
    local: Float[np.ndarray, "3 n"]
    normal: Float[np.ndarray, "3 n"]


def _turn(m: Array, v: Array, back: bool = False) -> Array:
    """Vectors (3,N) turned by matrices (3,3,N), or by their transposes (`back`); faster than einsum."""
    m = m.swapaxes(0, 1) if back else m
    return np.stack([m[i, 0] * v[0] + m[i, 1] * v[1] + m[i, 2] * v[2] for i in range(3)])


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _pick(table: Array, at: Array) -> Array:
    """Rows `at` of a table (R, ...) as (..., N), component by component."""
    flat = np.ascontiguousarray(table.reshape(len(table), -1).T)
    return np.take(flat, at, axis=1).reshape(*table.shape[1:], len(at))


def _local_normal(kind: str, q: Array, half: Array) -> Array:
    """Outward normals (3,N) in object axes (not unit) at points q, metres."""
    if kind == "ball":
        return np.asarray(q / (half * half))
    if kind == "capsule":
        out = q.copy()
        out[2] -= np.clip(q[2], -half[2], half[2])
        return out
    out = np.zeros_like(q)
    if kind == "plane":
        out[2] = 1.0
        return out
    face, columns = np.abs(q / half).argmax(0), np.arange(q.shape[1])
    out[face, columns] = np.sign(q[face, columns])
    return out


def surface(scene: Scene, depth: Array, index: Array, rays: Array, placed: list[Placed]) -> Hits:
    """Points, object coordinates and normals of every pixel that sees a surface, in row-major (t, y, x) order."""
    frame, row, column = np.nonzero(index >= 0)
    primitive = index[frame, row, column].astype(np.intp)
    z = depth[frame, row, column]
    spot = np.ravel_multi_index(
        (frame if len(rays) > 1 else 0 * frame, row, column), rays.shape[:3]
    )
    point = np.concatenate([_pick(rays.reshape(-1, 2), spot) * z, z[None]])
    at = primitive * scene.frames + frame
    axes, half, centre = (
        _pick(np.concatenate([getattr(p, name) for p in placed]), at)
        for name in ("axes", "half", "centre")
    )
    local = _turn(axes, point - centre, back=True)
    normal = np.empty_like(local)
    kinds = np.array([KINDS.index(p.kind) for p in scene.primitives])[primitive]
    for code in np.unique(kinds):
        columns = np.nonzero(kinds == code)[0]
        normal[:, columns] = _local_normal(KINDS[code], local[:, columns], half[:, columns])
    normal = _turn(axes, normal)
    normal *= np.where(_dot(normal, point) > 0, -1.0, 1.0) / np.sqrt(_dot(normal, normal))
    first = np.stack(
        [p.half[0] if p.texture_half is None else p.texture_half for p in scene.primitives]
    )
    return Hits(frame, primitive, point, local * (_pick(first, primitive) / half), normal)


def _albedo(scene: Scene, hits: Hits) -> Array:
    """Linear albedo (3,N) of both colours mixed by the pattern."""
    materials = [p.material for p in scene.primitives]
    wave_one, wave_two, first, second, numbers = (
        _pick(np.array(table, np.float32), hits.primitive)
        for table in (
            [m.waves[0] for m in materials],
            [m.waves[1] for m in materials],
            [m.colour for m in materials],
            [m.second or m.colour for m in materials],
            [(*m.phases, m.hardness) for m in materials],
        )
    )
    local = hits.local.astype(np.float32)
    pattern = np.sin(_dot(wave_one, local) + numbers[0]) * np.sin(
        _dot(wave_two, local) + numbers[1]
    )
    return np.asarray(first + (second - first) * (0.5 + 0.5 * np.clip(pattern * numbers[2], -1, 1)))


def _extent(primitive: Primitive) -> Array:
    """Half size of the box around a solid along the world axes, (T or 1, 3)."""
    axis = np.abs(primitive.pose[:, :3, :3])
    if primitive.kind == "capsule":
        return np.asarray(axis[:, :, 2] * primitive.half[:, 2:] + primitive.half[:, :1])
    half = primitive.half[:, None]
    reach = (
        axis[:, :, 0] * half[..., 0] + axis[:, :, 1] * half[..., 1] + axis[:, :, 2] * half[..., 2]
    )
    return np.asarray(reach)


def _contact_shadow(scene: Scene, hits: Hits, world: Array, up: Array) -> Array:
    """Darkening (N,) of upward surfaces just below a solid: a soft blob that fades with height."""
    out = np.ones(world.shape[1], np.float32)
    rows = np.nonzero(up > 0.9)[0]
    x, y, z = world[:, rows]
    frame, own, light = hits.frame[rows], hits.primitive[rows], np.ones(len(rows), np.float32)
    for i, primitive in enumerate(scene.primitives):
        if primitive.shadow <= 0 or not len(rows):
            continue
        extent = np.maximum(_extent(primitive), 0.02)
        table = np.concatenate(np.broadcast_arrays(primitive.pose[:, :3, 3], extent), -1).astype(
            np.float32
        )
        cx, cy, cz, ex, ey, ez = table[0] if len(table) == 1 else table[frame].T
        gap = cz - ez - z
        far = ((x - cx) / ex) ** 2 + ((y - cy) / ey) ** 2
        near = np.nonzero((far < 6) & (gap > -0.03) & (own != i))[0]
        light[near] *= 1 - primitive.shadow * np.exp(-far[near] - np.maximum(gap[near], 0) * 4)
    out[rows] = light
    return out


def shade(scene: Scene, hits: Hits) -> Float[np.ndarray, "3 n"]:
    """Linear radiance of every hit: a lamp with fall-off, ambient light, contact shadows, emission (float32)."""
    view = scene.camera.world_from_camera
    which = hits.frame if len(view) > 1 else np.zeros(1, np.intp)
    turn, move = (
        _pick(part.astype(np.float32), which) for part in (view[:, :3, :3], view[:, :3, 3])
    )
    world = _turn(turn, hits.point.astype(np.float32)) + move
    normal = _turn(turn, hits.normal.astype(np.float32))
    to_lamp = scene.light.position.astype(np.float32)[:, None] - world
    distance2 = _dot(to_lamp, to_lamp)
    facing = np.maximum(_dot(to_lamp, normal), 0) / np.sqrt(distance2)
    power = np.broadcast_to(scene.light.power, (scene.frames,)).astype(np.float32)[hits.frame]
    lamp = power * facing / (1 + distance2 / 16)
    light = (
        scene.light.ambient * (0.8 + 0.2 * normal[2])
        + lamp * np.asarray(scene.light.colour, np.float32)[:, None]
    )
    glow = np.array([p.material.emission for p in scene.primitives], np.float32)[hits.primitive]
    return np.asarray(
        _albedo(scene, hits) * light * _contact_shadow(scene, hits, world, normal[2]) + glow
    )
