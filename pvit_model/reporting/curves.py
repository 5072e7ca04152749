"""Line charts as inline SVG: self-contained, readable in light and dark, no script."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]
COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#eab308", "#06b6d4", "#84705b")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 230, 54, 12, 26, 26


def smooth(points: Points, window: int) -> list[tuple[float, float]]:
    """A trailing mean over `window` points."""
    return [
        (
            points[i][0],
            sum(v for _, v in points[max(0, i - window + 1) : i + 1]) / min(i + 1, window),
        )
        for i in range(len(points))
    ]


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


def chart(title: str, lines: Mapping[str, Points], marks: Mapping[str, float] | None = None) -> str:
    """One chart as SVG text.

    Args:
        title: printed above.
        lines: (x, y) points by name; not finite ones are left out.
        marks: horizontal dashed lines by name, for example a baseline.
    """
    kept = {n: [(x, y) for x, y in p if math.isfinite(y)] for n, p in lines.items()}
    kept = {n: p for n, p in kept.items() if p}
    levels = {n: y for n, y in (marks or {}).items() if math.isfinite(y)}
    if not kept:
        return ""
    xs = [x for p in kept.values() for x, _ in p]
    ys = [y for p in kept.values() for _, y in p] + list(levels.values())
    box = _box(xs, ys)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title, quote=True)}">',
        f'<text x="{LEFT}" y="16" class="title">{html.escape(title)}</text>',
        *_axes(box),
        *_lines(kept, box),
        *_marks(levels, box),
        "</svg>",
    ]
    return "".join(parts)


def _box(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float, float]:
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1 = x1 if x1 > x0 else x0 + 1
    pad = 0.06 * (y1 - y0) or 0.5 * abs(y1) or 0.5
    return x0, x1, (0.0 if 0 <= y0 < 0.35 * y1 else y0 - pad), y1 + pad


def _place(x: float, y: float, box: tuple[float, float, float, float]) -> tuple[float, float]:
    x0, x1, y0, y1 = box
    across = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
    down = HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
    return across, down


def _axes(box: tuple[float, float, float, float]) -> list[str]:
    parts = []
    for value in ticks(box[2], box[3]):
        _, y = _place(box[0], value, box)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        )
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 3:.1f}" class="tick" text-anchor="end">{value:g}</text>'
        )
    for value in ticks(box[0], box[1]):
        x, _ = _place(value, box[2], box)
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 8}" class="tick" text-anchor="middle">{value:g}</text>'
        )
    return parts


def _lines(lines: Mapping[str, Points], box: tuple[float, float, float, float]) -> list[str]:
    parts = []
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in (_place(x, y, box) for x, y in points))
        if len(points) == 1:
            a, b = _place(*points[0], box)
            parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>')
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
        )
        y = TOP + 10 + 13 * i
        parts.append(
            f'<text x="{WIDTH - RIGHT - 4}" y="{y}" class="key" fill="{colour}" text-anchor="end">'
        )
        parts.append(f"{html.escape(name)}</text>")
    return parts


def _marks(marks: Mapping[str, float], box: tuple[float, float, float, float]) -> list[str]:
    parts = []
    for name, value in marks.items():
        _, y = _place(box[0], value, box)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="mark"/>'
        )
        parts.append(
            f'<text x="{LEFT + 4}" y="{y - 3:.1f}" class="tick">{html.escape(name)}</text>'
        )
    return parts
