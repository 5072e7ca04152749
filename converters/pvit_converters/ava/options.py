"""What a user can choose about AVA."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class AvaOptions(ConverterOptions):
    """Options of the AVA converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})

    split: Literal["trainval", "train", "val", "test", "all"] = Field(
        "trainval", description="splits to convert; nobody has the labels of test"
    )
    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="least score of a detected person that makes a second of train a sample (SlowFast .8, ORViT .9)",
    )
    context: Literal["64", "96"] = Field(
        "64",
        description="places, 30 per second, kept around each second: 64 for 16 frames of rate 4, 96 for 32 of rate 3",
    )
    short_side: int = Field(
        0,
        ge=0,
        description="of the stored pictures; 0: as in the movie. Smaller ones cost accuracy (PySlowFast issue 66)",
    )


class AvaLayerOptions(ConverterOptions):
    """Options of the layers over AVA."""

    threshold: float = Field(
        0.8,
        ge=0,
        le=1,
        description="least score of a detected person; one number for train and test (SlowFast .8, ORViT .9)",
    )
