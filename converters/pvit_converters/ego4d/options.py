"""What a user can choose about Ego4D."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class Ego4dOptions(ConverterOptions):
    """Options of the Ego4D converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})

    split: Literal["trainval", "train", "val", "test", "all"] = Field(
        "trainval", description="splits to convert; test has no labels"
    )
    short_side: int = Field(
        384,
        ge=0,
        description="of the stored pictures, as in the published baselines; 0: as in the video",
    )
