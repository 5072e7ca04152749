"""Everything that a command prints goes through here: texts of data are shown, never obeyed.

Class names, licences, keys and file names come from strangers. Control characters, which a terminal would obey, and
characters that turn or hide what is beside them are written out; brackets are no markup; URLs lose their secrets. Each
function prints whole lines: a line break inside a text is written out as well.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pvit_data.words import plain_url, shown


def safe(text: object) -> str:
    """One line for a terminal or a log.

    >>> safe("a[/x]\\x1b[31m https://me:secret@host/x")
    'a[/x]\\\\x1b[31m https://host/x'
    """
    return shown(plain_url(str(text)))


def say(*lines: object, stderr: bool = False) -> None:
    """Prints lines as they are; one empty line if there is none."""
    stream = sys.stderr if stderr else sys.stdout
    print(*(safe(line) for line in lines or ("",)), sep="\n", file=stream, flush=stderr)


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of texts, some of them with a style, for `console` and its tables.

    Args:
        parts: a text, or (text, style).
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((safe(text), style) for text, style in pairs))


class SafeConsole(Console):
    """A console to which every plain text is data: no markup, no emoji codes, no control characters."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as it is, of one line."""
        return super().render_str(safe(text), **(options | {"markup": False, "emoji": False}))


def console(*, stderr: bool = False) -> Console:
    """A console: colours and tables on a terminal, plain unwrapped text in a pipe or log."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return SafeConsole(stderr=stderr, highlight=False)
    return SafeConsole(stderr=stderr, highlight=False, color_system=None, width=200, soft_wrap=True)


def new_table(*titles: str, left: Sequence[str] = (), **settings: Any) -> Table:
    """A table without lines, its columns to the right.

    Args:
        titles: of the columns.
        left: those of columns to the left.
        settings: further arguments of rich's `Table`.
    """
    table = Table(**({"box": None, "pad_edge": False, "header_style": "bold"} | settings))
    for title in titles:
        table.add_column(styled(title), justify="left" if title in left else "right")
    return table


def print_json(value: Any) -> None:
    """Writes one JSON document to stdout, for `--json`: the same values, what a terminal would obey as `\\u001b`."""
    as_ascii = not (sys.stdout.encoding or "").lower().startswith("utf")
    value = _without_secrets(value)
    text = json.dumps(value, indent=2, ensure_ascii=as_ascii, allow_nan=False, default=str)
    sys.stdout.write(
        "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    )
    sys.stdout.write("\n")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, str):
        return plain_url(value)
    if isinstance(value, dict):
        return {_without_secrets(key): _without_secrets(each) for key, each in value.items()}
    return [_without_secrets(each) for each in value] if isinstance(value, list | tuple) else value


def print_traceback(error: BaseException) -> None:
    """Writes where an error came from to stderr."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    say(*lines, stderr=True)


class LogFormatter(logging.Formatter):
    """Log lines as everything else."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or the lines of a traceback."""
        return "\n".join(map(safe, super().format(record).splitlines()))


def warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """In place of `warnings.showwarning`: what to know, not which line of ours said it."""
    say(f"warning: {message}", stderr=True)
