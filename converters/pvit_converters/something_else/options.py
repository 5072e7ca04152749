"""What a user can choose about SomethingElse."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class SomethingElseOptions(ConverterOptions):
    """Options of the converter of SomethingElse's splits."""

    setting: Literal["compositional", "base", "5shot", "10shot", "shuffled", "oneobject"] = Field(
        "compositional",
        description="which splits; the layer is called something-else-SETTING. base, then 5shot or 10shot: the "
        "few-shot protocol; shuffled, oneobject: variants of compositional",
    )


class BoxesOptions(ConverterOptions):
    """Options of the converter of SomethingElse's boxes: none."""


class NoEmptyBoxesOptions(ConverterOptions):
    """Options of the list of videos with boxes: none."""
