"""`pvit predict`: what a model sees in videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Device, Json, Model, OnlySource, OnlySplit, usable_device
from pvit_cli.output import print_json, say
from pvit_cli.progress import progress
from pvit_data.errors import SourceError

MOST_NAMED = 10  # of videos that were skipped


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("predict")(predict)


def predict(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO|FOLDER|PATTERN|SHARDS...",
            help="Videos (mp4, webm, avi, ...) and photos (jpg): files, folders, patterns such as 'day1/*.mp4', and "
            "folders or URLs with shards.",
        ),
    ],
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for predictions.json, predictions.npz and the overlay, and for scores.parquet; of several "
            "videos each has a folder of its own in it."
        ),
    ],
    topk: Annotated[
        int, typer.Option("--topk", "--top", min=1, help="Number of classes to list.")
    ] = 5,
    overlay: Annotated[
        bool, typer.Option(help="Draw overlay.mp4 and overlay.png; most of the time goes into it.")
    ] = True,
    source: OnlySource = None,
    split: OnlySplit = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Annotation layer of shards, whose boxes are scored by a model of persons (a name, or URL#NAME)."
        ),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Predict videos' actions, depth, normals, segmentation, pose and boxes: whatever the model has a head for.

    The clip is sampled and cut as in the model's own evaluation; the overlay shows what it saw. A video that cannot be
    read is an error where it is the only one, else it is skipped and listed.
    """
    from pvit_model.using.loading import unfinished

    if note := unfinished(model):
        say(f"note       {note}", stderr=True)
    how = {"out": out, "top": topk, "device": usable_device(device), "overlay": overlay}
    if len(videos) == 1 and not _is_many(videos[0]):
        _one(videos[0], model, how, as_json)
    else:
        _many(
            videos, model, how | {"source": source, "split": split, "layers": layer or ()}, as_json
        )


def _is_many(place: str) -> bool:
    """Whether a place may hold several videos."""
    is_pattern = glob.has_magic(place) and not os.path.lexists(place)
    return "://" in place or os.path.isdir(place) or is_pattern


def _one(video: str, model: str, how: dict[str, Any], as_json: bool) -> None:
    from pvit_model.using.predict import predict as run_prediction

    prediction = run_prediction(video, model, **how)
    if as_json:
        print_json(prediction.to_json())
        return
    for warning in prediction.warnings:
        say(f"warning    {warning}")
    for action in prediction.actions:
        say(f"{100 * action.probability:6.2f} %  {action.name}")
    for label, told in prediction.labels.items():
        say(f"{label:<10} {', '.join(f'{name} {value:.4g}' for name, value in told.items())}")
    if prediction.outputs:
        say(f"outputs    {', '.join(prediction.outputs)}")
    written = (how["out"] / name for name in prediction.files(overlay=how["overlay"]))
    say(f"wrote      {', '.join(map(str, written))}")


def _many(places: Sequence[str], model: str, how: dict[str, Any], as_json: bool) -> None:
    from pvit_model.using.predict import predict_many

    skipped: list[tuple[str, str]] = []
    told: list[dict[str, Any]] = []
    number = 0
    with progress("predict", "videos") as show:
        found = predict_many(
            places,
            model,
            skip=lambda video, why: skipped.append((video, why)),
            progress=show,
            **how,
        )
        for prediction in found:
            number += 1
            if as_json:
                told.append(prediction.to_json())
            else:
                say(_line(prediction))
    if as_json:
        print_json(
            {"predictions": told, "skipped": [{"video": v, "why": why} for v, why in skipped]}
        )
    for video, why in skipped[:MOST_NAMED]:
        say(f"skipped    {video}: {why}", stderr=as_json)
    if not number:
        raise SourceError(
            f"none of {len(skipped)} videos can be read, the first: {': '.join(skipped[0])}"
        )
    if not as_json:
        say(f"wrote      {how['out']}: {number} predicted, {len(skipped)} skipped")


def _line(prediction: Any) -> str:
    """A video with its best class, and what is wrong with it."""
    best = [f"{100 * a.probability:.1f} % {a.name}" for a in prediction.actions[:1]]
    return "  ".join([prediction.video, *best, *(f"({text})" for text in prediction.warnings)])
