"""Segmentation: the class of each pixel, in the source's own label space."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import TargetSpec, map_shapes
from pvit_data.tasks.target import Target, shown_maps


def segm(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Class ids, int64 (T', h, w); valid where the id is one of the label space's, others hold its ignore id."""
    if sample.segm is None:
        return None
    space = sample.spaces["segm"]
    valid = (sample.segm >= space.first) & (sample.segm < space.num_ids)
    return shown_maps(
        sample,
        "segm",
        np.where(valid, sample.segm, space.ignore).astype(np.int64),
        valid,
        frames,
        space.ignore,
    )


TARGET = TargetSpec(
    name="segm", field="segm", build=segm, shapes=map_shapes(), dtype="int64", by_space=True
)
