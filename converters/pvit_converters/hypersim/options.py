"""What a user can choose about Hypersim."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class HypersimOptions(ConverterOptions):
    """Options of the Hypersim converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split", "scenes", "cameras"})

    metadata: Path | None = Field(
        None,
        description="folder with the official CSV files, or a clone of their repository; default: ROOT/metadata, else "
        "the tables shipped with us",
    )
    split: Literal["train", "val", "test", "all"] = Field(
        "all", description="convert only this official split"
    )
    scenes: tuple[str, ...] = Field((), description="only these scenes, e.g. ai_001_001 or ai_02*")
    cameras: tuple[str, ...] = Field((), description="only these cameras, e.g. cam_00")
    every: int = Field(1, ge=1, description="only frames whose number is a multiple of this")
    max_nan_fraction: float = Field(
        1.0, ge=0, le=1, description="leave out frames with more invalid pixels than this"
    )
    rgb: Literal["auto", "hdf5", "jpg"] = Field(
        "auto",
        description="colour from radiance (hdf5), the released JPEG (jpg), or whichever is there, in this order",
    )
    min_box_pixels: int = Field(1, ge=1, description="instances with fewer pixels get no box")
    assume_pinhole: bool = Field(
        False,
        description="accept scenes without a known camera as plain pinholes (wrong for 59 % of the scenes)",
    )
    exclude_broken: bool = Field(True, description="leave out the 2,200 images known to be broken")
