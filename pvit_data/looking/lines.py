"""What there is to say about each annotation of a sample, in one line for people."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Float

from pvit_data.format.record import Record
from pvit_data.looking.tiles import box_kind, class_name, top_classes
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import UNKNOWN, Sample
from pvit_data.words import counted

LISTED_FRAMES, LISTED_CLASSES, LISTED_BOXES = 8, 12, 16

Line = tuple[str, str]
"""Name and text."""


def depth_line(sample: Sample, record: Record) -> Line | None:
    """Frames, encoding, range."""
    if not record.depth_frames:
        return None
    text = f"{_where(record.depth_frames, record.frames)}, {record.depth_encoding}"
    if sample.depth is not None and (valid := sample.depth[sample.depth > 0]).size:
        share = 100 * (1 - valid.size / sample.depth.size)
        text += f", {valid.min():.2f}-{valid.max():.2f} m, median {np.median(valid):.2f} m, {share:.1f} % invalid"
    return "depth", text


def normal_line(sample: Sample, record: Record) -> Line | None:
    """Frames, encoding, share of invalid pixels."""
    if not record.normal_frames:
        return None
    text = f"{_where(record.normal_frames, record.frames)}, {record.normal_encoding}"
    if sample.normal is not None and sample.normal.size:
        text += f", {100 * (1 - sample.normal.any(-1).mean()):.1f} % invalid"
    return "normal", text


def segm_line(sample: Sample, record: Record) -> Line | None:
    """Frames, label space, largest classes."""
    if not record.segm_frames:
        return None
    text = f"{_where(record.segm_frames, record.frames)}, '{record.segm_space}'"
    if sample.segm is not None and sample.segm.size:
        classes = top_classes(sample.segm, sample.spaces.get("segm"), LISTED_CLASSES)
        text += f": {', '.join(classes)}"
    return "segm", text


def pose_line(sample: Sample, record: Record) -> Line | None:
    """People and frames."""
    kinds = [name for name in ("pose3d", "pose2d") if name in record.fields]
    if not kinds:
        return None
    people = counted(record.people, "person", "people")
    return " + ".join(kinds), f"{people}, {_where(record.pose_frames, record.frames)}"


def boxes_line(sample: Sample, record: Record) -> Line | None:
    """What the boxes show, and how sure they are."""
    if sample.boxes is None:
        return None
    boxes, space = sample.boxes, sample.spaces.get("boxes")
    kinds = np.array([box_kind(boxes, row, space) or "box" for row in range(len(boxes))])
    common = Counter(kinds.tolist()).most_common(LISTED_BOXES)
    told = [
        f"{name if n == 1 else f'{n} x {name}'}{_scores(boxes.score[kinds == name])}"
        for name, n in common
    ]
    frames = len(np.unique(boxes.frame))
    where = "this frame" if frames <= 1 else f"{frames} frames"
    named = f", '{record.boxes_space}'" if record.boxes_space else ""
    return "boxes", f"{len(boxes)} in {where}{named}: {', '.join(told) or 'none'}"


def _scores(scores: Float[np.ndarray, "n"]) -> str:
    """From the lowest to the highest of those that are known."""
    known = scores[scores != UNKNOWN]
    found = (
        dict.fromkeys(f"{score:.2f}" for score in (known.min(), known.max())) if known.size else {}
    )
    return f" {'-'.join(found)}" if found else ""


def action_line(sample: Sample, record: Record) -> Line | None:
    """The class, or the time."""
    if "action" not in record.fields:
        return None
    if record.action_time >= 0:
        return "action", f"at {record.action_time:g} s"
    return "action", _numbered(record.action_id, sample.spaces.get("action"))


def actions_line(sample: Sample, record: Record) -> Line | None:
    """All classes, with their times."""
    if "actions" not in record.fields:
        return None
    space = sample.spaces.get("action")
    parts = []
    for number, start, end in zip(
        record.actions_id, record.actions_start, record.actions_end, strict=True
    ):
        times = "" if start < 0 else f" ({start:g}-{end:g} s)"
        parts.append(_numbered(number, space) + times)
    return "actions", ", ".join(parts) or "none"


def camera_line(sample: Sample, record: Record) -> Line | None:
    """Lens and pose."""
    if sample.camera is None:
        return None
    k = sample.camera.K[0]
    kind = "one for all frames" if len(sample.camera.K) == 1 else "one per frame"
    plain = np.allclose(k[[1, 2, 2], [0, 0, 1]], 0) and k[2, 2] == 1
    lens = (
        f"fx {k[0, 0]:.1f} fy {k[1, 1]:.1f} cx {k[0, 2]:.1f} cy {k[1, 2]:.1f}"
        if plain
        else "tilted"
    )
    pose = "no world pose" if sample.camera.world_from_camera is None else "world pose"
    up = f", up is {sample.camera.up}" if sample.camera.up else ""
    return "camera", f"{lens}, {pose}{up}, {kind}"


def _where(frames: list[int], total: int) -> str:
    if len(frames) == total:
        return "every frame" if total > 1 else "the frame"
    more = ", ..." if len(frames) > LISTED_FRAMES else ""
    listed = ", ".join(map(str, frames[:LISTED_FRAMES])) + more
    return f"{len(frames)} of {total} frames ({listed})"


def _numbered(number: int, space: LabelSpace | None) -> str:
    """A class's number and name."""
    return f"{number} {class_name(number, space)}".rstrip()
