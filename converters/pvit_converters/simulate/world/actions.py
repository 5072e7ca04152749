"""Short clips of one object acting on another: sixteen verbs, told apart by motion, contact, occlusion and size.

Camera at the origin looking along +y at a floor and a back wall. Start, end, direction, sizes, shapes and places are
random. Towards against grows, and in front against behind, differ only in floor contact, occlusion and perspective.
A compositional split (1A + 2B against 1B + 2A) never lets shape separate a confusable pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pvit_converters.simulate.world.body import body, clothes, idle, solids
from pvit_converters.simulate.world.rooms import paint, pattern
from pvit_converters.simulate.world.scene import (
    Camera,
    Kind,
    Light,
    Material,
    Primitive,
    Scene,
    align_z,
    look_at,
    pinhole,
    pose,
    turn_z,
)

Array = np.ndarray
Rng = np.random.Generator

VERBS = (
    "pass_in_front", "pass_behind", "move_towards_camera", "grow_in_place", "lift_up", "fall_down", "put_onto",
    "approach_each_other",
)  # fmt: skip
OTHER_VERBS = (
    "move_away_from_camera",
    "shrink_in_place",
    "take_off",
    "put_next_to",
    "separate",
    "push",
)
SIDED_VERBS = ("push_to_the_right", "push_to_the_left")
"""Verbs that a mirror exchanges."""

GROUP_ONE = ("pass_in_front", "pass_behind", "lift_up", "fall_down")
"""Verbs that the compositional training set shows with shapes A only; the others come with shapes B."""

SHAPES_A, SHAPES_B = ("ball", "capsule"), ("box", "disc")
WALL, FLOOR, FIGURE, BALL, BOX, CAPSULE, DISC = range(7)
ACTOR, PARTNER, CLUTTER, PERSON = 1, 2, 3, 9
"""Instance ids; clutter counts up from 3."""


@dataclass(frozen=True)
class Style:
    """How hard the clips are.

    Args:
        gap: 0..1, strength of every nuisance that real video has (shake, light changes, noise, blur, compression).
        roles: the actor is warm, its partner cool, the background dull; else everything has random colours.
        size: range of half sizes in metres.
        clutter: most objects that do nothing.
        figure: probability of a person behind.
        camera: how much the view point varies, 0..1.
        contrast: strength of textures.
        slack: how much start and end of the motion vary, as a fraction of the clip.
        shapes: what actor and partner may be.
    """

    gap: float = 0.35
    roles: bool = True
    size: tuple[float, float] = (0.22, 0.32)
    clutter: int = 1
    figure: float = 0.3
    camera: float = 0.4
    contrast: float = 0.2
    slack: float = 0.2
    shapes: tuple[str, ...] = SHAPES_A + SHAPES_B


STYLES = {
    "easy": Style(0.0, True, (0.30, 0.38), 0, 0.0, 0.1, 0.08, 0.05, ("ball", "box")),
    "default": Style(),
    "hard": Style(
        gap=1.0,
        roles=False,
        size=(0.15, 0.32),
        clutter=3,
        figure=0.4,
        camera=1.0,
        contrast=0.6,
        slack=0.3,
    ),
}


@dataclass(frozen=True)
class ActionClip:
    """A clip before it is rendered: the scene, what happens, and the shapes of actor and partner."""

    scene: Scene
    verb: str
    actor: str
    partner: str


@dataclass(frozen=True)
class _Stage:
    """What a verb may use: progress 0..1 over time, half sizes, side (-1 or 1), a generator."""

    s: Array
    actor: float
    partner: float
    side: float
    rng: Rng


Paths = tuple[Array, Array, Array]
"""Actor (T,3) and partner (T,3) positions, where z is the height of the underside, and the actor's scale (T,)."""


def _at(stage: _Stage, x: float | Array, y: float | Array, z: float | Array = 0.0) -> Array:
    return np.stack(np.broadcast_arrays(x, y, z, stage.s)[:3], -1).astype(float)


def _pass(stage: _Stage, front: bool) -> Paths:
    reach, y = stage.rng.uniform(0.85, 1.0), stage.rng.uniform(2.2, 2.45)
    gap = stage.actor + stage.partner + stage.rng.uniform(0.02, 0.12)
    x = stage.side * reach * (2 * stage.s - 1)
    actor = _at(stage, x, y - gap if front else y + gap)
    return actor, _at(stage, stage.rng.uniform(-0.15, 0.15), y), np.ones_like(stage.s)


def _sideways(stage: _Stage) -> float:
    """An x away from the partner, which stands on the other side."""
    return stage.side * stage.rng.uniform(0.1, 0.35)


def _resting(stage: _Stage) -> Array:
    return _at(stage, -stage.side * stage.rng.uniform(0.55, 0.85), stage.rng.uniform(2.2, 2.7))


def _depth(stage: _Stage, away: bool) -> Paths:
    s = 1 - stage.s if away else stage.s
    y = stage.rng.uniform(2.8, 3.0) - s * stage.rng.uniform(1.25, 1.45)
    return _at(stage, _sideways(stage), y), _resting(stage), np.ones_like(s)


def _size(stage: _Stage, shrink: bool) -> Paths:
    s = 1 - stage.s if shrink else stage.s
    low, high = stage.rng.uniform(0.4, 0.55), stage.rng.uniform(1.2, 1.45)
    return (
        _at(stage, _sideways(stage), stage.rng.uniform(2.1, 2.4)),
        _resting(stage),
        low + (high - low) * s,
    )


def _lift(stage: _Stage) -> Paths:
    z = stage.rng.uniform(0.65, 0.95) * stage.s
    return (
        _at(stage, _sideways(stage), stage.rng.uniform(2.1, 2.5), z),
        _resting(stage),
        np.ones_like(z),
    )


def _fall(stage: _Stage) -> Paths:
    z = stage.rng.uniform(0.75, 1.0) * (1 - np.minimum(stage.s * 1.15, 1) ** 2)
    return (
        _at(stage, _sideways(stage), stage.rng.uniform(2.1, 2.5), z),
        _resting(stage),
        np.ones_like(z),
    )


def _onto(stage: _Stage, off: bool) -> Paths:
    s = 1 - stage.s if off else stage.s
    y, reach = stage.rng.uniform(2.2, 2.5), stage.rng.uniform(0.75, 0.95)
    middle = stage.rng.uniform(-0.15, 0.15)
    top, over = 2 * stage.partner, stage.rng.uniform(0.2, 0.35)
    x = middle + stage.side * reach * np.clip(1 - (s - 0.25) / 0.5, 0, 1)
    z = np.clip(s / 0.4, 0, 1) * (top + over) - np.clip((s - 0.7) / 0.3, 0, 1) * over
    return _at(stage, x, y, z), _at(stage, middle, y), np.ones_like(s)


def _next_to(stage: _Stage) -> Paths:
    y, middle = stage.rng.uniform(2.2, 2.5), stage.rng.uniform(-0.2, 0.2)
    gap = stage.actor + stage.partner + 0.03
    x = middle + stage.side * (gap + (1 - stage.s) * stage.rng.uniform(0.5, 0.7))
    z = np.sin(np.pi * stage.s) * stage.rng.uniform(0.4, 0.6)
    return _at(stage, x, y, z), _at(stage, middle, y), np.ones_like(x)


def _meet(stage: _Stage, apart: bool) -> Paths:
    s = 1 - stage.s if apart else stage.s
    y, touch = stage.rng.uniform(2.2, 2.5), (stage.actor + stage.partner) / 2 + 0.02
    reach = stage.rng.uniform(0.85, 1.0)
    x = reach + (touch - reach) * s
    return _at(stage, stage.side * x, y), _at(stage, -stage.side * x, y), np.ones_like(s)


def _push(stage: _Stage) -> Paths:
    y, touch = stage.rng.uniform(2.2, 2.5), stage.actor + stage.partner
    x = -1.0 + 1.5 * stage.s
    other = np.maximum(x + touch, -0.2)
    return _at(stage, -stage.side * x, y), _at(stage, -stage.side * other, y), np.ones_like(x)


def _sided(stage: _Stage, side: int) -> Paths:
    """From one edge to the other, whichever side the partner is on."""
    x = side * stage.rng.uniform(0.8, 0.95) * (2 * stage.s - 1)
    y = stage.rng.uniform(2.0, 2.2)
    return _at(stage, x, y), _at(stage, stage.side * 0.4, y + 0.7), np.ones_like(stage.s)


_PATHS: dict[str, Callable[[_Stage], Paths]] = {
    "pass_in_front": lambda g: _pass(g, True),
    "pass_behind": lambda g: _pass(g, False),
    "move_towards_camera": lambda g: _depth(g, False),
    "move_away_from_camera": lambda g: _depth(g, True),
    "grow_in_place": lambda g: _size(g, False),
    "shrink_in_place": lambda g: _size(g, True),
    "lift_up": _lift,
    "fall_down": _fall,
    "put_onto": lambda g: _onto(g, False),
    "take_off": lambda g: _onto(g, True),
    "put_next_to": _next_to,
    "approach_each_other": lambda g: _meet(g, False),
    "separate": lambda g: _meet(g, True),
    "push": _push,
    "push_to_the_right": lambda g: _sided(g, 1),
    "push_to_the_left": lambda g: _sided(g, -1),
}


def _progress(rng: Rng, frames: int, slack: float) -> Array:
    start, end = rng.uniform(0, slack), 1 - rng.uniform(0, slack)
    s = np.clip((np.arange(frames) / max(frames - 1, 1) - start) / (end - start), 0, 1)
    return np.asarray(s * s * (3 - 2 * s) * 0.6 + s * 0.4)


def _coloured(rng: Rng, style: Style, warm: bool) -> Material:
    surface = pattern(rng, 0.9, style.contrast, (0.2, 0.7))
    if not style.roles:
        return surface
    strong, weak, middle = rng.uniform(0.55, 0.9), rng.uniform(0.02, 0.08), rng.uniform(0.03, 0.25)
    colour = (strong, middle, weak) if warm else (weak, middle + 0.1, strong)
    r, g, b = np.clip(np.array(colour) * (1 - style.contrast), 0, 1)
    return replace(surface, colour=colour, second=(float(r), float(g), float(b)))


def _object(
    shape: str, r: float, path: Array, scale: Array, turn: float, material: Material, ids: int
) -> Primitive:
    """An object whose underside follows `path`."""
    kind: Kind = {"ball": "ball", "disc": "ball", "box": "box", "capsule": "capsule"}[shape]  # type: ignore[assignment]
    flat = {
        "ball": (r, r, r),
        "disc": (r, r, 0.45 * r),
        "box": (0.8 * r, 0.8 * r, 0.8 * r),
        "capsule": (0.6 * r, 0.6 * r, 0.5 * r),
    }
    half = np.array(flat[shape]) * scale[:, None]
    height = half[:, 2] + (half[:, 0] if shape == "capsule" else 0)
    centre = path + np.stack([0 * height, 0 * height, height], -1)
    class_id = {"ball": BALL, "box": BOX, "capsule": CAPSULE, "disc": DISC}[shape]
    return Primitive(kind, pose(turn_z(turn), centre), half, material, class_id, ids, shadow=0.6)


def height_of(shape: str, r: float) -> float:
    """Half the height in metres of a shape of size r."""
    return {"ball": r, "disc": 0.45 * r, "box": 0.8 * r, "capsule": 1.1 * r}[shape]


def _backdrop(rng: Rng, style: Style) -> tuple[Primitive, Primitive]:
    colourful = 0.1 if style.roles else 0.8
    wall, floor = (pattern(rng, colourful, style.contrast, (0.15, 0.6)) for _ in range(2))
    back = pose(
        align_z(np.array([[0.0, -1.0, 0.0]])), np.array([[0.0, rng.uniform(3.6, 4.2), 0.0]])
    )
    return (
        Primitive("plane", pose(), np.ones((1, 3)), floor, FLOOR),
        Primitive("plane", back, np.ones((1, 3)), wall, WALL),
    )


def _smooth(rng: Rng, frames: int, columns: int) -> Array:
    """Slow random curves around 0 of size about 1, (T, columns)."""
    t = np.linspace(0, 1, frames)[:, None]
    waves = [
        rng.normal(0, 1, columns) * np.sin(2 * np.pi * (k * t + rng.uniform(size=columns)))
        for k in (0.5, 1, 2)
    ]
    return np.asarray(sum(waves) / 1.5)


def _view(rng: Rng, style: Style, frames: int, height: int, width: int) -> Camera:
    vary = style.camera
    eye = np.array([0.0, 0.0, 1.25]) + rng.uniform(-1, 1, 3) * [0.4 * vary, 0.3 * vary, 0.3 * vary]
    target = np.array([0.0, 2.4, 0.45]) + rng.uniform(-1, 1, 3) * [0.2 * vary, 0.0, 0.12 * vary]
    shake = _smooth(rng, frames, 6) * style.gap
    eyes, targets = eye + shake[:, :3] * 0.02, target + shake[:, 3:] * 0.05
    focal = 0.8 * width * rng.uniform(1 - 0.1 * vary, 1 + 0.1 * vary)
    zoom = 1 + style.gap * 0.06 * _smooth(rng, frames, 1)[:, 0]
    K = np.concatenate([pinhole(focal * z, height, width) for z in zoom])
    return Camera(K, look_at(eyes, targets, rng.normal(0, 0.05 * vary)), height, width)


def _person(rng: Rng, actor: Primitive, frames: int) -> tuple[Primitive, ...]:
    """Somebody behind the objects whose right hand follows the actor."""
    ground = np.array([rng.uniform(-0.8, 0.8), rng.uniform(3.0, 3.3), 0.0])
    size = float(rng.uniform(0.85, 1.05))
    motion = idle(
        np.tile(ground, (frames, 1)),
        np.full(frames, -np.pi / 2 + rng.uniform(-0.3, 0.3)),
        rng,
        size,
    )
    if rng.uniform() < 0.8:
        shoulder = ground + np.array([0.0, 0.0, 1.38 * size])
        reach = np.broadcast_to(actor.pose[:, :3, 3], (frames, 3)) - shoulder
        local = np.stack([-reach[:, 1], reach[:, 0], reach[:, 2]], -1)
        motion = replace(motion, right=local)
    return solids(body(motion), clothes(rng, dull=True), FIGURE, PERSON)


def action_clip(
    rng: Rng,
    verb: str,
    style: Style,
    frames: int,
    height: int,
    width: int,
    shapes: tuple[str, ...] | None = None,
) -> ActionClip:
    """A random clip of a verb.

    Args:
        rng: the clip's own generator.
        verb: one of `VERBS`, `OTHER_VERBS` or `SIDED_VERBS`.
        style: how hard it is.
        frames, height, width: size.
        shapes: shapes that the actor may have (default: all four).
    """
    names = [str(rng.choice(shapes or style.shapes)), str(rng.choice(style.shapes))]
    if verb in ("put_onto", "take_off"):
        names[1] = str(rng.choice([n for n in ("box", "disc") if n in style.shapes]))
    actor, partner = rng.uniform(*style.size, 2)
    lower = height_of(names[1], partner) if verb in ("put_onto", "take_off") else partner
    stage = _Stage(
        _progress(rng, frames, style.slack), actor, lower, float(rng.choice([-1, 1])), rng
    )
    first, second, scale = _PATHS[verb](stage)
    one, steady = np.ones(frames), rng.uniform(0, np.pi, 2)
    solid = [
        _object(names[0], actor, first, scale, steady[0], _coloured(rng, style, True), ACTOR),
        _object(names[1], partner, second, one, steady[1], _coloured(rng, style, False), PARTNER),
    ]
    for i in range(int(rng.integers(style.clutter + 1))):
        spot = np.array([[rng.choice([-1, 1]) * rng.uniform(0.7, 1.5), rng.uniform(2.7, 3.3), 0.0]])
        shape, r = str(rng.choice(SHAPES_A + SHAPES_B)), rng.uniform(0.08, 0.2)
        dull = Material(paint(rng, 0.1 if style.roles else 0.8))
        solid.append(_object(shape, r, spot, np.ones(1), 0.3, dull, CLUTTER + i))
    if rng.uniform() < style.figure:
        solid += _person(rng, solid[0], frames)
    lamp = np.array([rng.uniform(-1.5, 1.5), rng.uniform(0.0, 1.5), rng.uniform(2.3, 3.2)])
    flicker = 1 + style.gap * (
        0.15 * _smooth(rng, frames, 1)[:, 0] + 0.04 * rng.normal(size=frames)
    )
    light = Light(
        lamp, rng.uniform(0.9, 1.3) * np.maximum(flicker, 0.3), float(rng.uniform(0.35, 0.5))
    )
    camera = _view(rng, style, frames, height, width)
    scene = Scene((*_backdrop(rng, style), *solid), camera, light, frames)
    return ActionClip(scene, verb, names[0], names[1])
