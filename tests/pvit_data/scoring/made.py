"""Predictions with known properties, written as files, and what the doctor says of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pvit_data.scoring.options import ScoreOptions
from pvit_data.scoring.passport import Result
from pvit_data.scoring.protocols import find_protocol
from pvit_data.scoring.score import score
from tests.pvit_data.scoring.boxes_by_loops import Row, lines

ALWAYS_SAID = {"logits averaged", "detector recall", "oracle mAP"}


def names_of(number: int) -> list[str]:
    """Names of classes, three pairs of which differ by left and right."""
    names = [f"Doing thing number {n:03d}" for n in range(number)]
    for n, verb in enumerate(("Pulling", "Pushing", "Turning")):
        if 2 * n + 1 < number:
            names[2 * n] = f"{verb} from left to right"
            names[2 * n + 1] = f"{verb} from right to left"
    return sorted(names)


def network(labels: np.ndarray, number: int, top1: float, rng: np.random.Generator, views: int = 3) -> np.ndarray:
    """Logits (N, views, K) of a network that is right on this share of the videos."""
    logits = rng.normal(size=(len(labels), 1, number))
    right = rng.random(len(labels)) < top1
    first = np.where(right, labels, rng.integers(0, number, len(labels)))
    logits[np.arange(len(labels)), 0, first] += 6
    return (logits + 0.3 * rng.normal(size=(len(labels), views, number))).astype(np.float32)


def diagnose_classes(
    root: Path, logits: np.ndarray, labels: np.ndarray, number: int, *, write: Any = None, **how: Any
) -> Result:
    """Writes npz and truth, and scores them."""
    ids = [f"v{n:06d}" for n in range(len(labels))]
    (root / "truth.csv").write_text("id,label\n" + "".join(f"{i},{k}\n" for i, k in zip(ids, labels, strict=True)))
    (root / "classes.json").write_text(json.dumps(names_of(number)))
    kept = slice(None, how.pop("predicted", None))
    np.savez(root / "p.npz", ids=np.array(ids[kept]), logits=logits[kept])
    options = {"classes": root / "classes.json", "truth": str(root / "truth.csv"), **how}
    return score(
        root / "p.npz", "topk", ScoreOptions(protocol=find_protocol("topk", "plain"), diagnose=True, **options)
    )


def diagnose_several(root: Path, logits: np.ndarray, flags: np.ndarray) -> Result:
    """The same of videos with any number of classes, whose truth is in the npz."""
    ids = [f"v{n:06d}" for n in range(len(flags))]
    np.savez(root / "p.npz", ids=ids, logits=logits, labels=flags.astype(np.int64))
    return score(
        root / "p.npz", "multilabel", ScoreOptions(protocol=find_protocol("multilabel", "plain"), diagnose=True)
    )


def found(result: Result) -> set[str]:
    """Names of findings that are no information."""
    assert {f.name for f in result.findings if not f.is_finding} <= ALWAYS_SAID
    return {finding.name for finding in result.wrong}


def movies(seed: int = 0, seconds: int = 40) -> list[Row]:
    """Ground truth: two people who walk about, with two of ten classes each; every fourth second is empty."""
    rng = np.random.default_rng(seed)
    rows = []
    for video in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
        for second in range(902, 902 + seconds):
            for _ in range(0 if second % 4 == 0 else 2):
                x, y = rng.uniform(0, 0.55), rng.uniform(0, 0.3)
                box = tuple(np.round([x, y, x + rng.uniform(0.15, 0.4), y + rng.uniform(0.4, 0.65)], 3).tolist())
                rows += [
                    Row(video, second, box, int(a))
                    for a in rng.choice([1, 4, 11, 12, 14, 17, 59, 74, 79, 80], 2, False)
                ]
    return rows


def detections(
    truth: list[Row], recall: float = 0.95, jitter: float = 0.01, classes: Any = None, seed: int = 1, false: float = 0.3
) -> list[Row]:
    """Scores of a good network on boxes of a detector, with false boxes everywhere."""
    rng = np.random.default_rng(seed)
    from tests.pvit_data.scoring.boxes_by_loops import CLASSES

    actions = CLASSES if classes is None else classes
    people: dict[tuple[str, int, tuple[float, ...]], set[int]] = {}
    for row in truth:
        people.setdefault((row.video, row.second, row.box), set()).add(row.action)
    rows = []
    for (video, second, box), own in people.items():
        if rng.random() < recall:
            moved = tuple(np.clip(np.array(box) + rng.normal(0, jitter, 4), 0, 1).tolist())
            rows += [
                Row(video, second, moved, a, float(rng.beta(5, 2) if a in own else rng.beta(1, 9))) for a in actions
            ]
    for video in ("aaaaaaaaaaa", "bbbbbbbbbbb"):
        for second in range(902, 942):
            if rng.random() < false:
                x, y = rng.uniform(0, 0.6, 2)
                rows += [Row(video, second, (x, y, x + 0.2, y + 0.3), a, float(rng.beta(1, 9))) for a in actions]
    return rows


def diagnose_boxes(root: Path, truth: list[Row], rows: list[Row], **how: Any) -> Result:
    """Writes both, and scores them."""
    (root / "ava_val_v2.2.csv").write_text(lines(truth, False))
    text = "".join(
        f"{r.video},{r.second:04d},{','.join(f'{v:.4f}' for v in r.box)},{r.action},{r.score:.6f}\n" for r in rows
    )
    (root / "found.csv").write_text(text)
    options = {"no_excluded": True, "truth": str(root / "ava_val_v2.2.csv"), **how}
    return score(root / "found.csv", "ava", ScoreOptions(protocol=find_protocol("ava", None), diagnose=True, **options))


def clips(number: int = 60, seed: int = 0, length: Any = None) -> list[dict[str, Any]]:
    """Ego4D's rows; half of them with a change of state in the middle third."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(number):
        start = int(rng.integers(200, 9000))
        steps = int(rng.integers(150, 240)) if length is None else length
        row = {"unique_id": f"c{n}", "parent_start_frame": start, "parent_end_frame": start + steps}
        row |= {"parent_start_sec": start / 30, "parent_end_sec": (start + steps) / 30, "state_change": n % 2 == 0}
        if n % 2 == 0:
            row["parent_pnr_frame"] = start + int(rng.uniform(0.25, 0.75) * steps)
        rows.append(row)
    return rows


def diagnose_clips(
    root: Path, rows: list[dict[str, Any]], answers: dict[str, Any], metric: str = "pnr", **how: Any
) -> Result:
    """Writes both, and scores them."""
    (root / "fho_oscc-pnr_val.json").write_text(json.dumps({"clips": rows}))
    key = "pnr_frame" if metric == "pnr" else "state_change"
    (root / "p.json").write_text(json.dumps([{"unique_id": k, key: v} for k, v in answers.items()]))
    options = {"truth": str(root / "fho_oscc-pnr_val.json"), **how}
    return score(root / "p.json", metric, ScoreOptions(protocol=find_protocol(metric, None), diagnose=True, **options))


def in_frames(rows: list[dict[str, Any]], noise: float = 0.3, seed: int = 3) -> dict[str, float]:
    """Predictions with an error, in frames from the start of each clip."""
    rng = np.random.default_rng(seed)
    answers = {}
    for row in rows:
        steps = row["parent_end_frame"] - row["parent_start_frame"]
        true = row.get("parent_pnr_frame", row["parent_start_frame"] + steps / 2) - row["parent_start_frame"]
        k = int(np.clip(round(true / steps * 16 + rng.normal(0, 16 * noise / 4)), 0, 15))
        answers[row["unique_id"]] = steps / 16 * k
    return answers
