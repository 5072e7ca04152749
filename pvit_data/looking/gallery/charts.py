"""Charts as inline SVG: bars, histograms and a matrix, each with a caption and the same numbers as a table.

Colours are those of the page (CSS classes), every text is escaped, nothing refers to anything outside.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from pvit_data.looking.stats import Histogram

WIDTH = 520
ROW, LABEL, NUMBER = 22, 170, 90  # of a bar chart, in user units
LONGEST = 23  # characters of a label
PLOT, FOOT, TICK = 150, 24, 44  # of a histogram: height, room below, room that a label needs
CELL, NAME, HEAD = 46, 84, 24  # of a matrix


def bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """A bar per row.

    Args:
        title: caption.
        rows: name, length and text of each bar.
    """
    longest = max((value for _, value, _ in rows), default=0) or 1
    parts = []
    for i, (name, value, text) in enumerate(rows):
        y, width = i * ROW, max((WIDTH - LABEL - NUMBER) * value / longest, 1.5)
        bar = _rect("bar", LABEL, y + 4, width, ROW - 8)
        texts = _text("name", LABEL - 8, y + 15, _short(name), "end") + _text(
            "number", LABEL + width + 6, y + 15, text
        )
        parts.append(_group(f"{name}: {text}", bar + texts))
    table = [(name, text) for name, _, text in rows]
    return _figure(title, parts, WIDTH, max(len(rows), 1) * ROW, table)


def columns(title: str, histogram: Histogram, unit: str = "", whole: bool = False) -> str:
    """A histogram.

    Args:
        title: caption.
        histogram: edges and counts.
        unit: of the values.
        whole: values are whole numbers, so that a bin of width one is named by its value.
    """
    names = bin_names(histogram, whole)
    highest = max(histogram.counts, default=0) or 1
    step = (WIDTH - 20) / max(len(names), 1)
    width = min(step * 0.84, 60)
    every = -(-len(names) * TICK // (WIDTH - 20)) or 1
    parts = [f'<line class="axis" x1="10" y1="{PLOT}" x2="{WIDTH - 10}" y2="{PLOT}"/>']
    for i, (name, count) in enumerate(zip(names, histogram.counts, strict=True)):
        height = max((PLOT - 16) * count / highest, 1 if count else 0)
        x = 10 + (i + 0.5) * step
        parts.append(
            _group(
                f"{name}{unit}: {count:,}",
                _rect("bar", x - width / 2, PLOT - height, width, height),
            )
        )
        if i % every == 0:
            parts.append(_text("name", x, PLOT + 16, name.split("–")[0], "middle"))
    table = [
        (f"{name}{unit}", f"{count:,}") for name, count in zip(names, histogram.counts, strict=True)
    ]
    return _figure(title, parts, WIDTH, PLOT + FOOT, table)


def bin_names(histogram: Histogram, whole: bool = False) -> list[str]:
    """`"3"`, or `"0.5–1"`."""
    pairs = zip(histogram.edges, histogram.edges[1:], strict=False)
    return [
        f"{low:g}" if whole and high - low <= 1 else f"{low:g}–{high - 1 if whole else high:g}"
        for low, high in pairs
    ]


def matrix(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A square table, darker where more.

    Args:
        title: caption.
        names: of rows and columns.
        counts: by row, then column.
    """
    highest = max((n for row in counts for n in row), default=0) or 1
    parts = []
    for i, name in enumerate(names):
        parts.append(_text("name", NAME - 8, HEAD + i * CELL + CELL / 2 + 3, name, "end"))
        parts.append(_text("name", NAME + i * CELL + (CELL - 3) / 2, 14, name, "middle"))
        for j, other in enumerate(names):
            number, x, y = counts[i][j], NAME + j * CELL, HEAD + i * CELL
            opacity = 0.12 + 0.88 * number / highest if number else 0
            kind = "count on" if opacity > 0.6 else "count"
            cell = _rect("cell", x, y, CELL - 3, CELL - 3, f' fill-opacity="{opacity:.2f}"')
            text = _text(kind, x + (CELL - 3) / 2, y + CELL / 2 + 3, _count(number), "middle")
            parts.append(_group(f"{name} and {other}: {number:,}", cell + text))
    table = [
        (f"{a} and {b}", f"{counts[i][j]:,}")
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if j >= i
    ]
    return _figure(title, parts, NAME + len(names) * CELL, HEAD + len(names) * CELL, table)


def _figure(
    title: str, parts: Sequence[str], width: int, height: int, table: Sequence[tuple[str, str]]
) -> str:
    rows = "".join(f"<tr><th scope='row'>{_safe(a)}</th><td>{_safe(b)}</td></tr>" for a, b in table)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f"<figure><figcaption>{_safe(title)}</figcaption>"
        f'<svg role="img" aria-label="{_safe(title)}" {size}>{"".join(parts)}</svg>'
        f"<details><summary>numbers</summary><table>{rows}</table></details></figure>"
    )


def _group(tip: str, content: str) -> str:
    return f"<g><title>{_safe(tip)}</title>{content}</g>"


def _rect(kind: str, x: float, y: float, width: float, height: float, more: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect class="{kind}" {place} rx="3"{more}/>'


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=True)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"


def _count(number: int) -> str:
    """At most four characters: `"12k"`."""
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if number >= 10 * size:
            return f"{number // size}{unit}"
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number) if number else ""
