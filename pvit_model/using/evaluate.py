"""Evaluation: every task's metrics on one source's held-out clips, next to those of a constant predictor.

    reports = evaluate("RUN", ["SHARDS"], split="val", reference_split="train")

Actions: over the published views of a video. Other tasks: loss and metrics, each also as "x of the constant predictor".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pvit_data.errors import UsageError
from pvit_data.loading.loader import eval_loader
from pvit_data.loading.options import CONCURRENCY, START_METHOD, StartMethod
from pvit_data.loading.run import Loader
from pvit_data.reading.layers.places import FoundSource, find_sources
from pvit_data.tasks.table import is_by_box, target_spec
from pvit_model.network.inference import Crops, Inference
from pvit_model.network.pvit import PViT
from pvit_model.ranks import own_rank
from pvit_model.runs.seen import require_unseen, seen_by, unrecorded_text
from pvit_model.tasks import ACTION, get_task
from pvit_model.using.constant import ConstantPredictor, fit_once, kept_at
from pvit_model.using.loading import Loaded, loaded
from pvit_model.using.matching import Matched, match, why_not
from pvit_model.using.measuring.parts import Parts, SourceParts, facts_of
from pvit_model.using.measuring.source import Measured, SourceEvaluation, held_out_of
from pvit_model.using.predictions import Kept, certify, predictions_of
from pvit_model.using.source_report import SourceReport

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
        parts: keeps what was measured of each batch, so that an interrupted evaluation continues.
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
    parts: SourceParts | None = None


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


def _batches(ds: ShardDataset, inference: Inference, how: EvalOptions) -> Loader:
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
    evaluation = SourceEvaluation(names, inference, (ds, source), number, constant, how.keep)
    was_training = model.training
    model.eval()
    for measured in _measured(evaluation, model, ds, inference, how):
        evaluation.take(measured)
    model.train(was_training)
    return evaluation.report(source, split)


def _measured(
    evaluation: SourceEvaluation,
    model: torch.nn.Module,
    ds: ShardDataset,
    inference: Inference,
    how: EvalOptions,
) -> Iterator[Measured]:
    """What this rank takes in: of its part of the samples; of batches that are kept, the first one all, in order."""
    if how.parts is None:
        yield from (evaluation.measure(model, batch) for batch in _batches(ds, inference, how))
        return
    batches = _batches(ds, inference, replace(how, rank=0, world_size=1))
    missing = how.parts.begin(len(batches), len(ds))
    for batch in batches.only(missing):
        how.parts.write(batch.step, evaluation.measure(model, batch))
    yield from how.parts.finished()


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
    parts: Parts | None = None,
    note: Callable[[str], object] = lambda text: None,
) -> list[SourceReport]:
    """Evaluates a trained network on the sources of some shards; one report per source, by name.

    Classes are matched by their names: a source may have them in another order, or only some of them.

    Args:
        model, shards: a run's or an exported folder, a Hub id, or what `loaded` gives; folders or URLs with shards.
        source: only this one; default: every source that the network has a task for.
        split, reference_split: which samples; which as many the constant predictor is fitted on (None: no comparison).
        limit, workers, device: at most so many clips per source (0: all), loader processes, and where to compute.
        allow_other_classes: leave out labels of classes that the network lacks, instead of refusing them.
        allow_overlap: evaluate samples of a named source that it was trained on under another name.
        crops: of each clip of the downstream, or `"full"`: whole frames; default: what its recipe says (`data.crops`).
        layers: annotation layers by source, as in `data.layers` of a recipe; default: all but those for asking only.
        dump: write the logits of every clip and view (of persons: of every box) to this Parquet file, for `pvit score`,
            those of the first label; those of further ones go beside it (`NAME.pnr.parquet`).
        passports: give the results of actions and persons with all that makes them comparable.
        parts: where finished batches are kept and found again, see `resumable`.
        note: told in a sentence what was left out, and why.

    Raises:
        UsageError: if there is nothing to evaluate, or a class is none of the network's; the message says why.

    Example:
        >>> for report in evaluate("RUN", shards, source="real"):
        ...     print(report.source, sorted(report.metrics["action"]))
        real ['majority', 'majority_se', 'mean_class_accuracy', 'top1', 'videos']
    """
    model = _with_crops(model if isinstance(model, Loaded) else loaded(model, device), crops)
    found = _found(model, shards, source, split, layers, allow_overlap=allow_overlap)
    matches = [
        match(model.inference, each, split, asked=bool(source), allow_other=allow_other_classes)
        for each in found
    ]
    chosen, reasons = _held_out(matches, split, limit)
    _require_one_to_dump(dump, chosen)
    told, how = partial(_told_of, model, shards, note), _own_part(workers, device)
    score = partial(_evaluated, told, how=how, dump=dump, passports=passports, parts=parts)
    reports = [score(matched, (ds, split), reference_split) for matched, ds in chosen]
    _tell(note, model, chosen, split, [*_unmeasured(reports, chosen, limit), *reasons])
    return reports


def _found(
    model: Loaded,
    shards: Sequence[str],
    source: str | None,
    split: str,
    layers: Mapping[str, Sequence[str]] | None,
    *,
    allow_overlap: bool,
) -> list[FoundSource]:
    """The sources to evaluate; a named one holds out nothing that was trained on, unless that is allowed."""
    found = find_sources(shards, layers, [source or model.inference.clip.downstream])
    if source is None:
        return [found[name] for name in sorted(found)]
    if source not in found:
        listed = ", ".join(sorted(found))
        raise UsageError(f"no source '{source}' in the shards, which hold {listed}")
    if not allow_overlap:
        require_unseen(model.learned, shards, found[source], split)
    return [found[source]]


def _unmeasured(
    reports: Sequence[SourceReport], chosen: Sequence[tuple[Matched, ShardDataset]], limit: int
) -> list[str]:
    """Targets without a number, because no clip that was shown has one of them."""
    more = "; give a larger --limit" if limit else ""
    pairs = ((report, matched) for report, (matched, _) in zip(reports, chosen, strict=True))
    return [
        f"{target} of '{matched.name}': none of the {report.clips:,} clips that were shown has any, so that there is "
        f"nothing to measure{more}"
        for report, matched in pairs
        for target in matched.targets
        if target not in report.metrics
    ]


def _tell(
    note: Callable[[str], object],
    model: Loaded,
    chosen: Sequence[tuple[Matched, ShardDataset]],
    split: str,
    reasons: Sequence[str],
) -> None:
    if split != "train" and (unknown := unrecorded_text(model.learned)):
        note(unknown)
    told = (text for matched, ds in chosen for text in _told(matched, ds, split))
    for text in (*told, *(f"left out: {reason}" for reason in reasons)):
        note(text)


def _told_of(
    model: Loaded,
    shards: Sequence[str],
    note: Callable[[str], object],
    matched: Matched,
    clips: tuple[ShardDataset, str],
) -> Loaded:
    """With what its passports say of the samples: of how many they are, and which of them it was trained on."""
    ds, split = clips
    whole = matched.source.split(split)
    evaluated: dict[str, Any] = {
        "source": matched.name,
        "split": split,
        "clips": len(ds),
        "of": len(ds) if whole is None else len(whole),
    }
    for label in filter(is_by_box, matched.targets):
        layer = ds.layers_of(matched.name).get(target_spec(label).field)
        evaluated["boxes_of"] = None if layer is None else layer.name  # None: those of the truth
    if split != "train":
        seen = seen_by(model.learned, shards, matched.source, ds)
        evaluated |= seen.to_json()
        for text in seen.told(matched.name, ds):
            note(text)
    return replace(model, facts={**model.facts, "evaluated": evaluated})


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
    told: Callable[[Matched, tuple[ShardDataset, str]], Loaded],
    matched: Matched,
    clips: tuple[ShardDataset, str],
    reference_split: str | None,
    *,
    how: EvalOptions,
    dump: str | Path | None,
    passports: bool,
    parts: Parts | None,
) -> SourceReport:
    """The results on one source, with passport and dump where they are asked for."""
    (ds, split), model = clips, told(matched, clips)
    reference = matched.open(reference_split, strict=False) if reference_split else None
    constant = _constant(matched, reference, len(ds), how, model.run)
    known = labels = _labels(matched)
    if dump is None:  # a passport of persons says which boxes were scored
        labels = tuple(label for label in known if passports and is_by_box(label))
    keep = [predictions_of(ds, label, matched.inference) for label in labels]
    if parts is not None:
        facts = facts_of(model, matched, ds, reference, labels)
        how = replace(how, parts=parts.of(f"{matched.name}-{split}", facts))
    report = _report(model.network, matched, clips, constant, replace(how, keep=keep))
    if keep or (passports and not report.metrics.keys().isdisjoint(known)):
        certify(report, model, matched, ds, keep, dump)
    return report


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


def _require_one_to_dump(
    dump: str | Path | None, chosen: Sequence[tuple[Matched, ShardDataset]]
) -> None:
    if dump is None:
        return
    names = [matched.name for matched, _ in chosen if _labels(matched)]
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


def _constant(
    matched: Matched, reference: ShardDataset | None, limit: int, how: EvalOptions, run: Path | None
) -> ConstantPredictor | None:
    """The constant predictor of a source, fitted on at most `limit` samples of a split of it."""
    if reference is None:
        return None
    return fit_constant(spread(reference, limit), matched.inference, matched.name, how, run)
