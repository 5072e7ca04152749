"""`pvit eval`: a model's metrics beside those of the best constant predictor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Device, Json, Model, Shards, usable_device
from pvit_cli.output import console, new_table, print_json, say
from pvit_data.storage.files import write_file


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("eval")(evaluate)


def evaluate(
    model: Model,
    shards: Shards,
    source: Annotated[
        str | None,
        typer.Option(help="Only this source. Default: all that the model has a task for."),
    ] = None,
    split: Annotated[str, typer.Option(help="Which samples: train, val or test.")] = "val",
    reference_split: Annotated[
        str,
        typer.Option(
            help="Samples that the constant predictor is fitted on; '' leaves the comparison out."
        ),
    ] = "train",
    limit: Annotated[
        int, typer.Option(min=0, help="At most so many clips per source, evenly spread; 0: all.")
    ] = 0,
    workers: Annotated[int, typer.Option(min=0, help="Loader processes.")] = 0,
    device: Device = "auto",
    allow_other_classes: Annotated[
        bool, typer.Option(help="Leave out labels of classes that the model lacks.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the JSON document to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model: each task's metrics, beside those of the best constant predictor.

    Actions: softmax summed over the views of a video (SSv2: 1 clip x 3 crops), top-1 and top-5, the share of the
    majority class and the binomial standard error at that share. Depth in metres over valid pixels, normals in degrees,
    segmentation as mean IoU, pose in millimetres, boxes as IoU.
    """
    from pvit_model.using.evaluate import evaluate as evaluate_model

    notes: list[str] = []
    reports = evaluate_model(
        model,
        shards,
        source,
        split,
        reference_split or None,
        limit=limit,
        workers=workers,
        device=usable_device(device),
        allow_other_classes=allow_other_classes,
        note=notes.append,
    )
    document = {"model": model, "reports": [r.to_json() for r in reports], "notes": notes}
    if out is not None:
        write_file(out, json.dumps(document, indent=1, allow_nan=False) + "\n")
    if as_json:
        print_json(document)
        return
    for report in reports:
        console().print(_table(report))
    say(*notes) if notes else None


def _table(report: Any) -> Any:
    title = f"{report.source} {report.split}, {report.clips} clips"
    table = new_table(
        "target", "metric", "value", "constant", "ratio", left=("target", "metric"),
        title=title, title_justify="left", pad_edge=True, padding=(0, 2), header_style=None,
    )  # fmt: skip
    ratios = report.ratios()
    for target, values in report.metrics.items():
        fixed = report.constant.get(target, {})
        for name, value in values.items():
            ratio = ratios.get(target, {}).get(name)
            constant = f"{fixed[name]:.4g}" if name in fixed else ""
            table.add_row(
                target, name, f"{value:.4g}", constant, "" if ratio is None else f"{ratio:.3f}x"
            )
    return table
