"""Validation during training: every source's hold-out, each task's metrics, next to the constant predictor's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pvit_model.recipes.plan import Plan, SourcePlan
from pvit_model.tasks import get_task
from pvit_model.using.constant import ConstantPredictor
from pvit_model.using.evaluate import EvalOptions, evaluate_source, fit_constant, spread
from pvit_model.using.source_report import SourceReport

if TYPE_CHECKING:
    from accelerate import Accelerator


class Validator:
    """Evaluates a run's network on its hold-outs.

    Args:
        plan: the run's.
        accelerator: gives rank, device and precision.
        limit: at most so many clips per source; 0: all.
        run: the run's folder, which keeps the constants.
    """

    def __init__(self, plan: Plan, accelerator: Accelerator, limit: int, run: Path) -> None:
        self.plan, self.accelerator, self.limit, self.folder = plan, accelerator, limit, run
        self.inference = plan.inference()
        self._constants: dict[str, ConstantPredictor | None] = {}
        self.how = EvalOptions(
            workers=plan.config.data.workers,
            start_method=plan.config.data.start_method,
            concurrency=plan.config.data.concurrency,
            device=accelerator.device,
            rank=accelerator.process_index,
            world_size=accelerator.num_processes,
        )

    def constant(self, source: SourcePlan, limit: int) -> ConstantPredictor | None:
        """The constant predictor of a source's training samples, at most `limit`: fitted once per run."""
        if source.name not in self._constants:
            some = spread(source.train, limit)
            self._constants[source.name] = fit_constant(
                some, self.inference, source.name, self.how, self.folder
            )
        return self._constants[source.name]

    def run(self, model: torch.nn.Module) -> list[SourceReport]:
        """One report per source that has a hold-out."""
        reports = []
        for source in self.plan.sources:
            if source.val is None or not self.inference.targets_of(source.name):
                continue
            held_out = spread(source.val, self.limit)
            constant = self.constant(source, len(held_out))
            with self.accelerator.autocast():
                report = evaluate_source(
                    model,
                    self.inference,
                    held_out,
                    (source.name, source.held_out),
                    constant,
                    self.how,
                )
            reports.append(report)
        return reports


def flatten(reports: Sequence[SourceReport]) -> dict[str, float]:
    """Metrics as one flat mapping: `"hypersim/depth/rmse"`, `".../rmse_of_constant"`."""
    found: dict[str, float] = {}
    for report in reports:
        ratios = report.ratios()
        for target, values in report.metrics.items():
            for name, value in values.items():
                found[f"{report.source}/{target}/{name}"] = value
                if name in ratios.get(target, {}):
                    found[f"{report.source}/{target}/{name}_of_constant"] = ratios[target][name]
    return {name: value for name, value in found.items() if math.isfinite(value)}


def report_lines(reports: Sequence[SourceReport], plan: Plan) -> list[str]:
    """One line per source and target: its main metric, and how it compares; or that no clip has any."""
    lines = []
    for report in reports:
        (source,) = (source for source in plan.sources if source.name == report.source)
        wanted = [target for target in source.targets if target in plan.targets]
        for target in dict.fromkeys((*report.metrics, *wanted)):
            measured = target in report.metrics
            told = report.summary(target) if measured else "none of these clips has any to measure"
            lines.append(f"{report.source} ({report.clips} clips)  {target}: {told}")
    return lines


def best_metric(
    asked: str, plan: Plan, found: Mapping[str, float]
) -> tuple[str, float | None, int]:
    """The metric that picks the best checkpoint: its name, value (None: not measured), and +1 if more is better.

    Args:
        asked: `run.best`; "" takes the main metric of the downstream's first label (top-1 of actions), or without one
            the mean loss ratio to the constant predictor.
    """
    downstream = plan.config.clip.downstream
    label = plan.labels[0] if plan.labels else ""
    name = asked or (f"{downstream}/{label}/{get_task(label).main}" if downstream and label else "")
    if not name:
        ratios = [v for k, v in found.items() if k.endswith("/loss_of_constant")]
        return "loss_of_constant", (sum(ratios) / len(ratios) if ratios else None), -1
    matching = [k for k in sorted(found) if k == name or k.endswith(f"/{name}")]
    if not matching:
        return name, None, 1
    _, target, *_, last = matching[0].split("/")
    lower = get_task(target).is_lower_better(last.removesuffix("_of_constant"))
    return name, found[matching[0]], -1 if lower else 1
