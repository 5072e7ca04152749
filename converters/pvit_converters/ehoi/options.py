"""What a user can choose about EHOI."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class EhoiOptions(ConverterOptions):
    """Options of the EHOI converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"part", "split"})

    preset: Literal["none", "paper"] = Field(
        "none",
        description="paper: all synthetic images are training images (the paper used the 20,000 of the first release)",
    )
    part: Literal["synth", "real", "all"] = Field(
        "synth", description="synthetic images, real ones (which have boxes only), or both"
    )
    split: Literal["all", "train", "val", "test"] = Field(
        "all", description="convert only this split"
    )
    depth_scale: float = Field(
        0.0,
        ge=0,
        description="metres per unit of the depth maps, whose scale is not published; 0: no depth",
    )
    depth_offset: float = Field(0.0, description="metres at value 0 (which itself stays invalid)")
