"""Depth: planar distance from the camera, as maps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import TargetSpec, map_shapes
from pvit_data.tasks.target import Target, shown_maps


def depth(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Planar depth in metres, float32 (T', h, w); valid where positive and finite."""
    if sample.depth is None:
        return None
    valid = (sample.depth > 0) & np.isfinite(sample.depth)
    return shown_maps(
        sample, "depth", np.where(valid, sample.depth, 0).astype(np.float32), valid, frames, 0
    )


TARGET = TargetSpec(name="depth", field="depth", build=depth, shapes=map_shapes())
