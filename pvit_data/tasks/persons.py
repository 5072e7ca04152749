"""Persons: what each one does in the key frame of a clip (AVA); one entry per person, any number of actions each."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import ROLE_PERSON, Boxes, Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target

NAME = "persons"
FIELD = "boxes"
CORNERS = 4


def persons(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Float32 (n, 4 + K) of n persons: x1 y1 x2 y2 in [0, 1] of the picture, then 1 for each class, 0 for the others.

    They are valid where the sample has a label space; without one nobody says what they do, as with detections. None
    where nobody looked for persons.
    """
    if sample.boxes is None:
        return None
    found = persons_of(sample, config.person_score)
    space = sample.spaces.get(FIELD)
    value = np.zeros((len(found), CORNERS + _num_classes(config)), np.float32)
    value[:, :CORNERS] = found.xyxy
    if space is not None:
        row, number = found.labels[:, 0], found.labels[:, 1] - space.first
        is_known = number >= 0
        value[row[is_known], CORNERS + number[is_known]] = 1
    return Target(value, np.full(len(found), space is not None))


def persons_of(sample: Sample, least: float) -> Boxes:
    """The persons in the key frame of a sample with boxes, in its order; without a key frame, in the middle one.

    Args:
        least: score of a person that a detector found; those without a score always count.
    """
    table = sample.boxes
    assert table is not None
    key_frame = About.of(sample.meta).key_frame
    if key_frame is None:
        key_frame = sample.num_frames // 2
    is_person = (table.role == ROLE_PERSON) & (table.frame == key_frame)
    return table.keep(is_person & ((table.score < 0) | (table.score >= np.float32(least))))


def _num_classes(config: ClipConfig) -> int:
    return config.label_classes.get(NAME, 0)


def shapes(config: ClipConfig) -> Shapes:
    """(4 + K,) and ()."""
    return (CORNERS + _num_classes(config),), ()


TARGET = TargetSpec(
    name=NAME,
    field=FIELD,
    build=persons,
    shapes=shapes,
    downstream_only=True,
    by_class=FIELD,
    by_box=True,
)
