"""Evaluation: every task's metrics on one source's held-out clips, next to those of a constant predictor.

    reports = evaluate("RUN", ["SHARDS"], split="val", reference_split="train")

Actions: over the published views of a video. Other tasks: loss and metrics, each also as "x of the constant predictor".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pvit_data.errors import UsageError
from pvit_data.loading.batch import Batch, Targets
from pvit_data.loading.loader import eval_loader
from pvit_data.loading.options import CONCURRENCY, START_METHOD, StartMethod
from pvit_data.reading.layers.places import FoundSource
from pvit_data.tasks.table import is_by_box
from pvit_model.network.inference import Crops, Inference
from pvit_model.network.pvit import PViT, PViTOutput
from pvit_model.network.total_loss import task_losses
from pvit_model.ranks import all_reduce, own_rank
from pvit_model.tasks import ACTION, get_task, rois_of
from pvit_model.tasks.base import HeldOut
from pvit_model.tasks.meter import Meter
from pvit_model.using.constant import ConstantPredictor, fit_once, kept_at
from pvit_model.using.loading import Loaded, loaded
from pvit_model.using.matching import Matched, find_unseen, match, why_not
from pvit_model.using.predictions import Kept, certify, predictions_of
from pvit_model.using.source_report import SourceReport, by_class

if TYPE_CHECKING:
    from pvit_data.reading.dataset import ShardDataset

EVAL_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """How an evaluation is carried out.

    Args:
        views: clips of each video, and crops of each clip.
        workers: loader processes.
        start_method: how they begin.
        device: of the network.
        rank, world_size: which part of the clips is this process's.
        concurrency: requests at once of each loader process to shards behind a URL.
        keep: collects the logits of labels.
        whole: clips are whole frames, of sides that are multiples of it; 0: crops.
    """

    views: tuple[int, int] = (1, 1)
    whole: int = 0
    workers: int = 0
    start_method: StartMethod = START_METHOD
    device: str | torch.device = "cpu"
    rank: int = 0
    world_size: int = 1
    concurrency: int = CONCURRENCY
    keep: Sequence[Kept] = ()


class SourceEvaluation:
    """Accumulates one source's results batch by batch.

    Args:
        names: target names to evaluate, in a fixed order, the same on every rank.
        inference: gives label spaces and loss options.
        on: the samples, and the name of their source.
        views: of each video.
        constant: a fitted constant predictor to compare with, or None.
    """

    def __init__(
        self,
        names: Sequence[str],
        inference: Inference,
        on: tuple[ShardDataset, str],
        views: int = 1,
        constant: ConstantPredictor | None = None,
    ) -> None:
        self.names, self.constant = tuple(names), constant
        self.loss_options = inference.losses()
        self.meters = {
            n: get_task(n).meter_of(held_out_of(n, inference, *on), inference.num_ids(n), views)
            for n in names
        }
        compared = constant.names if constant is not None else ()
        self.baselines = {n: get_task(n).meter(inference.num_ids(n), views) for n in compared}
        self.clips: set[str] = set()
        spaces = {n: inference.space_of(n) for n in names}
        self.names_of = {
            n: () if s is None else ("",) * s.first + tuple(s.classes) for n, s in spaces.items()
        }

    @torch.no_grad()
    def update(self, model: torch.nn.Module, batch: Batch) -> PViTOutput:
        """Runs the network on a batch and takes in its results; returns its outputs, by target name."""
        targets = {n: t for n, t in batch.targets.items() if len(t.rows) and n in self.names}
        rows = {n: t.rows for n, t in targets.items()}
        out: PViTOutput = model(batch.video, rows=rows, rois=rois_of(targets))
        self.clips.update(batch.keys)
        predicted = {n: out.tasks[n].float() for n in targets}
        self._add(self.meters, batch, targets, replace(out, tasks=predicted), predicted)
        if self.constant is not None:
            known = {n: t for n, t in targets.items() if n in self.constant}
            best, for_loss = (
                self._constants(self.constant, known, flag, batch.video.device)
                for flag in (False, True)
            )
            self._add(self.baselines, batch, known, replace(out, tasks=for_loss), best)
        return out

    @staticmethod
    def _constants(
        constant: ConstantPredictor,
        targets: Mapping[str, Targets],
        for_loss: bool,
        device: torch.device,
    ) -> dict[str, Tensor]:
        return {n: constant.predict(n, t, for_loss).to(device) for n, t in targets.items()}

    def _add(
        self,
        meters: Mapping[str, Meter],
        batch: Batch,
        targets: Mapping[str, Targets],
        out: PViTOutput,
        predictions: Mapping[str, Tensor],
    ) -> None:
        """Takes in `predictions`, and the losses of `out`, which may be others."""
        losses = task_losses(out, targets, self.loss_options) if targets else {}
        for name, t in targets.items():
            keys = [batch.keys[row] for row in t.rows.tolist()]
            answer = get_task(name).answer(predictions[name])
            loss = (float(losses[name].sum), float(losses[name].count))
            meters[name].update(keys, answer, t, loss)

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


def spread(ds: ShardDataset, limit: int) -> ShardDataset:
    """At most `limit` samples of a dataset, evenly spread over it; 0: all."""
    if not limit or len(ds) <= limit:
        return ds
    return ds.select(np.linspace(0, len(ds) - 1, limit).round().astype(np.int64))


def fit_constant(
    ds: ShardDataset,
    inference: Inference,
    source: str,
    how: EvalOptions,
    run: Path | None = None,
) -> ConstantPredictor | None:
    """The constant predictor of a source, from some of its training samples; every rank takes a part of them.

    Args:
        ds: those samples; read only where some target of the source is compared with a constant.
        inference: what is predicted, and how clips are cut.
        source: its name.
        how: loader processes, rank.
        run: folder in which what was fitted is found again.
    """
    constant = ConstantPredictor(inference, inference.targets_of(source))
    if not constant.names:
        return None
    kept = kept_at(run, ds, inference, constant.names)
    batches = _batches(ds, inference, replace(how, views=(1, 1), whole=0, device="cpu"))
    return fit_once(constant, batches, kept, how.rank == 0)


def _batches(ds: ShardDataset, inference: Inference, how: EvalOptions) -> Iterable[Batch]:
    away = torch.device(how.device).type != "cpu"
    return eval_loader(
        ds,
        inference.clip,
        batch_size=EVAL_BATCH,
        views=how.views,
        whole=how.whole,
        workers=how.workers,
        start_method=how.start_method,
        concurrency=how.concurrency,
        rank=how.rank,
        world_size=how.world_size,
        pin_memory=away,
        device=how.device if away else None,
    )


def evaluate_source(
    model: torch.nn.Module,
    inference: Inference,
    ds: ShardDataset,
    name: tuple[str, str],
    constant: ConstantPredictor | None = None,
    how: EvalOptions | None = None,
) -> SourceReport:
    """Evaluates one source; every rank takes its part of `ds` and gets the result over all.

    Args:
        model: in any mode; it is put back.
        inference: how to feed it.
        ds: the samples.
        name: of the source and of its split.
        constant: a fitted constant predictor to compare with, or None.
        how: views, workers, device, rank.
    """
    how = how or EvalOptions()
    source, split = name
    names, number = inference.targets_of(source), math.prod(how.views)
    evaluation = SourceEvaluation(names, inference, (ds, source), number, constant)
    was_training = model.training
    model.eval()
    for batch in _batches(ds, inference, how):
        out = evaluation.update(model, batch)
        for kept in how.keep:
            if kept.label in batch.targets and len(batch.targets[kept.label].rows):
                kept.add(batch, out.tasks[kept.label])
    model.train(was_training)
    return evaluation.report(source, split)


def evaluate(
    model: str | Loaded,
    shards: Sequence[str],
    source: str | None = None,
    split: str = "val",
    reference_split: str | None = "train",
    *,
    limit: int = 0,
    workers: int = 0,
    device: str = "cpu",
    allow_other_classes: bool = False,
    allow_overlap: bool = False,
    crops: Crops | None = None,
    dump: str | Path | None = None,
    passports: bool = False,
    layers: Mapping[str, Sequence[str]] | None = None,
    note: Callable[[str], object] = lambda text: None,
) -> list[SourceReport]:
    """Evaluates a trained network on the sources of some shards; one report per source, by name.

    Classes are matched by their names: a source may have them in another order, or only some of them.

    Args:
        model, shards: a run's or an exported folder, a Hub id, or what `loaded` gives; folders or URLs with shards.
        source: only this one; default: every source that the network has a task for.
        split, reference_split: which samples; which as many the constant predictor is fitted on (None: no comparison).
        limit: at most so many clips per source; 0: all.
        workers, device: loader processes, and where to compute.
        allow_other_classes: leave out labels of classes that the network lacks, instead of refusing them.
        allow_overlap: evaluate samples of a named source that it was trained on under another name.
        crops: of each clip of the downstream, or `"full"`: whole frames; default: what its recipe says (`data.crops`).
        layers: annotation layers by source, as in `data.layers` of a recipe; default: all but those for asking only.
        dump: write the logits of every clip and view (of persons: of every box) to this Parquet file, for `pvit score`:
            of the actions, or the only label; those of further labels go beside it (`NAME.pnr.parquet`).
        passports: give the results of actions and persons with all that makes them comparable.
        note: told in a sentence what was left out, and why.

    Raises:
        UsageError: if there is nothing to evaluate, or a class is none of the network's; the message says why.

    Example:
        >>> for report in evaluate("RUN", shards, source="real"):
        ...     print(report.source, sorted(report.metrics["action"]))
        real ['majority', 'majority_se', 'mean_class_accuracy', 'top1', 'videos']
    """
    model = _with_crops(model if isinstance(model, Loaded) else loaded(model, device), crops)
    found = find_unseen(model.inference, shards, source, split, layers, allow_overlap=allow_overlap)
    how = _own_part(workers, device)
    matches = [
        match(model.inference, found[n], split, asked=bool(source), allow_other=allow_other_classes)
        for n in _named(found, source)
    ]
    chosen, reasons = _held_out(matches, split, limit)
    if dump is not None:
        _require_one_to_dump([matched for matched, _ in chosen])
    score = partial(_evaluated, model, how=how, dump=dump, passports=passports)
    reports = [score(matched, (ds, split), reference_split) for matched, ds in chosen]
    for text in _notes(chosen, split, reasons):
        note(text)
    return reports


def _notes(
    chosen: Sequence[tuple[Matched, ShardDataset]], split: str, reasons: Sequence[str]
) -> list[str]:
    told = (text for matched, ds in chosen for text in _told(matched, ds, split))
    return [*told, *(f"left out: {reason}" for reason in reasons)]


def _with_crops(model: Loaded, crops: Crops | None) -> Loaded:
    """To be evaluated with other crops than its recipe's, where some are given."""
    if crops is None:
        return model
    return replace(model, inference=model.inference.model_copy(update={"crops": crops}))


def _own_part(workers: int, device: str) -> EvalOptions:
    rank, world_size = own_rank()
    return EvalOptions(workers=workers, device=device, rank=rank, world_size=world_size)


def _told(matched: Matched, ds: ShardDataset, split: str) -> list[str]:
    """What its metrics were measured on, what does not fit of its layers, how many rows of a protocol there are."""
    inference, name = matched.inference, matched.name
    remarks = [
        text
        for target in matched.targets
        for text in get_task(target).remarks(held_out_of(target, inference, ds, name))
    ]
    told, presence = matched.source.told(ds), matched.source.presence(split)
    is_told = not presence or any(note.startswith(presence) for note in told)
    whole = f"{name}: whole frames were evaluated, their short side {inference.clip.size[0]} pixels"
    return [
        *remarks,
        *([whole] if matched.is_whole else []),
        *([] if is_told else [presence]),
        *told,
    ]


def _evaluated(
    model: Loaded,
    matched: Matched,
    clips: tuple[ShardDataset, str],
    reference_split: str | None,
    *,
    how: EvalOptions,
    dump: str | Path | None,
    passports: bool,
) -> SourceReport:
    """The results on one source, with passport and dump where they are asked for."""
    ds, _ = clips
    constant = _reference(matched, reference_split, len(ds), how, model.run)
    labels = _labels(matched)
    if dump is None:  # a passport of persons says which boxes were scored
        labels = tuple(label for label in labels if passports and is_by_box(label))
    keep = [predictions_of(ds, label, matched.inference) for label in labels]
    report = _report(model.network, matched, clips, constant, replace(how, keep=keep))
    if keep or (ACTION in report.metrics and passports):
        certify(report, model, matched, ds, keep, dump)
    return report


def _named(found: Mapping[str, FoundSource], source: str | None) -> list[str]:
    """The sources to evaluate, of those that were found."""
    if source is not None and source not in found:
        listed = ", ".join(sorted(found))
        raise UsageError(f"no source '{source}' in the shards, which hold {listed}")
    return sorted(found) if source is None else [source]


def _held_out(
    matches: Sequence[Matched], split: str, limit: int
) -> tuple[list[tuple[Matched, ShardDataset]], list[str]]:
    """Sources with the samples to evaluate, and why others are left out."""
    chosen, reasons = [], []
    for matched in matches:
        held_out = matched.open(split) if matched.targets else None
        if held_out is None:
            reasons.append(why_not(matched, split))
            continue
        reasons += matched.left_out
        chosen.append((matched, spread(held_out, limit)))
    if not chosen:
        raise UsageError(f"nothing to evaluate: {'; '.join(reasons)}")
    return chosen, reasons


def _require_one_to_dump(chosen: Sequence[Matched]) -> None:
    names = [matched.name for matched in chosen if _labels(matched)]
    if not names:
        raise UsageError("--dump: none of the sources has actions that the network predicts")
    if len(names) > 1:
        listed = ", ".join(names)
        raise UsageError(f"--dump holds one source, and {listed} have actions: name one --source")


def _labels(matched: Matched) -> tuple[str, ...]:
    """Labels of a source that the network predicts."""
    known = (ACTION, *matched.inference.labels)
    return tuple(label for label in known if label in matched.targets)


def _report(
    network: PViT,
    matched: Matched,
    clips: tuple[ShardDataset, str],
    constant: ConstantPredictor | None,
    how: EvalOptions,
) -> SourceReport:
    ds, split = clips
    how = replace(how, views=matched.views, whole=matched.side_step(network))
    return evaluate_source(network, matched.inference, ds, (matched.name, split), constant, how)


def _reference(
    matched: Matched, split: str | None, limit: int, how: EvalOptions, run: Path | None
) -> ConstantPredictor | None:
    """The constant predictor of a source, fitted on at most `limit` samples of a split of it."""
    reference = matched.open(split, strict=False) if split else None
    if reference is None:
        return None
    return fit_constant(spread(reference, limit), matched.inference, matched.name, how, run)
