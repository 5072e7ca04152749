"""`pvit-data mix`: the plan of a mixture, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.output import console, new_table, print_json, say, styled
from pvit_data.reading.overwriting import refuse_overwriting
from pvit_data.storage.files import write_file

BAR = 40  # characters of a full batch


def register(app: typer.Typer) -> None:
    """Adds the command."""

    @app.command("mix")
    def mix(
        recipe: Annotated[
            str,
            typer.Argument(metavar="RECIPE", help="Recipe: a shipped name, or a YAML file."),
        ],
        shards: Annotated[
            list[str] | None,
            typer.Option("--shards", help="Folder or URL with shards; give one --shards each."),
        ] = None,
        downstream: Annotated[
            str | None,
            typer.Option(help="Source whose actions are trained; default: the recipe's."),
        ] = None,
        settings: Annotated[
            list[str] | None,
            typer.Option("--set", help="Override, e.g. mixture.batch_size=64."),
        ] = None,
        steps: Annotated[
            int | None,
            typer.Option(help="Batches to count; default: an epoch, at most 2000.", min=1),
        ] = None,
        figure: Annotated[
            Path | None, typer.Option(help="Write the plan as a picture (SVG).")
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    ) -> None:
        """Print what each batch and epoch will hold: samples per source and task, repeats, what would starve.

        It is the mixture that `pvit train` would make of the same recipe and shards:

            pvit-data mix pvit --shards data/ssv2 --shards data/synthetic --downstream ssv2

            pvit-data mix pvit --shards ... --set mixture.batch_size=64 --set 'mixture.quotas={depth: 8}'

        A YAML file that names its shards itself (shards, downstream, batch_size, quotas, ...) is read, too.
        """
        from pvit_data.looking.mix_figure import figure as mix_figure
        from pvit_data.mixing.plan import survey
        from pvit_model.recipes.mixtures import recipe_mixture

        read = [("the recipe", recipe), *(("the shards", folder) for folder in shards or ())]
        refuse_overwriting({"--figure": figure}, read)
        changes = [f"clip.downstream={downstream}"] if downstream is not None else []
        changes = [*(settings or ()), *changes]
        mixture, notes = recipe_mixture(recipe, shards or (), changes, partial(say, stderr=True))
        plan = survey(mixture, steps)
        if figure is not None:
            write_file(figure, mix_figure(plan), follow=True)
        if as_json:
            print_json({**plan.to_json(), "notes": [*notes]})
            return
        _print(plan, notes)
        if figure is not None:
            say(f"figure: {figure}")


def _print(plan: Any, notes: Sequence[str]) -> None:
    out = console()
    counts = f", {plan.steps_per_epoch:,} batches an epoch; counted over {plan.steps:,} batches"
    out.print(styled((f"{plan.batch_size} samples a batch", "bold"), counts))
    for table in (_sources(plan), _tasks(plan)):
        out.print()
        out.print(table)
    for note in notes:
        out.print(f"note: {note}")
    for warning in plan.warnings:
        out.print(styled(("warning:", "yellow"), f" {warning}"))


def _sources(plan: Any) -> Any:
    titles = ("source", "role", "samples", "per batch", "from-to", "per epoch", "repeats", "")
    table = new_table(*titles, left=("source", ""))
    for source in plan.sources:
        table.add_row(
            source.name, source.role, f"{source.rows:,}", f"{source.per_batch:.2f}", f"{source.fewest}-{source.most}",
            f"{source.per_epoch:,.0f}", f"{source.repeats:.2f}", _bar(source.per_batch / plan.batch_size),
        )  # fmt: skip
    return table


def _tasks(plan: Any) -> Any:
    titles = ("task", "per batch", "from-to", "quota", "batches without", "sources", "")
    table = new_table(*titles, left=("task", ""))
    for task in plan.tasks:
        table.add_row(
            task.name, f"{task.per_batch:.2f}", f"{task.fewest}-{task.most}", str(task.quota or ""),
            f"{task.starved:.0%}", ", ".join(task.sources), _bar(task.per_batch / plan.batch_size),
        )  # fmt: skip
    return table


def _bar(share: float) -> str:
    return "█" * round(BAR * share)
