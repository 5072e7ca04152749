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
    markdown: Annotated[
        bool,
        typer.Option("--markdown", help="print its page in the documentation (docs/sources)"),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the raw datasets that can be converted; with a NAME, how to get it and what it must look like."""
    from pvit_converters import registry

    if markdown:
        _print_page(name, as_json=as_json)
    elif name is not None:
        _show(registry.load(name), as_json)
    elif as_json:
        print_json([_values(registry.load(each)) for each in registry.names()])
    else:
        _table([registry.load(each) for each in registry.names()])


def _print_page(name: str | None, *, as_json: bool) -> None:
    from pvit_converters import page, registry
    from pvit_data.errors import UsageError

    if as_json:
        raise UsageError("--markdown prints a page: leave out --json, or leave out --markdown")
    text = page.overview() if name is None else page.page(registry.load(name))
    say(*text.splitlines())


def _values(converter: Any) -> dict[str, Any]:
    fields = converter.Options.model_fields
    options = {name: field.description for name, field in fields.items()}
    return asdict(converter.info) | {"version": converter.version, "options": options}


def _table(converters: list[Any]) -> None:
    titles = ("source", "gives", "paper trains", "licence", "may be published", "derived")
    table = new_table(*titles, left=titles)
    for converter in converters:
        info = converter.info
        trains = " ".join(info.tasks) or info.role
        published = "yes" if info.redistributable else "no"
        gives = " ".join(info.produces)
        table.add_row(info.name, gives, trains, info.licence, published, info.derived)
    out = console()
    out.print(table)
    out.print()
    out.print("derived: may annotations be passed on that were made from its pictures?")
    out.print(
        "pvit-data sources NAME tells how to get one; pvit-data simulate NAME makes a small stand-in."
    )


def _show(converter: Any, as_json: bool) -> None:
    if as_json:
        print_json(_values(converter))
        return
    from pvit_converters.page import derived_text

    info = converter.info
    published = "may be published" if info.redistributable else "must not be published"
    lines = [
        f"{info.name}: {info.title}",
        "",
        f"gives:    {', '.join(info.produces)}",
        f"licence:  {info.licence} (converted data {published})",
        *(
            f"          {name}: {rights.public}, {rights.why}"
            for name, rights in info.rights.items()
        ),
        f"derived:  annotations made from its pictures may be passed on: {derived_text(info)}",
        *f"get it:   {info.obtain}".splitlines(),
        "",
        *info.tree.splitlines(),
        "",
        f"options of pvit-data convert {info.name}:",
    ]
    for name, field in converter.Options.model_fields.items():
        lines.append(f"  --{name.replace('_', '-'):20} {field.description}")
    say(*lines, "", *info.citation.splitlines())
