"""`pvit-data mix`: the plan of a mixture, before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.common import console, print_json

BAR = 40  # characters of a full batch


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("mix")
    def mix(
        config: Annotated[
            Path,
            typer.Argument(metavar="CONFIG", help="YAML file: shards, downstream, batch_size, ..."),
        ],
        steps: Annotated[
            int | None,
            typer.Option(help="batches to count; default: an epoch, at most 2000", min=1),
        ] = None,
        figure: Annotated[
            Path | None, typer.Option(help="write the plan as a picture (SVG)")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
    ) -> None:
        """Print what each batch and epoch will hold: samples per source and task, repeats, what would starve.

        The file names datasets and shares; only `shards` and `downstream` are needed:

            shards: [data/ssv2, data/synthetic]

            downstream: ssv2

            batch_size: 128

            quotas: {depth: 8, boxes: 4}

        More: split, sources, where, weights, seed, cap, portion, tasks.
        """
        from pvit_data.looking.mix_figure import figure as draw
        from pvit_data.mixing import config as mix_config
        from pvit_data.mixing.plan import survey

        plan = survey(mix_config.load(config).build(), steps)
        if figure is not None:
            figure.write_text(draw(plan))
        print_json(plan.to_json()) if as_json else _print(plan)
        if figure is not None and not as_json:
            print(f"figure: {figure}")


def _print(plan: Any) -> None:
    out = console()
    out.print(
        f"[bold]{plan.batch_size} samples a batch[/], {plan.steps_per_epoch:,} batches an epoch; "
        f"counted over {plan.steps:,} batches\n"
    )
    out.print(_sources(plan))
    out.print(_tasks(plan))
    for warning in plan.warnings:
        out.print(f"[yellow]warning:[/] {warning}", highlight=False)


def _table(*titles: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index == 0 or not title else "right")
    return table


def _sources(plan: Any) -> Any:
    table = _table("source", "role", "samples", "per batch", "from-to", "per epoch", "repeats", "")
    for source in plan.sources:
        table.add_row(
            source.name, source.role, f"{source.rows:,}", f"{source.per_batch:.2f}", f"{source.fewest}-{source.most}",
            f"{source.per_epoch:,.0f}", f"{source.repeats:.2f}", _bar(source.per_batch / plan.batch_size),
        )  # fmt: skip
    return table


def _tasks(plan: Any) -> Any:
    table = _table(
        "\ntask", "\nper batch", "\nfrom-to", "\nquota", "\nbatches without", "\nsources", "\n"
    )
    for task in plan.tasks:
        table.add_row(
            task.name, f"{task.per_batch:.2f}", f"{task.fewest}-{task.most}", str(task.quota or ""),
            f"{task.starved:.0%}", ", ".join(task.sources), _bar(task.per_batch / plan.batch_size),
        )  # fmt: skip
    return table


def _bar(share: float) -> str:
    return "█" * round(BAR * share)
