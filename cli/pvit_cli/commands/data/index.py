"""`pvit-data index`: random access to WebDataset tars that other tools wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from pvit_cli.common import print_json
from pvit_cli.options import Json
from pvit_cli.progress import progress


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("index")(index)


def index(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="folder or URL of .tar files of WebDataset")
    ],
    as_json: Json = False,
) -> None:
    """Index foreign WebDataset tars, so that pvit_data.open reads any sample and member without scanning."""
    from pvit_data.reading.foreign_index import NAME, index_foreign

    with progress("index", "shards") as update:
        found = index_foreign(folder, update)
    left_out = {kind: n for kind, n in sorted(found.left_out.items()) if n}
    if as_json:
        print_json(
            {
                "shards": found.shards,
                "samples": found.samples,
                "members": dict(sorted(found.members.items())),
                "fields": dict(sorted(found.fields.items())),
                "left_out": left_out,
            }
        )
        return
    print(f"{folder.rstrip('/')}/{NAME}: {found.samples:,} samples in {found.shards:,} shards")
    print("members: " + ", ".join(f"{n:,} x {name}" for name, n in sorted(found.members.items())))
    print(
        "understood as: "
        + (", ".join(f"{n:,} x {f}" for f, n in sorted(found.fields.items())) or "nothing")
    )
    if left_out:
        print(
            "left out, no regular files: "
            + ", ".join(f"{n:,} x {kind}" for kind, n in left_out.items())
        )
