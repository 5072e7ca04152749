"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from pvit_data.errors import UsageError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

Dataset = Annotated[str, typer.Argument(metavar="OUT", help="folder or URL of the dataset")]
OnlySource = Annotated[
    str | None,
    typer.Option("--source", help="only this source, protocol or layer; default: all sources"),
]
OnlySplit = Annotated[str | None, typer.Option("--split", help="only this split")]
Where = Annotated[
    str | None, typer.Option("--where", help='filter, e.g. "has_depth and frames >= 16"')
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        metavar="NAME|FOLDER|URL#NAME",
        help="attach this annotation layer; one --layer each, the last one that has a field gives it. "
        "Default: all in OUT but those made to be asked for; none: no layer",
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="URL",
        help="folder or URL with the pictures of a layer or a protocol; default: OUT",
    ),
]

Shards = Annotated[
    list[str],
    typer.Option(
        "--shards",
        help="Folder or URL with shards, written by `pvit-data convert`; give one --shards each.",
    ),
]
Model = Annotated[
    str, typer.Option("--model", help="A run's folder, an exported folder, or a Hub id owner/name.")
]
MaybeModel = Annotated[
    str,
    typer.Option(
        "--model",
        help="A run's folder, an exported folder, or a Hub id owner/name; or give --weights.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="Where to compute: auto, cpu, cuda, cuda:1, ...")
]


def usable_device(name: str) -> str:
    """The device that `--device` means.

    Raises:
        UsageError: if it cannot be used here.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device '{name}' cannot be used ({str(error).splitlines()[0]}); try --device cpu"
        ) from None
    return name
