"""`pvit-data doctor`: whether this machine can convert, load and train, and what to do where it cannot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import typer

from pvit_cli.common import EXIT_OK, EXIT_PROBLEM
from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say, styled
from pvit_data.words import counted

_SIGNS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "bold red")}


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("doctor")(doctor)


def doctor(as_json: Json = False) -> int:
    """Look at what is installed and what the system grants, and say what to do where something is wrong.

    Versions, codecs (by use), cores, shared memory, open files, caches and the GPU. The exit code is 1 if there is a
    problem; a note is about work that will be slower, or that you may not need.
    """
    from pvit_data.machine.checkup import checkup

    found = [*checkup()]
    wrong = sum(finding.state == "problem" for finding in found)
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in found]})
    else:
        _print(found)
        say("", f"{counted(wrong, 'problem')}" if wrong else "No problems.")
    return EXIT_PROBLEM if wrong else EXIT_OK


def _print(found: list[Any]) -> None:
    table = new_table("", "", "", left=("",), show_header=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.justify = "left"
    for finding in found:
        table.add_row(styled(_SIGNS[finding.state]), finding.about, finding.found)
        if finding.remedy:
            table.add_row("", "", styled((f"-> {finding.remedy}", "bold")))
    console().print(table)
