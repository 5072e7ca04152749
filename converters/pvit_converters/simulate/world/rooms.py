"""Random furnished rooms with NYU40 classes: the world of the simulated Hypersim scenes.

A room is a box seen from inside with furniture along the walls and things standing around; every piece of furniture is
one instance made of a few primitives. Some rooms hold a window that one can see through (no surface behind it),
something unlabelled, and a person.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from pvit_converters.simulate.world.body import body, clothes, idle, solids
from pvit_converters.simulate.world.scene import (
    Colour,
    Kind,
    Light,
    Material,
    Primitive,
    look_at,
    pose,
    turn_z,
)

Array = np.ndarray
Rng = np.random.Generator

WALL, FLOOR, CABINET, BED, CHAIR, SOFA, TABLE, DOOR, WINDOW, BOOKSHELF, PICTURE = range(1, 12)
CURTAIN, PILLOW, FLOORMAT, CEILING, BOOKS, TELEVISION = 16, 18, 20, 22, 23, 25
BOX, PERSON, LAMP, OTHERPROP = 29, 31, 35, 40
"""NYU40 ids used here (Hypersim, semantic_label_descs.csv)."""


@dataclass(frozen=True)
class Room:
    """A furnished room.

    Args:
        primitives: everything in it; instances are numbered from 1.
        size: width (x), depth (y) and height (z) in metres; the floor's centre is the world origin.
        light: its lamp.
        names: name of each instance, `names[0]` belongs to instance 1.
    """

    primitives: tuple[Primitive, ...]
    size: tuple[float, float, float]
    light: Light
    names: tuple[str, ...]


def paint(rng: Rng, colourful: float = 0.5, grey: tuple[float, float] = (0.1, 0.8)) -> Colour:
    """A random linear colour; `colourful` 0 is grey, 1 is saturated."""
    r, g, b = rng.uniform(*grey) * (1 - colourful + colourful * rng.uniform(0.1, 1.3, 3))
    return (float(r), float(g), float(b))


def pattern(
    rng: Rng, colourful: float = 0.4, contrast: float = 0.35, grey: tuple[float, float] = (0.1, 0.8)
) -> Material:
    """A random surface: plain, soft waves, stripes or checks."""
    first = paint(rng, colourful, grey)
    r, g, b = np.clip(np.array(first) * (1 + contrast * rng.uniform(-1, 1, 3)), 0.01, 0.95)
    kind = rng.integers(4)
    k = rng.uniform(4, 22)
    angle = rng.uniform(0, np.pi)
    one: Colour = (k * np.cos(angle), k * np.sin(angle), k * rng.uniform(0.2, 1))
    two: Colour = (-one[1], one[0], k * rng.uniform(0.2, 1)) if kind != 2 else (0.0, 0.0, 0.0)
    phases = (float(rng.uniform(0, 6)), float(rng.uniform(0, 6)) if kind != 2 else np.pi / 2)
    if kind == 0:
        return Material(first)
    return Material(
        first, (float(r), float(g), float(b)), (one, two), phases, 1.0 if kind == 1 else 12.0
    )


class _Builder:
    """Collects primitives and hands out instance ids."""

    def __init__(self, rng: Rng) -> None:
        self.rng, self.names = rng, list[str]()
        self.primitives: list[Primitive] = []
        self.taken: list[tuple[float, float, float]] = []

    def piece(
        self, name: str, class_id: int, at: Array, heading: float, parts: list[Primitive]
    ) -> None:
        """Adds parts, given in the piece's own axes (x to its left, y to its front), as one instance."""
        self.names.append(name)
        where = pose(turn_z(heading), at)
        for part in parts:
            self.primitives.append(
                replace(part.tagged(class_id, len(self.names)), pose=where @ part.pose)
            )


def _solid(
    kind: Kind,
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    material: Material,
) -> Primitive:
    shadow = 0.45 if centre[2] - half[2] < 0.3 else 0.25
    return Primitive(
        kind, pose(position=np.array([centre])), np.array([half]), material, shadow=shadow
    )


def _table(rng: Rng) -> list[Primitive]:
    w, d, h = rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.5), rng.uniform(0.45, 0.78)
    top, leg = pattern(rng, 0.5), Material(paint(rng, 0.3))
    legs = [(x * (w - 0.06), y * (d - 0.06)) for x in (-1, 1) for y in (-1, 1)]
    return [_solid("box", (0, 0, h), (w, d, 0.025), top)] + [
        _solid("box", (x, y, h / 2 - 0.0125), (0.025, 0.025, h / 2 - 0.0125), leg) for x, y in legs
    ]


def _chair(rng: Rng) -> list[Primitive]:
    h, m = rng.uniform(0.4, 0.48), pattern(rng, 0.7)
    leg = Material(paint(rng, 0.2))
    seat = [
        _solid("box", (0, 0, h), (0.22, 0.22, 0.03), m),
        _solid("box", (0, -0.2, h + 0.27), (0.22, 0.025, 0.24), m),
    ]
    return seat + [
        _solid("box", (x, y, h / 2 - 0.015), (0.02, 0.02, h / 2 - 0.015), leg)
        for x in (-0.18, 0.18)
        for y in (-0.18, 0.18)
    ]


def _sofa(rng: Rng) -> list[Primitive]:
    w, m = rng.uniform(0.7, 1.1), pattern(rng, 0.6)
    arms = [_solid("box", (x * (w + 0.08), 0, 0.3), (0.09, 0.42, 0.3), m) for x in (-1, 1)]
    return [
        _solid("box", (0, 0, 0.21), (w, 0.42, 0.21), m),
        _solid("box", (0, -0.34, 0.58), (w, 0.1, 0.2), m),
        *arms,
    ]


def _bed(rng: Rng) -> list[Primitive]:
    w, frame, sheet = (
        rng.uniform(0.5, 0.85),
        Material(paint(rng, 0.3)),
        pattern(rng, 0.5, grey=(0.4, 0.9)),
    )
    return [
        _solid("box", (0, 0, 0.14), (w, 1.0, 0.14), frame),
        _solid("box", (0, 0.02, 0.36), (w - 0.02, 0.96, 0.09), sheet),
        _solid("box", (0, -1.0, 0.45), (w, 0.04, 0.45), frame),
    ]


def _cabinet(rng: Rng) -> list[Primitive]:
    w, d, h = rng.uniform(0.35, 0.8), rng.uniform(0.2, 0.32), rng.uniform(0.35, 1.05)
    return [_solid("box", (0, 0, h), (w, d, h), pattern(rng, 0.4))]


def _bookshelf(rng: Rng) -> list[Primitive]:
    w, h, wood = rng.uniform(0.4, 0.7), rng.uniform(1.4, 2.0), Material(paint(rng, 0.4))
    boards = [
        _solid("box", (0, 0, z), (w, 0.15, 0.02), wood) for z in np.arange(0.02, h + 0.01, h / 5)
    ]
    sides = [_solid("box", (x * w, 0, h / 2), (0.02, 0.15, h / 2 + 0.02), wood) for x in (-1, 1)]
    return [*boards, *sides, _solid("box", (0, -0.14, h / 2), (w, 0.01, h / 2), wood)]


def _lamp(rng: Rng) -> list[Primitive]:
    h = rng.uniform(1.2, 1.7)
    shade = replace(Material((0.9, 0.8, 0.6)), emission=float(rng.uniform(0.6, 2.5)))
    return [
        _solid("capsule", (0, 0, h / 2), (0.02, 0.02, h / 2), Material(paint(rng, 0.2))),
        _solid("ball", (0, 0, 0.02), (0.15, 0.15, 0.03), Material(paint(rng, 0.2))),
        _solid("ball", (0, 0, h + 0.12), (0.17, 0.17, 0.15), shade),
    ]


def _box(rng: Rng) -> list[Primitive]:
    x, y, z = rng.uniform(0.1, 0.3, 3)
    return [_solid("box", (0, 0, z), (x, y, z), pattern(rng, 0.7))]


def _ball(rng: Rng) -> list[Primitive]:
    r = rng.uniform(0.1, 0.28)
    return [_solid("ball", (0, 0, r), (r, r, r), pattern(rng, 0.9))]


_STANDING: tuple[tuple[str, int, float, Callable[[Rng], list[Primitive]]], ...] = (
    ("table", TABLE, 0.8, _table), ("chair", CHAIR, 0.35, _chair), ("box", BOX, 0.35, _box),
    ("ball", OTHERPROP, 0.3, _ball), ("lamp", LAMP, 0.3, _lamp),
)  # fmt: skip
_AGAINST_WALL: tuple[tuple[str, int, float, Callable[[Rng], list[Primitive]]], ...] = (
    ("sofa", SOFA, 0.45, _sofa), ("bed", BED, 1.05, _bed), ("cabinet", CABINET, 0.33, _cabinet),
    ("bookshelf", BOOKSHELF, 0.17, _bookshelf),
)  # fmt: skip


def _on_wall(
    b: _Builder,
    name: str,
    class_id: int,
    size: tuple[float, float, float],
    wall: int,
    height: float,
) -> None:
    """A picture, window, door or television: a thin box on wall 0..3 (counter-clockwise from +x)."""
    rng = b.rng
    w, d, h = size
    reach, run = (w / 2, d / 2) if wall % 2 == 0 else (d / 2, w / 2)
    half = {
        "picture": (0.3, 0.22),
        "window": (0.65, 0.55),
        "door": (0.45, 1.0),
        "television": (0.5, 0.3),
    }[name]
    half = (half[0] * rng.uniform(0.7, 1.2), min(half[1] * rng.uniform(0.8, 1.1), h / 2 - 0.1))
    along = rng.uniform(-1, 1) * max(run - half[0] - 0.1, 0)
    angle = wall * np.pi / 2
    at = np.array(
        [
            np.cos(angle) * reach - np.sin(angle) * along,
            np.sin(angle) * reach + np.cos(angle) * along,
            height,
        ]
    )
    if name == "door":
        at[2] = half[1]
    glass = name == "window"
    frame = Material(paint(rng, 0.2, (0.5, 0.9))) if glass else pattern(rng, 0.8, 0.9)
    # In the piece's axes x runs along the wall and y points into the room.
    parts = [_solid("box", (0, 0, 0), (half[0], 0.03, half[1]), frame)]
    if glass:
        pane = _solid("box", (0, 0.01, 0), (half[0] - 0.06, 0.03, half[1] - 0.06), frame)
        bars = [_solid("box", (0, 0.015, 0), (0.02, 0.035, half[1]), frame)]
        parts += [replace(pane, void=True, shadow=0.0), *bars]
    b.piece(name, class_id, at, angle + np.pi / 2, [replace(p, shadow=0.0) for p in parts])


def _free(b: _Builder, size: tuple[float, float, float], radius: float) -> Array | None:
    for _ in range(12):
        x, y = (b.rng.uniform(-1, 1) * max(s / 2 - radius, 0) for s in size[:2])
        if all(np.hypot(x - u, y - v) > radius + r for u, v, r in b.taken):
            b.taken.append((x, y, radius))
            return np.array([x, y, 0.0])
    return None


def _furnish(b: _Builder, size: tuple[float, float, float], pieces: int) -> None:
    rng = b.rng
    for i in range(pieces):
        against = i < pieces // 2
        table = _AGAINST_WALL if against else _STANDING
        name, class_id, radius, make = table[rng.integers(len(table))]
        at, heading = _free(b, size, radius), float(rng.uniform(0, 2 * np.pi))
        if at is None:
            continue
        if against:
            wall = int(rng.integers(4))
            reach = size[wall % 2] / 2 - radius
            at[wall % 2] = reach if wall < 2 else -reach
            heading = wall * np.pi / 2 + np.pi / 2
            b.taken[-1] = (at[0], at[1], max(radius, 0.6))
        b.piece(name, class_id, at, heading, make(rng))
        if name == "sofa":
            cushion = _solid(
                "ball", (rng.uniform(-0.5, 0.5), -0.1, 0.52), (0.2, 0.09, 0.15), pattern(rng, 0.9)
            )
            b.piece("pillow", PILLOW, at, heading, [cushion])
        if name == "table":
            top = b.primitives[-5].pose[0, 2, 3] + 0.025
            book = _solid("box", (0, 0, top + 0.04), (0.12, 0.09, 0.04), pattern(rng, 0.9))
            b.piece("books", BOOKS, at, heading + 0.5, [book])


def _shell(size: tuple[float, float, float], rng: Rng, b: _Builder) -> None:
    """Walls, floor and ceiling as three instances."""
    w, d, h = size
    b.piece(
        "walls",
        WALL,
        np.zeros(3),
        0.0,
        [
            _solid(
                "room", (0, 0, h / 2), (w / 2, d / 2, h / 2), pattern(rng, 0.25, 0.2, (0.35, 0.85))
            )
        ],
    )
    b.piece(
        "floor",
        FLOOR,
        np.zeros(3),
        0.0,
        [
            _solid(
                "box",
                (0, 0, -0.02),
                (w / 2 + 0.01, d / 2 + 0.01, 0.021),
                pattern(rng, 0.5, 0.5, (0.1, 0.5)),
            )
        ],
    )
    b.piece(
        "ceiling",
        CEILING,
        np.zeros(3),
        0.0,
        [
            _solid(
                "box",
                (0, 0, h + 0.02),
                (w / 2 + 0.01, d / 2 + 0.01, 0.021),
                Material(paint(rng, 0.1, (0.7, 0.9))),
            )
        ],
    )
    b.primitives[:] = [replace(p, shadow=0.0) for p in b.primitives]
    if rng.uniform() < 0.5:
        rug = _solid(
            "box",
            (0, 0, 0.006),
            (rng.uniform(0.5, 1.0), rng.uniform(0.4, 0.8), 0.006),
            pattern(rng, 0.8, 0.8),
        )
        b.piece(
            "floormat",
            FLOORMAT,
            np.append(rng.uniform(-0.5, 0.5, 2), 0),
            rng.uniform(0, 3),
            [replace(rug, shadow=0.0)],
        )


def room(rng: Rng, person: bool | None = None, window: bool | None = None) -> Room:
    """A random room. `person` and `window` force one to be there or not (default: sometimes)."""
    size = (
        float(rng.uniform(3.2, 7.0)),
        float(rng.uniform(3.2, 7.0)),
        float(rng.uniform(2.3, 3.3)),
    )
    b = _Builder(rng)
    _shell(size, rng, b)
    walls = rng.permutation(4)
    if rng.uniform() < 0.6 if window is None else window:
        _on_wall(b, "window", WINDOW, size, int(walls[0]), float(rng.uniform(1.2, 1.5)))
    for wall, name, class_id in zip(
        walls[1:], ("picture", "door", "television"), (PICTURE, DOOR, TELEVISION), strict=True
    ):
        if rng.uniform() < 0.6:
            _on_wall(b, name, class_id, size, int(wall), 1.5)
    _furnish(b, size, int(rng.integers(4, 10)))
    if rng.uniform() < 0.5:
        b.piece("unlabelled", -1, np.append(rng.uniform(-1, 1, 2), 0), 0.0, _ball(rng))
        b.names.pop()
        b.primitives[-1] = b.primitives[-1].tagged(-1, -1)
    if rng.uniform() < 0.3 if person is None else person:
        at = _free(b, size, 0.35)
        at = np.append(rng.uniform(-0.8, 0.8, 2), 0.0) if at is None else at
        who = body(
            idle(at[None], np.array([rng.uniform(0, 2 * np.pi)]), rng, float(rng.uniform(0.9, 1.1)))
        )
        b.names.append("person")
        b.primitives += solids(who, clothes(rng), PERSON, len(b.names))
    lamp = np.array(
        [rng.uniform(-0.3, 0.3) * size[0], rng.uniform(-0.3, 0.3) * size[1], size[2] - 0.25]
    )
    tint = (1.0, float(rng.uniform(0.8, 1.0)), float(rng.uniform(0.8, 1.0)))
    light = Light(lamp, np.array(rng.uniform(0.8, 2.0)), float(rng.uniform(0.2, 0.45)), tint)
    return Room(tuple(b.primitives), size, light, tuple(b.names))


def wander(rng: Rng, room: Room, count: int) -> Float[np.ndarray, "n 4 4"]:
    """world_from_camera of a random walk: about 1 m a step, looking at random points, rolled a little."""
    w, d, h = room.size
    eyes = np.empty((count, 3))
    low = np.array([-w / 2 + 0.4, -d / 2 + 0.4, 0.6])
    high = np.array([w / 2 - 0.4, d / 2 - 0.4, min(h - 0.4, 2.1)])
    solid = [p for p in room.primitives if p.kind != "room" and not p.void]
    centres = np.stack([p.pose[0, :3, 3] for p in solid])
    sizes = np.stack([p.half[0].max() if p.kind != "capsule" else p.half[0].sum() for p in solid])
    eye = rng.uniform(low, high)
    for i in range(count):
        for _ in range(20):
            candidate = np.clip(eye + rng.uniform(-1.5, 1.5, 3) * [1, 1, 0.4], low, high)
            gap = np.sqrt(((centres - candidate) ** 2).sum(-1)) - np.minimum(sizes, 1.2)
            if gap.min() > 0.15:
                break
        eyes[i] = eye = candidate
    away = rng.uniform(-1, 1, (count, 3)) * [w / 2, d / 2, 0]
    target = away + np.stack([0 * away[:, 0], 0 * away[:, 0], rng.uniform(0.1, 1.8, count)], -1)
    close = np.sqrt(((target - eyes)[:, :2] ** 2).sum(-1)) < 0.8
    target[close, :2] = -eyes[close, :2] * 0.5 + [0.9, 0.0]
    return look_at(eyes, target, rng.normal(0, 0.06, count))
