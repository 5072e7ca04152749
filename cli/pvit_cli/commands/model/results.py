"""`pvit results`: published numbers and those of a folder of results, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pvit_cli.options import Json
from pvit_cli.output import print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("results")(results)


def results(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder whose *.json files are results of `pvit eval --out` or `pvit score --out`; default: none."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a page of results: every row of published tables, filled from passports only, and empty where none is.

    docs/results.md is `pvit results docs/results`. A result belongs to the row that its run's recipe names; what the
    run had otherwise than that recipe is said beside it. Files that are no such result are left out, and named, and so
    are results on samples that the network was trained on.
    """
    from pvit_model.reporting.results import collect, page

    found = collect(folder)
    for reason in found.left_out:
        say(f"left out: {reason}", stderr=True)
    print_json(found.to_json()) if as_json else say(*page(found).splitlines())
