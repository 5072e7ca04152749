"""The 80 actions of AVA: names from the release's list, ids from 1."""

from __future__ import annotations

from pathlib import Path

from pvit_converters.ava.layout import find_file
from pvit_converters.ava.rows import ACTIONS
from pvit_converters.raw.files import regular_path
from pvit_data.errors import FormatError, SourceError
from pvit_data.sample.labels import LabelSpace
from pvit_data.scoring.files.class_names import read_label_map

_LISTS = ("ava_action_list_v2.2.pbtxt", "ava_action_list_v2.2_for_activitynet_2019.pbtxt")


def action_space(root: Path) -> LabelSpace:
    """All actions; those that the tree's list does not name are called by their number.

    Raises:
        SourceError: if the list cannot be read (`"bad-table"`).
    """
    path = find_file(root, *_LISTS)
    try:
        names = {} if path is None else read_label_map(Path(regular_path(path)))
    except FormatError as error:
        raise SourceError(str(error), reason="bad-table") from error
    if wrong := [number for number in names if number > ACTIONS]:
        raise SourceError(
            f"{path}: has a class {wrong[0]}, AVA's ids are 1..{ACTIONS}", reason="bad-table"
        )
    classes = tuple(names.get(number) or f"action {number}" for number in range(1, ACTIONS + 1))
    return LabelSpace("ava80", classes, first=1)
