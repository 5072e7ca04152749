"""What a scene is: primitives with poses over time, a camera, a light. Rendering is in `render`.

World axes are right-handed metres with z up. Camera axes are x right, y down, z forward (OpenCV).
Anything that may move carries a leading time axis of length T, or 1 where it stands still.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

Kind = Literal["ball", "box", "capsule", "room", "plane"]
KINDS: tuple[Kind, ...] = ("ball", "box", "capsule", "room", "plane")
Colour = tuple[float, float, float]
Array = np.ndarray


@dataclass(frozen=True)
class Material:
    """A surface: two colours mixed by a solid pattern, the product of two sine waves.

    Args:
        colour, second: linear albedo in 0..1 of the pattern's two ends.
        waves: two wave vectors (radians per metre, object axes); zero vectors make a plain surface.
        phases: phases of both waves.
        hardness: 1 = soft sines; large = checks or stripes.
        emission: radiance added on top of the reflected light.
    """

    colour: Colour = (0.6, 0.6, 0.6)
    second: Colour | None = None
    waves: tuple[Colour, Colour] = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    phases: tuple[float, float] = (0.0, 0.0)
    hardness: float = 1.0
    emission: float = 0.0


@dataclass(frozen=True)
class Primitive:
    """One analytic solid.

    Args:
        kind: `ball` is an ellipsoid (a sphere, or a disc where one half size is small); `capsule` lies along its own z;
            `room` is a box seen from inside; `plane` is the infinite object plane z = 0.
        pose: world_from_object, (T or 1, 4, 4), rigid.
        half: half sizes, (T or 1, 3); of a capsule: radius, radius, half length of the axis without the caps.
        material: its surface.
        class_id: class in whatever label space the world uses; -1 = not labelled.
        instance: instance id, -1 = none.
        part: body part (SMPL part 1..24), 0 elsewhere.
        shadow: strength 0..1 of the contact shadow below it.
        void: a hole in the world: pixels that see it have no surface.
        texture_half: half sizes (3,) at which the texture has its natural scale; default: those of the first frame.
    """

    kind: Kind
    pose: Array
    half: Array
    material: Material = field(default_factory=Material)
    class_id: int = -1
    instance: int = -1
    part: int = 0
    shadow: float = 0.0
    void: bool = False
    texture_half: Array | None = None

    def tagged(self, class_id: int, instance: int) -> Primitive:
        """The same solid with other ids."""
        return replace(self, class_id=class_id, instance=instance)


@dataclass(frozen=True)
class Camera:
    """A camera over time.

    Args:
        K: any invertible matrix with (u, v, 1) ~ K (x, y, z); (T or 1, 3, 3), pixels, first pixel centre at 0.5.
        world_from_camera: (T or 1, 4, 4), rigid, OpenCV camera axes.
        height, width: image size in pixels.
    """

    K: Array
    world_from_camera: Array
    height: int
    width: int


@dataclass(frozen=True)
class Light:
    """One lamp and the light from everywhere else.

    Args:
        position: world metres, (3,).
        power: strength of the lamp; per frame (T,) or one number.
        ambient: light that reaches every surface from everywhere.
        colour: tint of the lamp.
    """

    position: Array
    power: Array
    ambient: float = 0.35
    colour: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Scene:
    """Everything that `render` needs. `frames` is T."""

    primitives: tuple[Primitive, ...]
    camera: Camera
    light: Light
    frames: int
    sky: Colour = (4.0, 4.0, 4.0)


def span(scene: Scene, start: int, stop: int) -> Scene:
    """The frames `start` to `stop` of a scene, which render exactly as they do in the whole."""

    def cut(values: Array) -> Array:
        return values[start:stop] if values.ndim and len(values) > 1 else values

    primitives = tuple(
        replace(
            p,
            pose=cut(p.pose),
            half=cut(p.half),
            texture_half=p.half[0] if p.texture_half is None else p.texture_half,
        )
        for p in scene.primitives
    )
    camera = replace(
        scene.camera, K=cut(scene.camera.K), world_from_camera=cut(scene.camera.world_from_camera)
    )
    light = replace(scene.light, power=cut(scene.light.power))
    return replace(scene, primitives=primitives, camera=camera, light=light, frames=stop - start)


def pose(
    rotation: Float[np.ndarray, "*t 3 3"] | None = None,
    position: Float[np.ndarray, "*u 3"] | None = None,
) -> Float[np.ndarray, "n 4 4"]:
    """Rigid transforms (n, 4, 4) from rotations and positions; either may be one for all frames or absent."""
    turn = np.eye(3)[None] if rotation is None else np.asarray(rotation, float).reshape(-1, 3, 3)
    move = np.zeros((1, 3)) if position is None else np.asarray(position, float).reshape(-1, 3)
    out = np.tile(np.eye(4), (max(len(turn), len(move)), 1, 1))
    out[:, :3, :3] = turn
    out[:, :3, 3] = move
    return out


def turn_z(angle: float | Float[np.ndarray, "t"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotation matrices about the vertical axis; radians, counter-clockwise from above."""
    c, s = np.cos(np.atleast_1d(angle)), np.sin(np.atleast_1d(angle))
    out = np.zeros((len(c), 3, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 1, 0], out[:, 1, 1], out[:, 2, 2] = c, -s, s, c, 1.0
    return out


def unit(v: Float[np.ndarray, "*s 3"]) -> Float[np.ndarray, "*s 3"]:
    """Vectors scaled to length 1; the zero vector stays zero."""
    out: Array = v / np.maximum(np.sqrt((v * v).sum(-1, keepdims=True)), 1e-12)
    return out


def align_z(axis: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3 3"]:
    """Rotations whose third column is the given direction."""
    z = unit(axis)
    helper = np.where(np.abs(z[:, 2:3]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    x = unit(np.cross(helper, z))
    return np.stack([x, np.cross(z, x), z], -1)


def look_at(
    eye: Float[np.ndarray, "t 3"],
    target: Float[np.ndarray, "t 3"],
    roll: float | Float[np.ndarray, "t"] = 0.0,
) -> Float[np.ndarray, "t 4 4"]:
    """world_from_camera of cameras at `eye` that look at `target`; roll in radians about the optical axis."""
    z = unit(np.asarray(target, float) - eye)
    right = unit(np.cross(z, [0.0, 0.0, 1.0]))
    down = np.cross(z, right)
    c, s = np.cos(np.atleast_1d(roll))[:, None], np.sin(np.atleast_1d(roll))[:, None]
    return pose(np.stack([c * right + s * down, c * down - s * right, z], -1), eye)


def pinhole(focal: float, height: int, width: int) -> Float[np.ndarray, "1 3 3"]:
    """The plain centred camera matrix of a focal length in pixels."""
    return np.array([[[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]], float)


def capsule_between(
    a: Float[np.ndarray, "t 3"], b: Float[np.ndarray, "t 3"], radius: float
) -> tuple[Float[np.ndarray, "t 4 4"], Float[np.ndarray, "t 3"]]:
    """Pose and half sizes of capsules whose cap centres are a and b."""
    axis = b - a
    length = np.sqrt((axis * axis).sum(-1))
    half = np.stack([np.full_like(length, radius), np.full_like(length, radius), length / 2], -1)
    return pose(align_z(axis), (a + b) / 2), half
