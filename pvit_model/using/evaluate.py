"""Evaluation: every task's metrics on one source's held-out clips, next to those of a constant predictor.

    report = evaluate_run("RUN", ["SHARDS"], split="val", reference_split="train")

Actions: top-1 and top-5 over the published views of a video, with the share of the majority class and the standard
error of an accuracy at that share. Auxiliary tasks: loss and metrics, each also as "x of the constant predictor".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

import pvit_data
from pvit_data.errors import UsageError
from pvit_data.loading.batch import Batch, Targets
from pvit_data.loading.loader import eval_loader
from pvit_data.mixing.sources import find_sources, open_split
from pvit_model.metrics.action import ActionMeter, majority
from pvit_model.network import losses as loss_functions
from pvit_model.network.inference import Inference, load_model
from pvit_model.network.pvit import PViTOutput
from pvit_model.tasks import LossOptions
from pvit_model.tasks.constant import ConstantPredictor, beaten
from pvit_model.tasks.meter import Meter
from pvit_model.training.step import all_reduce

if TYPE_CHECKING:
    from pvit_data.reading.dataset import ShardDataset

EVAL_BATCH = 16
LOWER_IS_BETTER = frozenset({"loss", "rmse", "absrel", "mean_deg", "mpjpe_mm"})


@dataclass
class SourceReport:
    """Results on one source.

    Args:
        source, split: what was evaluated.
        clips: videos evaluated.
        metrics: value by metric, by target name.
        constant: the same of the constant predictor; empty where none was fitted.
        constant_clips: clips it was fitted on.
    """

    source: str
    split: str
    clips: int
    metrics: dict[str, dict[str, float]]
    constant: dict[str, dict[str, float]] = field(default_factory=dict)
    constant_clips: int = 0

    def ratios(self) -> dict[str, dict[str, float]]:
        """`metric / constant predictor's` for each metric where lower is better."""
        return {
            target: {
                name: beaten(value, self.constant[target][name])
                for name, value in values.items()
                if name in LOWER_IS_BETTER
            }
            for target, values in self.metrics.items()
            if target in self.constant
        }

    def to_json(self) -> dict[str, Any]:
        """JSON values; what was not measured is null."""
        tables = {"metrics": self.metrics, "constant": self.constant, "of_constant": self.ratios()}
        return {
            "source": self.source,
            "split": self.split,
            "clips": self.clips,
            "constant_clips": self.constant_clips,
            **{name: _finite(table) for name, table in tables.items()},
        }


def _finite(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        t: {k: v if math.isfinite(v) else None for k, v in row.items()} for t, row in table.items()
    }


class SourceEvaluation:
    """Accumulates one source's results batch by batch.

    Args:
        names: target names to evaluate, in a fixed order, the same on every rank.
        num_ids: number of ids by target name, for segmentation and actions.
        loss_options: as in training.
        num_views: views per video.
        constant: a fitted constant predictor to compare with, or None.
    """

    def __init__(
        self,
        names: Sequence[str],
        num_ids: Mapping[str, int],
        loss_options: LossOptions,
        num_views: int = 1,
        constant: ConstantPredictor | None = None,
    ) -> None:
        self.names, self.num_ids = tuple(names), num_ids
        self.loss_options, self.constant = loss_options, constant
        self.actions = ActionMeter(num_views)
        self.meters: dict[str, Meter] = {}
        self.baselines: dict[str, Meter] = {}
        self.clips: set[str] = set()

    @torch.no_grad()
    def update(self, model: torch.nn.Module, batch: Batch) -> PViTOutput:
        """Runs the network on a batch and takes in its results; returns its outputs, by target name."""
        targets = {n: t for n, t in batch.targets.items() if len(t.rows) and n in self.names}
        out: PViTOutput = model(batch.video, rows={n: t.rows for n, t in targets.items()})
        self.clips.update(batch.keys)
        if "action" in targets:
            rows = targets["action"].rows.tolist()
            logits = out.logits[targets["action"].rows].float().cpu().numpy()
            self.actions.update(
                [batch.keys[r] for r in rows], logits, targets["action"].value.cpu().numpy()
            )
        dense = {n: t for n, t in targets.items() if n != "action"}
        predicted = {n: out.tasks[n].float() for n in dense}
        self._add(self.meters, dense, predicted, predicted, out)
        if self.constant is not None:
            known = {n: t for n, t in dense.items() if n in self.constant}
            device = batch.video.device
            best, for_loss = (
                {n: self.constant.predict(n, t, flag).to(device) for n, t in known.items()}
                for flag in (False, True)
            )
            self._add(self.baselines, known, best, for_loss, out)
        return out

    def _add(
        self,
        meters: dict[str, Meter],
        targets: Mapping[str, Targets],
        predictions: Mapping[str, Tensor],
        for_loss: Mapping[str, Tensor],
        out: PViTOutput,
    ) -> None:
        if not targets:
            return
        losses = loss_functions.task_losses(
            replace(out, tasks=dict(for_loss)), targets, self.loss_options
        )
        for name, t in targets.items():
            meter = meters.setdefault(name, Meter(name, self.num_ids.get(name, 0)))
            meter.update(predictions[name], t, losses[name].sum, losses[name].count)

    def report(self, source: str, split: str) -> SourceReport:
        """The results, over all ranks."""
        metrics: dict[str, dict[str, float]] = {}
        constant: dict[str, dict[str, float]] = {}
        if "action" in self.names:
            metrics["action"] = self._action()
        for name in self.names:
            for meters, results in ((self.meters, metrics), (self.baselines, constant)):
                if name == "action" or (meters is self.baselines and self.constant is None):
                    continue
                meter = meters.get(name) or Meter(name, self.num_ids.get(name, 0))
                meter.total = all_reduce(torch.from_numpy(meter.total)).numpy()
                if meter.total[1]:
                    results[name] = meter.result()
        clips = int(all_reduce(torch.tensor(float(len(self.clips)), dtype=torch.float64)))
        return SourceReport(
            source, split, clips, metrics, constant, self.constant.clips if self.constant else 0
        )

    def _action(self) -> dict[str, float]:
        counts = self.actions.counts()
        labels = self.actions.labels().values()
        histogram = np.bincount(
            np.fromiter(labels, np.int64), minlength=self.num_ids["action"]
        ).astype(np.float64)
        shared = all_reduce(
            torch.from_numpy(np.concatenate([list(counts.values()), histogram]))
        ).numpy()
        total = dict(zip(counts, shared[: len(counts)].tolist(), strict=True))
        n = total.pop("videos")
        everyone = np.repeat(np.arange(len(histogram)), shared[len(counts) :].astype(int))
        share, error = majority(everyone.tolist())
        result = {name: value / n if n else math.nan for name, value in total.items()}
        return result | {"videos": n, "majority": share, "majority_se": error}


def spread(ds: ShardDataset, limit: int) -> ShardDataset:
    """At most `limit` samples of a dataset, evenly spread over it; 0: all."""
    if not limit or len(ds) <= limit:
        return ds
    return ds.select(np.linspace(0, len(ds) - 1, limit).round().astype(np.int64))


def fit_constant(
    ds: ShardDataset, inference: Inference, loss_options: LossOptions, limit: int, workers: int
) -> ConstantPredictor:
    """The constant predictor of a source's training samples, from at most `limit` of them."""
    predictor = ConstantPredictor(inference.num_ids(), loss_options.depth_clip)
    return predictor.fit(_batches(spread(ds, limit), inference, workers))


def _batches(
    ds: ShardDataset,
    inference: Inference,
    workers: int,
    views: int = 1,
    rank: int = 0,
    world_size: int = 1,
    device: str | torch.device = "cpu",
) -> Iterable[Batch]:
    away = torch.device(device).type != "cpu"
    return eval_loader(
        ds, inference.clip, batch_size=EVAL_BATCH, views=(1, views), workers=workers, rank=rank, world_size=world_size,
        pin_memory=away, device=device if away else None,
    )  # fmt: skip


def evaluate_source(
    model: torch.nn.Module,
    inference: Inference,
    ds: ShardDataset,
    source: str,
    split: str,
    loss_options: LossOptions,
    constant: ConstantPredictor | None = None,
    workers: int = 0,
    views: int = 1,
    device: str | torch.device = "cpu",
    rank: int = 0,
    world_size: int = 1,
) -> tuple[SourceReport, SourceEvaluation]:
    """Evaluates one source; every rank takes its part of `ds` and gets the result over all."""
    evaluation = SourceEvaluation(
        inference.targets_of(source), inference.num_ids(), loss_options, views, constant
    )
    was_training = model.training
    model.eval()
    for batch in _batches(ds, inference, workers, views, rank, world_size, device):
        evaluation.update(model, batch)
    model.train(was_training)
    return evaluation.report(source, split), evaluation


def evaluate_run(
    where: str,
    urls: Sequence[str],
    source: str | None = None,
    split: str = "val",
    reference_split: str | None = "train",
    limit: int = 0,
    workers: int = 0,
    device: str = "cpu",
) -> Iterator[SourceReport]:
    """Evaluates a trained network on the sources of some shards.

    Args:
        where: see `pvit_model.network.inference.find_model`.
        urls: folders with shards.
        source: only this one; default: every source that the network has a task for.
        split: which samples.
        reference_split: which samples the constant predictor is fitted on; None: no comparison.
        limit: at most so many clips per source (and for fitting); 0: all.

    Raises:
        UsageError: if there is nothing to evaluate; the message says what there is.
    """
    model, inference = load_model(where, device)
    options = inference.losses()
    found = find_sources(urls)
    if source is not None and source not in found:
        raise UsageError(
            f"no source '{source}' in the shards, which hold {', '.join(sorted(found))}"
        )
    names = [source] if source else sorted(found)
    done = 0
    for name in names:
        ds = open_split(found[name], name, split)
        inference = inference.for_source(name, pvit_data.open(found[name]).sources[name].tasks)
        if ds is None or not inference.targets_of(name):
            continue
        done += 1
        reference = open_split(found[name], name, reference_split) if reference_split else None
        constant = (
            fit_constant(reference, inference, options, limit, workers)
            if reference is not None
            else None
        )
        views = inference.crops if name == inference.clip.downstream else 1
        report, _ = evaluate_source(
            model, inference, spread(ds, limit), name, split, options,
            constant=constant, workers=workers, views=views, device=device,
        )  # fmt: skip
        yield report
    if not done:
        raise UsageError(
            f"nothing to evaluate: {', '.join(names)} have no samples in split '{split}' for the network's tasks "
            f"({', '.join(['action'] * (inference.action is not None) + list(inference.tasks)) or 'none'})"
        )
