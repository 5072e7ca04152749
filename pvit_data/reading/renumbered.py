"""A part of a dataset with the class ids of other label spaces: the same class has the same name, not the same id.

This is the one place where ids of a source meet the table of whoever reads them, a trained network above all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.errors import UsageError
from pvit_data.reading.part import DatasetPart, Fetched
from pvit_data.reading.part_view import PartView
from pvit_data.sample.labels import LabelSpace, is_same, renumbering
from pvit_data.sample.sample import Sample


class Renumbering:
    """Ids of one field.

    Args:
        field: of the sample.
        given: the source's label space.
        wanted: the reader's.
        refused: whether a class that the reader's space lacks is an error; else its ids become -1 (pixels: ignored).
    """

    def __init__(
        self, field: str, given: LabelSpace, wanted: LabelSpace, refused: bool = True
    ) -> None:
        self.field, self.given, self.wanted, self.refused = field, given, wanted, refused
        self._table = renumbering(given, wanted)

    def lost(self, ids: Integer[np.ndarray, "*n"]) -> list[str]:
        """Names of the classes among some ids that the wanted space lacks, in the order of their ids."""
        used = np.unique(ids)
        used = used[(used >= self.given.first) & (used < self.given.num_ids)]
        return [self.given.class_name(int(i)) for i in used if self._table[i] < 0]

    def column(self, ids: Integer[np.ndarray, "n"]) -> Integer[np.ndarray, "n"]:
        """Ids in the wanted space, -1 where it lacks the class or the id means none."""
        known = (ids >= 0) & (ids < len(self._table))
        return np.where(known, self._table[np.where(known, ids, 0)], -1).astype(ids.dtype)

    def ids(self, ids: Integer[np.ndarray, "*n"], key: str) -> Integer[np.ndarray, "*n"]:
        """The same for ids of a sample.

        Raises:
            UsageError: if a class is lacking and that is refused.
        """
        if self.refused and (lost := self.lost(ids)):
            raise UsageError(lost_text(f"sample '{key}'", self.field, lost[0], self.wanted))
        return self.column(ids)

    def maps(self, maps: Integer[np.ndarray, "n h w"], key: str) -> Integer[np.ndarray, "n h w"]:
        """The same for pixels: what has no id is the wanted space's ignore id."""
        found = self.ids(maps.astype(np.int64), key)
        kind = np.uint8 if self.wanted.num_ids <= 255 else np.uint16
        return np.where(found < 0, self.wanted.ignore, found).astype(kind)


def lost_text(where: str, field: str, name: str, wanted: LabelSpace) -> str:
    """That a class is lacking, and what to do."""
    return (
        f"{where}: its {field} class '{name}' is none of the {len(wanted.classes)} of label space '{wanted.name}'; "
        "give a source with those classes, or leave such labels out with --allow-other-classes"
    )


def _action(sample: Sample, table: Renumbering) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(sample.action, int | np.integer):
        found["action"] = int(table.ids(np.array([sample.action]), sample.key)[0])
    if sample.actions is not None:
        ids = table.column(sample.actions.class_id)
        found["actions"] = replace(sample.actions, class_id=ids)
    return found


def _segm(sample: Sample, table: Renumbering) -> dict[str, Any]:
    return {} if sample.segm is None else {"segm": table.maps(sample.segm, sample.key)}


def _boxes(sample: Sample, table: Renumbering) -> dict[str, Any]:
    if sample.boxes is None:
        return {}
    labels = sample.boxes.labels.copy()
    labels[:, 1] = table.ids(labels[:, 1], sample.key)
    ids = table.ids(sample.boxes.class_id, sample.key)
    return {"boxes": replace(sample.boxes, class_id=ids, labels=labels)}


RULES: dict[str, Callable[[Sample, Renumbering], dict[str, Any]]] = {
    "action": _action,
    "segm": _segm,
    "boxes": _boxes,
}
"""By field with a label space: what of a sample has its ids, renumbered."""


class RenumberedPart(PartView):
    """The samples of a part with ids of other label spaces; see `DatasetPart`. Files and records stay as stored.

    Args:
        part: the samples.
        spaces: the wanted label space by field.
        refused: fields of which a class that the wanted space lacks is an error.
    """

    def __init__(
        self, part: DatasetPart, spaces: Mapping[str, LabelSpace], refused: Collection[str] = ()
    ) -> None:
        given = part.spec.spaces
        super().__init__(part, part.spec.model_copy(update={"spaces": {**given, **spaces}}))
        self._tables = {
            field: Renumbering(field, given[field], wanted, field in refused)
            for field, wanted in spaces.items()
            if not is_same(given[field], wanted)
        }

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the index, or some rows of it."""
        found = super().column(name, rows)
        return self._tables[name].column(found) if name in self._tables else found

    def value(self, name: str, row: int) -> Any:
        """One value of a column."""
        if name in self._tables:
            return self.column(name, np.array([row])).tolist()[0]
        return super().value(name, row)

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """Decodes a sample.

        Raises:
            UsageError: if it has a class that is refused.
        """
        sample = super().decode(fetched, fields, asked)
        changed: dict[str, Any] = {"spaces": dict(self.spec.spaces)}
        for field, table in self._tables.items():
            changed |= RULES[field](sample, table)
        return replace(sample, **changed)
