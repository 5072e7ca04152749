"""`pvit score`: predictions of any program by the official metrics, without a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from pvit_cli.common import EXIT_PROBLEM
from pvit_cli.options import Json
from pvit_cli.output import print_json, say
from pvit_data.errors import UsageError
from pvit_data.storage.files import write_file

SHARE = {
    "top1": "top-1",
    "top5": "top-5",
    "mean_class_accuracy": "mean class accuracy",
    "oscc_top1": "top-1",
}
SECONDS = {"pnr_error_sec": "PNR error"}

Predictions = Annotated[
    Path,
    typer.Argument(help="A dump of `pvit eval`, npz, a list of scores, AVA's CSV, Ego4D's JSON."),
]
Metric = Annotated[str, typer.Option(help="topk, multilabel, ava, pnr or oscc.")]
ProtocolName = Annotated[
    str | None,
    typer.Option(
        help="plain, ssv2, something-else, kinetics400, diving48; ego4d; pyslowfast, activitynet, mmaction2."
    ),
]
Truth = Annotated[
    str | None,
    typer.Option(
        help="Shards, an official annotation file, or a table id,label. Default: the labels that the predictions carry."
    ),
]
Source = Annotated[str | None, typer.Option(help="Of the shards, where they hold several.")]
Split = Annotated[
    str | None,
    typer.Option(help="Of the shards. Default: the one that publications score, val or test."),
]
Classes = Annotated[
    Path | None,
    typer.Option(help="File with the classes of the predictions' columns, in their order."),
]
Excluded = Annotated[
    Path | None,
    typer.Option(help="AVA's excluded seconds. Default: the official file beside the truth."),
]
NoExcluded = Annotated[bool, typer.Option("--no-excluded", help="AVA: exclude no second.")]
LabelMap = Annotated[str | None, typer.Option(help="AVA's classes: a pbtxt file, ava60 or ava80.")]
NoCap = Annotated[
    bool, typer.Option("--no-cap", help="With activitynet: every pair of an image counts, not 50.")
]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Of the person detector, as it was used; stands in the result."
    ),
]
Frames = Annotated[
    int | None, typer.Option(min=1, help="Of a clip, where the predictions don't say.")
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Videos of the list may be missing; the result says so.")
]
Diagnose = Annotated[bool, typer.Option("--diagnose", help="Look for what usually is wrong.")]
Strict = Annotated[bool, typer.Option("--strict", help="Diagnose, and exit with 1 on a finding.")]
TrainList = Annotated[
    Path | None, typer.Option(help="The list of training videos, to look for leaks.")
]
Submit = Annotated[
    Path | None,
    typer.Option(help="Write the official submission to this file, also of a list without labels."),
]
Out = Annotated[
    Path | None, typer.Option(help="Also write the result with its passport (JSON) to this file.")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("score")(score)


def score(
    predictions: Predictions,
    metric: Metric,
    protocol: ProtocolName = None,
    truth: Truth = None,
    source: Source = None,
    split: Split = None,
    classes: Classes = None,
    excluded: Excluded = None,
    no_excluded: NoExcluded = False,
    label_map: LabelMap = None,
    no_cap: NoCap = False,
    threshold: Threshold = None,
    frames: Frames = None,
    partial: Partial = False,
    diagnose: Diagnose = False,
    strict: Strict = False,
    train_list: TrainList = None,
    submit: Submit = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Score predictions of any program by the official metrics.

    No model is needed, and none is loaded. Every result names its list, views, variant and files (`pvit compare`).
    """
    from pvit_data.scoring.options import ScoreOptions
    from pvit_data.scoring.outputs import require_outputs
    from pvit_data.scoring.protocols import find_protocol
    from pvit_data.scoring.score import score as score_file

    how = ScoreOptions(
        protocol=find_protocol(metric, protocol), truth=truth, source=source, split=split, classes=classes,
        excluded=excluded, no_excluded=no_excluded, label_map=label_map, no_cap=no_cap, threshold=threshold,
        partial=partial, frames=frames, diagnose=diagnose or strict, train_list=train_list,
    )  # fmt: skip
    require_outputs({"--submit": submit, "--out": out}, predictions, how)
    submission = None if submit is None else _prepared(predictions, metric, how, submit)
    if submission is not None and not submission.has_labels:
        told = {
            "--json": as_json,
            "--out": out,
            "--strict": strict,
            "--diagnose": diagnose,
            "--train-list": train_list,
        }
        _require_no_score(truth or str(predictions), told)
        _write(submission, submit)
        return
    result = score_file(predictions, metric, how)
    if submission is not None:
        _write(submission, submit)
    document = result.to_json()
    if out is not None:
        write_file(out, json.dumps(document, indent=1, allow_nan=False) + "\n", follow=True)
    print_json(document) if as_json else _print(result)
    if strict and result.wrong:
        raise typer.Exit(EXIT_PROBLEM)


def _prepared(predictions: Path, metric: str, how: Any, out: Path) -> Any:
    from pvit_data.scoring.submit import prepare, require_ending

    require_ending(how.protocol.name, out)
    return prepare(predictions, metric, how)


def _require_no_score(where: str, told: dict[str, Any]) -> None:
    if given := [option for option, value in told.items() if value]:
        raise UsageError(
            f"{where}: has no labels, so that there is nothing to score: {', '.join(given)} cannot be had with it; "
            "leave it out, and --submit writes the predictions"
        )


def _write(submission: Any, out: Path | None) -> None:
    say(f"wrote {submission.write(out):,} rows to {out}", stderr=True)


def _baseline(result: Any, name: str, value: float) -> str:
    if name == "always_8":
        return f"{name} {value:.4f} s"
    error = result.details.get("majority_se") if name == "majority" else None
    return f"{name} {100 * value:.2f} %" + (f" (+- {100 * error:.2f})" if error is not None else "")


def _print(result: Any) -> None:
    say(f"{result.metric}, protocol {result.protocol}: {result.variant}")
    for name, value in result.values.items():
        if math.isnan(value):
            say(f"  {SHARE.get(name, name)}: nothing to count")
        elif name in SECONDS:
            say(f"  {SECONDS[name]}: {value:.4f} s")
        else:
            say(f"  {SHARE.get(name, name)}: {100 * value:.2f} %")
    say(f"  {result.scored}")
    say(f"  views: {result.views}; classes: {result.classes.get('number')}")
    told = [_baseline(result, name, value) for name, value in result.baselines.items()]
    say(f"  simple predictions: {', '.join(told)}") if told else None
    groups = result.details.get("groups")
    if groups and result.protocol == "mmaction2":
        say(
            "  groups: "
            + ", ".join(f"{name} {100 * value:.2f} %" for name, value in groups.items())
        )
    shown = result.details.get("pnr_error_sec_shown_frame")
    if shown is not None and not math.isnan(shown):
        say(f"  with the frame that was shown in each bin (honest, unofficial): {shown:.4f} s")
    for note in result.notes:
        say(f"  note: {note}")
    for finding in result.findings:
        say(f"  {'FINDING' if finding.is_finding else 'doctor'}: {finding}")
    if not result.diagnosed:
        say("  doctor: not asked (--diagnose)")
    elif not result.wrong:
        say("  doctor: nothing found")
