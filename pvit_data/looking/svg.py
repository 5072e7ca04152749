"""A small SVG kit: elements as text, numbers with at most one decimal, every word escaped. All charts use it."""

from __future__ import annotations

import html

from pvit_data.words import shown

COLOURS = ("#3b82f6", "#f97316", "#10b981", "#a855f7", "#ef4444", "#eab308", "#06b6d4", "#84705b")
"""Colours of series, told apart on light and on dark ground."""


def colour_of(index: int) -> str:
    """The colour of a series; they repeat."""
    return COLOURS[index % len(COLOURS)]


def escape(text: str) -> str:
    """Text that may stand in an element or an attribute; what would turn or hide its neighbours is written out."""
    return html.escape(shown(text), quote=True)


def element(tag: str, *content: str, **attributes: str | float) -> str:
    """An element around safe content.

    Args:
        attributes: `class_` is `class`, other underscores are dashes; numbers get at most one decimal.

    >>> element("rect", class_="bar", x=1.26, width=3)
    '<rect class="bar" x="1.3" width="3"/>'
    """
    named = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{named}>{''.join(content)}</{tag}>" if content else f"<{tag}{named}/>"


def _name(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return escape(value)
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def words(text: str, x: float, y: float, **attributes: str | float) -> str:
    """Text at a place: its baseline starts there, unless `text_anchor` says otherwise."""
    return element("text", escape(text), **attributes, x=x, y=y)


def box(x: float, y: float, width: float, height: float, **attributes: str | float) -> str:
    """A rectangle by its top left corner."""
    return element("rect", **attributes, x=x, y=y, width=width, height=height)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> str:
    """A straight line."""
    return element("line", **attributes, x1=x1, y1=y1, x2=x2, y2=y2)


def explained(tip: str, *content: str) -> str:
    """Content that says what it is when it is pointed at."""
    return element("g", element("title", escape(tip)), *content)


def picture(width: float, height: float, /, *content: str, **attributes: str | float) -> str:
    """The whole picture, in user units."""
    return element("svg", *content, viewBox=f"0 0 {_value(width)} {_value(height)}", **attributes)
