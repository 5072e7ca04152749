"""The label files of Diving48: what each clip shows, and between which frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pvit_converters.diving48.info import INFO
from pvit_converters.diving48.layout import NAME, label_file
from pvit_converters.raw.files import read_json
from pvit_data.errors import SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.words import short

SPLITS = ("train", "test")
NUM_CLASSES = 48
NUM_PARTS = 4
V1_ROWS = {"train": 15943, "test": 2096}
"""Of the label files from before the second edition, as commonly cited."""
_NAME = re.compile(rf"{NAME}\Z", re.ASCII)
_MOST_FRAMES = 1 << 31


@dataclass(frozen=True, slots=True)
class Row:
    """A clip of a label file.

    Args:
        name: of its video, without the ending.
        action: its class.
        first, end: the dive lies in these frames of the file, the end not in it.
    """

    name: str
    action: int
    first: int
    end: int


def classes(root: Path) -> tuple[str, ...]:
    """Take-off, somersault, twist and position of each class, joined by `+`: as the tree's vocabulary says, else as
    published.

    Raises:
        SourceError: if the vocabulary is none.
    """
    path = label_file(root, "vocab")
    if path is None:
        return published()
    values = read_json(path)
    is_list = isinstance(values, list) and len(values) == NUM_CLASSES
    if not is_list or not all(_is_class(value) for value in values):
        raise SourceError(
            f"{path}: expected a list of {NUM_CLASSES} classes with {NUM_PARTS} parts each, such as "
            '["Back", "15som", "05Twis", "FREE"]; get it again',
            reason="bad-json",
        )
    return tuple("+".join(value) for value in values)


def _is_class(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) == NUM_PARTS
    return is_list and all(isinstance(part, str) and part for part in value)


def published() -> tuple[str, ...]:
    """The classes in the order of the release."""
    text = resources.files("pvit_converters").joinpath("diving48/classes.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())


def space(root: Path) -> LabelSpace:
    """The classes as a label space; a mirror exchanges none of them."""
    return LabelSpace(INFO.name, classes(root))


def find_labels(root: Path, edition: str) -> dict[str, Path]:
    """The label files of an edition by split.

    Raises:
        SourceError: if there is none; where only the first edition is there, it says why that is not taken.
    """
    prefix = "V2_" if edition == "v2" else ""
    found = {split: label_file(root, f"{prefix}{split}") for split in SPLITS}
    there = {split: path for split, path in found.items() if path is not None}
    if there:
        return there
    first = next((p for split in SPLITS if (p := label_file(root, split))), None)
    if edition == "v2" and first is not None:
        raise SourceError(
            f"{first}: these are the labels of the first edition (V1), many of which are wrong, and results on them "
            "compare with no others: get Diving48_V2_train.json and Diving48_V2_test.json, or pass --labels v1"
        )
    raise SourceError(
        f"{root}: no Diving48_{prefix}train.json or Diving48_{prefix}test.json in it or in annotations/. {INFO.obtain}"
    )


def read_rows(path: Path) -> list[Row]:
    """The rows of a label file.

    Raises:
        SourceError: if it is none.
    """
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise SourceError(
            f'{path}: expected a list of {{"vid_name": ..., "label": ..., "start_frame": ..., "end_frame": ...}}',
            reason="bad-json",
        )
    return [_row(row, f"{path}, row {number}") for number, row in enumerate(rows)]


def _row(row: Any, where: str) -> Row:
    values: dict[str, Any] = row if isinstance(row, dict) else {}
    name = values.get("vid_name")
    numbers: list[Any] = [values.get(key) for key in ("label", "start_frame", "end_frame")]
    is_named = isinstance(name, str) and _NAME.match(name)
    if not is_named or not all(type(n) is int and abs(n) < _MOST_FRAMES for n in numbers):
        raise SourceError(
            f'{where}: {short(row)}: expected {{"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, '
            '"end_frame": 48}',
            reason="bad-json",
        )
    action, first, end = numbers
    if not 0 <= action < NUM_CLASSES or first < 0:
        raise SourceError(
            f"{where}: label {action} and start_frame {first}, expected 0 to {NUM_CLASSES - 1}, and at least 0",
            reason="bad-json",
        )
    return Row(str(name), action, first, end)
