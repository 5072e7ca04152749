"""Results of the weights that are published, as they were measured: by the run itself, or by `pvit eval --out FILE`.

A number of other weights, or one without a protocol, is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pvit_data.errors import FormatError, UsageError
from pvit_data.storage.values import read_json
from pvit_data.words import counted, first_problem
from pvit_model.network.inference import Inference
from pvit_model.publishing.facts import RunFacts
from pvit_model.runs.log import read_log
from pvit_model.tasks import ACTION, get_task

MOST_LINES = 50_000
"""Of training, of a log; those of validations are read all."""
OF_CONSTANT = "_of_constant"


@dataclass(frozen=True)
class Measured:
    """A number, and how it came about.

    Args:
        source, split: what was evaluated; split "": not recorded.
        target: what of it.
        metric: its name.
        value: the number.
        protocol: in words.
        scored: identity of the list of videos, and their number: `{"list_sha256": ..., "n": ...}`.
    """

    source: str
    split: str
    target: str
    metric: str
    value: float
    protocol: str
    scored: dict[str, Any]


class _List(BaseModel):
    name: str = ""
    sha256: str = ""
    n: int = 0
    of: int = 0


class _Views(BaseModel):
    frames: int | None = None
    clips: int | None = None
    crops: int | None = None


class _Passport(BaseModel):
    protocol: str = ""
    variant: str = ""
    scored: _List = Field(default=_List(), alias="list")
    views: _Views = _Views()
    model: dict[str, Any] = {}


class _Report(BaseModel):
    source: str
    split: str
    clips: int
    metrics: dict[str, dict[str, float | None]]
    passport: _Passport = _Passport()


class _Document(BaseModel):
    reports: list[_Report] = []


def results_of_run(
    run: Path, step: int, facts: RunFacts, inference: Inference
) -> Iterator[Measured]:
    """What the run's own validation after `step` steps measured; nothing where there was none."""
    lines = [line for line in read_log(run, MOST_LINES) if line["kind"] == "eval"]
    found: dict[str, Any] = next((line for line in reversed(lines) if line["step"] == step), {})
    path = run / "report.json"
    last = read_reports(path) if path.is_file() else []
    reports = {report.source: report for report in last}
    for name, value in found.items():
        source, _, rest = name.partition("/")
        target, _, metric = rest.rpartition("/")
        if target and isinstance(value, float | int) and _is_metric(target, metric):
            report = reports.get(source)
            split, clips = (report.split, report.clips) if report else ("", 0)
            protocol = _of_validation(clips, facts, inference)
            scored = {"n": clips} if clips else {}
            yield Measured(source, split, target, metric, float(value), protocol, scored)


def _of_validation(clips: int, facts: RunFacts, inference: Inference) -> str:
    """How a run validates, in words."""
    number = f" on {counted(clips, 'clip')}" if clips else ""
    crops = facts.config.data.crops if facts.config is not None else inference.crops
    number_of_crops = crops if isinstance(crops, int) else 1  # whole frames are for evaluations
    views = f"{inference.clip.num_frames} frames x 1 clip x {counted(number_of_crops, 'crop')}"
    return f"validation during training{number}, {views}"


def _is_metric(target: str, metric: str) -> bool:
    """Whether a number is a result: no loss, and none that says beside what it was measured."""
    if metric == "loss" or metric.endswith(OF_CONSTANT):
        return False
    try:
        return metric not in get_task(target).facts
    except UsageError:  # a task that is installed no more
        return False


def read_reports(path: Path) -> list[_Report]:
    """The reports of a document of ours.

    Raises:
        FormatError: if it is none.
        OSError: if it cannot be read.
    """
    try:
        return _Document.model_validate(read_json(path)).reports
    except ValidationError as error:
        raise FormatError(f"{path}: is no result of 'pvit eval': {first_problem(error)}") from None


def results_in(files: Sequence[Path], weights: str) -> Iterator[Measured]:
    """What documents of `pvit eval --out FILE` measured of these weights.

    Args:
        weights: sha256 of their file.

    Raises:
        UsageError: if a document is of others, or does not say of which.
        FormatError: if it is none.
    """
    for path in files:
        reports = read_reports(path)
        owners = {str(owner) for r in reports if (owner := r.passport.model.get("weights"))}
        if owners != {weights}:
            whose = (
                "other weights" if owners else "weights that it does not name (it has no actions)"
            )
            raise UsageError(
                f"--results {path}: was measured with {whose}: run 'pvit eval --out {path.name}' with what is published"
            )
        for report in reports:
            yield from _rows(report)


def _rows(report: _Report) -> Iterator[Measured]:
    passport = report.passport
    views = passport.views
    seen = f"{views.frames or '?'} frames x {views.clips or '?'} clip x {views.crops or '?'} crops"
    for target, values in report.metrics.items():
        is_certified = bool(passport.scored.sha256) and target == ACTION
        for metric, value in values.items():
            if value is None or not _is_metric(target, metric):
                continue
            protocol = f"pvit eval on {counted(report.clips, 'clip')}"
            scored: dict[str, Any] = {"n": report.clips}
            if is_certified:
                listed = passport.scored
                protocol = f"{passport.protocol}, {passport.variant}, {seen}; list {listed.name}, N = {listed.n:,}"
                scored = {"list_sha256": listed.sha256, "n": listed.n}
            protocol += _trained_on(passport)
            yield Measured(report.source, report.split, target, metric, value, protocol, scored)


def _trained_on(passport: _Passport) -> str:
    """That some of the samples are training samples; "" where none is known."""
    evaluated = passport.model.get("evaluated")
    overlap = evaluated.get("overlap") if isinstance(evaluated, dict) else None
    counts = overlap.values() if isinstance(overlap, dict) else ()
    count = max((n for n in counts if isinstance(n, int)), default=0)
    return f"; {count:,} of the clips are training samples" if count else ""
