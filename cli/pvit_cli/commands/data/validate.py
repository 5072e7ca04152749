"""`pvit-data validate`: is the dataset what its manifest promises?"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_OK, EXIT_PROBLEM
from pvit_cli.options import Dataset, Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.words import size_text


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("validate")(validate)


def validate(
    out: Dataset,
    deep: Annotated[
        bool, typer.Option("--deep", help="decode every page and every frame as well")
    ] = False,
    workers: Annotated[
        int, typer.Option(help="processes; 0: one per core where it pays", min=0)
    ] = 0,
    examples: Annotated[int, typer.Option(help="problems shown of each kind", min=0)] = 5,
    as_json: Json = False,
) -> int:
    """Check structure, checksums, schema and values of a dataset; exit code 1 if anything is wrong."""
    from pvit_data.validate import validate as run

    with progress("validate") as update:
        report = run(out, deep=deep, workers=workers, progress=update)
    print_json(report.to_json()) if as_json else _print(report, examples)
    return EXIT_OK if report.ok else EXIT_PROBLEM


def _print(report: Any, examples: int) -> None:
    from pvit_data.validate import KINDS, WARNINGS

    for kind, meaning in KINDS.items():
        count = report.counts[kind]
        if not count:
            continue
        say(f"{'warning' if kind in WARNINGS else 'PROBLEM'}: {count:,} x {kind}: {meaning}")
        for problem in report.of_kind(kind)[:examples]:
            say(
                "  "
                + ": ".join(text for text in (problem.file, problem.key, problem.message) if text)
            )
        if (more := count - examples) > 0 and examples:
            say(f"  ... and {more:,} more (--examples N, or --json)")
    depth = "everything decoded" if report.deep else "--deep decodes everything"
    result = "ok" if report.ok else f"{report.num_problems:,} problems"
    say(
        f"{report.url}: {result}; {report.samples:,} samples in {report.shards:,} shards, {size_text(report.bytes)}, "
        f"{report.seconds:.1f} s ({depth})"
    )
