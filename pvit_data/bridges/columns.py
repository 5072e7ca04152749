"""The columns that a sample is in a table of the library `datasets`: which there are, and what each of them holds.

A column that holds arrays, or what only a sample's record tells, is a `PvitColumn`: the table stores the number of the
row, and whoever takes the value reads and decodes this field of this row.
"""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import ClassLabel, Features, Value
from datasets.features.features import register_feature

from pvit_data.errors import StorageError
from pvit_data.format.manifest import CONVENTIONS
from pvit_data.format.members import FIELDS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.fields import SPACES, attributes
from pvit_data.reading.open import open_dataset
from pvit_data.reading.part import Fetched
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample

PLAIN = {
    "key": "string", "group": "string", "source": "string", "split": "string",
    "num_frames": "int32", "height": "int32", "width": "int32", "fps": "float32",
}  # fmt: skip
"""Attributes of a sample that the index has, and their types."""
IN_INDEX = {"num_frames": "frames"}
"""Those that the index calls otherwise."""
NAMED = ("key", "group")
"""Names, which the index of foreign tars has as they are in the archives, and samples in our characters."""
OF_RECORD = {
    "licence": "text", "meta": "dictionary", "frame_times": "seconds (t,)",
    "frames": "frame numbers by field, of fields that do not cover every frame",
}  # fmt: skip
"""Further attributes that every sample has."""
HOLDS = {
    "rgb": "uint8 (t, h, w, 3)", "depth": "float32 (n, h, w)", "normal": "float32 (n, h, w, 3)",
    "segm": "integers (n, h, w)", "pose3d": "float32 (t, p, 25, 3)", "pose3d_valid": "uint8 (t, p, 25)",
    "pose2d": "float32 (t, p, 25, 2)", "boxes": "arrays by column: xyxy (n, 4), frame (n,), class_id (n,), ...",
    "actions": "arrays by column: class_id (n,), start (n,), end (n,)", "action": "class id, or seconds",
    "camera": "K (t, 3, 3), world_from_camera (t, 4, 4), up",
}  # fmt: skip
"""Attributes of a sample that are read and decoded when they are asked for."""
TOLD_AS = {"pose3d": "pose", "pose3d_valid": "pose", "pose2d": "pose"}
"""Attributes whose units and axes the manifest tells by another name."""
ACTION = "action"
MAX_OPEN = 8  # datasets that a process keeps open for its tables


class Origin(NamedTuple):
    """What a table is of; opened again where the table came to another process.

    Args:
        url, source, split, where, layers, base: as of `open`.
        digest: of the samples, so that rows are never those of another dataset.
    """

    url: str
    source: str
    split: str | None
    where: str | None
    layers: tuple[str, ...]
    base: str
    digest: str


Numbers = dict[str, dict[str, np.ndarray]]
"""What `Sample.frames` says, by the field that was decoded."""


class Held:
    """A row of a dataset, of which each field is decoded once, when it is asked for.

    Args:
        dataset: the samples.
        number: of the row.
        fetched: what was fetched of it; None = read what is asked for.
        numbers: what is known of its frame numbers.
    """

    def __init__(
        self,
        dataset: ShardDataset,
        number: int,
        fetched: Fetched | None = None,
        numbers: Numbers | None = None,
    ) -> None:
        self._dataset, self._number, self._fetched = dataset, number, fetched
        self._samples: dict[str, Sample] = {}
        self._numbers: Numbers = {} if numbers is None else numbers

    def part(self, name: str = "") -> Sample:
        """The sample with one field alone, or with none."""
        if name not in self._samples:
            names = [name] if name else []
            if self._fetched is None:
                sample = self._dataset.read(self._number, names)
            else:
                sample = self._dataset.decode(self._number, self._fetched, names)
            self._samples[name], self._numbers[name] = sample, sample.frames
        return self._samples[name]

    def value(self, column: str, present: Collection[str]) -> Any:
        """What a sample has as this attribute.

        Args:
            column: the attribute.
            present: fields of the table.
        """
        if column == "frames":
            for name in present:
                if name not in self._numbers:
                    self.part(name)
            return {k: v.copy() for name in present for k, v in self._numbers[name].items()}
        return _as_arrays(getattr(self.part(FIELD_OF.get(column, "")), column))


FIELD_OF = {name: of for of in FIELDS for name in attributes(of)}
"""The field of an attribute; attributes of the record have none."""


def _as_arrays(value: Any) -> Any:
    """Box tables, lists of actions and cameras as dictionaries of their columns."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return value


class Opened:
    """A dataset of which values are taken, row by row.

    Args:
        dataset: the samples.
    """

    def __init__(self, dataset: ShardDataset) -> None:
        self._dataset = dataset
        self._last: tuple[int, Numbers] = (-1, {})

    def row(self, number: int) -> Held:
        """A row; its frame numbers are remembered for its other columns, its arrays are whoever's takes them."""
        if self._last[0] != number:
            self._last = (number, {})
        return Held(self._dataset, number, numbers=self._last[1])


_OPEN: OrderedDict[Origin, Opened] = OrderedDict()


def remember(origin: Origin, dataset: ShardDataset) -> Opened:
    """Keeps a dataset open for the tables of this process."""
    _OPEN[origin] = Opened(dataset)
    while len(_OPEN) > MAX_OPEN:
        _OPEN.popitem(last=False)
    return _OPEN[origin]


def opened(origin: Origin) -> Opened:
    """The dataset of a table.

    Raises:
        StorageError: if its samples are others now, or it is not there.
    """
    if origin in _OPEN:
        return _OPEN[origin]
    dataset = open_dataset(
        origin.url, origin.source, origin.split, where=origin.where,
        layers=origin.layers, base=origin.base,
    )  # fmt: skip
    if dataset.digest_of(origin.source) != origin.digest:
        raise StorageError(
            f"{origin.url}: '{origin.source}' has other samples than when the table was made: call as_hf again"
        )
    return remember(origin, dataset)


@dataclass(repr=False)
class PvitColumn:
    """A feature of `datasets`: numbers of rows in the table, decoded arrays for whoever takes a value.

    Args:
        name: the attribute of `Sample`.
        holds: type and axes.
        convention: units and meaning of the values.
        names: of its classes, the first one being number `first`.
        fields: of the table.
        origin: JSON of the `Origin`.
    """

    name: str = ""
    holds: str = ""
    convention: str = ""
    names: list[str] | None = None
    first: int = 0
    fields: list[str] = field(default_factory=list)
    origin: str = ""
    decode: bool = True
    _type: str = field(default="PvitColumn", init=False)

    def __repr__(self) -> str:
        classes = f", {len(self.names)} classes" if self.names else ""
        return f"PvitColumn({self.name!r}: {self.holds}{classes})"

    def __call__(self) -> Any:
        """What the table stores."""
        return pa.int64()

    def encode_example(self, value: Any) -> Any:
        """A row, as it is."""
        return value

    def decode_example(self, value: Any, token_per_repo_id: Mapping[str, Any] | None = None) -> Any:
        """The value of a row: of its number, or of what was fetched of it."""
        if not isinstance(value, Held):
            url, source, split, where, layers, base, digest = json.loads(self.origin)
            origin = Origin(url, source, split, where, tuple(layers), base, digest)
            value = opened(origin).row(int(value))
        return value.value(self.name, self.fields)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that registering is experimental
    register_feature(PvitColumn, PvitColumn.__name__)


def features_of(dataset: ShardDataset, origin: Origin, present: Collection[str]) -> Features:
    """The columns of a source.

    Args:
        dataset: the samples.
        origin: of the table.
        present: fields that some sample carries.
    """
    spec = dataset.sources[origin.source]
    found: dict[str, Any] = {name: Value(dtype) for name, dtype in PLAIN.items()}
    common: dict[str, Any] = {"origin": json.dumps(origin), "fields": [*present]}
    for of in present:
        space = spec.spaces.get(SPACES.get(of, ""))
        for name in attributes(of):
            found[name] = _feature(name, space, common)
    return Features(
        found | {name: PvitColumn(name, holds, **common) for name, holds in OF_RECORD.items()}
    )


def _feature(name: str, space: LabelSpace | None, common: Mapping[str, Any]) -> Any:
    if name == ACTION and is_class_label(space):
        assert space is not None
        return ClassLabel(names=[*space.classes])
    names, first = (None, 0) if space is None else ([*space.classes], space.first)
    convention = CONVENTIONS.get(TOLD_AS.get(name, name), "")
    return PvitColumn(name, HOLDS[name], convention, names, first, **common)


def is_class_label(space: LabelSpace | None) -> bool:
    """Whether `datasets` can say what the ids of a label space mean: numbers from 0, and no name twice."""
    if space is None or space.first:
        return False
    return len(set(space.classes)) == len(space.classes) > 0


def column_values(dataset: ShardDataset, features: Features) -> dict[str, Any]:
    """What a table stores of every column, from the index alone."""
    values: dict[str, Any] = {}
    for name, feature in features.items():
        if isinstance(feature, PvitColumn):
            there = dataset.column(f"has_{FIELD_OF[name]}") if name in FIELD_OF else None
            rows = np.arange(len(dataset))
            values[name] = pa.array(rows, mask=None if there is None else ~there)
        elif isinstance(feature, ClassLabel):
            ids = dataset.column(name).astype(np.int64)
            values[name] = pa.array(ids, mask=~dataset.column(f"has_{name}"))
        else:
            values[name] = _plain_values(dataset, name).cast(features.arrow_schema.field(name).type)
    return values


def _plain_values(dataset: ShardDataset, name: str) -> Any:
    """A column of the index as samples have it: with their keys, and no size where none is known."""
    found = dataset.column(IN_INDEX.get(name, name))
    if name in NAMED:
        is_own = found == dataset.column(NAMED[0])
        return pc.if_else(pa.array(is_own), dataset.keys(), pa.array(found, pa.large_string()))
    return pa.array(found.clip(min=0) if found.dtype.kind == "i" else found)


def row_values(held: Held, has: Collection[str], features: Features) -> dict[str, Any]:
    """The same of one row, of which everything was fetched.

    Args:
        held: the row.
        has: fields that it carries.
        features: of the table.
    """
    head = held.part()
    values: dict[str, Any] = {}
    for name, feature in features.items():
        if FIELD_OF.get(name, "") not in ("", *has):
            values[name] = None
        elif isinstance(feature, PvitColumn):
            values[name] = held
        elif isinstance(feature, ClassLabel):
            values[name] = held.value(name, ())
        else:
            values[name] = getattr(head, name)
    return values
