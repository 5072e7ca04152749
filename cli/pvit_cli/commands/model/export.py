"""`pvit export`: a model as a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pvit_cli.options import Model
from pvit_cli.output import say
from pvit_data.words import size_text


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    model: Model,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="New folder for inference.json and model.safetensors with config.json, model.pt2 or model.onnx.",
        ),
    ],
    drop_heads: Annotated[
        bool, typer.Option(help="Leave out the auxiliary heads: prompts and actions only.")
    ] = False,
    form: Annotated[
        Literal["safetensors", "torchexport", "onnx"],
        typer.Option(
            "--format",
            help="safetensors: what --model takes; torchexport (model.pt2), onnx: a classifier that needs nothing of "
            "this toolkit.",
        ),
    ] = "safetensors",
    batch: Annotated[
        int, typer.Option(min=1, help="Clips at once that torchexport and onnx take.")
    ] = 1,
) -> None:
    """Write a model as a folder of its own, without optimiser and log: what `--model` takes, ready to share.

    With --drop-heads the network is the paper's test-time one: prompts kept, auxiliary heads gone.
    """
    from pvit_model.using.export import export_model

    size = export_model(model, out, drop_heads=drop_heads, kind=form, batch=batch)
    say(f"wrote {out} ({size_text(size)})")
