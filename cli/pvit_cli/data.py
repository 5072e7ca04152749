"""The command `pvit-data`: from raw datasets to PViT shards, and everything one does with shards.

To add a command, write a module in `pvit_cli.commands.data` with a function `register(app)` and add its name below.
"""

from __future__ import annotations

from collections.abc import Sequence

import typer

from pvit_cli.common import assemble, run

# In the order of the help page. A module imports what it needs inside its command, so that the help page is quick.
COMMANDS = (
    "sources",
    "simulate",
    "convert",
    "finish",
    "split",
    "index",
    "validate",
    "stats",
    "lineage",
    "show",
    "gallery",
    "mix",
    "publish",
    "pull",
    "doctor",
)

HELP = """Convert raw datasets to PViT shards, check them, look at them, mix them.

Try it without any download:

    pvit-data simulate hypersim raw --samples 40

    pvit-data convert hypersim raw shards
"""


def make_app() -> typer.Typer:
    """The application with all its commands."""
    return assemble("pvit_cli.commands.data", COMMANDS, HELP, rich_markup_mode="markdown")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Args:
        argv: arguments without the program's name; default: those of the process.
    """
    return run(make_app(), argv, "pvit-data")
