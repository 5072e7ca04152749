"""`pvit predict`: what a model sees in one video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pvit_cli.options import Device, Json, Model, usable_device
from pvit_cli.output import print_json, say


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("predict")(predict)


def predict(
    video: Annotated[str, typer.Argument(help="Any video file: mp4, webm, avi.")],
    model: Model,
    out: Annotated[
        Path, typer.Option(help="Folder for predictions.json, overlay.mp4 and overlay.png.")
    ],
    top: Annotated[int, typer.Option(min=1, help="Number of classes to list.")] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Predict a video's action, depth, normals, segmentation, pose and boxes: whatever the model has a head for.

    The clip is sampled and cut as in the model's own evaluation; the overlay shows what it saw.
    """
    from pvit_model.using.predict import predict as run_prediction

    prediction = run_prediction(video, model, out, top=top, device=usable_device(device))
    if as_json:
        print_json(prediction.to_json())
        return
    for warning in prediction.warnings:
        say(f"warning    {warning}")
    for action in prediction.actions:
        say(f"{100 * action.probability:6.2f} %  {action.name}")
    if prediction.outputs:
        say(f"outputs    {', '.join(prediction.outputs)}")
    for name in ("predictions.json", "overlay.mp4", "overlay.png"):
        say(f"wrote      {out / name}")
