"""Normals: where surfaces face, as maps of unit vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import TargetSpec, map_shapes
from pvit_data.tasks.target import Target, shown_maps


def normal(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Unit normals, float32 (T', h, w, 3), in `config.normal_axes`; camera axes where the source has no world frame."""
    if sample.normal is None:
        return None
    world = config.normal_axes == "world" and has_world(sample)
    value = sample.normal_in("world" if world else "camera")
    square = np.einsum("nhwc,nhwc->nhw", value, value)
    valid = (square > 0) & np.isfinite(square)
    return shown_maps(
        sample, "normal", np.where(valid[..., None], value, 0).astype(np.float32), valid, frames, 0
    )


def has_world(sample: Sample) -> bool:
    """Whether the sample's camera has a world frame."""
    return sample.camera is not None and sample.camera.world_from_camera is not None


def world_axes(config: ClipConfig) -> bool:
    """Whether targets are in world axes, which a mirrored picture has not."""
    return config.normal_axes == "world"


TARGET = TargetSpec(
    name="normal",
    field="normal",
    reads=("normal", "camera"),
    build=normal,
    shapes=map_shapes(3),
    never_flipped=world_axes,
)
