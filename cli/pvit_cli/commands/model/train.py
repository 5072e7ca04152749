"""`pvit train`: train a model, or print the plan of a run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.output import console, say

Out = Annotated[
    Path,
    typer.Option(help="Folder of the run: configuration, log, checkpoints, model, report.html."),
]
OfShards = Annotated[
    list[str] | None,
    typer.Option(
        "--shards",
        help="Folder or URL with shards, written by `pvit-data convert`; give one --shards each. Not needed with "
        "--resume.",
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="Name of a recipe (`pvit recipes`), or a YAML file. Default: pvit; with --resume the run's own."
    ),
]
Downstream = Annotated[
    str | None,
    typer.Option(
        help="Source whose actions are learned; all others are auxiliary. Default: the recipe's."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value of the recipe, e.g. --set optim.lr=1e-4."),
]
Resume = Annotated[
    bool,
    typer.Option(
        help="Continue the run in --out from its last good checkpoint; --resume --out RUN is enough. It may "
        "become longer or shorter: --set optim.steps=N or optim.epochs=N."
    ),
]
Overwrite = Annotated[
    bool, typer.Option(help="Replace a run in --out that ended before its first checkpoint.")
]
AllowChangedData = Annotated[
    bool, typer.Option(help="Resume although a source was changed since the run began.")
]
FastDevRun = Annotated[
    bool, typer.Option(help="Two steps and tiny validations: does everything work?")
]
DryRun = Annotated[bool, typer.Option(help="Print the plan and stop.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("train")(train)


def train(
    out: Out,
    shards: OfShards = None,
    recipe: Recipe = None,
    downstream: Downstream = None,
    settings: Settings = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    allow_changed_data: AllowChangedData = False,
    fast_dev_run: FastDevRun = False,
    dry_run: DryRun = False,
) -> None:
    """Train a model on the sources of one or more shard folders.

    The folders' manifests say which sources there are and what each is annotated with; the plan is printed first.
    Ctrl-C or SIGTERM saves a checkpoint and exits with 75; the same command with --resume goes on exactly there.
    Several GPUs: torchrun --nproc-per-node 8 -m pvit_cli.model train ...
    """
    from pvit_model.recipes.places import say_opened
    from pvit_model.recipes.plan import make_plan
    from pvit_model.runs.resume import resolved

    changes = list(settings or [])
    if downstream is not None:
        changes.append(f"clip.downstream={downstream}")
    given = list(shards or ())
    config, urls = resolved(recipe, given, out, changes, resume)
    say_opened([config.model.init_from, *urls], [*given, *changes], partial(say, stderr=True))
    plan = make_plan(config, urls)
    if dry_run:
        _print_plan(plan, out, resume, allow_changed_data, overwrite)
        return
    from pvit_model.training.trainer import run_plan

    run_plan(plan, out, console(), resume, fast_dev_run, allow_changed_data, overwrite)


def _print_plan(
    plan: Any, out: Path, resume: bool, allow_changed_data: bool, overwrite: bool
) -> None:
    """The plan; refuses what the run would refuse."""
    from pvit_model.runs.folder import prepare
    from pvit_model.runs.mirrors import check_mirrors
    from pvit_model.runs.resume import start_of
    from pvit_model.training.build import announcement, build_network
    from pvit_model.training.engine import check_precision

    prepare(out, resume, is_main=False, overwrite=overwrite)
    check_mirrors(plan.config.run.log)
    check_precision(plan.config.run)
    weights: list[str] = []
    start = start_of(plan, out, resume, allow_changed_data)
    network = build_network(start.plan, weights.append, started=start.checkpoint is not None)
    say(*announcement(network, start.plan, out, weights))
