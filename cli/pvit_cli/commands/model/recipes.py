"""`pvit recipes`: the training recipes, one of them in full, or every key that a recipe may have."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say, styled


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("recipes")(recipes)


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Show this recipe in full, as YAML, ready to edit.")
    ] = None,
    keys: Annotated[
        bool,
        typer.Option("--keys", help="Show every key with its meaning and default, as YAML."),
    ] = False,
    table: Annotated[
        bool,
        typer.Option(
            "--table", help="Show the rows of published tables: settings and numbers to aim at."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the training recipes, or show one.

    A recipe is one YAML file; `pvit recipes pvit > mine.yaml` starts your own, used with --recipe mine.yaml. A file may
    say `base: pvit` and state only what differs. DATA/VARIANT is a variant on a data set: diving48/mt. `A+B` lays what
    B states onto A: pvit train --recipe mt+timesformer. `pvit recipes --keys` explains every key.
    """
    if keys:
        _print_keys(name, as_json=as_json)
        return
    from pvit_data.errors import UsageError
    from pvit_model.recipes.loading import load_recipe, recipe_names, row_names

    if table and name is not None:
        raise UsageError(f"--table is about all rows: leave out '{name}', or leave out --table")
    if table:
        _print_table({n: load_recipe(n) for n in row_names()}, as_json=as_json)
    elif name is not None:
        config = load_recipe(name)
        print_json(config.to_edit()) if as_json else say(*config.to_edit_yaml().splitlines())
    elif as_json:
        print_json({n: load_recipe(n).about for n in recipe_names()})
    else:
        _print_lists()


def _print_table(rows: dict[str, Any], *, as_json: bool) -> None:
    """Settings and published numbers of each row."""
    if as_json:
        print_json(
            {n: {"target": c.target, "paper": c.paper, "ours": c.ours} for n, c in rows.items()}
        )
        return
    from pvit_model.reporting.results import numbers_text

    titles = ("recipe", "batch", "optimiser", "rate", "epochs", "published")
    shown = new_table(*titles, left=("recipe", "optimiser", "published"))
    for name, config in rows.items():
        optim = config.optim
        shown.add_row(
            name,
            str(config.mixture.batch_size),
            optim.name,
            f"{optim.lr:g}",
            f"{optim.epochs:g}",
            numbers_text(config.target) or "none",
        )
    console().print(shown)
    say(
        "`pvit recipes NAME` says what of it is the paper's (`paper`) and what was decided here (`ours`)"
    )


def _print_keys(name: str | None, *, as_json: bool) -> None:
    from pvit_data.errors import UsageError
    from pvit_model.recipes.keys import commented, keys

    if name is not None:
        raise UsageError(f"--keys is about all recipes: leave out '{name}', or leave out --keys")
    if as_json:
        print_json({key.path: key._asdict() for key in keys() if key.kind})
        return
    say(*commented().splitlines())


def _print_lists() -> None:
    """Recipes, then what others are composed of."""
    from pvit_model.recipes import loading

    rows, composed = loading.row_names(), loading.variant_names()
    alone = [name for name in loading.recipe_names() if name not in (*rows, *composed)]
    _print("recipes", {n: loading.load_recipe(n).about for n in alone})
    _print(
        "variants: VARIANT (on SSv2), DATA/VARIANT", {n: loading.about_variant(n) for n in composed}
    )
    _print("data sets: DATA/VARIANT", {n: loading.about_data(n) for n in loading.data_names()})
    say(f"{len(rows)} DATA/VARIANT are rows of published tables: `pvit recipes --table`")


def _print(title: str, abouts: dict[str, str]) -> None:
    table = new_table(
        "",
        "",
        left=("",),
        title=title,
        title_justify="left",
        show_header=False,
        pad_edge=True,
        padding=(0, 2),
    )
    for name, about in abouts.items():
        table.add_row(styled((name, "bold")), about)
    console().print(table)
