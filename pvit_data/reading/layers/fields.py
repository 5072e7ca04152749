"""What belongs to a field: attributes of a sample, columns of an index, keys of a record, a label space."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from pvit_data.format.index import PLACES, absent
from pvit_data.format.members import FIELDS, FILES, LABELS, MEMBER_OF_EXTENSION
from pvit_data.format.record import TYPES, Record
from pvit_data.reading.part import DatasetPart
from pvit_data.sample.sample import DENSE_FIELDS

PIXEL_FIELDS = frozenset({*DENSE_FIELDS, "pose2d", "camera"})
"""Fields that are bound to pixels, so that the pictures must have the layer's size."""

SPACES = {"segm": "segm", "boxes": "boxes", "action": "action", "actions": "action"}
"""The label space of a field."""

_ATTRIBUTES = {"pose3d": ("pose3d", "pose3d_valid")}
_SAID_AS = {"pose3d": "pose", "pose2d": "pose"}  # how keys of a record begin
_COLUMNS = {
    **{f"has_{name}": name for name in FIELDS},
    **{f"{name}_frames": name for name in DENSE_FIELDS},
    "boxes": "boxes",
    "action": "action",
    "action_time": "action",
}
SHARED = {"people": ("pose3d", "pose2d")}
"""Columns that several fields tell: of each row the first one that it has."""
_MISSING = {"boxes": -1, "people": -1, "action": -1, "action_time": -1.0}


def attributes(field: str) -> tuple[str, ...]:
    """What a field is in a `Sample`."""
    return _ATTRIBUTES.get(field, (field,))


def given_with(fields: Collection[str]) -> frozenset[str]:
    """Fields that a layer gives which declares these: labels come from one provider, since they share a space."""
    return frozenset({*fields, *(LABELS if LABELS & set(fields) else ())})


def fields_of_column(name: str) -> tuple[str, ...]:
    """The fields that a column of the index belongs to, the first one that is there tells it; () for the clip's own."""
    if name in SHARED:
        return SHARED[name]
    if name in PLACES:
        member = name.rpartition("_")[0]
        return tuple(field for field, members in FIELDS.items() if member in members)
    return (_COLUMNS[name],) if name in _COLUMNS else ()


def not_annotated(column: str) -> Any:
    """What an index says of a row that does not carry the column's field."""
    return _MISSING[column] if column in _MISSING else absent(column)


def field_of_file(file: str) -> str:
    """The field that a file belongs to; "" for the record."""
    member = MEMBER_OF_EXTENSION.get(file, "")
    return next((field for field, files in FILES.items() if file in files or member == field), "")


def said(record: Record, field: str) -> dict[str, Any]:
    """The keys of a record that belong to a field, with their values."""
    begin = _SAID_AS.get(field, field)
    keys = [
        key for key in TYPES if key.startswith(f"{begin}_") or key in _SHARED_KEYS.get(begin, ())
    ]
    return {key: getattr(record, key) for key in keys}


_SHARED_KEYS = {"pose": ("people",), "actions": ("action_space",)}


def _class_or_time(part: DatasetPart, row: int) -> int | float | None:
    if not part.value("has_action", row):
        return None
    time = float(part.value("action_time", row))
    return int(part.value("action", row)) if time < 0 else time


LABEL_OF: dict[str, Callable[[DatasetPart, int], Any]] = {
    "action": _class_or_time,
}
"""Labels of a row of a protocol that its index has."""
