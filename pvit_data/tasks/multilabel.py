"""Multilabel: any number of classes of the whole clip, for lists as those of Charades."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target


def multilabel(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """1 for each class that the clip has, whenever it happens, float32 (K,); None where nobody says which it has."""
    if sample.actions is None:
        return None
    value = np.zeros(config.num_labels, np.float32)
    value[sample.actions.class_id] = 1
    return Target(value, np.array(True))


def shapes(config: ClipConfig) -> Shapes:
    """(K,) and ()."""
    return (config.num_labels,), ()


TARGET = TargetSpec(
    name="multilabel",
    field="actions",
    build=multilabel,
    shapes=shapes,
    downstream_only=True,
    by_class="action",
)
