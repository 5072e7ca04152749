"""The class of each video of a list, from the official annotation files, or from any table with `id` and `label`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.errors import FormatError, UsageError
from pvit_data.sample.limits import MAX_IDS
from pvit_data.scoring.files.class_names import classes_beside, ordered, read_classes
from pvit_data.scoring.files.scores import bare_names, path_first, whole_number
from pvit_data.scoring.files.tables import read_cells, read_rows
from pvit_data.words import short

IDS = (
    "id", "youtube_id", "vid_name", "video_id", "unique_id", "path", "name", "video", "video_path", "file_name",
)  # fmt: skip
LABELS = ("label", "labels", "template", "class", "actions")
_TIMES = ("time_start", "time_end")
_NUMBER = re.compile(r"[-+.0-9eE]*")
_BRACKETS = ("[]", "()", "{}")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


@dataclass(frozen=True)
class ClassTruth:
    """What is true of N videos.

    Args:
        where: the file.
        ids: original ids, each once, as the data set writes them.
        labels: class of each video; -1: unknown.
        classes: their names; () where only numbers are known.
        orders: other orders of the same classes that programs use: by name, the id there of each class here.
        several: classes of each video, where a video may have any number.
        notes: what to know, in sentences.
        pairs: of classes that a mirror exchanges, where the data set declares them.
        keys: of the samples in shards.
        complete: whether all classes are known, or only those that occur.
        paths: of the videos as the list writes them, where the ids are these without folders and endings.
        named_by: the file that names the classes; "" where it is the list itself, or nothing.
        two_ways: the list has numbers, which the protocol counts otherwise than the file that names the classes.
    """

    where: str
    ids: list[str]
    labels: Int64[np.ndarray, "n"]
    classes: tuple[str, ...] = ()
    orders: dict[str, Int64[np.ndarray, "k"]] = field(default_factory=dict)
    several: Bool[np.ndarray, "n k"] | None = None
    notes: tuple[str, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    keys: list[str] = field(default_factory=list)
    complete: bool = True
    paths: list[str] = field(default_factory=list)
    named_by: str = ""
    two_ways: bool = False

    def among(self, names: tuple[str, ...]) -> ClassTruth:
        """The same with the ids that classes have in a complete list of names.

        Raises:
            FormatError: if a class is not in it.
        """
        place = {name: number for number, name in enumerate(names)}
        if unknown := [name for name in self.classes if name not in place]:
            raise FormatError(
                f"{self.where}: class {short(unknown[0], 60)} is none of the predictions' {len(names)} classes"
            )
        own = np.array([place[name] for name in self.classes], np.int64)
        labels = np.where(self.labels >= 0, own[self.labels], -1) if len(own) else self.labels
        several = self.several
        if several is not None:
            several = np.zeros((len(labels), len(names)), bool)
            several[:, own] = self.several
        return replace(
            self, labels=labels, classes=names, several=several, orders={}, notes=(), complete=True
        )


def read_class_truth(
    path: Path,
    protocol: str,
    clean: Callable[[str], str],
    classes_file: Path | None = None,
    *,
    several: bool = False,
) -> ClassTruth:
    """Reads a list of videos with their classes.

    Args:
        path: of the file.
        protocol: its name decides how names of classes become ids.
        clean: makes the data set's id of what the file writes.
        classes_file: names of the classes, where no file of the data set that knows them lies beside the list.
        several: a video may have any number of classes.

    Raises:
        FormatError: if it is no such list.
        UsageError: if names of classes have no ids.
    """
    rows, is_named = _rows(path)
    if not rows:
        raise FormatError(f"{path}: lists no videos")
    written, given = [name for name, _ in rows], [label for _, label in rows]
    names = written if is_named else bare_names(written)
    ids = [clean(name) for name in names]
    table, named_by = _table(path, protocol, given, classes_file)
    if several:
        truth = _several(path, ids, given, table)
    else:
        _require_one_class(ids, written, given, table or {}, path)
        truth = _single(path, ids, given, protocol, table)
    paths = dict(zip(ids, written, strict=True)) if clean is str and names != written else {}
    return replace(truth, named_by=named_by, paths=[paths[name] for name in truth.ids if paths])


def _table(
    path: Path, protocol: str, given: list[Any], classes_file: Path | None
) -> tuple[dict[str, int] | None, str]:
    """Ids by name of the file with the classes, and its name: that beside the list, if it knows the list's classes.

    Raises:
        UsageError: if no file knows a class of the list.
    """
    beside = classes_beside(protocol, path)
    files = [file for file in (beside, classes_file) if file is not None]
    unknown = ""
    for file in files:
        try:
            table = read_classes(file)
        except FormatError:
            if file is files[-1]:
                raise
            continue
        strange = [part for label in given for part in _unknown(label, table)]
        if not strange:
            return table, file.name
        unknown = unknown or (
            f"{path}: class {short(strange[0], 60)} is none of the {len(table)} of {file}, the file with the classes, "
            f"which begin with {short(ordered(table)[0], 60)}; the files don't belong together"
        )
    if unknown:
        way = ": move that file away, or name the right one with --classes"
        raise UsageError(unknown + (way if beside and classes_file is None else ""))
    return None, ""


def _unknown(label: Any, table: Mapping[str, int]) -> list[Any]:
    """The classes of a cell that a file with classes does not have."""
    if isinstance(label, str) and label in table:
        return []
    parts = [table.get(str(part), part) for part in _parts(label)]
    return [part for part in parts if not isinstance(part, int) or part >= len(table)]


def _single(
    path: Path, ids: list[str], given: list[Any], protocol: str, table: dict[str, int] | None
) -> ClassTruth:
    """Of videos that have one class each."""
    if all(label is None for label in given):
        names = () if table is None else _order(protocol, table)
        return ClassTruth(str(path), ids, np.full(len(ids), -1, np.int64), names)
    if all(isinstance(label, int) for label in given if label is not None):
        numbers = np.array([-1 if label is None else label for label in given], np.int64)
        _require_ids(numbers, path)
        names = () if table is None else _order(protocol, table)
        two_ways = table is not None and names != ordered(table)
        return ClassTruth(str(path), ids, numbers, names, two_ways=two_ways)
    texts = [None if label is None else str(label) for label in given]
    if table is None or not set(texts) <= {None, *table}:
        _require_one_kind(ids, given, path)
    return _named(path, ids, texts, protocol, table)


def _require_one_class(
    ids: list[str], written: list[str], given: list[Any], table: Mapping[str, int], path: Path
) -> None:
    """Refuses videos of several classes, in one cell or in several rows, and videos that are listed twice.

    Raises:
        FormatError: naming the first.
    """
    cells = [[c] if isinstance(c, str) and c in table else _parts(c) for c in given]
    known = {*table, *(parts[0] for parts in cells if len(parts) == 1)}
    rows: dict[str, int] = {}
    for row, (name, label, parts) in enumerate(zip(ids, given, cells, strict=True)):
        before = rows.setdefault(name, row)
        where = f"{path}: row {row + 1} ({short(written[row], 60)})"
        is_several = len(parts) > 1 and all(isinstance(p, int) or p in known for p in parts)
        if before != row and written[before] != written[row]:
            raise FormatError(
                f"{where} is the same video as row {before + 1} ({short(written[before], 60)}) to this protocol, which "
                f"calls both {short(name, 60)}; --protocol plain tells folders apart"
            )
        if isinstance(label, list) or is_several or given[before] != label:
            told = label if before == row else [given[before], label]
            what = "several classes" if len(_parts(told)) > 1 else "a list of classes"
            raise FormatError(
                f"{where} has {what}, {short(told, 60)}: --metric multilabel counts those; with --metric "
                "topk a video has one class, and one row"
            )
        if before != row:
            raise FormatError(
                f"{where} is listed in row {before + 1} already: each video counts once, leave one of the rows"
            )


def _require_one_kind(ids: list[str], given: list[Any], path: Path) -> None:
    """Refuses columns with numbers and names: one of them would be numbered otherwise than it says.

    Raises:
        FormatError: with how many there are of each, and the first of the fewer.
    """
    numbers = [row for row, label in enumerate(given) if isinstance(label, int)]
    names = [row for row, label in enumerate(given) if isinstance(label, str)]
    if not numbers or not names:
        return
    row = min(names, numbers, key=len)[0]
    raise FormatError(
        f"{path}: row {row + 1} ({short(ids[row], 60)}) has the class {short(given[row], 40)}: {len(numbers):,} "
        f"classes are numbers and {len(names):,} are names; write only numbers, or only names"
    )


def _order(protocol: str, table: dict[str, int]) -> tuple[str, ...]:
    """SomethingElse and Kinetics count classes in the order of the alphabet, whatever a file says."""
    by_name = protocol in ("something-else", "kinetics400")
    return tuple(sorted(table)) if by_name else ordered(table)


def _named(
    path: Path, ids: list[str], given: list[str | None], protocol: str, table: dict[str, int] | None
) -> ClassTruth:
    occurring = tuple(sorted({label for label in given if label is not None}))
    names = occurring if table is None else _order(protocol, table)
    number = {name: place for place, name in enumerate(names)}
    labels = np.array([-1 if label is None else number[label] for label in given], np.int64)
    orders = {}
    if table is not None:
        orders["the values of the label file"] = np.array([table[name] for name in names], np.int64)
    place = {name: rank for rank, name in enumerate(sorted(names))}
    orders["the order of the alphabet"] = np.array([place[name] for name in names], np.int64)
    plain = np.arange(len(names))
    orders = {name: order for name, order in orders.items() if not np.array_equal(order, plain)}
    notes = _numbered(path, names) if table is None else ()
    return ClassTruth(
        str(path), ids, labels, names, orders, notes=notes, complete=table is not None
    )


def _numbered(path: Path, names: tuple[str, ...]) -> tuple[str]:
    return (
        f"no file with the classes was found beside {path.name}: the {len(names)} that occur were numbered in the "
        "order of the alphabet (--classes FILE names them all)",
    )


def _several(
    path: Path, ids: list[str], given: list[Any], table: dict[str, int] | None
) -> ClassTruth:
    """Rows of one video are put together; a cell may hold several classes."""
    listed = list(dict.fromkeys(ids))
    place = {name: row for row, name in enumerate(listed)}
    told = [(name, part) for name, label in zip(ids, given, strict=True) for part in _parts(label)]
    if table is None:
        _require_one_kind([name for name, _ in told], [part for _, part in told], path)
    cells = [(place[name], part) for name, part in told]
    about: dict[str, Any] = {}
    if table is not None:
        numbers = [p if isinstance(p, int) else table[p] for _, p in cells]
        names = ordered(table)
    elif all(isinstance(part, int) for _, part in cells):
        numbers, names = [part for _, part in cells], ()
    else:
        names = tuple(sorted({str(part) for _, part in cells}))
        known = {name: number for number, name in enumerate(names)}
        numbers = [known[str(part)] for _, part in cells]
        about = {"notes": _numbered(path, names), "complete": False}
    _require_ids(np.array(numbers, np.int64), path)
    width = max([len(names), *(number + 1 for number in numbers)])
    if width * len(listed) > 1 << 28:
        raise FormatError(
            f"{path}: {len(listed):,} videos of {width:,} classes are more than are read"
        )
    flags = np.zeros((len(listed), width), bool)
    flags[[row for row, _ in cells], numbers] = True
    unknown = np.full(len(listed), -1, np.int64)
    return ClassTruth(str(path), listed, unknown, names, several=flags, **about)


def _parts(label: Any) -> list[Any]:
    """The classes in a cell: `3 7`, `3;7`, `c092 11.90 21.20;c147 0.00 12.60` (Charades), or a list."""
    if label is None:
        return []
    if isinstance(label, list):
        return [_number_or_name(str(part)) for part in label]
    if isinstance(label, int):
        return [label]
    if ";" in label or "|" in label:
        parts = [part.split() for part in label.replace("|", ";").split(";") if part.split()]
        found = [
            part[0] if len(part) == 3 and _is_time(part[1]) else " ".join(part) for part in parts
        ]
    else:
        words = label.split()
        numbers = all(isinstance(_number_or_name(word), int) for word in words)
        is_timed = len(words) == 3 and _is_time(words[1]) and "." not in words[0]
        found = [words[0]] if is_timed else (words if numbers else [label])
    return [_number_or_name(part) for part in found]


def _is_time(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() and "." in text


def _require_ids(numbers: Int64[np.ndarray, "n"], path: Path) -> None:
    if len(numbers) and not (numbers.min() >= -1 and numbers.max() < MAX_IDS):
        raise FormatError(
            f"{path}: classes {numbers.min()} to {numbers.max()}, expected 0..{MAX_IDS - 1}"
        )


def _rows(path: Path) -> tuple[list[tuple[str, Any]], bool]:
    """Id and label (an int, a name, or None) of each row, and whether the columns have names."""
    rows = read_rows(path, (*IDS, *LABELS))
    if rows is None:
        return [_of_cells(cells, path) for cells in read_cells(path)], False
    if rows and not isinstance(rows[0], dict):
        raise FormatError(f"{path}: expected rows with named columns")
    return [(_name(row, path), _label(row, path)) for row in rows], True


def read_names(path: Path) -> list[str]:
    """What a list calls its videos, row by row; what it says of their classes is not read.

    Raises:
        FormatError: if it is no such list.
    """
    rows = read_rows(path, (*IDS, *LABELS))
    if rows is None:
        return [path_first(cells)[0] for cells in read_cells(path)]
    if rows and not isinstance(rows[0], dict):
        raise FormatError(f"{path}: expected rows with named columns")
    return [_name(row, path) for row in rows]


def _name(row: dict[str, Any], path: Path) -> str:
    name = next((row[key] for key in IDS if row.get(key) not in (None, "")), None)
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise FormatError(f"{path}: a row has no id (one of {', '.join(IDS)}): {row!r:.80}")
    if all(row.get(key) for key in _TIMES) and "youtube_id" in row:
        return f"{name}_{_second(row['time_start'], path):06d}_{_second(row['time_end'], path):06d}"
    return str(name)


def _second(text: Any, path: Path) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        raise FormatError(f"{path}: {text!r:.40} is no time in seconds") from None


def _label(row: dict[str, Any], path: Path) -> Any:
    """SSv2's rows have a free text as `label`, and the class as `template`."""
    if isinstance(row.get("template"), str):
        return row["template"].replace("[", "").replace("]", "")
    value = next((row[key] for key in LABELS if row.get(key) not in (None, "")), None)
    if value is None or isinstance(value, list):
        return value
    is_whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (is_whole or isinstance(value, str | int)):
        raise FormatError(f"{path}: label {value!r:.40} is neither a number nor a name")
    return _class_or_list(str(value))


def _number_or_name(text: str) -> Any:
    number = whole_number(text)
    return text if number is None else number


def _class_or_list(text: str) -> Any:
    """A number, a name, or a list as programs print one: `[3, 7]`, `3,7`, `['run', 'jump']`."""
    inner = text.strip()
    is_list = inner[:1] + inner[-1:] in _BRACKETS
    inner = inner[1:-1].strip() if is_list else inner
    if is_list and not inner:
        return []
    numbers = [whole_number(word) for word in inner.replace(",", " ").split()]
    if (is_list or "," in inner) and None not in numbers:
        return numbers
    if is_list and not _QUOTED.sub("", inner).strip(", "):
        return [a or b for a, b in _QUOTED.findall(inner)]
    return _number_or_name(text)


def _of_cells(cells: list[str], path: Path) -> tuple[str, Any]:
    """`id`, `id;class` (SSv2's answers), or `path label` (SlowFast's lists).

    Raises:
        FormatError: if there are further columns: lists of frame folders have the number of frames before the class,
            other lists have more classes.
    """
    name, *rest = path_first(cells)
    told = [cell.strip() for cell in rest]
    while told and not told[-1]:
        told.pop()
    if len(told) < 2:
        return name, _class_or_list(told[0]) if told else None
    names = [cell for cell in told if not _NUMBER.fullmatch(cell)]
    if len(names) == len(told):
        raise FormatError(
            f"{path}: {short(name, 60)} has {len(names)} classes ({short(', '.join(names), 80)}): a submission? Name "
            "the file with the annotations"
        )
    raise FormatError(
        f"{path}: {short(name, 60)} is followed by {len(told)} columns ({short(', '.join(told), 60)}); nothing says "
        "which is the class: a number of frames, a start, further classes? Name the columns in a first line, such as "
        "`path frames label`; several classes of a video stand in one column of a CSV: `id,label`, then `a.mp4,3 7`"
    )
