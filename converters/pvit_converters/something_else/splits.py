"""The rows of a setting: which video has which class in which split.

A class is a template without brackets; its number is its place among the setting's classes in alphabetical order, as
in joaanna/something_else. The numbers in the label files are another order, which others train with: they are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pvit_converters.raw.files import read_json
from pvit_converters.something_else.keys import is_video, video_of
from pvit_converters.something_else.settings import Files
from pvit_data.errors import SourceError
from pvit_data.words import short

TWICE = "listed twice"
IN_BOTH = "listed in train and validation (it is in val)"


class Row(NamedTuple):
    """A video of a setting.

    Args:
        video: id without leading zeros.
        split: `"train"` or `"val"`.
        action: number of its class.
    """

    video: str
    split: str
    action: int


@dataclass
class Rows:
    """All videos of a setting, each once.

    Args:
        rows: by video.
        absent: counts of rows that are left out, by reason.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    absent: Counter[str] = field(default_factory=Counter)


def read_classes(path: Path) -> tuple[str, ...]:
    """The names of the classes in alphabetical order.

    Raises:
        SourceError: if the file is missing, or no table of names.
    """
    table = read_json(path)
    if not isinstance(table, dict) or not table:
        raise SourceError(
            f'{path}: expected {{"template": "index", ...}}, found {short(table)}',
            reason="bad-json",
        )
    return tuple(sorted(table))


def read_rows(files: Files, classes: tuple[str, ...]) -> Rows:
    """The rows of both split files; a video that is in both is never trained on.

    Raises:
        SourceError: if a file is missing or damaged, names a class that the labels lack, or a video has two.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    found = Rows()
    for path, split in ((files.val, "val"), (files.train, "train")):
        for row in _rows_of(path, split, numbers, files.labels):
            earlier = found.rows.setdefault(row.video, row)
            if earlier.split == split and earlier.action != row.action:
                raise SourceError(
                    f"{path}: video {row.video} is listed twice, as {short(classes[earlier.action])} and as "
                    f"{short(classes[row.action])}",
                    reason="bad-json",
                )
            if earlier is not row:
                found.absent[TWICE if earlier.split == split else IN_BOTH] += 1
    return found


def _rows_of(path: Path, split: str, numbers: dict[str, int], labels: Path) -> Iterator[Row]:
    rows = read_json(path)
    if not isinstance(rows, list):
        raise SourceError(f"{path}: expected a list, found {short(rows)}", reason="bad-json")
    for row in rows:
        name = _class_of(row, path)
        if name not in numbers:
            raise SourceError(
                f"{path}: template '{short(name)}' is not in {labels.name}; the files don't belong together",
                reason="bad-json",
            )
        yield Row(video_of(row["id"]), split, numbers[name])


def _class_of(row: Any, path: Path) -> str:
    if not isinstance(row, dict) or not is_video(row.get("id")):
        raise SourceError(
            f'{path}: expected a list of {{"id": "1", "template": ...}}, found {short(row)}',
            reason="bad-json",
        )
    if not isinstance(template := row.get("template"), str):
        raise SourceError(f"{path}: video {row['id']} has no template", reason="bad-json")
    return template.replace("[", "").replace("]", "")
