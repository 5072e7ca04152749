"""What a user can choose about Something-Something V2."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from pvit_converters.base import ConverterOptions


class SSv2Options(ConverterOptions):
    """Options of the Something-Something V2 converter."""

    selects: ClassVar[frozenset[str]] = frozenset({"split"})

    split: Literal["trainval", "train", "val", "test", "all"] = Field(
        "trainval",
        description="splits to convert; the official test split has no labels and is left out by default",
    )
    val_list: Literal["official", "no-empty-boxes"] = Field(
        "official",
        description="official: every video; no-empty-boxes: the same, and over them the protocol "
        "ssv2-no-empty-boxes, without the videos of --empty-boxes (157,389 training and 22,660 validation videos, "
        "which the paper most likely used): train and evaluate on it by its name",
    )
    empty_boxes: Path | None = Field(
        None,
        description="folder with empty_bbox_train.json and empty_bbox_val.json (from eladb3/SViT, data/ssv2), or "
        "with the box files of SomethingElse, from which the list follows",
    )
    copy_video: bool = Field(False, description="copy every video as it is, whatever its codec")
    frame_rate: float = Field(
        0.0,
        ge=0,
        description="of extracted frames; 0: 12 for 0001.jpg and img_00001.jpg, 30 for 1_000001.jpg",
    )
    verify: bool = Field(
        True,
        description="keep the frames of a damaged video before its damage; off: leave out the whole video (each is "
        "decoded either way, nothing is faster)",
    )
