"""`pvit-data finish`: the manifest, index and card of shards that the tasks of a job array wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from pvit_cli.options import Json
from pvit_cli.output import print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("finish")(finish)


def finish(
    out: Annotated[str, typer.Argument(metavar="OUT", help="folder of the dataset")],
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="build from the finished shards although others are missing"
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Build manifest, index and card from finished shards, after the tasks of a job array have run."""
    from pvit_converters.engine.finishing import finish_dataset
    from pvit_converters.engine.report import as_text, to_json
    from pvit_data.words import counted
    from pvit_data.writing.finish import shards_without_receipt

    reports = finish_dataset(out, partial=partial)
    left_out = shards_without_receipt(out)
    if as_json:
        print_json([to_json(report) for report in reports])
    else:
        lines = [line for report in reports for line in as_text(report).splitlines()]
        if lines:
            say(*lines)
        if left_out:
            say(
                f"note: {counted(len(left_out), 'shard')} without a receipt left out, from {left_out[0]} on: nothing "
                "says that they are whole, what made them makes them again"
            )
        say(f"{out.rstrip('/')}/manifest.json is up to date")
