"""Actions of a clip that may have any number of them (Charades): 1 for each class that it shows, 0 for the others."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target

NAME = "actions"
SPACE = "action"  # the field in whose label space they are


def actions(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Float32 (K,), whatever their times; an empty table says that none is shown. None where nobody looked."""
    if sample.actions is None:
        return None
    space = sample.spaces.get(SPACE)
    number = sample.actions.class_id - (0 if space is None else space.first)
    value = np.zeros(_num_classes(config), np.float32)
    value[number[number >= 0]] = 1  # not of classes that are left out
    return Target(value, np.array(True))


def _num_classes(config: ClipConfig) -> int:
    return config.label_classes.get(NAME, 0)


def shapes(config: ClipConfig) -> Shapes:
    """(K,) and ()."""
    return (_num_classes(config),), ()


TARGET = TargetSpec(
    name=NAME,
    field="actions",
    build=actions,
    shapes=shapes,
    downstream_only=True,
    by_class=SPACE,
)
