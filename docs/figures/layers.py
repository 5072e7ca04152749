"""The figure of docs/layers.md: python docs/figures/layers.py writes layers.svg beside this file."""

from __future__ import annotations

from pathlib import Path

from pvit_data.looking.svg import box, colour_of, element, line, picture, words

OUT = Path(__file__).with_suffix(".svg")
WIDTH, HEIGHT, ROW = 760.0, 300.0, 28.0
KEYS = ("jar", "cup", "pen", "lid")
PICTURES, DEPTH, SPLIT = (colour_of(n) for n in (0, 2, 1))
STYLE = "text{font:13px sans-serif;fill:#334155}.head{font-weight:bold}.cell{fill:#fff}"


def table(x: float, y: float, title: str, rows: list[list[tuple[str, str]]]) -> str:
    """A title, and cells of (text, colour) below it."""
    parts = [words(title, x, y - 10, class_="head")]
    for i, cells in enumerate(rows):
        for j, (text, colour) in enumerate(cells):
            left, top = x + 72 * j, y + ROW * i
            parts += [
                box(left, top, 70, ROW - 2, rx=3, fill=colour, fill_opacity=0.25, stroke=colour),
                words(text, left + 8, top + 18),
            ]
    return "".join(parts)


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line with a dot at its end."""
    end = element("circle", cx=x2, cy=y2, r=4, fill="#64748b")
    return line(x1, y1, x2, y2, stroke="#64748b", stroke_width=1.5) + end


def figure() -> str:
    """Base, annotation layer and protocol, and what is seen when they are opened."""
    base = [[(key, PICTURES), ("rgb", PICTURES), (split, PICTURES)]
            for key, split in zip(KEYS, ("train", "train", "train", "val"), strict=True)]  # fmt: skip
    layer = [[(key, DEPTH), ("depth", DEPTH)] for key in ("jar", "pen")]
    protocol = [
        [(key, SPLIT), (split, SPLIT)] for key, split in (("lid", "train"), ("jar", "test"))
    ]
    seen = [[*row, ("depth" if row[0][0] in ("jar", "pen") else "-", DEPTH)] for row in base]
    few = [[(key, SPLIT), ("rgb", PICTURES), (split, SPLIT), (depth, DEPTH)]
           for key, split, depth in (("lid", "train", "-"), ("jar", "test", "depth"))]  # fmt: skip
    parts = [
        element("style", STYLE),
        table(10, 34, "clips/: the base", base),
        table(10, 190, "layers/later/: annotation", layer),
        table(10 + 200, 190, "layers/few/: protocol", protocol),
        table(450, 34, 'source="clips", layers=["later"]', seen),
        table(450, 190, 'source="few", layers=["later"]', few),
        arrow(230, 90, 440, 90),
        arrow(372, 216, 440, 216),
    ]
    return (
        picture(WIDTH, HEIGHT - 40, *parts, xmlns="http://www.w3.org/2000/svg", width=WIDTH) + "\n"
    )


if __name__ == "__main__":
    OUT.write_text(figure(), encoding="utf-8")
