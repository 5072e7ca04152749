"""What a user can choose about Diving48."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class Diving48Options(ConverterOptions):
    """Options of the Diving48 converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})

    split: Literal["all", "train", "test"] = Field(
        "all", description="convert only this split; results are published on test"
    )
    labels: Literal["v2", "v1"] = Field(
        "v2",
        description="v1: the labels from before October 2020, many of which are wrong; results on them do not compare "
        "with others'",
    )
    frame_rate: float = Field(
        0.0, ge=0, description="of extracted frames, where there are no videos; 0: unknown"
    )
    copy_video: bool = Field(False, description="copy every video as it is, whatever its codec")
    verify: bool = Field(
        True,
        description="keep the frames of a damaged video before its damage; off: leave out the whole video (each is "
        "decoded either way, nothing is faster)",
    )
