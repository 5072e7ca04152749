"""Scoring Ego4D's two tasks: PNR and OSCC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from pvit_data.errors import UsageError
from pvit_data.scoring.class_scores import views_of
from pvit_data.scoring.doctor.finding import Finding
from pvit_data.scoring.doctor.frame_units import frame_units
from pvit_data.scoring.doctor.lists import another_list, leak
from pvit_data.scoring.doctor.own_labels import own_labels
from pvit_data.scoring.doctor.permuted import permuted
from pvit_data.scoring.files.dump import model_in
from pvit_data.scoring.files.ego4d import (
    KEY_FRAME,
    WANTED,
    ClipAnswers,
    StateChanges,
    read_annotations,
    read_answers,
)
from pvit_data.scoring.files.kinds import facts_of
from pvit_data.scoring.files.shards import is_shards, read_state_changes
from pvit_data.scoring.matching import align
from pvit_data.scoring.metrics import ego4d
from pvit_data.scoring.metrics.classes import majority
from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import ListFacts, Result, Views, truth_sha256
from pvit_data.words import short

_VARIANTS = {
    "pnr": "mean over clips whose state changes; a bin stands for its left edge",
    "oscc": "share of clips with the right answer",
}
_FRAMES = "mean over clips whose state changes; frames as the file has them"
_MEANING = "true, 1 and the second of two logits mean that the state changes"


def score_clips(path: Path, metric: str, how: ScoreOptions) -> Result:
    """Scores a file of answers.

    Raises:
        FormatError: if files are damaged, or ids are not the list's.
        UsageError: if something has to be said by an option.
    """
    if how.truth is None:
        raise UsageError(f"--metric {metric} needs --truth (fho_oscc-pnr_val.json, or shards)")
    file, answers = Path(how.truth), read_answers(path, metric)
    if is_shards(how.truth):
        truth, name = (
            read_state_changes(how.truth, how.source, how.part),
            f"{file.name} {how.part}",
        )
    else:
        truth, name = read_annotations(file), file.name
    counted = counted_of(metric, truth)
    if not counted.any():
        raise UsageError(f"{file}: {_nothing_counts(metric, truth)}")
    wanted = np.flatnonzero(counted)
    rows, listed = align(
        answers.ids,
        [truth.ids[row] for row in wanted],
        str(path),
        partial=how.partial,
        another=lambda: another_list(answers.ids, file, "ego4d", str),
        known=truth.ids,
    )
    scored = truth.keep(wanted[listed])
    number = 2 if metric == "oscc" else answers.number
    result = unanswered(metric, scored, (name, len(wanted)), number)
    result.views = Views(how.frames) if answers.scores is None else views_of(answers.scores, how)
    result.files = {"predictions": facts_of(path), "truth": facts_of(file)}
    result.model = {} if answers.scores is None else model_in(answers.scores.about)
    result.diagnosed = how.diagnose
    result.notes += _not_scored(metric, truth)
    other = None
    if metric == "pnr":
        found = _key_frames(result, answers, rows, scored)
    else:
        found = _changes(result, answers, rows, scored)
        if answers.labels is not None:
            way = (
                f"they are the truth's with yes and no exchanged: {_MEANING}; are the answers too?"
            )
            other = own_labels(answers.labels[rows], scored.state, scored.ids, 2, {}, way)
    leaked = leak(scored.ids, file, how.train_list, "ego4d", str) if how.diagnose else None
    told = (other, found if how.diagnose else None, leaked)
    result.findings = [finding for finding in told if finding is not None]
    return result


def counted_of(metric: str, truth: StateChanges) -> Bool[np.ndarray, "n"]:
    """Which clips a metric counts."""
    return truth.positive if metric == "pnr" else truth.state >= 0


def unanswered(metric: str, truth: StateChanges, whole: tuple[str, int], number: int) -> Result:
    """The result without what was answered.

    Args:
        metric: `"pnr"` or `"oscc"`.
        truth: of the clips that are scored.
        whole: name of the list, and how many of it count.
        number: of classes, or bins.
    """
    name, of = whole
    listed = f"positives of {name}" if metric == "pnr" else name
    result = Result(
        metric=metric,
        protocol="ego4d",
        variant=_VARIANTS[metric],
        values={},
        scored=ListFacts.make(listed, truth.ids, of),
        classes={"number": number},
    )
    if metric == "pnr":
        windows = truth.windows
        ends = (windows.start.tolist(), windows.end.tolist(), windows.change.tolist())
        result.truth = truth_sha256(truth.ids, zip(*ends, strict=True))
        result.baselines = {"always_8": ego4d.always(windows)}
    else:
        result.truth = truth_sha256(truth.ids, truth.state.tolist())
        share, error = majority(np.bincount(truth.state, minlength=2).astype(np.float64))
        positive = float((truth.state == 1).mean())
        result.baselines = {"always_positive": positive, "majority": share}
        result.details = {"majority_se": error}
    return result


def _not_scored(metric: str, truth: StateChanges) -> list[str]:
    """How many clips are left out since something is not known of them."""
    notes = []
    if unsaid := int((truth.state < 0).sum()):
        notes.append(
            f"{unsaid:,} clips of which nobody says whether the state changes are not scored"
        )
    if metric == "pnr" and (unsaid := int(((truth.state == 1) & ~truth.positive).sum())):
        notes.append(f"{unsaid:,} clips whose state changes are not scored: they lack {KEY_FRAME}")
    windows, positive = truth.windows, truth.positive
    outside = positive & ((windows.change < windows.start) | (windows.change > windows.end))
    if metric == "pnr" and (number := int(outside.sum())):
        notes.append(
            f"{number:,} of the {int(positive.sum()):,} clips have a {KEY_FRAME} outside of their own frames, first "
            f"{short(truth.ids[int(np.argmax(outside))], 60)}: were frames of clip and parent mixed?"
        )
    return notes


def _nothing_counts(metric: str, truth: StateChanges) -> str:
    if metric == "pnr" and (changed := int((truth.state == 1).sum())):
        return (
            f"none of its {changed:,} clips whose state changes says when: they lack {KEY_FRAME}, which "
            f"{WANTED} has"
        )
    if metric == "pnr" and (truth.state >= 0).any():
        return (
            f"the state changes in none of its {len(truth.ids):,} clips, so that there is no moment to find; --metric "
            "oscc scores such a list"
        )
    return "has no labels; --submit FILE writes answers for such a list"


def _key_frames(
    result: Result, answers: ClipAnswers, rows: np.ndarray, truth: StateChanges
) -> Finding | None:
    windows = truth.windows
    if answers.bins is not None:
        bins = answers.bins[rows]
        frames = ego4d.predicted_frame(bins, windows, answers.number)
    else:
        assert answers.frames is not None
        frames = answers.frames[rows]
        bins = ego4d.bins_of(frames, windows)
    values = ego4d.errors(frames, windows)
    honest = None  # of predictions that are no bins nobody knows which frame was shown
    if bins is None:
        result.variant = _FRAMES
    else:
        shown = ego4d.shown_frame(bins, windows, answers.number)
        honest = ego4d.mean(ego4d.errors(shown, windows)[~np.isnan(shown)])
    result.values = {"pnr_error_sec": ego4d.mean(values)}
    result.details = {
        "pnr_error_sec_shown_frame": honest,
        "median_error_sec": float(np.median(values)),
    }
    return frame_units(frames, windows)


def _changes(
    result: Result, answers: ClipAnswers, rows: np.ndarray, truth: StateChanges
) -> Finding | None:
    assert answers.state is not None
    given = answers.state[rows]
    result.values = {"oscc_top1": float((given == truth.state).mean())}
    result.details["said_yes"] = float((given == 1).mean())
    if permuted(truth.state, given, truth.ids, 2, {}) is None:
        return None
    top1 = result.values["oscc_top1"]
    return Finding(
        "answers exchanged",
        f"with yes and no exchanged, top-1 of the {len(given):,} clips is {1 - top1:.3f} instead of {top1:.3f} "
        f"(majority {result.baselines['majority']:.3f})",
        "likely",
        f"exchange the answers: {_MEANING}",
    )
