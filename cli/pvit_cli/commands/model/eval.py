"""`pvit eval`: a model's metrics beside those of the best constant predictor."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.options import Device, Json, MaybeModel, Shards, usable_device
from pvit_cli.output import console, new_table, print_json, say
from pvit_data.errors import UsageError
from pvit_data.format.names import SOURCE_NAME
from pvit_data.reading.overwriting import refuse_overwriting
from pvit_data.storage.files import write_file
from pvit_data.words import shown

MOST_CLASSES = 20  # lines of a table
MOST_CROPS = 100  # as in recipes

Source = Annotated[
    str | None,
    typer.Option(help="Only this source. Default: all that the model has a task for."),
]
Split = Annotated[str, typer.Option(help="Which samples: train, val or test.")]
ReferenceSplit = Annotated[
    str,
    typer.Option(
        help="Samples that the constant predictor is fitted on; '' leaves the comparison out."
    ),
]
Limit = Annotated[
    int, typer.Option(min=0, help="At most so many clips per source, evenly spread; 0: all.")
]
Workers = Annotated[int, typer.Option(min=0, help="Loader processes.")]
AllowOtherClasses = Annotated[
    bool, typer.Option(help="Leave out labels of classes that the model lacks.")
]
AllowOverlap = Annotated[
    bool,
    typer.Option(help="Evaluate --source although the model was trained on some of its samples."),
]
Layer = Annotated[
    list[str] | None,
    typer.Option(
        help="SOURCE=LAYER: score against this annotation layer (a name, or URL#NAME); give one --layer each. "
        "Default: all layers in the shards, but those made to be asked for."
    ),
]
Crops = Annotated[
    str | None,
    typer.Option(
        help="Spatial crops of each clip, or 'full': the whole frame, for actions and persons. Default: the recipe's."
    ),
]
Dump = Annotated[
    Path | None,
    typer.Option(help="Write the logits of every clip and view (Parquet), for `pvit score`."),
]
PerClass = Annotated[
    Path | None,
    typer.Option(
        help="Write to SOURCE/TARGET in this folder the accuracy of each class (classes.csv) and what it is taken for "
        "(confusion.csv, confusion.png)."
    ),
]
Diagnose = Annotated[
    bool,
    typer.Option(help="Run 64 clips again with other pixels (BGR, not normalised): does it help?"),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="A file of published weights (.pth, .pyth, .safetensors), in place of --model; nothing in it is run."
    ),
]
ModelName = Annotated[
    str,
    typer.Option(help="Of --weights: the backbone's name (`pvit info --table` lists them)."),
]
ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="Of --weights: the data set whose views, crops and frames are used: ssv2, kinetics400, ...",
    ),
]
Out = Annotated[Path | None, typer.Option(help="Also write the JSON document to this file.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("eval")(evaluate)


def evaluate(
    shards: Shards,
    model: MaybeModel = "",
    weights: Weights = None,
    model_name: ModelName = "",
    protocol: ProtocolName = "",
    source: Source = None,
    split: Split = "val",
    reference_split: ReferenceSplit = "train",
    limit: Limit = 0,
    workers: Workers = 0,
    device: Device = "auto",
    allow_other_classes: AllowOtherClasses = False,
    allow_overlap: AllowOverlap = False,
    layer: Layer = None,
    crops: Crops = None,
    dump: Dump = None,
    per_class: PerClass = None,
    diagnose: Diagnose = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Evaluate a model: each task's metrics, beside those of the best constant predictor.

    Actions: softmax summed over the views of a video (SSv2: 1 clip x 3 crops), top-1, of more than five classes
    top-5, the share of the majority class and the binomial standard error at that share. Depth in metres over valid
    pixels, normals in degrees, segmentation as mean IoU, pose in mm, boxes as IoU. Of actions also the classes with the
    lowest accuracy, with what most of their videos are taken for. Under torchrun on several processes.
    With --out or --dump an interrupted evaluation goes on where it stopped, by the same command.

    Published weights: pvit eval --weights FILE.pyth --model-name mvitv2_s --protocol ssv2 --shards SSV2.
    """
    from datetime import timedelta

    from pvit_model.ranks import own_rank
    from pvit_model.training.engine import join_ranks
    from pvit_model.using.evaluate import evaluate as evaluate_model
    from pvit_model.using.measuring.parts import resumable

    _check_model(model, weights, model_name, protocol)
    _check_files({"--out": out, "--dump": dump}, model, weights, (*shards, *(layer or ())))
    join_ranks(timedelta(minutes=10))
    device = _own_device(usable_device(device))
    given, facts, notes = _given(model, weights, (model_name, protocol), (shards, source), device)
    source = given.inference.clip.downstream if weights is not None else source
    with resumable([path for path in (dump, out) if path is not None], _say_aside) as parts:
        reports = evaluate_model(
            given, shards, source, split, reference_split or None,
            limit=limit, workers=workers, device=device,
            allow_other_classes=allow_other_classes, allow_overlap=allow_overlap, layers=by_source(layer or ()),
            crops=_crops(crops),
            dump=dump, parts=parts, note=notes.append,
            passports=as_json or out is not None or dump is not None,
        )  # fmt: skip
        if own_rank()[0]:
            return
        document = {"model": model or str(weights), "notes": notes, **facts}
        if diagnose:
            document["findings"] = _diagnose(given, shards, source, split, device)
        _deliver(reports, document, out, per_class, as_json=as_json)


def _say_aside(text: str) -> None:
    say(text, stderr=True)


def _deliver(
    reports: Sequence[Any],
    document: dict[str, Any],
    out: Path | None,
    per_class: Path | None,
    *,
    as_json: bool,
) -> None:
    """Writes and prints the results."""
    document |= {"reports": [report.to_json() for report in reports]}
    if out is not None:
        write_file(out, json.dumps(document, indent=1, allow_nan=False) + "\n", follow=True)
    written = _class_tables(reports, per_class)
    print_json(document) if as_json else _print(reports, document, written)


def _check_model(model: str, weights: Path | None, model_name: str, protocol: str) -> None:
    """Refuses neither model nor weights, both, and weights of which nobody says what they are."""
    if bool(model) == (weights is not None):
        raise UsageError(
            "give --model RUN, or a file of published weights: --weights FILE --model-name BACKBONE --protocol ssv2"
        )
    if weights is not None and not (model_name and protocol):
        raise UsageError(
            "--weights needs --model-name, the backbone (see `pvit info --table`), and --protocol, e.g. ssv2"
        )
    if weights is None and (model_name or protocol):
        raise UsageError("--model-name and --protocol belong to --weights; a run knows its own")


def _check_files(
    outputs: dict[str, Path | None], model: str, weights: Path | None, data: Sequence[str]
) -> None:
    """Refuses to write over weights, a run's files and shards."""
    from pvit_model.using.loading import files_of

    layers = (text.partition("=")[2].partition("#")[0] for text in data)
    read: list[tuple[str, str | Path | None]] = [("the file of --weights", weights)]
    read += [("a file of the model", path) for path in files_of(model)]
    read += [("the shards", folder) for folder in data]
    refuse_overwriting(outputs, [*read, *(("the layer", folder) for folder in layers)])


def _given(
    model: str,
    weights: Path | None,
    of_weights: tuple[str, str],
    data: tuple[list[str], str | None],
    device: str,
) -> tuple[Any, dict[str, Any], list[str]]:
    """The network to evaluate, what the document says of it, and what to say first."""
    from pvit_model.using.loading import load_published, loaded, unfinished

    if weights is None:
        return loaded(model, device), {}, [note] if (note := unfinished(model)) else []
    name, protocol = of_weights
    found, made = load_published(str(weights), name, protocol, *data, device)
    clip, report = found.inference.clip, made.report
    height, width = clip.size
    if report.fresh:
        say(f"warning: {len(report.fresh)} parameters are not in {weights}: random", stderr=True)
    notes = [
        f"weights    {weights}: {report.line()}",
        f"protocol   {protocol}: {clip.num_frames} frames of {height}x{width}, {found.inference.clips} x "
        f"{found.inference.crops} views, {clip.sampler(clip.downstream)}",
        *made.notes,
    ]
    parts = {
        part: getattr(report, part) for part in ("loaded", "resized", "fresh", "unused", "indices")
    }
    facts = {"protocol": protocol, "backbone": name, "target": made.target, "parameters": parts}
    return found, facts, notes


def _beside_target(reports: Sequence[Any], target: dict[str, float]) -> list[str]:
    """Published numbers beside those that were found."""
    from pvit_model.tasks import ACTION

    found = [
        (report, name, value, report.metrics[ACTION][name])
        for report in reports
        for name, value in target.items()
        if name in report.metrics.get(ACTION, {})
    ]
    return [
        f"published  {name} {value:.1f}; here {100 * own:.2f} "
        f"on {report.clips:,} videos of {report.source} {report.split} (published: by the views of its publication)"
        for report, name, value, own in found
    ]


def _class_tables(reports: Sequence[Any], out: Path | None) -> list[Path]:
    if out is None:
        return []
    from pvit_model.reporting.confusion import write_class_tables

    return [folder for report in reports for folder in write_class_tables(report, out)]


def _print_classes(report: Any) -> None:
    """The classes with the lowest accuracy of each target."""
    from pvit_model.reporting.confusion import class_results

    for target, found in report.classes.items():
        results = [r for r in class_results(found) if r.videos]
        lowest = sorted(results, key=lambda r: (r.accuracy, r.class_id))[:MOST_CLASSES]
        which = (
            "" if len(lowest) == len(results) else f", the {len(lowest)} lowest of {len(results)}"
        )
        table = new_table(
            "class", "videos", "accuracy", "most confused with", left=("class", "most confused with"),
            title=f"{report.source} {report.split}, {target} by class{which}", title_justify="left",
            pad_edge=True, padding=(0, 2), header_style=None,
        )  # fmt: skip
        for r in lowest:
            other = f"{r.confused_with} ({r.confused})" if r.confused else ""
            table.add_row(r.name, str(r.videos), f"{r.accuracy:.4g}", other)
        console().print(table)


def _print(reports: Sequence[Any], document: dict[str, Any], written: Sequence[Path]) -> None:
    """The results for people."""
    for report in reports:
        console().print(_table(report))
        _print_classes(report)
    lines = [f"wrote {folder}" for folder in written]
    lines += _told(document["findings"]) if "findings" in document else []
    lines += _beside_target(reports, document.get("target", {}))
    for line in (*lines, *document["notes"]):
        say(line)


def _told(findings: list[dict[str, Any]]) -> list[str]:
    """A line for each finding, or that there is none."""
    said = [f"FINDING: {f['name']}: {f['seen']}; {f['sure']}; {f['remedy']}" for f in findings]
    return said or ["doctor: other pixels do not help"]


def _own_device(device: str) -> str:
    """The device of this process, of several that torchrun started."""
    number = os.environ.get("LOCAL_RANK", "")
    return f"cuda:{number}" if device == "cuda" and number else device


def _diagnose(
    model: Any, shards: list[str], source: str | None, split: str, device: str
) -> list[dict[str, Any]]:
    from pvit_model.using.diagnose import diagnose_pixels

    found = diagnose_pixels(model, shards, source, split, device)
    return [] if found is None else [found.to_json()]


def _crops(text: str | None) -> Any:
    """The value of `--crops`, as recipes have it.

    Raises:
        UsageError: if it is none.
    """
    if text is None or text == "full":
        return text
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:4]) <= MOST_CROPS):
        raise UsageError(f"--crops {shown(text)}: expected 1 to {MOST_CROPS}, or full")
    return int(text)


def by_source(texts: Sequence[str]) -> dict[str, list[str]]:
    """Layers by source, of options `SOURCE=LAYER`.

    Raises:
        UsageError: if one has another form.
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        source, sign, layer = text.partition("=")
        if not (sign and SOURCE_NAME.match(source)):
            raise UsageError(f"--layer {text}: expected SOURCE=LAYER")
        found.setdefault(source, []).extend([layer] if layer else [])
    return found


def _table(report: Any) -> Any:
    from pvit_model.tasks import get_task

    title = f"{report.source} {report.split}, {report.clips} clips"
    table = new_table(
        "target", "metric", "value", "constant", "ratio", left=("target", "metric"),
        title=title, title_justify="left", pad_edge=True, padding=(0, 2), header_style=None,
    )  # fmt: skip
    ratios = report.ratios()
    for target, values in report.metrics.items():
        task = get_task(target)
        fixed, shares = report.constant.get(target, {}), ratios.get(target, {})
        if guessed := values.get(task.chance):  # what guessing gives is measured with it
            fixed, shares = {task.main: guessed}, {task.main: values[task.main] / guessed}
        for name, value in values.items():
            ratio = shares.get(name)
            constant = f"{fixed[name]:.4g}" if name in fixed else ""
            table.add_row(
                target, name, f"{value:.4g}", constant, "" if ratio is None else f"{ratio:.3f}x"
            )
    return table
