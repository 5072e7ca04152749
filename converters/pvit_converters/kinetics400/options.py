"""What a user can choose about Kinetics-400."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class Kinetics400Options(ConverterOptions):
    """Options of the Kinetics-400 converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})
    raw: ClassVar[frozenset[str]] = frozenset({"train_list", "val_list", "test_list", "classes"})

    split: Literal["trainval", "train", "val", "test", "all"] = Field(
        "trainval", description="splits to convert; results are published on val"
    )
    train_list: Path | None = Field(
        None,
        description="list of the training videos, if it does not lie in ROOT: a CSV file with a header, or lines "
        "'path number'",
    )
    val_list: Path | None = Field(None, description="the same, of the validation videos")
    test_list: Path | None = Field(None, description="the same, of the test videos")
    classes: Path | None = Field(
        None,
        description="names of the classes in the order in which lists number them, if that is not the alphabet's",
    )
    copy_video: bool = Field(False, description="copy every video as it is, whatever its codec")
    verify: bool = Field(
        True,
        description="keep the frames of a damaged video before its damage; off: leave out the whole video (each is "
        "decoded either way, nothing is faster)",
    )
