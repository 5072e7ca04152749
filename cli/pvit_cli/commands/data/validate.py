"""`pvit-data validate`: is the dataset what its manifest promises?"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_OK, EXIT_PROBLEM
from pvit_cli.options import Base, Dataset, Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.errors import UsageError
from pvit_data.words import counted, size_text


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
    shard: Annotated[
        str,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="look into each N-th shard from the I-th on, as task I of N (0 to N - 1) of a job array",
        ),
    ] = "0/1",
    sample: Annotated[
        str,
        typer.Option(
            "--sample", metavar="P%", help="look into this share of the samples, without sha256"
        ),
    ] = "100%",
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="keep what is found here, and check no shard again that is kept with the same bytes",
        ),
    ] = None,
    base: Base = None,
    examples: Annotated[int, typer.Option(help="problems shown of each kind", min=0)] = 5,
    as_json: Json = False,
) -> int:
    """Check structure, checksums, schema and values of a dataset; exit code 1 if anything is wrong.

    Ctrl-C or SIGTERM ends with 75; with --resume the same command then goes on. The tasks of a job array share one
    folder, and the command without --shard makes the report of all of them.

    Of layers whose base is in the same folder, or in --base, every row is compared with its sample.
    """
    from pvit_data.validate import validate as run

    options: Any = {"shard": _part(shard), "sample": _share(sample), "resume": resume, "base": base}
    with progress("validate") as update, _stoppable():
        report = run(out, deep=deep, workers=workers, **options, progress=update)
    print_json(report.to_json()) if as_json else _print(report, examples)
    return EXIT_OK if report.ok else EXIT_PROBLEM


def _part(text: str) -> tuple[int, int]:
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal()):
        raise UsageError(f"--shard {text}: expected I/N, such as 0/8 for the first of 8 tasks")
    return int(number), int(parts)


def _share(text: str) -> float:
    try:
        return float(text.removesuffix("%") if text.endswith("%") else "") / 100
    except ValueError:
        raise UsageError(f"--sample {text}: expected a percentage, such as 5%") from None


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM, with which clusters end a job, is taken like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    scope = "" if report.is_complete else " in what was looked at"
    number = f"{report.num_problems:,}" if report.num_problems else "no"
    result = "ok" if report.ok and not scope else f"{number} problems{scope}"
    say(f"{report.url}: {result}; {_looked_at(report)}, {report.seconds:.1f} s ({depth})")
    if left_out := report.left_out():
        say(f"  not looked at: {left_out}")
    if report.earlier:
        say(f"  found by an earlier validation: {counted(report.earlier, 'shard')} of these")


def _looked_at(report: Any) -> str:
    if report.is_complete:
        size = size_text(report.bytes)
        return f"{report.samples:,} samples in {report.shards:,} shards, {size}"
    whole = report.whole
    return (
        f"{report.samples:,} of {whole.samples:,} samples in {report.shards:,} of {whole.shards:,} shards, "
        f"{size_text(report.bytes)} of {size_text(whole.bytes)}"
    )
