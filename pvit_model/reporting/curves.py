"""Line charts as inline SVG: self-contained, readable in light and dark, no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pvit_data.looking import svg

Points = Sequence[tuple[float, float]]
Box = tuple[float, float, float, float]
"""What is shown: x from and to, y from and to."""
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 240, 66, 12, 26, 38


MOST_POINTS = 2000
"""Of one line: several to a pixel."""


def smooth(points: Points, window: int) -> list[tuple[float, float]]:
    """A trailing mean over the finite ones of `window` points, in time linear in their number."""
    values = np.array([y for _, y in points], float)
    is_finite = np.isfinite(values)
    total = _trailing(np.where(is_finite, values, 0), window)
    number = _trailing(is_finite.astype(float), window)
    means = np.where(number > 0, total / np.maximum(number, 1), math.nan).tolist()
    return [(x, y) for (x, _), y in zip(points, means, strict=True)]


def _trailing(values: Float[np.ndarray, "n"], window: int) -> Float[np.ndarray, "n"]:
    """Sums of the last `window` values, made of two blocks: nothing is subtracted, so nothing huge stays."""
    blocks = np.pad(values, (0, -len(values) % window)).reshape(-1, window)
    begun = blocks.cumsum(1)
    ended = np.zeros_like(blocks)  # of the block before, behind each place
    ended[1:, :-1] = blocks[:-1, :0:-1].cumsum(1)[:, ::-1]
    return (begun + ended).reshape(-1)[: len(values)]


def thinned(points: Points) -> Points:
    """At most `MOST_POINTS`, evenly spread, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def ticks(low: float, high: float, number: int = 4) -> list[float]:
    """Round values inside [low, high], about `number` of them.

    >>> ticks(0, 10)
    [0.0, 2.5, 5.0, 7.5, 10.0]
    """
    raw = (high - low) / number
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def chart(
    title: str,
    lines: Mapping[str, Points],
    marks: Mapping[str, float] | None = None,
    *,
    x: str = "step",
    y: str = "",
) -> str:
    """One chart as SVG text.

    Args:
        title: printed above.
        lines: (x, y) points by name; those that are not finite, or beyond `MOST`, are left out.
        marks: horizontal dashed lines by name, for example a baseline.
        x, y: what the axes measure; y by default what the first line is called.
    """
    kept = {n: [(x, y) for x, y in p if _is_shown(x) and _is_shown(y)] for n, p in lines.items()}
    kept = {n: [*thinned(p)] for n, p in kept.items() if p}
    levels = {n: y for n, y in (marks or {}).items() if _is_shown(y)}
    if not kept:
        return ""
    xs = [x for p in kept.values() for x, _ in p]
    ys = [y for p in kept.values() for _, y in p] + list(levels.values())
    box = _box(xs, ys)
    return svg.picture(
        WIDTH,
        HEIGHT,
        svg.words(title, LEFT, 16, class_="title"),
        *_axes(box),
        *_titles(x, y or next(iter(kept))),
        *_lines(kept, box),
        *_marks(levels, box),
        class_="chart",
        role="img",
        aria_label=title,
    )


MOST = 1e12
"""Magnitude up to which an axis has ticks that differ."""


def _is_shown(value: float) -> bool:
    return -MOST <= value <= MOST


def _box(xs: Sequence[float], ys: Sequence[float]) -> Box:
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1 = x1 if x1 > x0 else x0 + 1
    pad = 0.06 * (y1 - y0) or 0.5 * abs(y1) or 0.5
    return x0, x1, (0.0 if 0 <= y0 < 0.35 * y1 else y0 - pad), y1 + pad


def _place(x: float, y: float, box: Box) -> tuple[float, float]:
    x0, x1, y0, y1 = box
    across = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
    return across, down


def _axes(box: Box) -> list[str]:
    parts = []
    for value in ticks(box[2], box[3]):
        _, y = _place(box[0], value, box)
        parts.append(svg.line(LEFT, y, WIDTH - RIGHT, y, class_="grid"))
        parts.append(svg.words(f"{value:g}", LEFT - 6, y + 3, class_="tick", text_anchor="end"))
    for value in ticks(box[0], box[1]):
        x, _ = _place(value, box[2], box)
        parts.append(
            svg.words(f"{value:g}", x, HEIGHT - BOTTOM + 14, class_="tick", text_anchor="middle")
        )
    return parts


def _titles(across: str, up: str) -> list[str]:
    """Lines and titles of the axes."""
    right, bottom, middle = WIDTH - RIGHT, HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    turned = f"rotate(-90 12 {middle:g})"
    return [
        svg.line(LEFT, TOP, LEFT, bottom, class_="axis"),
        svg.line(LEFT, bottom, right, bottom, class_="axis"),
        svg.words(across, (LEFT + right) / 2, HEIGHT - 6, class_="tick", text_anchor="middle"),
        svg.words(up, 12, middle, class_="tick", text_anchor="middle", transform=turned),
    ]


def _lines(lines: Mapping[str, Points], box: Box) -> list[str]:
    parts = []
    for i, (name, points) in enumerate(lines.items()):
        colour = svg.colour_of(i)
        places = [_place(x, y, box) for x, y in points]
        if len(places) == 1:
            a, b = places[0]
            parts.append(svg.element("circle", cx=a, cy=b, r=3, fill=colour))
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(
            svg.element("polyline", points=path, fill="none", stroke=colour, stroke_width=1.8)
        )
        if len(lines) > 1:  # a single one is what the chart is called after
            x, y = WIDTH - RIGHT - 4, TOP + 10 + 13 * i
            parts.append(svg.words(name, x, y, class_="key", fill=colour, text_anchor="end"))
    return parts


def _marks(marks: Mapping[str, float], box: Box) -> list[str]:
    parts = []
    for name, value in marks.items():
        _, y = _place(box[0], value, box)
        parts.append(svg.line(LEFT, y, WIDTH - RIGHT, y, class_="mark"))
        parts.append(svg.words(name, LEFT + 4, y - 3, class_="tick"))
    return parts
