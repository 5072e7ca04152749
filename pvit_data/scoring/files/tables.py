"""Small tables of strangers: CSV with any separator, JSON or Parquet, as rows of named or numbered texts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pvit_data.errors import FormatError, UsageError
from pvit_data.scoring.files.dump import Dump
from pvit_data.scoring.files.kinds import kind_of
from pvit_data.storage.files import read_regular
from pvit_data.storage.values import parse_json
from pvit_data.words import short, size_text

MAX_BYTES = 48_000_000  # SSv2's list of training videos has 33 million
MAX_LINE = 1 << 16
MAX_ROWS = 1_000_000
MAX_ROW_LINES = 100  # of one row, whose quoted cells may hold line breaks
MAX_BRACKETS, MAX_COMMAS = 2_000_000, 8_000_000  # of JSON; that list has 340,000 and a million


def read_values(path: Path) -> Any:
    """The values of a JSON file; of lines of JSON objects their list.

    Raises:
        FormatError: if it is damaged or too large.
    """
    data = read_small(path)
    if data.count(b"{") + data.count(b"[") > MAX_BRACKETS or data.count(b",") > MAX_COMMAS:
        raise FormatError(f"{path}: more values than any list of videos has; is it the right file?")
    lines = [line.strip() for line in data.split(b"\n") if line.strip()]
    if len(lines) > 1 and all(line[:1] + line[-1:] == b"{}" for line in lines):
        data = b"[" + b",\n".join(lines) + b"]"
    return parse_json(data, str(path), MAX_BYTES + len(lines) + 2)


def read_small(path: Path) -> bytes:
    """A whole file, without a mark of byte order.

    Raises:
        UsageError: if it cannot be read.
        FormatError: if it is too large.
    """
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise FormatError(f"{path}: more than {size_text(MAX_BYTES)}; is it the right file?")
    return data.removeprefix(b"\xef\xbb\xbf")


def whole_text(path: Path) -> str:
    """The same as text.

    Raises:
        FormatError: if it is no UTF-8.
    """
    try:
        return read_small(path).decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError(f"{path}: is no text in UTF-8") from None


def read_cells(path: Path) -> list[list[str]]:
    """The lines of a text table, cut at commas, semicolons or tabs (whichever the first line has), else at blanks.

    Raises:
        FormatError: if it is no such table.
    """
    text = whole_text(path)
    first = text.partition("\n")[0]
    separator = next((mark for mark in ("\t", ";", ",") if mark in first), " ")
    try:
        csv.field_size_limit(MAX_LINE)
        lines = _Lines(io.StringIO(text), path)
        rows = []
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=separator == " "):
            lines.taken = 0
            if any(row):
                rows.append(row)
            if len(rows) > MAX_ROWS:
                raise FormatError(f"{path}: more than {MAX_ROWS:,} rows; is it the right file?")
        return rows
    except csv.Error as error:
        raise FormatError(f"{path}: not readable as a table: {error}") from None


class _Lines:
    """Lines of a text, of bounded length; `taken` counts those of the row that is being read."""

    def __init__(self, text: io.StringIO, path: Path) -> None:
        self._text, self._path, self.taken = text, path, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MAX_LINE + 1):
            self.taken += 1
            if len(line) > MAX_LINE or self.taken > MAX_ROW_LINES:
                limits = f"{size_text(MAX_LINE)}, or {MAX_ROW_LINES} lines"
                raise FormatError(f"{self._path}: a row has more than {limits}")
            yield line


def _require_once(header: list[str], columns: tuple[str, ...], path: Path) -> None:
    if twice := [name for name in columns if header.count(name) > 1]:
        raise FormatError(f"{path}: column '{twice[0]}' stands twice; which one counts?")


def read_rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, Any]] | None:
    """The rows of a table that names its columns.

    Args:
        path: CSV with a header, JSON list of objects, or Parquet.
        columns: names of which a header has at least one; what else a Parquet file has is not read.

    Returns:
        None for a text without a header.

    Raises:
        FormatError: if it is no table.
    """
    kind = kind_of(path)
    if kind == "parquet":
        dump = Dump(path)
        names = {name.lower(): name for name in sorted(dump.names)}
        _require_once([name.lower() for name in dump.names], columns, path)
        found = {name: dump.cells(names[name]) for name in columns if name in names}
        if not found:
            raise FormatError(
                f"{path}: no column {' or '.join(columns[:2])}, it has {short(sorted(dump.names), 200)}"
            )
        return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    if kind == "json":
        values = read_values(path)
        if isinstance(values, dict):
            values = values.get("clips")
        if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
            raise FormatError(f'{path}: expected a list of objects, [{{"id": ...}}, ...]')
        for row in values:
            _require_once([name.lower() for name in row], columns, path)
        return [{name.lower(): value for name, value in row.items()} for row in values]
    if kind != "text":
        raise FormatError(f"{path}: is no table of text, JSON or Parquet")
    cells = read_cells(path)
    header = [name.strip().lower() for name in cells[0]] if cells else []
    if not set(header) & set(columns):
        if len(header) == 1 and {part.strip() for part in header[0].split("|")} & set(columns):
            raise FormatError(
                f"{path}: its columns ({short(cells[0][0], 60)}) are separated by |, which stands between the "
                "classes of a cell: write commas or tabs"
            )
        return None
    _require_once(header, columns, path)
    wrong = next((row for row in cells if len(row) != len(header)), None)
    if wrong is not None:
        raise FormatError(
            f"{path}: a row has {len(wrong)} columns, the header {len(header)}: {wrong!r:.80}"
        )
    return [dict(zip(header, row, strict=True)) for row in cells[1:]]
