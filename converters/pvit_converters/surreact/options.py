"""What a user can choose about SURREACT."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.annotations.frames import HELP
from pvit_converters.base import ConverterOptions


class SurreactOptions(ConverterOptions):
    """Options of the SURREACT converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split", "sets", "views", "preset"})

    preset: Literal["none", "paper"] = Field(
        "none",
        description="paper: ntu/vibe and uestc/hmmr, train split (105,162 + 3,154 = 108,316 videos)",
    )
    sets: tuple[str, ...] = Field((), description="only these sets, e.g. ntu/vibe,uestc/hmmr")
    split: Literal["all", "train", "test"] = Field("all", description="convert only this split")
    views: tuple[str, ...] = Field((), description="only these azimuths in degrees, e.g. 0,180")
    estimator: Literal["auto", "vibe", "hmmr"] = Field(
        "auto", description="motion estimator of the sets, where no folder name says vibe or hmmr"
    )
    parts: Literal["24", "14"] = Field(
        "24", description="body parts: all 24, or the authors' reduction to 14"
    )
    depth_kind: Literal["auto", "planar", "distance"] = Field(
        "auto",
        description="what _depth.mat holds (renderers differ): planar z, or distance to the camera; auto: judged by "
        "_normal.mat, planar without it",
    )
    skeletons: Path | None = Field(
        None,
        description="folder with the original Kinect recordings (NAME.skeleton, NAME_skeleton.mat or .txt); they "
        "replace the SMPL joints of the front view",
    )
    smpl_models: Path | None = Field(
        None,
        description="folder with SMPL_FEMALE.npz and SMPL_MALE.npz; head, hand tips and thumbs then follow the mesh",
    )
    frames: str = Field("", description=HELP)
    min_fit: float = Field(
        1.5, gt=0, description="pixels by which joints may miss their stored pixels (median)"
    )
