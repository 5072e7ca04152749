"""`pvit-data index`: random access to WebDataset tars that other tools wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.words import counted

if TYPE_CHECKING:
    from pvit_data.reading.foreign.index import ForeignSummary


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("index")(index)


def index(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="folder or URL of .tar files of WebDataset")
    ],
    classes: Annotated[
        Path | None,
        typer.Option(
            help="what cls means: a class name per line, or JSON (a list, or ids by name)"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Index foreign WebDataset tars, so that pvit_data.open reads any sample and member without scanning."""
    from pvit_data.reading.foreign.index import index_foreign, read_classes
    from pvit_data.reading.foreign.table import NAME

    space = None if classes is None else read_classes(classes)
    with progress("index", "shards") as update:
        found = index_foreign(folder, update, space)
    left_out = {kind: n for kind, n in sorted(found.left_out.items()) if n}
    if as_json:
        print_json(
            {
                "shards": found.shards,
                "samples": found.samples,
                "members": dict(sorted(found.members.items())),
                "fields": dict(sorted(found.fields.items())),
                "left_out": left_out,
                "damaged": found.damaged,
                "ambiguous": found.ambiguous,
                "repeated": len(found.repeated),
            }
        )
        return
    say(
        f"{folder.rstrip('/')}/{NAME}: {found.samples:,} samples in {counted(found.shards, 'shard')}"
    )
    say("members: " + _listed(found.members))
    say("understood as: " + (_listed(found.fields) or "nothing"))
    if left_out:
        say("left out, no members: " + _listed(left_out))
    for line in _warnings(found):
        say(f"warning: {line}", stderr=True)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} x {name}" for name, n in sorted(counts.items()))


def _warnings(found: ForeignSummary) -> Iterator[str]:
    for message in list(found.damaged.values())[:10]:
        yield f"left out, damaged: {message}"
    if len(found.damaged) > 10:
        yield f"left out, damaged: {counted(len(found.damaged) - 10, 'more shard')}"
    if found.ambiguous:
        number = counted(len(found.ambiguous), "shard name says", "shard names say")
        yield f"{number} two splits ({found.ambiguous[0]}): counted to train"
    for key, (first, second) in list(found.repeated.items())[:1]:
        place = f"in {first} and {second}" if first != second else f"twice in {first}"
        number = counted(len(found.repeated), "key comes", "keys come")
        yield f"{number} again ({key!r} {place}): each time it is a sample of its own"
