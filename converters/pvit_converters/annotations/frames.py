"""Annotations of some frames only (`--frames ::4`): the video stays whole, maps and joints get smaller.

Dense maps make up most of a shard; neighbouring frames of a clip hardly differ, and training looks at a few of them.
"""

from __future__ import annotations

import re

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import UsageError
from pvit_data.sample.sample import DENSE_FIELDS, POSE_FIELDS, Sample

HELP = "annotate these frames only, as START:STOP:STEP, e.g. ::4 (every fourth) or :300; the video stays whole"

_SLICE = re.compile(r"(\d*):(\d*)(?::(\d*))?")


def parse_frames(text: str) -> slice:
    """The frames of a text such as `::4`; "" means all.

    Raises:
        UsageError: if it is no such text.
    """
    match = _SLICE.fullmatch(text or ":")
    if match is None or int(match[3] or 1) == 0:
        raise UsageError(f"--frames {text}: expected START:STOP:STEP, such as ::4 or :300")
    return slice(*(int(part) if part else None for part in match.groups()))


def name_frames(sample: Sample, frames: Integer[np.ndarray, "n"]) -> None:
    """Says of every map and joint which frames its entries belong to, where not every frame has them; in place."""
    for name in (*DENSE_FIELDS, *POSE_FIELDS):
        if sample.has(name):
            sample.frames[name] = frames


def keep_frames(sample: Sample, text: str) -> None:
    """Drops the annotations of other frames, in place; a field of which nothing is left becomes absent.

    Raises:
        UsageError: as `parse_frames`.
    """
    chosen = np.arange(sample.num_frames)[parse_frames(text)]
    if len(chosen) == sample.num_frames:
        return
    for names in (*((name,) for name in DENSE_FIELDS), POSE_FIELDS):
        first = next((name for name in names if sample.has(name)), None)
        if first is None:
            continue
        places = sample.frames_of(first)
        kept = np.isin(places, chosen)
        for name in names:
            sample.frames.pop(name, None)
            if (value := getattr(sample, name)) is not None:
                setattr(sample, name, value[kept] if kept.any() else None)
        if kept.any():
            sample.frames.update(dict.fromkeys((n for n in names if sample.has(n)), places[kept]))
    if sample.boxes is not None:
        sample.boxes = sample.boxes.keep(np.isin(sample.boxes.frame, chosen))
