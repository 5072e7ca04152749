"""Kinect-25 joints of a SURREACT clip: from its SMPL joints, from the mesh, or from an original recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from pvit_converters.annotations import smpl as smpl_mesh
from pvit_converters.annotations.joint_maps import (
    DERIVED,
    FROM_MIRRORED_KINECT,
    FROM_SMPL24,
    MIRRORED_AXES,
)
from pvit_converters.annotations.kinect import read_recording
from pvit_converters.surreact.camera import View
from pvit_converters.surreact.person import Info
from pvit_data.sample.kinect25 import FLIP, NAMES

_MESH = [NAMES.index(name) for name in smpl_mesh.POINTS]


@dataclass(frozen=True)
class Pose:
    """Joints in camera axes, metres, with their validity.

    Args:
        joints: zero where absent.
        valid: 0 absent, 1 derived, 2 exact.
        warnings: what a user should know.
    """

    joints: Float32[np.ndarray, "t p 25 3"]
    valid: UInt8[np.ndarray, "t p 25"]
    warnings: tuple[str, ...] = ()


def from_smpl(info: Info, view: View, frames: int, models: Path | None) -> Pose:
    """From the clip's own joints; with model files, head, hand tips and thumbs from the mesh."""
    usable = info.usable()[:frames]
    world = info.joints3d[:frames]
    cam = view.see(np.where(usable[..., None, None], world, 0).astype(np.float64))
    joints, valid = FROM_SMPL24.apply(cam, np.broadcast_to(usable[..., None], cam.shape[:-1]))
    warnings = [] if usable.all() else ["frames-without-joints"]
    if models is not None:
        warnings += _add_mesh(info, view, models, joints, valid)
    return Pose(joints, valid, tuple(warnings))


def _add_mesh(
    info: Info,
    view: View,
    models: Path,
    joints: Float32[np.ndarray, "t p 25 3"],
    valid: UInt8[np.ndarray, "t p 25"],
) -> list[str]:
    """Replaces the extremities in place."""
    if info.pose is None or info.shape is None or info.pose.shape[1] != joints.shape[1]:
        return ["no-pose-for-the-smpl-model"]
    path, warnings = smpl_mesh.find_model(models, info.is_female), []
    for person in range(joints.shape[1]):
        length = min(len(joints), len(info.pose))
        good = np.flatnonzero(
            info.usable()[:length, person] & np.isfinite(info.pose[:length, person]).all(-1)
        )
        if not len(good):
            continue
        world = info.joints3d[good, person].astype(np.float64)
        betas = info.shape[min(person, len(info.shape) - 1)]
        points, miss = smpl_mesh.extremities(path, info.pose[good, person], betas, world)
        if miss > smpl_mesh.MAX_RESIDUAL:
            warnings.append("smpl-model-does-not-fit-the-joints")
            continue
        for i, joint in enumerate(_MESH):
            joints[good, person, joint] = view.see(points[:, i].astype(np.float64))
            valid[good, person, joint] = DERIVED
    return warnings


def from_recording(path: Path, frames: int, people: int) -> Pose:
    """From the original Kinect recording of the front view, sides exchanged since its pictures were mirrored.

    Args:
        path: the recording.
        frames: of the clip; the recording may be shorter.
        people: at most so many bodies, those that move most first.
    """
    recording = read_recording(path)
    length = min(frames, len(recording.joints))
    count = max(1, min(people, recording.joints.shape[1]))
    points = recording.joints[:length, :count] * MIRRORED_AXES
    state = recording.state[:length, :count]
    joints = np.zeros((frames, count, len(NAMES), 3), np.float32)
    valid = np.zeros((frames, count, len(NAMES)), np.uint8)
    joints[:length], found = FROM_MIRRORED_KINECT.apply(points, state > 0)
    valid[:length] = np.minimum(
        found, state[..., list(FLIP)]
    )  # the state 1, inferred: the sensor guessed the joint
    return Pose(joints, valid, () if length == frames else ("recording-shorter-than-video",))
