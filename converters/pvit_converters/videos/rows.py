"""What a table says of each clip: which column is what, and what its cells mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pvit_converters.videos.options import COLUMNS, VideosOptions
from pvit_converters.videos.tables import Cells, Table, rows_of
from pvit_data.errors import UsageError
from pvit_data.format.names import split_named
from pvit_data.words import did_you_mean, short, shown

SYNONYMS = {
    "path": ("path", "file", "filename", "file_name", "filepath", "video", "video_path"),
    "label": ("label", "labels", "class", "class_name", "action", "category"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "group_id"),
    "start": ("start", "start_time", "time_start"),
    "end": ("end", "end_time", "time_end", "stop"),
}
"""Names that a column of each kind may have; the first one wins over the others."""
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)")
_MOST = 1e7  # seconds or frames


@dataclass(frozen=True, slots=True)
class Row:
    """A clip that is said to be there.

    Args:
        where: which says so, for messages.
        path: as it stands there; of what was found in folders, below ROOT.
        labels: its classes, as names or numbers; (): not labelled.
        split: `"train"`, `"val"`, `"test"`, or "".
        group: "": the video is a group of its own.
        start, end: of the clip in the video, in the unit of the options; None: its start, its end.
    """

    where: str
    path: str
    labels: tuple[str, ...] = ()
    split: str = ""
    group: str = ""
    start: float | None = None
    end: float | None = None


def known_columns(options: VideosOptions) -> set[str]:
    """All names that a column may have, in small letters."""
    named = {getattr(options, f"{role}_column").strip().lower() for role in COLUMNS} - {""}
    return {name for names in SYNONYMS.values() for name in names} | named


def read_rows(table: Table, options: VideosOptions, split: str) -> tuple[list[Row], str]:
    """The clips of a table, and a note on what was read as what.

    Args:
        table: as it was read.
        options: of the converter.
        split: of all of them; "": the table may say it.

    Raises:
        UsageError: if a column is missing or could be meant by two, or a cell is not what its column holds.
    """
    if not table.columns:
        rows = [_listed(where, cells, split) for where, cells in rows_of(table)]
        return rows, f"{table.path.name}: a list of paths and labels"
    found = {role: _column(role, table, options) for role in COLUMNS}
    if found["path"] is None:
        raise UsageError(
            f"{table.path}: has no column path, it has {short(list(table.columns))}: --path-column names it"
        )
    places = {role: table.columns.index(name) for role, name in found.items() if name is not None}
    rows = [_row(where, cells, places, options, split) for where, cells in rows_of(table)]
    told = ", ".join(f"{role} = {name}" for role, name in found.items() if name is not None)
    unused = [name for name in table.columns if name not in found.values()]
    left = f"; not used: {', '.join(map(shown, unused[:10]))}" if unused else ""
    if found["label"] is None:
        left += "; no column of labels: --label-column names it"
    return rows, f"{shown(table.path.name)}: {told}{left}"


def _column(role: str, table: Table, options: VideosOptions) -> str | None:
    """The column of a kind, or None."""
    option = f"--{role}-column"
    named = getattr(options, f"{role}_column").strip()
    by_name = {name.strip().lower(): name for name in reversed(table.columns)}
    if named:
        if named.lower() not in by_name:
            raise UsageError(
                f"{option} {named}: {table.path} has no such column{did_you_mean(named, table.columns)}; "
                f"it has {short(list(table.columns))}"
            )
        return named if named in table.columns else by_name[named.lower()]
    there = [by_name[name] for name in SYNONYMS[role] if name in by_name]
    if len(there) > 1 and there[0].strip().lower() != role:
        choices = " or ".join(f"{option} {name}" for name in there)
        raise UsageError(f"{table.path}: {' and '.join(there)} could both be the {role}: {choices}")
    return there[0] if there else None


def _listed(where: str, cells: Cells, split: str) -> Row:
    labels = tuple(filter(None, cells[1:]))
    if len(labels) > 1 and not all(label.isdecimal() for label in labels):
        raise UsageError(
            f"{where}: has {len(cells)} columns, and no header names them: expected a path and a label, or numbers of "
            "several classes"
        )
    return Row(where, _path(where, cells[0]), labels, split)


def _row(
    where: str, cells: Cells, places: Mapping[str, int], options: VideosOptions, split: str
) -> Row:
    told = {role: cells[place] for role, place in places.items()}
    said = _text(told.get("split"))
    own = split_named(said) if said else ""
    if own is None or (split and own and own != split):
        expected = f"{split}, as the option of the table says" if split else "train, val or test"
        raise UsageError(f"{where}: split is {short(said)}, expected {expected}")
    times = {role: _time(where, role, told.get(role), options.unit) for role in ("start", "end")}
    start, end = times["start"], times["end"]
    if end is not None and end <= (start or 0.0):
        raise UsageError(f"{where}: the clip ends at {end:g}, and starts at {start or 0:g}")
    labels = _labels(told.get("label"), options.label_separator)
    path, group = _path(where, told["path"]), _text(told.get("group"))
    return Row(where, path, labels, split or own, group, start, end)


def _path(where: str, value: Any) -> str:
    text = _text(value)
    if not text or "\0" in text or "://" in text:
        raise UsageError(f"{where}: path is {short(text)}, expected that of a file")
    return text


def _text(value: Any) -> str:
    """A cell as text; numbers that tables with gaps hold as floats are whole ones again."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _labels(value: Any, separator: str) -> tuple[str, ...]:
    values: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    texts = [_text(each) for each in values]
    if separator:
        texts = [part.strip() for text in texts for part in text.split(separator)]
    return tuple(dict.fromkeys(filter(None, texts)))


def _clocked(clock: re.Match[str]) -> float:
    return 3600 * int(clock[1] or 0) + 60 * int(clock[2]) + float(clock[3])


def _time(where: str, role: str, value: Any, unit: str) -> float | None:
    """Seconds, or the number of a frame."""
    text = _text(value)
    if not text:
        return None
    clock = _CLOCK.fullmatch(text) if unit == "seconds" else None
    try:
        number = float(text) if clock is None else _clocked(clock)
    except ValueError:
        number = math.nan
    if not 0 <= number <= _MOST or (unit == "frames" and number % 1):
        wanted = "seconds, or h:m:s" if unit == "seconds" else "the number of a frame"
        raise UsageError(f"{where}: {role} is {short(text)}, expected {wanted}")
    return number
