"""`pvit compare`: whether two results may be compared, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_PROBLEM
from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("compare")(compare)


def compare(
    a: Annotated[
        Path, typer.Argument(help="A result of `pvit score --json` or `pvit eval --json`.")
    ],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 where a result has a finding, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two results, if they may be compared: same metric, variant, list, views, classes, detections.

    Weights, software and hardware may differ and are listed, and what the doctor found in either. Exits with 1 where
    the numbers are not comparable.
    """
    from pvit_data.scoring.compare import compare as compare_results
    from pvit_data.scoring.compare import read_results, same_metric

    found = compare_results(*same_metric(read_results(a), read_results(b)))
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, a.name, b.name)
    if not found.comparable or (strict and any(found.findings)):
        raise typer.Exit(EXIT_PROBLEM)


def _print(found: Any, a: str, b: str) -> None:
    table = new_table("", a, b, "difference", left=("",))
    for name, (first, second) in found.numbers.items():
        both = first is not None and second is not None
        table.add_row(name, _text(first), _text(second), f"{second - first:+.5f}" if both else "")
    console().print(table)
    doubt = ", but doubtful: the doctor found something" if any(found.findings) else ""
    say(f"{'comparable' if found.comparable else 'NOT comparable'}{doubt}")
    for name, said in zip((a, b), found.findings, strict=True):
        for finding in said:
            say(f"  FINDING in {name}: {finding}")
    for name, pair in found.differs.items():
        say(f"  differs: {name}: {_text(pair[0])} | {_text(pair[1])}")
    for name in found.unknown:
        way = " (pvit score --classes FILE names them)" if name == "classes" else ""
        say(f"  not known of both: {name}{way}")
    for name, pair in found.other.items():
        say(f"  may differ: {name}: {_text(pair[0])} | {_text(pair[1])}")


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:.5f}" if isinstance(value, float) else str(value)[:80]
