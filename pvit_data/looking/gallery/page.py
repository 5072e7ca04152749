"""The page: template, style, scripts and data in one HTML file that asks nothing of any other place.

A content security policy forbids every request and every script but the page's own (by hash); data is JSON in an inert
element, and reaches the document as text only.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any

from pvit_data.words import shown

STYLES = ("page.css",)
SCRIPTS = ("layers.js", "viewer.js", "browse.js")


def make_page(title: str, data: dict[str, Any], figures: list[str]) -> str:
    """The HTML file.

    Args:
        title: of the page.
        data: what the scripts show; JSON values.
        figures: charts as safe HTML.
    """
    style = "\n".join(_template(name) for name in STYLES)
    script = '"use strict";\n' + "\n".join(_template(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "TITLE": html.escape(shown(title)),
        "POLICY": html.escape(policy),
        "STYLE": style,
        "SCRIPT": script,
        "FIGURES": "\n".join(figures),
        "DATA": safe_json(_shown(data)),
    }
    page = _template("page.html")
    pieces = page.split("%%")  # text, NAME, text, NAME, ...
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def safe_json(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _shown(value: Any) -> Any:
    """The same values; characters in texts that would turn or hide their neighbours are written out."""
    if isinstance(value, str):
        return "\n".join(map(shown, value.split("\n")))
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return [_shown(each) for each in value] if isinstance(value, list | tuple) else value


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template(name: str) -> str:
    return (files("pvit_data.looking.gallery") / "page" / name).read_text(encoding="utf-8")
