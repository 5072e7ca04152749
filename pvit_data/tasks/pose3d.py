"""3D pose: the joints of the person nearest to the camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.sample.kinect25 import NAMES
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Shapes, TargetSpec
from pvit_data.tasks.target import Target, at_frames, target_of

PELVIS = 0  # SpineBase of Kinect v2


def pose3d(sample: Sample, frames: Int64[np.ndarray, "t"], config: ClipConfig) -> Target | None:
    """Joints in metres relative to the pelvis, float32 (T', 25, 3), of the person nearest to the camera.

    The nearest person is chosen once per clip (smallest median pelvis depth), so that targets do not jump between
    people. A frame whose pelvis is absent is masked; so is one that a crop has cut most of the person off: what it
    does is not to be seen.
    """
    if sample.pose3d is None:
        return None
    joints, present = at_frames(sample, "pose3d", sample.pose3d, frames)
    known = np.isfinite(joints).all(-1) & present[:, None, None]
    if sample.pose3d_valid is not None:
        known &= at_frames(sample, "pose3d", sample.pose3d_valid, frames)[0] > 0
    known &= (known[:, :, PELVIS] & _in_picture(sample, frames, known))[..., None]
    person = nearest_person(joints[:, :, PELVIS, 2], known[:, :, PELVIS])
    if person is None:
        return None
    value = joints[:, person] - joints[:, person, PELVIS, None]
    valid = known[:, person]
    return target_of(np.where(valid[..., None], value, 0).astype(np.float32), valid)


def _in_picture(
    sample: Sample, frames: Int64[np.ndarray, "t"], known: Bool[np.ndarray, "t p 25"]
) -> np.ndarray:
    """(t, p): whether at least half of the known joints with a place in pixels lie in the picture; True without any."""
    if sample.pose2d is None or not (sample.height and sample.width):
        return np.ones(known.shape[:2], bool)
    place, present = at_frames(sample, "pose2d", sample.pose2d, frames)
    placed = known & (place != 0).any(-1) & present[:, None, None]
    inside = placed & (place >= 0).all(-1) & (place <= [sample.width, sample.height]).all(-1)
    return np.asarray(2 * inside.sum(-1) >= placed.sum(-1))


def nearest_person(z: Float32[np.ndarray, "t p"], known: Bool[np.ndarray, "t p"]) -> int | None:
    """The person with the smallest median pelvis depth over the frames where it is known; None if there is nobody."""
    depths = [
        float(np.median(z[known[:, p], p])) if known[:, p].any() else np.inf
        for p in range(z.shape[1])
    ]
    return int(np.argmin(depths)) if np.isfinite(depths).any() else None


def shapes(config: ClipConfig) -> Shapes:
    """(T', 25, 3) and (T', 25)."""
    joints = (config.num_targets, len(NAMES))
    return (*joints, 3), joints


TARGET = TargetSpec(
    name="pose3d",
    field="pose3d",
    reads=("pose3d", "pose3d_valid", "pose2d"),
    build=pose3d,
    shapes=shapes,
)
