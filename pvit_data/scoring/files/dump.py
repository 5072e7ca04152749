"""Our own predictions: a Parquet file with one row per clip and view.

Columns `key`, `id` (the original one, of the source), `view`, `label` (-1: none) and `logits` (a list of floats); where
boxes are scored, further `x1 y1 x2 y2`, and the id is `MOVIE,SECOND`. What makes results comparable stands as JSON
under `pvit.predictions` in the file's metadata: source, split, frames, clips, crops, classes, model.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int64

from pvit_data.errors import FormatError
from pvit_data.format.parquet import ParquetTable
from pvit_data.scoring.files.scores import ClassScores, by_video, require_finite_size
from pvit_data.storage.files import replacing
from pvit_data.storage.values import parse_json
from pvit_data.words import short

NOTE = b"pvit.predictions"
VERSION = 1
ROW_BYTES = 0.25  # of the file, per row at least
BOX = ("x1", "y1", "x2", "y2")
TEXTS = ("key", "id")
MAX_PARTS = 1_000_000  # of a column of lists, which a few bytes may repeat


def write_dump(
    path: str | Path,
    keys: Sequence[str],
    ids: Sequence[str],
    views: Int[np.ndarray, "r"],
    labels: Int[np.ndarray, "r"],
    logits: Float[np.ndarray, "r k"],
    about: Mapping[str, Any],
    boxes: Float[np.ndarray, "r 4"] | None = None,
) -> None:
    """Writes predictions, atomically.

    Args:
        path: of the file.
        keys, ids, views, labels, logits: of each row.
        boxes: corners of each row, where boxes are scored.
        about: JSON values: `source`, `split`, `frames`, `clips`, `crops`, `classes` (names), `model`, ...

    Raises:
        OSError: if it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(np.ascontiguousarray(logits, np.float32).reshape(-1))
    corners = {} if boxes is None else dict(zip(BOX, np.asarray(boxes, np.float64).T, strict=True))
    table = pa.table(
        {
            "key": pa.array(list(keys), pa.string()),
            "id": pa.array(list(ids), pa.string()),
            "view": pa.array(np.asarray(views, np.int32)),
            "label": pa.array(np.asarray(labels, np.int32)),
            **{name: pa.array(np.ascontiguousarray(column)) for name, column in corners.items()},
            "logits": pa.FixedSizeListArray.from_arrays(values, logits.shape[1]),
        }
    ).replace_schema_metadata({NOTE: json.dumps({"version": VERSION, **about}).encode()})
    with replacing(path, follow=True) as part:
        pq.write_table(
            table, part, compression="zstd", use_dictionary=["key", "id", "view", "label"]
        )


class Dump:
    """A Parquet file of predictions, read column by column.

    Args:
        path: of the file.

    Raises:
        FormatError: if it is none, or claims more than it holds.
    """

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._table = ParquetTable(path, self.where, ROW_BYTES, texts=TEXTS)
        self.names, self.num_rows = set(self._table.names), self._table.num_rows
        self.about = self._about()

    def _about(self) -> dict[str, Any]:
        text = self._table.head.get(NOTE)
        values = parse_json(text, f"{self.where}: metadata") if text is not None else {}
        if not isinstance(values, dict):
            raise FormatError(f"{self.where}: its metadata '{NOTE.decode()}' is no JSON object")
        if values.get("version", VERSION) != VERSION:
            raise FormatError(
                f"{self.where}: version {values['version']!r:.20} of our predictions, this program reads {VERSION}; "
                "install a newer one"
            )
        return values

    def require(self, *names: str) -> None:
        """Refuses a file without some columns.

        Raises:
            FormatError: naming the first one that is missing.
        """
        if missing := [name for name in names if name not in self.names]:
            raise FormatError(
                f"{self.where}: no column '{missing[0]}', it has {short(sorted(self.names), 200)}; expected key, "
                "id, view, label, logits as `pvit eval --dump` writes them"
            )

    def texts(self, name: str) -> list[str]:
        """A column of texts (or of whole numbers, as texts)."""
        import pyarrow as pa

        types = pa.types
        kinds = (types.is_string, types.is_large_string, types.is_integer)
        column = self._of(name, "texts", *kinds)
        return [str(value) for value in self._whole(column, name).to_pylist()]

    def cells(self, name: str) -> list[Any]:
        """A column as a table of text would have it: texts of whatever it holds, or lists of them; None for gaps."""
        import pyarrow as pa

        types = pa.types
        kinds = (types.is_string, types.is_large_string, types.is_integer, types.is_floating)
        lists = (types.is_list, types.is_large_list)
        column = self._of(name, "texts or numbers", *kinds, types.is_null, *lists)
        if any(is_kind(column.type) for is_kind in lists):
            parts = column.flatten()
            if not any(is_kind(parts.type) for is_kind in kinds) or len(parts) > MAX_PARTS:
                raise FormatError(
                    f"{self.where}: column '{name}' holds {len(parts):,} values of {parts.type} in its lists, expected "
                    f"texts or numbers, at most {MAX_PARTS:,}"
                )
        return [_cell(value) for value in column.to_pylist()]

    def numbers(self, name: str, dtype: type[np.generic], missing: int | None = None) -> Any:
        """A column of numbers; where whole ones are wanted, of whole numbers. `missing` stands for gaps."""
        import pyarrow as pa

        kinds = (pa.types.is_integer, pa.types.is_floating)
        if missing is not None:
            column = self._of(name, "numbers", *kinds, pa.types.is_null)
            if column.null_count == len(column):
                return np.full(len(column), missing, dtype)
            column = column.fill_null(missing)
        else:
            column = self._of(name, "numbers", *kinds)
        given = self._whole(column, name).to_numpy(zero_copy_only=False)
        is_cut = given.dtype.kind == "f" and np.issubdtype(dtype, np.integer)
        if is_cut and (broken := given != np.rint(given)).any():
            raise FormatError(
                f"{self.where}: column '{name}' has {given[broken][0]}, expected whole numbers"
            )
        return given.astype(dtype)

    def _of(self, name: str, expected: str, *kinds: Callable[[Any], bool]) -> Any:
        """A column of one of these kinds."""
        column = self._table.read(name)
        if len(column) != self.num_rows:
            raise FormatError(
                f"{self.where}: column '{name}' has {len(column)} of {self.num_rows} rows: the file is damaged"
            )
        if not any(is_kind(column.type) for is_kind in kinds):
            raise FormatError(
                f"{self.where}: column '{name}' is {column.type}, expected {expected}"
            )
        return column

    def _whole(self, column: Any, name: str) -> Any:
        """The column, which has no gaps."""
        if column.null_count:
            raise FormatError(f"{self.where}: {column.null_count} rows have no '{name}'")
        return column

    def logits(self) -> Float[np.ndarray, "r k"]:
        """The scores of each row, as they are stored."""
        import pyarrow as pa

        types = pa.types
        kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list)
        column = self._whole(self._of("logits", "lists of numbers", *kinds), "logits")
        values = column.flatten()
        is_number = types.is_floating(values.type) or types.is_integer(values.type)
        if not is_number or values.null_count:
            raise FormatError(
                f"{self.where}: column 'logits' holds {values.type}, expected numbers without gaps"
            )
        if not len(column) or len(values) % len(column) or not len(values):
            raise FormatError(f"{self.where}: rows of logits are of different lengths")
        width = len(values) // len(column)
        if not pa.types.is_fixed_size_list(column.type):
            lengths = np.diff(column.offsets.to_numpy())
            if (lengths != width).any():
                raise FormatError(f"{self.where}: rows of logits are of different lengths")
        array: Float[np.ndarray, "r k"] = values.to_numpy(zero_copy_only=False)
        return array.reshape(-1, width)


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return [_cell(part) for part in value]
    return None if value is None or value != value else str(value)


def read_dump(path: Path) -> ClassScores:
    """Predictions of classes.

    Raises:
        FormatError: if the file is no such one; see `Dump`.
    """
    dump = Dump(path)
    dump.require("logits")
    require_finite_size(dump.num_rows, dump.where)
    keys = dump.texts("key") if "key" in dump.names else []
    ids = dump.texts("id") if "id" in dump.names else keys
    if not ids:
        dump.require("id")
    views = dump.numbers("view", np.int64) if "view" in dump.names else None
    rows, _ = by_video(keys or ids, views, dump.where)
    labels = (
        dump.numbers("label", np.int64, missing=-1)
        if "label" in dump.names
        else np.full(len(ids), -1, np.int64)
    )
    if (differs := (labels[rows] != labels[rows[:, :1]]).any(axis=1)).any():
        first = short(ids[int(rows[int(np.argmax(differs)), 0])], 60)
        raise FormatError(f"{dump.where}: views of {first} have different labels")
    firsts = rows[:, 0]
    return ClassScores(
        ids=[ids[row] for row in firsts],
        logits=dump.logits()[rows],
        has_views=views is not None,
        labels=labels[firsts],
        keys=[keys[row] for row in firsts] if keys else [],
        classes=_names(dump),
        about=dump.about,
    )


def _names(dump: Dump) -> tuple[str, ...]:
    names = dump.about.get("classes", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FormatError(f"{dump.where}: the classes in its metadata are no list of names")
    return tuple(names)


def box_columns(dump: Dump) -> tuple[list[str], Float[np.ndarray, "r 4"], Int64[np.ndarray, "r"]]:
    """Id (`MOVIE,SECOND`), corners and view of each row of boxes."""
    dump.require("id", "logits", *BOX)
    boxes = np.column_stack([dump.numbers(name, np.float64) for name in BOX])
    views = (
        dump.numbers("view", np.int64) if "view" in dump.names else np.zeros(len(boxes), np.int64)
    )
    return dump.texts("id"), boxes, views


def model_in(about: Mapping[str, Any]) -> dict[str, Any]:
    """What predictions say of the network, of all that they say of themselves."""
    model = about.get("model", {})
    return model if isinstance(model, dict) else {"name": str(model)}
