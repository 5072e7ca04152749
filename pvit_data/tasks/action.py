"""Action: the class of the whole clip, the label that the downstream source is there for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target


def action(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """The class id, int64 (); None where the sample has none, or has a time instead of a class."""
    if not isinstance(sample.action, int | np.integer) or sample.action < 0:
        return None
    return Target(np.array(sample.action, np.int64), np.array(True))


def shapes(config: ClipConfig) -> Shapes:
    """Scalars."""
    return (), ()


TARGET = TargetSpec(
    name="action",
    field="action",
    build=action,
    shapes=shapes,
    dtype="int64",
    downstream_only=True,
    column="action",
)
