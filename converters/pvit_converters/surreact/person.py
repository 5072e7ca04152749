"""The variables of an `_info.mat`, in one form whatever set they come from (spec surreact, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from pvit_converters.raw.mat import MatFile
from pvit_data.errors import SourceError

NUM_JOINTS = 24
FAR = 20.0
"""Joints further than so many metres from the origin are garbage (spec, section 4)."""


@dataclass(frozen=True)
class Info:
    """What a clip's file says.

    Args:
        joints3d: world metres.
        joints2d: pixels, rounded; None where the file has none.
        pose: SMPL axis-angle; None where the file has none or it was not asked for.
        shape: SMPL betas, one row per person; None likewise.
        is_female: gender of all people.
        zrot, distance, height: of the camera.
    """

    joints3d: Float32[np.ndarray, "t p 24 3"]
    joints2d: Float32[np.ndarray, "t p 24 2"] | None
    pose: Float32[np.ndarray, "t p 72"] | None
    shape: Float64[np.ndarray, "p 10"] | None
    is_female: bool
    zrot: float
    distance: float
    height: float

    @property
    def length(self) -> int:
        """Number of frames in the arrays, which may be more or fewer than the video's."""
        return len(self.joints3d)

    def usable(self) -> Bool[np.ndarray, "t p"]:
        """People whose joints are finite, near, and not all in one place."""
        joints = self.joints3d
        with np.errstate(invalid="ignore"):
            near = (np.abs(joints) <= FAR).all((2, 3))
            spread: Bool[np.ndarray, "t p"] = (np.abs(joints - joints[:, :, :1]) > 0).any((2, 3))
        usable: Bool[np.ndarray, "t p"] = near & spread
        return usable


def read_info(path: Path, *, with_body: bool = False) -> Info:
    """Reads an `_info.mat`.

    Args:
        path: the file.
        with_body: also pose and shape, which only the SMPL model needs.

    Raises:
        SourceError: if it is damaged, lacks the joints or the camera, or holds arrays of no known form.
    """
    file = MatFile(path)
    joints = to_joints(file.array("joints3D"), 3, path)
    flat = to_joints(file.array("joints2D"), 2, path) if "joints2D" in file else None
    if flat is not None and flat.shape[:3] != joints.shape[:3]:
        raise SourceError(
            f"{path}: joints2D has the form {flat.shape}, joints3D {joints.shape}",
            reason="wrong-shape",
        )
    return Info(
        joints3d=joints,
        joints2d=flat,
        pose=to_pose(file.array("pose"), path) if with_body and "pose" in file else None,
        shape=_betas(file) if with_body and "shape" in file else None,
        is_female="gender" not in file or file.scalar("gender") == 0,
        zrot=file.scalar("zrot_euler") if "zrot_euler" in file else 0.0,
        distance=file.scalar("cam_dist"),
        height=file.scalar("cam_height"),
    )


def to_joints(
    array: Float[np.ndarray, "..."], axes: int, path: Path
) -> Float32[np.ndarray, "t p 24 c"]:
    """Joints with all axes, whichever are written.

    Args:
        array: (P,c,24,T), (c,24,T), (P,c,24) of one frame, or (c,24).
        axes: c, 2 or 3.
        path: for messages.

    Raises:
        SourceError: for any other shape (`"wrong-shape"`).
    """
    core = (axes, NUM_JOINTS)
    if array.ndim == 4 and array.shape[1:3] == core:
        full = array
    elif array.ndim == 3 and array.shape[:2] == core:
        full = array[None]
    elif array.ndim == 3 and array.shape[1:] == core:
        full = array[..., None]
    elif array.shape == core:
        full = array[None, ..., None]
    else:
        raise SourceError(
            f"{path}: joints{axes}D has shape {array.shape}, expected (people, {axes}, 24, frames), "
            f"({axes}, 24, frames), (people, {axes}, 24) or ({axes}, 24)",
            reason="wrong-shape",
        )
    return np.ascontiguousarray(np.transpose(full, (3, 0, 2, 1)), np.float32)


def to_pose(array: Float[np.ndarray, "..."], path: Path) -> Float32[np.ndarray, "t p 72"]:
    """SMPL poses with all axes: from (P,72,T), (72,T) or (P,72).

    Raises:
        SourceError: for any other shape (`"wrong-shape"`).
    """
    if array.ndim == 3 and array.shape[1] == 72:
        full = array
    elif array.ndim == 2 and array.shape[0] == 72:
        full = array[None]
    elif array.ndim == 2 and array.shape[1] == 72:
        full = array[..., None]
    else:
        raise SourceError(
            f"{path}: pose has shape {array.shape}, expected (people, 72, frames), (72, frames) or (people, 72)",
            reason="wrong-shape",
        )
    return np.ascontiguousarray(np.transpose(full, (2, 0, 1)), np.float32)


def _betas(file: MatFile) -> Float64[np.ndarray, "p 10"]:
    values = file.array("shape").astype(np.float64)
    if values.size % 10 or not values.size:
        raise SourceError(
            f"{file.path}: shape has {values.shape}, expected 10 numbers a person",
            reason="wrong-shape",
        )
    # One person is written as (1,10) or (10,1), several as (P,10).
    return values.reshape(-1, 10)
