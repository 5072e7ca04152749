"""The logits of an evaluation, clip by clip and view by view, for `pvit score`; and the passport of its result."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pvit_data.errors import FormatError
from pvit_data.loading.batch import Targets
from pvit_data.reading.dataset import ShardDataset
from pvit_data.scoring.box_scores import score_seconds
from pvit_data.scoring.clip_scores import counted_of, unanswered
from pvit_data.scoring.files.ava import EMPTY, Videos
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.files.kinds import sha256_of
from pvit_data.scoring.files.shards import original_ids, state_changes_of
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import ListFacts, Result, Views, truth_sha256
from pvit_data.scoring.protocols import find_protocol, protocol_of_source
from pvit_data.tasks.table import is_by_box, target_spec
from pvit_model.network.inference import Inference
from pvit_model.ranks import all_gather_rows, own_rank
from pvit_model.tasks import ACTION, get_task
from pvit_model.tasks.meter import Arrays
from pvit_model.tasks.persons.measuring import (
    counted_classes,
    facts_of_classes,
    moment_in,
    table_of,
    truth_of,
)
from pvit_model.tasks.persons.scores import BoxScores, Gathered
from pvit_model.using.loading import Loaded
from pvit_model.using.matching import Matched
from pvit_model.using.measuring.source import Keeps
from pvit_model.using.source_report import SourceReport

BASELINE, ERROR = "majority", "majority_se"
COUNTS = ("videos",)
NOT_ONE = -1  # in place of a class, where a label is something else


class Kept(Keeps, Protocol):
    """What collects the logits of one label on every rank, and writes them."""

    def gather(self, classes: int) -> None:
        """Takes in those of all ranks; every rank must ask, with the number of logits."""

    def save(self, path: Path, ids: Sequence[str], about: dict[str, Any]) -> None:
        """Writes what was gathered.

        Args:
            path: of the dump.
            ids: original ids of the samples.
            about: what the file says of itself.
        """


class Predictions:
    """Collects the logits of clips on every rank; see `Kept`.

    Args:
        ds: the samples; each key comes once.
        label: what they say.
    """

    def __init__(self, ds: ShardDataset, label: str = ACTION) -> None:
        self.ds, self.label = ds, label
        self._place = {key: row for row, key in enumerate(ds.column("key").tolist())}
        self._seen: Counter[str] = Counter()
        self._numbers: list[tuple[int, int, int]] = []
        self._logits: list[Tensor] = []
        self._found: tuple[np.ndarray, np.ndarray] | None = None

    def measure(self, targets: Targets, logits: Float[Tensor, "r k"]) -> Arrays:
        """Classes and logits."""
        value = targets.value.cpu().numpy()
        labels = value.astype(np.int64) if value.ndim == 1 else np.full(len(value), NOT_ONE)
        return {"labels": labels, "logits": logits.detach().float().cpu().numpy()}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes in the next views of each key."""
        for key, label in zip(keys, measured["labels"].tolist(), strict=True):
            self._numbers.append((self._place[key], self._seen[key], label))
            self._seen[key] += 1
        self._logits.append(torch.from_numpy(measured["logits"]))

    def gather(self, classes: int) -> None:
        """(row, view, label) and logits of every view of all ranks, in the order of the data set."""
        numbers = torch.tensor(self._numbers, dtype=torch.int64).reshape(-1, 3)
        logits = torch.cat(self._logits) if self._logits else torch.zeros((0, classes))
        rows, values = all_gather_rows(numbers).numpy(), all_gather_rows(logits).numpy()
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        self._found = rows[order], values[order]

    def save(self, path: Path, ids: Sequence[str], about: dict[str, Any]) -> None:
        """See `Kept`."""
        assert self._found is not None
        numbers, logits = self._found
        keys = self.ds.column("key").tolist()
        rows = numbers[:, 0].tolist()
        write_dump(
            path,
            [keys[row] for row in rows],
            [ids[row] for row in rows],
            numbers[:, 1],
            numbers[:, 2],
            logits,
            about,
        )


class BoxPredictions:
    """Collects the logits of boxes on every rank; see `Kept`.

    Attributes:
        found: what was gathered.

    Args:
        ds: the samples; each key comes once.
        label: what they say.
        inference: how the network is fed.
    """

    def __init__(self, ds: ShardDataset, label: str, inference: Inference) -> None:
        self.ds, self.label = ds, label
        space = inference.space_of(label)
        assert space is not None
        self._names = list(space.classes)
        self._scores = BoxScores(ds, inference.clip.person_score, len(self._names))
        self.found: Gathered | None = None

    def measure(self, targets: Targets, logits: Float[Tensor, "r k"]) -> Arrays:
        """Logits of all boxes of a batch's clips."""
        return {"logits": logits.detach().float().cpu().numpy()}

    def take(self, keys: Sequence[str], measured: Arrays) -> None:
        """Takes them in."""
        self._scores.add(keys, measured["logits"])

    def gather(self, classes: int) -> None:
        """See `Kept`."""
        self.found = self._scores.gathered()

    def save(self, path: Path, ids: Sequence[str], about: dict[str, Any]) -> None:
        """Writes the dump, with corners and `MOVIE,SECOND`."""
        assert self.found is not None
        found, rows = self.found, self.found.row.tolist()
        moments = {row: "{},{:04d}".format(*moment_in(self.ds, row)) for row in set(rows)}
        number = np.zeros(len(rows), np.int64)
        scored = {moment.rpartition(",")[0] for moment in moments.values()}
        firsts = dict(map(partial(moment_in, self.ds), reversed(range(len(self.ds)))))
        empty = [
            f"{movie},{second:04d}"
            for movie, second in sorted(firsts.items())
            if movie not in scored
        ]
        about = {**about, "classes": self._names, "threshold": self._scores.least, EMPTY: empty}
        write_dump(
            path,
            self.ds.column("key")[found.row].tolist(),
            [moments[row] for row in rows],
            number,
            number + NOT_ONE,
            found.logits,
            about,
            found.xyxy,
        )


def predictions_of(ds: ShardDataset, label: str, inference: Inference) -> Kept:
    """What collects the logits of a label."""
    if is_by_box(label):
        return BoxPredictions(ds, label, inference)
    return Predictions(ds, label)


def class_names(inference: Inference, label: str = ACTION) -> list[str]:
    """Names of the network's outputs for a label; of actions by id, "" for ids before the first class."""
    space = inference.space_of(label)
    if space is None:
        return []
    return [""] * (space.first if label == ACTION else 0) + list(space.classes)


def facts_of_model(model: Loaded) -> dict[str, Any]:
    """What tells one network from another."""
    return {
        "name": model.name,
        "weights": sha256_of(model.weights),
        "recipe": model.inference.recipe,
        **model.facts,
    }


def passport(
    name: tuple[str, str],
    metrics: dict[str, float],
    inference: Inference,
    views: Views,
    truth: tuple[Mapping[str, int], int],
    model: dict[str, Any],
) -> dict[str, Any]:
    """The result of an evaluation with all that makes it comparable, as `pvit score` gives it.

    Args:
        name: of source and split.
        metrics: of the actions.
        inference: how the network was fed.
        views: of each video.
        truth: class of each clip that was scored, by its original id; and how many clips of the split have one.
        model: see `facts_of_model`.
    """
    protocol = protocol_of_source(name[0])
    known = (
        protocol is not None
        and (protocol.clips, protocol.crops) == (views.clips, views.crops)
        and not views.whole
        and "topk" in protocol.metrics
    )
    labels, of = truth
    names, ids = class_names(inference), list(labels)
    text = "".join(f"{each}\n" for each in names)
    told = " ".join(name)
    told = told if protocol is None else protocol.list_name(told, of)
    result = Result(
        metric="topk",
        protocol=protocol.name if protocol is not None and known else "plain",
        variant="softmax, summed over views",
        values={key: v for key, v in metrics.items() if key not in (BASELINE, ERROR, *COUNTS)},
        scored=ListFacts.make(told, ids, of),
        truth=truth_sha256(ids, labels.values()),
        views=views,
        baselines={BASELINE: metrics[BASELINE]},
        details={ERROR: metrics[ERROR]},
        classes={
            "number": len(names),
            "sha256": hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest(),
        },
        model=model,
    )
    return result.to_json()


def views_of(matched: Matched) -> Views:
    """How often each clip of a source is seen, and whether whole."""
    frames, (clips, crops) = matched.inference.clip.num_frames, matched.views
    return Views(frames, clips, crops, clips * crops, True if matched.is_whole else None)


def passport_of_boxes(
    report: SourceReport,
    matched: Matched,
    ds: ShardDataset,
    kept: BoxPredictions,
    views: Views,
    model: dict[str, Any],
) -> dict[str, Any]:
    """The result on persons with all that makes it comparable, as `pvit score` gives it for the dump.

    Args:
        ds: the samples that were evaluated: all of the split, or some, which then are the list.

    Returns:
        {} where nobody is or was found.
    """
    space = matched.inference.space_of(kept.label)
    assert space is not None
    assert kept.found is not None
    videos = Videos()
    told = truth_of(ds, report.source, space, videos)
    if not len(kept.found.row) or not len(told.truth):
        return {}
    whole = matched.source.split(report.split)
    is_all = whole is not None and len(whole) == len(ds)
    ids = (
        told.movies
        if is_all
        else [f"{m},{s:04d}" for m, s in map(partial(moment_in, ds), range(len(ds)))]
    )
    protocol = find_protocol("ava", None)
    told_name = f"{report.source} {report.split}"
    told_name = protocol.list_name(told_name, len(ids)) if is_all else told_name
    how = ScoreOptions(
        protocol=protocol,
        threshold=matched.inference.clip.person_score,
        frames=views.frames,
        whole=views.whole,
    )
    counted, facts = counted_classes(space), facts_of_classes(space)
    of = (told_name, ids)
    result = score_seconds(
        told, table_of(kept.found, ds, videos), videos, of, (counted, facts), how
    )
    result.model = model
    return result.to_json()


OSCC = "oscc"
"""What Ego4D calls the top-1 of its actions; its other metric is called as our label."""


def passports_of_windows(
    report: SourceReport,
    matched: Matched,
    ds: ShardDataset,
    views: Views,
    model: dict[str, Any],
) -> list[dict[str, Any]]:
    """The results on Ego4D with all that makes them comparable, as `pvit score` gives them for the dumps.

    Args:
        ds: the samples that were evaluated.

    Returns:
        [] for other sources and views, and where samples lack what the metrics need.
    """
    protocol, inference = protocol_of_source(report.source), matched.inference
    if protocol is None or OSCC not in protocol.metrics or views.number != 1:
        return []
    whole = matched.open(report.split, strict=False)
    try:
        truth = state_changes_of(ds, report.source, report.source)
        every = truth
        if whole is not None and len(whole) > len(ds):
            every = state_changes_of(whole, report.source, report.source)
    except FormatError:
        return []
    further = {label: label for label in inference.labels if label in protocol.metrics}
    found = []
    for metric, label in ({OSCC: ACTION} | further).items():
        counted, values = counted_of(metric, truth), report.metrics.get(label, {})
        number = inference.clip.num_frames if label != ACTION else len(class_names(inference))
        fits = values.get("videos", values.get("clips")) == counted.sum() and counted.any()
        if not fits or (label == ACTION and number != 2):
            continue
        of = f"{report.source} {report.split}", int(counted_of(metric, every).sum())
        result = unanswered(metric, truth.keep(np.flatnonzero(counted)), of, number)
        main = get_task(label).main
        result.values = {f"{OSCC}_{main}" if label == ACTION else main: values[main]}
        result.views, result.model = views, model
        found.append(result.to_json())
    return found


def _labelled(matched: Matched, split: str) -> int:
    """How many samples of a split have a class that is scored."""
    whole = matched.open(split)
    return 0 if whole is None else int((whole.column(target_spec(ACTION).field) >= 0).sum())


def ids_of(ds: ShardDataset) -> list[str]:
    """Original ids of the samples; their keys where two samples have one id."""
    ids = list(original_ids(ds))
    return ids if len(set(ids)) == len(ids) else ds.column("key").tolist()


def certify(
    report: SourceReport,
    model: Loaded,
    matched: Matched,
    ds: ShardDataset,
    keep: Sequence[Kept],
    dump: str | Path | None,
) -> None:
    """Adds the passport, and writes the logits; both on the first rank."""
    inference = matched.inference
    views = views_of(matched)
    for kept in keep:
        kept.gather(_outputs(inference, kept.label))
    if own_rank()[0]:
        return
    ids, facts = ids_of(ds), facts_of_model(model)
    certified = passports_of_windows(report, matched, ds, views, facts)
    if ACTION in report.metrics and OSCC not in {one["metric"] for one in certified}:
        labels = ds.column(target_spec(ACTION).field).tolist()
        scored = {name: label for name, label in zip(ids, labels, strict=True) if label >= 0}
        name = (report.source, report.split)
        values = {**report.metrics[ACTION], **_of_further_labels(report, inference)}
        of = _labelled(matched, report.split)
        certified.insert(0, passport(name, values, inference, views, (scored, of), facts))
    elif boxes := [kept for kept in keep if isinstance(kept, BoxPredictions)]:
        certified.append(passport_of_boxes(report, matched, ds, boxes[0], views, facts))
    report.passport, *report.further_passports = certified or [{}]
    if dump is None:
        return
    seen = {name: value for name, value in views.to_json().items() if name != "number"}
    about = {"source": report.source, "split": report.split, **seen, "model": facts}
    for number, kept in enumerate(keep):
        path = Path(dump)
        if number:
            path = path.with_name(f"{path.stem}.{kept.label}{path.suffix}")
        names = class_names(inference, kept.label)
        classes = {"classes": names} if names else {}
        kept.save(path, ids, {**about, **classes})


def _of_further_labels(report: SourceReport, inference: Inference) -> dict[str, float]:
    """The main number of each label besides actions."""
    found = ((label, get_task(label).main) for label in inference.labels if label in report.metrics)
    return {name: report.metrics[label][name] for label, name in found}


def _outputs(inference: Inference, label: str) -> int:
    """Number of logits of a label: one for each class, or for each frame of a clip."""
    return len(class_names(inference, label)) or inference.clip.num_frames
