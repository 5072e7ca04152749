"""Lists that somebody else made: which ids belong into a split, and what classes are called in a protocol.

Text with an id per line, or CSV with a header and the name of a column. Both are strangers' files: bounded, UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from pvit_data.errors import UsageError
from pvit_data.sample.labels import LabelSpace
from pvit_data.storage.files import read_regular
from pvit_data.words import did_you_mean, short

MAX_LIST_BYTES = 1 << 26
MAX_LINES = 4_000_000
MAX_LINE = 10_000  # characters
_DELIMITERS = ",;\t"


def read_ids(path: Path, column: str = "") -> list[str]:
    """The ids of a file, in order.

    Args:
        path: of the file.
        column: of a CSV file with a header. Default: every line is an id.

    Raises:
        UsageError: if it is no such file, or has no such column, or no id.
    """
    lines = _lines(path)
    found = _column(lines, column, path) if column else [line.strip() for line in lines]
    ids = [each for each in found if each]
    if not ids:
        raise UsageError(f"{path}: holds no id")
    return ids


def read_classes(path: Path, space: LabelSpace, name: str) -> tuple[LabelSpace, dict[int, int]]:
    """The classes of a protocol, and by class of its base the class there.

    Args:
        path: each line is a class of the base, and behind a comma the name that it gets; without one it keeps its name.
        space: of the base.
        name: of the protocol's label space.

    Raises:
        UsageError: if a line names no class of the base, or one comes twice.
    """
    known = {each: space.first + number for number, each in enumerate(space.classes)}
    names: dict[str, int] = {}
    ids: dict[int, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        old, new = _pair(line, known, f"{path}, line {number}")
        if known[old] in ids:
            raise UsageError(f"{path}, line {number}: class {short(old)} comes twice")
        ids[known[old]] = names.setdefault(new, len(names))
    if not ids:
        raise UsageError(f"{path}: names no class")
    return LabelSpace(name, tuple(names)), ids


def _pair(line: str, known: Mapping[str, int], where: str) -> tuple[str, str]:
    """A class of the base and what it is called."""
    if line.strip() in known:
        return line.strip(), line.strip()
    cells = [cell.strip() for cell in _cells(line, ",", where)]
    if len(cells) > 2:
        raise UsageError(
            f'{where}: has {len(cells)} values, expected CLASS or CLASS,NEW NAME; "quote" names with commas'
        )
    old, new = cells[0], cells[-1]
    if old not in known:
        raise UsageError(f"{where}: {short(old)} is no class of the base{did_you_mean(old, known)}")
    if not new:
        raise UsageError(f"{where}: the new name of {short(old)} is empty")
    return old, new


def _column(lines: list[str], column: str, path: Path) -> Iterable[str]:
    header = lines[0] if lines else ""
    for delimiter in _DELIMITERS:
        names = [cell.strip() for cell in _cells(header, delimiter, f"{path}, line 1")]
        if column in names:
            break
    else:
        raise UsageError(f"{path}: its first line names no column {column!r}: {short(header)}")
    if names.count(column) > 1:
        raise UsageError(f"{path}: two columns are called {column!r}")
    place = names.index(column)
    for number, line in enumerate(lines[1:], 2):
        if not line.strip():
            continue
        cells = _cells(line, delimiter, f"{path}, line {number}")
        if len(cells) <= place:
            raise UsageError(f"{path}, line {number}: has no column {column!r}: {short(line)}")
        yield cells[place].strip()


def _cells(line: str, delimiter: str, where: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [""])
    except csv.Error as error:
        raise UsageError(f"{where}: is not CSV ({error})") from error


def _lines(path: Path) -> list[str]:
    try:
        data = read_regular(path, MAX_LIST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_LIST_BYTES:
        raise UsageError(f"{path}: has more than {MAX_LIST_BYTES} bytes")
    if data.count(b"\n") > MAX_LINES:
        raise UsageError(f"{path}: has more than {MAX_LINES} lines")
    try:
        lines = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    if long := next((n for n, line in enumerate(lines, 1) if len(line) > MAX_LINE), None):
        raise UsageError(f"{path}, line {long}: has more than {MAX_LINE} characters")
    return lines
