"""`pvit-data sources`: which raw datasets can be converted, and what each needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sources")(sources)


def sources(
    name: Annotated[str | None, typer.Argument(help="show all about this source")] = None,
    as_json: Json = False,
) -> None:
    """List the raw datasets that can be converted; with a NAME, how to get it and what it must look like."""
    from pvit_converters import registry

    if name is not None:
        _show(registry.load(name), as_json)
    elif as_json:
        print_json([_values(registry.load(each)) for each in registry.names()])
    else:
        _table([registry.load(each) for each in registry.names()])


def _values(converter: Any) -> dict[str, Any]:
    fields = converter.Options.model_fields
    options = {name: field.description for name, field in fields.items()}
    return asdict(converter.info) | {"version": converter.version, "options": options}


def _table(converters: list[Any]) -> None:
    titles = ("source", "gives", "paper trains", "licence", "may be published")
    table = new_table(*titles, left=titles)
    for converter in converters:
        info = converter.info
        trains = " ".join(info.tasks) or info.role
        published = "yes" if info.redistributable else "no"
        table.add_row(info.name, " ".join(info.produces), trains, info.licence, published)
    out = console()
    out.print(table)
    out.print()
    out.print(
        "pvit-data sources NAME tells how to get one; pvit-data simulate NAME makes a small stand-in."
    )


def _show(converter: Any, as_json: bool) -> None:
    if as_json:
        print_json(_values(converter))
        return
    info = converter.info
    published = "may be published" if info.redistributable else "must not be published"
    lines = [
        f"{info.name}: {info.title}",
        "",
        f"gives:    {', '.join(info.produces)}",
        f"licence:  {info.licence} (converted data {published})",
        *f"get it:   {info.obtain}".splitlines(),
        "",
        *info.tree.splitlines(),
        "",
        f"options of pvit-data convert {info.name}:",
    ]
    for name, field in converter.Options.model_fields.items():
        lines.append(f"  --{name.replace('_', '-'):20} {field.description}")
    say(*lines, "", *info.citation.splitlines())
