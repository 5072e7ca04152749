"""Scoring predictions of classes: `topk` and `multilabel`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.labels import mirrored_pairs
from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.lists import another_list, leak
from pvit_data.scoring.doctor.mirrored import mirrored
from pvit_data.scoring.doctor.own_labels import own_flags, own_labels
from pvit_data.scoring.doctor.permuted import permuted
from pvit_data.scoring.doctor.permuted_columns import permuted_columns
from pvit_data.scoring.doctor.views import combined
from pvit_data.scoring.files.class_names import ordered, read_classes
from pvit_data.scoring.files.class_truth import (
    LABELS,
    ClassTruth,
    read_class_truth,
)
from pvit_data.scoring.files.dump import model_in
from pvit_data.scoring.files.kinds import facts_of
from pvit_data.scoring.files.predictions import read_class_scores
from pvit_data.scoring.files.scores import ClassScores
from pvit_data.scoring.files.shards import is_shards, read_shards
from pvit_data.scoring.matching import align, best_ids
from pvit_data.scoring.metrics.classes import (
    best,
    class_accuracies,
    confusion,
    ties,
    top_k,
    tops,
)
from pvit_data.scoring.metrics.multilabel import mean_average_precision, random_precision
from pvit_data.scoring.metrics.views import summed, whole_of
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import ListFacts, Result, Views, truth_sha256
from pvit_data.scoring.protocols import require_second_edition
from pvit_data.words import short

TIED = 0.01  # of the videos, above which equal scores are said
_PROBABILITIES = {
    True: "numbers read as probabilities (each view adds up to {}), summed over views as they are",
    False: "numbers read as probabilities (all are from 0 to {}), summed over views as they are",
}
"""By whether classes exclude each other."""


def score_classes(path: Path, metric: str, how: ScoreOptions) -> Result:
    """Scores a file of predictions.

    Raises:
        FormatError: if files are damaged, or ids, views or classes are not the list's.
        UsageError: if something has to be said by an option.
    """
    scores = read_class_scores(path)
    truth = read_truth(how, scores, str(path), several=metric == "multilabel")
    if how.protocol.name == "diving48":
        require_second_edition(truth.where, len(truth.ids))
    names = read_classes_of(how) or scores.classes
    if not truth.complete and names:
        truth = truth.among(names)
    ids = best_ids(scores, truth.ids, how.protocol.clean, str(path), truth.keys)
    rows, listed = align(ids, truth.ids, str(path), partial=how.partial, another=_another(ids, how))
    require_views(scores, how, str(path))
    order, notes = _order(scores, truth, how, str(path))
    logits = scores.logits if order is None else scores.logits[:, :, order]
    scored = [truth.ids[row] for row in listed]
    result = Result(
        metric=metric,
        protocol=how.protocol.name,
        variant="",
        values={},
        scored=_facts(how, truth, scored),
        views=views_of(scores, how),
        classes=_class_facts(truth, logits.shape[2]),
        files={"predictions": facts_of(path), "truth": _truth_facts(how)},
        model=model_in(scores.about),
        notes=[*truth.notes, *notes],
        diagnosed=how.diagnose,
    )
    if not scores.has_views and how.protocol.views > 1:
        result.notes.append(
            f"one row per video: its writer combined the views, so that nothing here can see whether there were "
            f"{how.protocol.views}"
        )
    if how.truth is not None:
        result.findings += _own_labels(scores, rows, truth, listed, order)
    logits = logits[rows]
    exclusive = metric != "multilabel"
    total = summed(logits, exclusive=exclusive, where=str(path), ids=scored)
    if whole := whole_of(logits, exclusive=exclusive):
        result.notes.append(_PROBABILITIES[exclusive].format(whole))
    if metric == "multilabel":
        _multilabel(result, total, truth, listed, how)
    else:
        _top_k(result, logits, total, truth, listed, how, scores)
    return result


def read_truth(
    how: ScoreOptions, scores: ClassScores, where: str, *, several: bool = False
) -> ClassTruth:
    """What is true, from the place that was named, or from the predictions themselves.

    Raises:
        UsageError: if neither says anything.
    """
    if how.truth is not None and is_shards(how.truth):
        return read_shards(how.truth, how.source, how.part, several=several)
    if how.truth is not None:
        if Path(how.truth).is_dir():
            raise UsageError(
                f"{how.truth}: is a folder without shards; name the file with the annotations"
            )
        return read_class_truth(
            Path(how.truth), how.protocol.name, how.protocol.clean, how.classes, several=several
        )
    known = scores.several is not None if several else (scores.labels >= 0).any()
    if not known:
        kind = " of several classes (an array of 0 and 1, N x classes)" if several else ""
        hint = "" if several or scores.several is None else " of one class (--metric multilabel?)"
        raise UsageError(
            f"{where}: carries no labels{kind}{hint}; give --truth (shards, an annotation file, a table id,label)"
        )
    names = tuple(read_classes_of(how)) or scores.classes
    ids = [how.protocol.clean(name) for name in scores.ids]
    flags = scores.several if several else None
    return ClassTruth(where, ids, scores.labels, names, several=flags, pairs=_pairs(names))


def _pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    return mirrored_pairs({name: number for number, name in enumerate(names)})


def read_classes_of(how: ScoreOptions) -> tuple[str, ...]:
    """Names in the order of `--classes`; () without it."""
    return () if how.classes is None else ordered(read_classes(how.classes))


def require_views(scores: ClassScores, how: ScoreOptions, where: str) -> None:
    """The guard on views.

    Raises:
        FormatError: if the videos have other than the published views.
    """
    wanted, told = how.protocol, views_of(scores, how)
    if not wanted.views:
        return
    way = (
        f"protocol {wanted.name} has {wanted.views} ({wanted.clips} clips x {wanted.crops} crops): numbers of other "
        "views compare with nothing published; predict all views, or score with --protocol plain"
    )
    if scores.has_views and scores.views != wanted.views:
        raise FormatError(f"{where}: {scores.views} views of each video, {way}")
    pairs = ((told.clips, wanted.clips), (told.crops, wanted.crops))
    if any(own not in (None, right) for own, right in pairs):
        known = ["?" if own is None else own for own, _ in pairs]
        raise FormatError(f"{where}: {known[0]} clips x {known[1]} crops of each video, {way}")


def _another(ids: list[str], how: ScoreOptions) -> Callable[[], str]:
    def name() -> str:
        if how.truth is None or is_shards(how.truth):
            return ""
        return another_list(ids, Path(how.truth), how.protocol.name, how.protocol.clean)

    return name


def _order(
    scores: ClassScores, truth: ClassTruth, how: ScoreOptions, where: str
) -> tuple[Int64[np.ndarray, "k"] | None, list[str]]:
    """The column of each of the truth's classes, matched by names where both sides have them; None: they are in order.

    Raises:
        FormatError: if the columns are of other classes.
    """
    number = scores.logits.shape[2]
    names = read_classes_of(how) or scores.classes
    if names and len(names) != number:
        raise FormatError(f"{where}: {number} columns of scores, {len(names)} names of classes")
    if names and truth.classes and names != truth.classes:
        place = {name: column for column, name in enumerate(names)}
        if unknown := [name for name in truth.classes if name not in place]:
            by = f" (named by {truth.named_by})" if truth.named_by else ""
            raise FormatError(
                f"{where}: class {short(unknown[0], 60)} of the truth{by} is none of the predictions' {number} classes"
            )
        order = [place[name] for name in truth.classes]
        if len(order) != number:
            raise FormatError(
                f"{where}: predictions of {number} classes, the list has {len(order)}: give the file with all classes "
                "(--classes FILE), or predict over those of the list"
            )
        if truth.two_ways:
            _refuse_two_ways(truth, how)
        note = "columns of the predictions were put into the order of the truth's classes, by their names"
        return np.array(order, np.int64), [note]
    highest = (
        int(truth.labels.max(initial=-1)) if truth.several is None else truth.several.shape[1] - 1
    )
    if highest >= number:
        raise FormatError(
            f"{where}: {number} columns of scores, but the truth has class {highest}: the predictions are of another "
            "set of classes"
        )
    if truth.classes and len(truth.classes) != number:
        few = "" if truth.complete else " that occur"
        by = f", which {truth.named_by} names" if truth.named_by else ""
        raise FormatError(
            f"{where}: {number} columns of scores for {len(truth.classes)} classes{few} in the truth{by}: give the "
            "file with all classes, in the order of the columns (--classes FILE)"
        )
    return None, []


def _refuse_two_ways(truth: ClassTruth, how: ScoreOptions) -> None:
    way = "leave out --classes" if how.classes else "score predictions that name no classes"
    raise UsageError(
        f"{truth.where}: has numbers of classes, which --protocol {how.protocol.name} counts in the order of the "
        f"alphabet, and {truth.named_by} in another: the score depends on which are meant. Where the columns of the "
        f"predictions are in the order of these numbers, {way}; else write names instead of numbers into the list"
    )


def _own_labels(
    scores: ClassScores,
    rows: Int64[np.ndarray, "n"],
    truth: ClassTruth,
    listed: Int64[np.ndarray, "n"],
    order: Int64[np.ndarray, "k"] | None,
) -> list[Finding]:
    """Whether the labels in the predictions, which number classes as their columns, are the truth's."""
    ids, number = [truth.ids[row] for row in listed], scores.logits.shape[2]
    if truth.several is not None:
        if scores.several is None:
            return []
        flags = np.zeros((len(listed), number), bool)
        flags[:, : truth.several.shape[1]] = truth.several[listed]
        given = scores.several if order is None else scores.several[:, order]
        found = own_flags(given[rows], flags, ids)
    else:
        labels = scores.labels[rows].copy()
        if order is not None:
            inside = (labels >= 0) & (labels < number)
            labels[inside] = np.argsort(order)[labels[inside]]
        found = own_labels(labels, truth.labels[listed], ids, number, truth.orders)
    return [] if found is None else [found]


def _facts(how: ScoreOptions, truth: ClassTruth, scored: list[str]) -> ListFacts:
    where = truth.where.rstrip("/").rpartition("/")[2]
    split = f" {how.part}" if how.truth is not None and is_shards(how.truth) else ""
    name = how.protocol.list_name(f"{where}{split}", len(truth.ids))
    return ListFacts.make(name, scored, len(truth.ids))


def views_of(scores: ClassScores, how: ScoreOptions) -> Views:
    """How often each video was seen, as far as the predictions and the options say."""
    told = {name: scores.about.get(name) for name in ("frames", "clips", "crops")}
    numbers = {
        name: value if isinstance(value, int) and not isinstance(value, bool) else None
        for name, value in told.items()
    }
    if numbers["frames"] is None:
        numbers["frames"] = how.frames
    if scores.has_views and numbers["clips"] is None and numbers["crops"] is None:
        protocol = how.protocol
        if protocol.views:
            numbers |= {"clips": protocol.clips, "crops": protocol.crops}
        elif scores.views == 1:
            numbers |= {"clips": 1, "crops": 1}
    whole = True if scores.about.get("whole") is True else None
    return Views(**numbers, number=scores.views if scores.has_views else None, whole=whole)


def _class_facts(truth: ClassTruth, number: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"number": number}
    if len(truth.classes) == number:
        text = "".join(f"{name}\n" for name in truth.classes)
        facts["sha256"] = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
    return facts


def _truth_facts(how: ScoreOptions) -> dict[str, Any]:
    if how.truth is None:
        return {"name": "the labels in the predictions"}
    facts = facts_of(Path(how.truth))
    return {**facts, "split": how.part} if is_shards(how.truth) else facts


def _multilabel(
    result: Result,
    scores: Float[np.ndarray, "n k"],
    truth: ClassTruth,
    listed: Int64[np.ndarray, "n"],
    how: ScoreOptions,
) -> None:
    result.variant = (
        "sigmoid, summed over views; average precision per class, mean over classes with a video"
    )
    flags = np.zeros(scores.shape, bool)
    assert truth.several is not None
    flags[:, : truth.several.shape[1]] = truth.several[listed]
    several = (" ".join(map(str, np.flatnonzero(row))) for row in flags)
    ids = [truth.ids[row] for row in listed]
    result.truth = truth_sha256(ids, several)
    if not flags.any():
        raise UsageError(
            f"{truth.where}: no video has a class (those of a video stand in one column {', '.join(LABELS[:-1])} or "
            f"{LABELS[-1]}, as `3 7`), so that there is nothing to find"
        )
    mean, each = mean_average_precision(scores, flags)
    result.values = {"mAP": mean}
    result.baselines = {"random": random_precision(flags)}
    result.details = {"per_class": each.tolist()}
    if how.diagnose:
        told = (permuted_columns(scores, flags, ids), _leak(truth, listed, how))
        result.findings += [finding for finding in told if finding is not None]


def _leak(truth: ClassTruth, listed: Int64[np.ndarray, "n"], how: ScoreOptions) -> Finding | None:
    ids = [truth.ids[row] for row in listed]
    paths = [truth.paths[row] for row in listed] if truth.paths else []
    file = None if how.truth is None or is_shards(how.truth) else Path(how.truth)
    return leak(ids, file, how.train_list, how.protocol.name, how.protocol.clean, paths)


def _top_k(
    result: Result,
    logits: Float[np.ndarray, "n v k"],
    scores: Float[np.ndarray, "n k"],
    truth: ClassTruth,
    listed: Int64[np.ndarray, "n"],
    how: ScoreOptions,
    given: ClassScores,
) -> None:
    labels = truth.labels[listed]
    known = labels >= 0
    if not known.any():
        raise UsageError(
            f"{truth.where}: has no labels (a column {', '.join(LABELS[:-1])} or {LABELS[-1]}); --submit FILE writes "
            "predictions for such a list"
        )
    if not known.all():
        result.notes.append(f"{int((~known).sum()):,} videos without a label are not scored")
        logits, scores = logits[known], scores[known]
        labels, listed = labels[known], listed[known]
        result.scored = _facts(how, truth, [truth.ids[row] for row in listed])
    result.variant = "softmax, summed over views"
    ids = [truth.ids[row] for row in listed]
    result.truth = truth_sha256(ids, labels.tolist())
    result.notes += _ties(scores, labels)
    values = top_k(scores, labels)
    error = values.pop("majority_se")
    result.baselines = {"majority": values.pop("majority")}
    result.values = values
    counts = confusion(labels, best(scores), scores.shape[1])
    result.details = {
        "majority_se": error,
        "per_class": class_accuracies(counts).tolist(),
        "class_names": list(truth.classes),
    }
    if how.diagnose:
        result.findings += _diagnose(logits, scores, labels, truth, listed, how, given)


def _ties(scores: Float[np.ndarray, "n k"], labels: Int64[np.ndarray, "n"]) -> list[str]:
    """What equal scores leave open, where it is more than a few videos."""
    notes = []
    for k in tops(scores.shape[1]):
        tied, low, high = ties(scores, labels, k) if k < scores.shape[1] else (0.0, 0.0, 0.0)
        if tied > TIED and f"{low:.4f}" != f"{high:.4f}":
            notes.append(
                f"{100 * tied:.1f} % of the videos have equal scores at place {k} and the next, where the class with "
                f"the smaller number stands first: top-{k} is between {low:.4f} and {high:.4f}, by the order of equal "
                "scores"
            )
    return notes


def _diagnose(
    logits: Float[np.ndarray, "n v k"],
    scores: Float[np.ndarray, "n k"],
    labels: Int64[np.ndarray, "n"],
    truth: ClassTruth,
    listed: Int64[np.ndarray, "n"],
    how: ScoreOptions,
    given: ClassScores,
) -> list[Finding]:
    predicted, ids = best(scores), [truth.ids[row] for row in listed]
    orders = dict(truth.orders)
    names = read_classes_of(how)
    if names and set(names) == set(truth.classes) and names != truth.classes:
        place = {name: column for column, name in enumerate(truth.classes)}
        # The columns were put in order by --classes; they may have been in order before.
        orders["the truth's order already, without --classes"] = np.array(
            [place[name] for name in names], np.int64
        )
    pairs = truth.pairs or _pairs(truth.classes)
    number = scores.shape[1]
    other = permuted(labels, predicted, ids, number, orders)
    found = [
        # Classes that are only in another order swap sides, too, where the pairs are neighbours.
        other or mirrored(labels, predicted, pairs),
        _leak(truth, listed, how),
        *combined(logits, given.has_views, labels, scores),
    ]
    return [finding for finding in found if finding is not None]
