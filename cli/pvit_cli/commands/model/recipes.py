"""`pvit recipes`: the training recipes, one of them in full, or every key that a recipe may have."""

from __future__ import annotations

from typing import Annotated

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
    as_json: Json = False,
) -> None:
    """List the training recipes, or show one.

    A recipe is one YAML file; `pvit recipes pvit > mine.yaml` starts your own, used with --recipe mine.yaml. A file may
    say `base: pvit` and state only what differs. `A+B` lays what B states onto A: pvit train --recipe mt+timesformer.
    `pvit recipes --keys` explains every key.
    """
    if keys:
        _print_keys(name, as_json=as_json)
        return
    from pvit_model.recipes.loading import load_recipe, recipe_names

    if name is not None:
        config = load_recipe(name)
        print_json(config.to_edit()) if as_json else say(*config.to_edit_yaml().splitlines())
        return
    found = {n: load_recipe(n) for n in recipe_names()}
    if as_json:
        print_json({n: c.about for n, c in found.items()})
        return
    _print({n: c.about for n, c in found.items()})


def _print_keys(name: str | None, *, as_json: bool) -> None:
    from pvit_data.errors import UsageError
    from pvit_model.recipes.keys import commented, keys

    if name is not None:
        raise UsageError(f"--keys is about all recipes: leave out '{name}', or leave out --keys")
    if as_json:
        print_json({key.path: key._asdict() for key in keys() if key.kind})
        return
    say(*commented().splitlines())


def _print(abouts: dict[str, str]) -> None:
    table = new_table(show_header=False, pad_edge=True, padding=(0, 2))
    for name, about in abouts.items():
        table.add_row(styled((name, "bold")), about)
    console().print(table)
