"""Charts as inline SVG: bars, histograms and a matrix, each with a caption and the same numbers as a table.

Colours are those of the page (CSS classes), every text is escaped, nothing refers to anything outside.
"""

from __future__ import annotations

from collections.abc import Sequence

from pvit_data.looking import svg
from pvit_data.looking.stats import Histogram
from pvit_data.words import short_count

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
        parts.append(
            svg.explained(
                f"{name}: {text}",
                svg.box(LABEL, y + 4, width, ROW - 8, class_="bar", rx=3),
                svg.words(_short(name), LABEL - 8, y + 15, class_="name", text_anchor="end"),
                svg.words(text, LABEL + width + 6, y + 15, class_="number"),
            )
        )
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
    parts = [svg.line(10, PLOT, WIDTH - 10, PLOT, class_="axis")]
    for i, (name, count) in enumerate(zip(names, histogram.counts, strict=True)):
        height = max((PLOT - 16) * count / highest, 1 if count else 0)
        x = 10 + (i + 0.5) * step
        bar = svg.box(x - width / 2, PLOT - height, width, height, class_="bar", rx=3)
        parts.append(svg.explained(f"{name}{unit}: {count:,}", bar))
        if i % every == 0:
            first = name.split("–")[0]
            parts.append(svg.words(first, x, PLOT + 16, class_="name", text_anchor="middle"))
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
        y, x = HEAD + i * CELL + CELL / 2 + 3, NAME + i * CELL + (CELL - 3) / 2
        parts.append(svg.words(name, NAME - 8, y, class_="name", text_anchor="end"))
        parts.append(svg.words(name, x, 14, class_="name", text_anchor="middle"))
        for j, other in enumerate(names):
            number = counts[i][j]
            tip = f"{name} and {other}: {number:,}"
            parts.append(svg.explained(tip, *_cell(i, j, number, number / highest)))
    table = [
        (f"{a} and {b}", f"{counts[i][j]:,}")
        for i, a in enumerate(names)
        for j, b in enumerate(names)
        if j >= i
    ]
    return _figure(title, parts, NAME + len(names) * CELL, HEAD + len(names) * CELL, table)


def _cell(row: int, column: int, number: int, share: float) -> tuple[str, str]:
    x, y = NAME + column * CELL, HEAD + row * CELL
    opacity = 0.12 + 0.88 * share if number else 0
    kind = "count on" if opacity > 0.6 else "count"
    ground = svg.box(x, y, CELL - 3, CELL - 3, class_="cell", rx=3, fill_opacity=f"{opacity:.2f}")
    middle = x + (CELL - 3) / 2
    text = svg.words(
        short_count(number), middle, y + CELL / 2 + 3, class_=kind, text_anchor="middle"
    )
    return ground, text


def _figure(
    title: str, parts: Sequence[str], width: int, height: int, table: Sequence[tuple[str, str]]
) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{svg.escape(a)}</th><td>{svg.escape(b)}</td></tr>" for a, b in table
    )
    drawn = svg.picture(
        width, height, *parts, width=width, height=height, role="img", aria_label=title
    )
    return (
        f"<figure><figcaption>{svg.escape(title)}</figcaption>{drawn}"
        f"<details><summary>numbers</summary><table>{rows}</table></details></figure>"
    )


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"
