"""Tables as people keep them, as rows of cells: CSV, TSV, JSON, JSONL, Parquet, and lists without a header.

A list has a path per line and then its label, as SlowFast's and mmaction2's do; several numbers are several labels.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pvit_converters.raw.files import parse_json, read_bytes
from pvit_converters.videos.files import ENDINGS, given_by_option
from pvit_data.errors import UsageError
from pvit_data.format.parquet import ParquetTable
from pvit_data.words import short, size_text

MAX_BYTES = 1 << 28
MAX_ROWS = 1_000_000
MAX_LINE = 1 << 16  # characters, of one row
_PARQUET_ROW_BYTES = 0.25
_MARKS = ("\t", ",", ";", " ")
_NAMES = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
_LISTED = re.compile(rf"(.+?\.(?:{'|'.join(sorted(ENDINGS))}))(?:\s+(.+))?", re.IGNORECASE)
_NUMBERS = re.compile(r"\d+(?:\s+\d+)*")

Cells = Sequence[Any]


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Args:
        path: of the file.
        columns: their names; (): a list, whose rows are a path and labels.
        rows: cells of each row, with its place in the file for messages.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, Cells]]


def read_table(path: Path, separator: str, known: Collection[str]) -> Table:
    """The rows of a table or a list.

    Args:
        path: the file.
        separator: between columns of text; "": found.
        known: names of columns, in small letters: a first line with one of them is a header, and nothing else of a
            Parquet file is read.

    Raises:
        UsageError: if it cannot be read, is none, or could be read in two ways.
    """
    with given_by_option():
        return _read_table(path, separator, known)


def _read_table(path: Path, separator: str, known: Collection[str]) -> Table:
    data = read_bytes(path, MAX_BYTES)
    if data.startswith(b"PAR1"):
        return _parquet(data, path, known)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no table: neither Parquet nor text in UTF-8") from error
    if "\0" in text:
        raise UsageError(f"{path}: is no table: neither Parquet nor text")
    if text.lstrip()[:1] in ("[", "{"):
        return _of_objects(_objects(data, text, path), path)
    return _of_text(text, path, _mark(separator), known)


def _mark(separator: str) -> str:
    mark = _NAMES.get(separator, separator)
    if mark and (len(mark) != 1 or mark in "\r\n\"'"):
        raise UsageError(f"--separator '{separator}': expected one character, or tab")
    return mark


def _require_rows(number: int, path: Path) -> None:
    if number > MAX_ROWS:
        raise UsageError(f"{path}: more than {MAX_ROWS:,} rows: divide it, and convert each part")


def _objects(data: bytes, text: str, path: Path) -> list[Any]:
    """The rows of JSON or JSONL."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines):
        return parse_json(b"[" + b",".join(line.encode() for line in lines) + b"]", path)  # type: ignore[no-any-return]
    values = parse_json(data.removeprefix(b"\xef\xbb\xbf"), path)
    if isinstance(values, dict):
        lists = [v for v in values.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        values = lists[0] if len(lists) == 1 else [values]
    return values if isinstance(values, list) else []


def _of_objects(values: list[Any], path: Path) -> Table:
    if not any(values) or not all(isinstance(value, dict) for value in values):
        raise UsageError(
            f'{path}: expected a list of objects, [{{"path": ..., "label": ...}}, ...]'
        )
    _require_rows(len(values), path)
    columns = tuple(dict.fromkeys(name for value in values for name in value))
    rows: list[tuple[int, Cells]] = [
        (number, [value.get(name) for name in columns]) for number, value in enumerate(values, 1)
    ]
    return Table(path, columns, rows)


def _parquet(data: bytes, path: Path, known: Collection[str]) -> Table:
    texts = [form for name in known for form in (name, f"{name}.list.element", f"{name}.list.item")]
    table = ParquetTable(data, str(path), _PARQUET_ROW_BYTES, texts=texts)
    _require_rows(table.num_rows, path)
    names = [name for name in table.names if name.strip().lower() in known]
    if not names:
        return Table(path, tuple(table.names), [])
    columns = [_values(table, name, path) for name in names]
    return Table(path, tuple(names), list(enumerate(zip(*columns, strict=True), 1)))


def _values(table: ParquetTable, name: str, path: Path) -> list[Any]:
    column = table.read(name)
    if len(column) != table.num_rows:
        raise UsageError(
            f"{path}: column {name} has {len(column)} rows, the table {table.num_rows}"
        )
    try:
        values: list[Any] = column.to_pylist()
    except Exception as error:  # of whatever the type of the column needs
        raise UsageError(
            f"{path}: column {name} is {column.type}, expected texts or numbers"
        ) from error
    return values


def _of_text(text: str, path: Path, mark: str, known: Collection[str]) -> Table:
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{path}: is empty")
    _require_rows(len(lines), path)
    if long := next((n for n, line in lines if len(line) > MAX_LINE), None):
        raise UsageError(f"{path}, line {long}: is longer than {size_text(MAX_LINE)}")
    first = lines[0][1]
    marks = (mark,) if mark else _MARKS
    if headed := [m for m in marks if _names(_cells(first, m, path, 1), known)]:
        return _with_header(text, path, headed[0])
    readings = [(m, _lister(m, path)) for m in marks]
    fitting = [(m, read) for m, read in readings if _is_listed(read(1, first))]
    if not fitting:
        raise UsageError(
            f"{path}: its first line, {short(first)}, names no column such as path, "
            "and does not begin with the path of a video or picture; --path-column names the column, "
            "--separator what is between columns"
        )
    if len({tuple(read(1, first)) for _, read in fitting}) > 1:
        found = [f"{short(read(1, first)[1:], 40)} ({_option(m)})" for m, read in fitting]
        raise UsageError(f"{path}: the labels of its first line could be {' or '.join(found)}")
    read = fitting[0][1]
    return Table(path, (), [(n, read(n, line)) for n, line in lines])


def _option(mark: str) -> str:
    return f"--separator {'tab' if mark == chr(9) else repr(mark)}"


def _names(cells: Cells, known: Collection[str]) -> bool:
    return any(cell.strip().lower() in known for cell in cells)


def _cells(line: str, mark: str, path: Path, number: int) -> list[str]:
    if mark == " ":
        return line.split()
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error as error:
        raise UsageError(f"{path}, line {number}: is no row of a table ({error})") from error


def _with_header(text: str, path: Path, mark: str) -> Table:
    csv.field_size_limit(MAX_LINE)
    reader = csv.reader(io.StringIO(text), delimiter=mark, skipinitialspace=mark == " ")
    try:
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise UsageError(
            f"{path}, line {reader.line_num}: is no row of a table ({error})"
        ) from error
    columns = tuple(name.strip() for name in rows[0][1])
    if odd := next(((n, row) for n, row in rows[1:] if len(row) != len(columns)), None):
        raise UsageError(
            f"{path}, line {odd[0]}: has {len(odd[1])} cells, its header {len(columns)}: {short(odd[1])}; "
            '"quote" cells in which the separator occurs'
        )
    return Table(path, columns, [*rows[1:]])


def _lister(mark: str, path: Path) -> Callable[[int, str], list[str]]:
    """Reads the lines of a list: path and labels."""
    if mark != " ":
        return lambda number, line: [c.strip() for c in _cells(line, mark, path, number)]

    def read(number: int, line: str) -> list[str]:
        found = _LISTED.fullmatch(line.strip())
        if found is None:
            return [line.strip()]
        rest = found[2] or ""
        labels = rest.split() if _NUMBERS.fullmatch(rest) else [rest] if rest else []
        return [found[1], *labels]

    return read


def _is_listed(cells: Cells) -> bool:
    return cells[0].rpartition(".")[2].lower() in ENDINGS


def rows_of(table: Table) -> Iterator[tuple[str, Cells]]:
    """The rows, each with its place for messages."""
    word = "line" if table.path.suffix.lower() not in (".json", ".parquet") else "row"
    for number, cells in table.rows:
        yield f"{table.path}, {word} {number}", cells
