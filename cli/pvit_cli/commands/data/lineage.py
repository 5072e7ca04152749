"""`pvit-data lineage`: where each field comes from, under which licence, and whether it may be passed on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pvit_cli.options import Json
from pvit_cli.output import console, new_table, print_json, say, styled

_COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}
MOST_META = 200  # characters of what a source says of a sample


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("lineage")(lineage)


def lineage(
    shards: Annotated[str, typer.Argument(metavar="SHARDS", help="Folder or URL of the dataset.")],
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="A sample; default: all fields of all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say where each field comes from, and whether it may be passed on.

    Of every source and layer: who made a field, what converted it, its licence, whether that lets it be passed on, and
    why. `record` is what every sample has: key, split, sizes, meta.

        pvit-data lineage data

        pvit-data lineage data hypersim-ai_001_001-cam_00-0000
    """
    from pvit_data.format.manifest import read_manifest
    from pvit_data.lineage.fields import lineage_of, strictest_public
    from pvit_data.lineage.one_sample import lineage_of_sample
    from pvit_data.storage.storage import Storage

    storage = Storage(shards)
    storage.require_folder()
    manifest = read_manifest(storage)
    if key is not None:
        rows = lineage_of_sample(storage, manifest, key)
        if as_json:
            print_json({"key": key, "rows": [asdict(row) for row in rows]})
            return
        for row in rows:
            place = f"{row.split}, {row.shard or 'in the index alone'}, group {row.group}"
            told = json.dumps(row.meta, ensure_ascii=False)[:MOST_META] if row.meta else ""
            say(f"{row.name}: {place}{f'; {told}' if told else ''}")
        say("")
        show_fields([field for row in rows for field in row.fields])
        return
    fields = lineage_of(manifest)
    together = strictest_public(fields)
    if as_json:
        print_json({"fields": [asdict(field) for field in fields], "together": together})
        return
    show_fields(fields)
    say("", f"all of it together may be passed on: {together}")


def show_fields(fields: Iterable[Any]) -> None:
    """A table, one line for fields of which the same is true, then each reason once."""
    alike: dict[tuple[str, ...], list[Any]] = {}
    for field in fields:
        same = (field.name, field.public, field.licence, field.made_from, field.why)
        alike.setdefault(same, []).append(field)
    titles = ("source or layer", "fields (samples)", "may be passed on", "licence", "from")
    table = new_table(*titles, left=titles)
    for (name, public, licence, made_by, _), group in alike.items():
        names = ", ".join(f"{field.field} ({field.samples:,})" for field in group)
        verdict = styled((public, _COLOURS[public]))
        table.add_row(name, names, verdict, licence or "not stated", made_by)
    console().print(table)
    say("")
    for (name, *_, why), group in alike.items():
        say(f"{name}, {', '.join(field.field for field in group)}: {why}")
    for name, made in dict.fromkeys((f.name, _converter(f)) for g in alike.values() for f in g):
        say(f"{name}: {made}")


def _converter(field: Any) -> str:
    if not field.converter:
        return "written by no converter"
    options = json.dumps(dict(field.options), sort_keys=True) if field.options else "none"
    return f"converter {field.converter} {field.converter_version}, options {options}"
