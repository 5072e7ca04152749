"""What a user can choose about SynADL."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.annotations.frames import HELP
from pvit_converters.base import ConverterOptions


class SynadlOptions(ConverterOptions):
    """Options of the SynADL converter."""

    selects: ClassVar[frozenset[str]] = frozenset(
        {"cameras", "groups", "subjects", "actions", "max_clips", "seed"}
    )

    preset: Literal["none", "paper"] = Field(
        "none",
        description="paper: 48,800 videos, all for training; which ones the paper took is unknown, so they are drawn "
        "by a hash of the file name (--max-clips, --seed)",
    )
    max_clips: int = Field(
        0, ge=0, description="at most so many videos, drawn by a hash of the file name; 0: all"
    )
    seed: int = Field(0, description="of that draw")
    cameras: tuple[str, ...] = Field((), description="only these cameras, e.g. 1,5,9")
    groups: tuple[str, ...] = Field(
        (), description="only these scene settings (background and light), e.g. 1,2"
    )
    subjects: tuple[str, ...] = Field((), description="only these characters, e.g. 101,102")
    actions: tuple[str, ...] = Field((), description="only these actions by number, e.g. 10,49")
    val_subjects: tuple[str, ...] = Field(
        (), description="these characters become val, all others train"
    )
    val_cameras: tuple[str, ...] = Field(
        (), description="these cameras become val, all others train"
    )
    joints: Literal["auto", "kinect", "openpose"] = Field(
        "auto",
        description="which skeletons: Kinect where they are there and pass their check, else OpenPose",
    )
    recenter: Literal["pnp", "none"] = Field(
        "pnp",
        description="pnp: find the translation that 3D files lack from the 2D joints; none: leave it",
    )
    use_occluded_joints: bool = Field(False, description="joints with score 0 count as valid too")
    kinect_order: Path | None = Field(
        None, description="YAML list of the 25 joint names in the order of the Kinect files"
    )
    joint_scale: float = Field(
        0.0, ge=0, description="metres per unit of the 3D files; 0: 0.01, or 1 where bones say so"
    )
    joint_axes: str = Field(
        "auto",
        description='the 3D axes as camera axes (x right, y down, z forward), e.g. "x,-y,z"; auto: by the 2D joints',
    )
    frames: str = Field("", description=HELP)
    fps: float = Field(20.0, gt=0, description="frame rate of videos whose file tells none")
    allow_length_mismatch: bool = Field(
        False,
        description="accept skeletons that are more than two frames shorter or longer than their video",
    )
    layout: Path | None = Field(
        None, description="YAML with folders: synadl: {rgb: RGB, op2d: A, op3d: B, k2d: C, k3d: D}"
    )
    label_map: Path | None = Field(
        None, description="YAML with other action names: actions: {10: washing}"
    )
    from_zip: bool = Field(
        False, description="also read the members of zip archives in ROOT, without unpacking"
    )
    copy_video: bool = Field(
        False, description="keep the AVI files as they are instead of encoding them as H.264"
    )
