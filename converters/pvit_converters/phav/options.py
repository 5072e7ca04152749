"""What a user can choose about PHAV."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.annotations.frames import HELP
from pvit_converters.base import ConverterOptions


class PhavOptions(ConverterOptions):
    """Options of the PHAV converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"actions"})

    preset: Literal["none", "paper"] = Field(
        "none",
        description="paper: every video is a training video, as in the paper (39.9K), nothing is held out",
    )
    split: Literal["all", "character"] = Field(
        "all",
        description="all: the general hold-out; character: Alexis and Justin are val, Model_Girl and Model_Boy test",
    )
    actions: tuple[str, ...] = Field((), description="only these actions, e.g. BrushHair,Clap")
    more_roots: tuple[str, ...] = Field(
        (), description="further folders with unpacked torrents of other modalities"
    )
    layout: Path | None = Field(
        None,
        description='YAML with file names or the packing of depth: phav: {rgb: "img_{:05d}.jpg", depth_packing: rgb24}',
    )
    label_map: Path | None = Field(
        None,
        description="YAML with colours that the table lacks: extra_colors: {Misc: [[38, 115, 71]]}",
    )
    classes: Literal["full", "person"] = Field(
        "full", description="full: 63 classes; person: body parts and Human merged (36 classes)"
    )
    max_unknown_seg: float = Field(
        0.05,
        ge=0,
        le=1,
        description="fail a video in which more of the class pixels have an unknown colour",
    )
    seg_tolerance: int = Field(
        0, ge=0, le=4, description="accept colours so far (per channel) from a known one"
    )
    depth_scale: float = Field(
        0.01,
        gt=0,
        description="metres per unit of the depth images (--encode depth=uint16:0.01 keeps them exactly)",
    )
    depth_max: float = Field(
        0.0, ge=0, description="depth beyond so many metres becomes invalid; 0: none does"
    )
    allow_8bit_depth: bool = Field(
        False,
        description="accept 8-bit depth images, which look like previews (give --depth-scale too)",
    )
    phav_index_offset: Literal["auto", "0", "1"] = Field(
        "auto",
        description="1: map number i belongs to RGB number i + 1; 0: to RGB number i; auto: judged by the pictures "
        "where RGB counts from 1 and the maps from 0",
    )
    frames: str = Field("", description=HELP)
    min_box_pixels: int = Field(
        25, ge=1, description="instances with fewer pixels in a frame get no box there"
    )
    allow_unknown_actions: bool = Field(
        False, description="convert folders with other names too, without an action"
    )
