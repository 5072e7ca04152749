"""`SourceEvaluation`: measures batches of a source, and adds up what was measured, now or after an interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pvit_data.loading.batch import Batch, Targets
from pvit_data.reading.dataset import ShardDataset
from pvit_model.network.inference import Inference
from pvit_model.network.pvit import PViTOutput
from pvit_model.network.total_loss import task_losses
from pvit_model.ranks import all_reduce
from pvit_model.tasks import get_task, rois_of
from pvit_model.tasks.base import HeldOut
from pvit_model.tasks.meter import Arrays, Meter
from pvit_model.using.constant import ConstantPredictor
from pvit_model.using.source_report import SourceReport, by_class

METERS, BASELINES, KEPT = "meters", "baselines", "kept"


class Takes(Protocol):
    """What adds up what was measured."""

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes in what a batch adds.

        Args:
            keys: of the samples of its rows.
            measured: of these.
        """


class Keeps(Takes, Protocol):
    """What keeps the answers of one label.

    Attributes:
        label: its name.
    """

    label: str

    def measure(self, targets: Targets, logits: Float[Tensor, "r k"]) -> Arrays:
        """What the rows of a batch that carry the label add; nothing is taken in."""


@dataclass(frozen=True)
class Measured:
    """What one batch adds to an evaluation.

    Args:
        clips: rows of the data set that it shows.
        rows: by target, row of the data set of each supervised entry.
        arrays: what was measured of them, by what takes it in and target.
    """

    clips: Int64[np.ndarray, "b"]
    rows: dict[str, Int64[np.ndarray, "r"]] = field(default_factory=dict)
    arrays: dict[tuple[str, str], Arrays] = field(default_factory=dict)


class SourceEvaluation:
    """Results on one source.

    Args:
        names: target names to evaluate, in a fixed order, the same on every rank.
        inference: gives label spaces and loss options.
        on: the samples, each key once, and the name of their source.
        views: of each video.
        constant: a fitted constant predictor to compare with, or None.
        keep: keeps the answers of labels.
    """

    def __init__(
        self,
        names: Sequence[str],
        inference: Inference,
        on: tuple[ShardDataset, str],
        views: int = 1,
        constant: ConstantPredictor | None = None,
        keep: Sequence[Keeps] = (),
    ) -> None:
        self.names, self.constant = tuple(names), constant
        self.loss_options = inference.losses()
        self.meters = {
            n: get_task(n).meter_of(held_out_of(n, inference, *on), inference.num_ids(n), views)
            for n in names
        }
        compared = constant.names if constant is not None else ()
        self.baselines = {n: get_task(n).meter(inference.num_ids(n), views) for n in compared}
        self.keep = {kept.label: kept for kept in keep}
        self.clips: set[int] = set()
        self._keys: list[str] = on[0].column("key").tolist()
        self._place = {key: row for row, key in enumerate(self._keys)}
        spaces = {n: inference.space_of(n) for n in names}
        self.names_of = {
            n: () if s is None else ("",) * s.first + tuple(s.classes) for n, s in spaces.items()
        }

    @torch.no_grad()
    def measure(self, model: torch.nn.Module, batch: Batch) -> Measured:
        """Runs the network on a batch; nothing is taken in."""
        targets = {n: t for n, t in batch.targets.items() if len(t.rows) and n in self.names}
        rows = {n: t.rows for n, t in targets.items()}
        out: PViTOutput = model(batch.video, rows=rows, rois=rois_of(targets))
        places = np.array([self._place[key] for key in batch.keys], np.int64)
        measured = Measured(places, {n: places[t.rows.cpu().numpy()] for n, t in targets.items()})
        predicted = {n: out.tasks[n].float() for n in targets}
        self._measure(METERS, measured, targets, replace(out, tasks=predicted), predicted)
        if self.constant is not None:
            known = {n: t for n, t in targets.items() if n in self.constant}
            best, for_loss = (
                self._constants(self.constant, known, flag, batch.video.device)
                for flag in (False, True)
            )
            self._measure(BASELINES, measured, known, replace(out, tasks=for_loss), best)
        for name in self.keep.keys() & targets.keys():
            kept = self.keep[name].measure(targets[name], out.tasks[name])
            measured.arrays[KEPT, name] = kept
        return measured

    def take(self, measured: Measured) -> None:
        """Takes in what was measured of a batch."""
        self.clips.update(measured.clips.tolist())
        for (kind, name), arrays in measured.arrays.items():
            keys = [self._keys[row] for row in measured.rows[name].tolist()]
            self._takers(kind)[name].take(keys, arrays)

    def _takers(self, kind: str) -> Mapping[str, Takes]:
        if kind == KEPT:
            return self.keep
        return self.meters if kind == METERS else self.baselines

    @staticmethod
    def _constants(
        constant: ConstantPredictor,
        targets: Mapping[str, Targets],
        for_loss: bool,
        device: torch.device,
    ) -> dict[str, Tensor]:
        return {n: constant.predict(n, t, for_loss).to(device) for n, t in targets.items()}

    def _measure(
        self,
        kind: str,
        measured: Measured,
        targets: Mapping[str, Targets],
        out: PViTOutput,
        predictions: Mapping[str, Tensor],
    ) -> None:
        """Measures `predictions`, and the losses of `out`, which may be others."""
        meters = self.meters if kind == METERS else self.baselines
        losses = task_losses(out, targets, self.loss_options) if targets else {}
        for name, t in targets.items():
            answer = get_task(name).answer(predictions[name])
            loss = (float(losses[name].sum), float(losses[name].count))
            measured.arrays[kind, name] = meters[name].measure(answer, t, loss)

    def report(self, source: str, split: str) -> SourceReport:
        """The results, over all ranks."""
        totals = _totals(self.meters)
        metrics, constant = _results(self.meters, totals), _results(self.baselines)
        clips = int(all_reduce(torch.tensor(float(len(self.clips)), dtype=torch.float64)))
        fitted_on = self.constant.clips if self.constant else 0
        tables = {n: self.meters[n].confusion(totals[n]) for n in metrics}
        classes = {
            n: by_class(table, self.names_of[n]) for n, table in tables.items() if table is not None
        }
        return SourceReport(source, split, clips, metrics, constant, fitted_on, classes)


def held_out_of(name: str, inference: Inference, ds: ShardDataset, source: str) -> HeldOut:
    """What a target is measured on."""
    return HeldOut(ds, source, inference.clip, inference.space_of(name))


def _totals(meters: Mapping[str, Meter]) -> dict[str, np.ndarray]:
    """The sums of all ranks."""
    return {n: all_reduce(torch.from_numpy(meter.total())).numpy() for n, meter in meters.items()}


def _results(
    meters: Mapping[str, Meter], totals: Mapping[str, np.ndarray] | None = None
) -> dict[str, dict[str, float]]:
    totals = _totals(meters) if totals is None else totals
    found = {name: meter.result(totals[name]) for name, meter in meters.items()}
    return {name: result for name, result in found.items() if result is not None}
