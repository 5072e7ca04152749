"""Reading whole files that nobody vouches for: bytes with a limit, JSON, and a user's own YAML."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from pvit_converters.raw.places import permitted
from pvit_data.errors import SourceError, UsageError
from pvit_data.storage.files import open_regular

MAX_JSON = 1 << 31
MAX_VALUES = 1 << 30
MAX_TEXT = 1 << 27
MAX_YAML = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")


def open_file(path: Path) -> int:
    """A descriptor of a file, for reading: every raw file is opened here.

    Raises:
        SourceError: if it is missing (`"missing-file"`), not in the user's folders (`"outside-root"`), or cannot be
            read or is no regular file (`"unreadable"`).
    """
    try:
        return open_regular(permitted(path))
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise SourceError(f"{path}: no such file", reason="missing-file") from error
        raise SourceError(
            f"{path}: cannot be read ({error.strerror})", reason="unreadable"
        ) from error


def regular_path(path: Path) -> str:
    """Where a file really is, for libraries that open it themselves; errors as in `open_file`."""
    os.close(open_file(path))
    return permitted(path)


def read_bytes(path: Path, limit: int = MAX_JSON) -> bytes:
    """The bytes of a file, as many as it had when it was opened.

    Raises:
        SourceError: as `open_file`; `"too-large"` beyond the limit.
    """
    with open(open_file(path), "rb", buffering=0) as file:
        if (size := os.fstat(file.fileno()).st_size) > limit:
            raise SourceError(
                f"{path}: {size} bytes, more than the limit of {limit}", reason="too-large"
            )
        try:
            return _read(file, size)
        except OSError as error:
            raise SourceError(
                f"{path}: cannot be read ({error.strerror})", reason="unreadable"
            ) from error


def _read(file: FileIO, size: int) -> bytes:
    data = file.read(size) or b""
    while len(data) < size and (
        more := file.read(size - len(data))
    ):  # the system gives 2 GiB at most
        data += more
    return data


def read_utf8(path: Path, limit: int = MAX_TEXT, *, lenient: bool = False) -> str:
    """The text of a file in UTF-8, with or without a byte order mark.

    Args:
        path: the file.
        limit: bytes.
        lenient: what is no UTF-8 is replaced.

    Raises:
        SourceError: as `read_bytes`; `"bad-text"` if it is no UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig", "replace" if lenient else "strict")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: not a text in UTF-8 ({error})", reason="bad-text") from error


def parse_json(data: bytes, where: Path | str) -> Any:
    """JSON values of bytes; NaN and Infinity are accepted, since raw files hold them.

    Raises:
        SourceError: with the reason `"bad-json"`, or `"too-large"` if they would fill the memory.
    """
    # A dict of one member is 9 bytes of text and 232 of memory.
    cost = 232 * data.count(b"{") + 64 * data.count(b"[") + 48 * data.count(b",") + len(data)
    if cost > MAX_VALUES:
        raise SourceError(
            f"{where}: its values would take {cost} bytes, more than the limit of {MAX_VALUES}",
            reason="too-large",
        )
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad_json(where, error) from error


def _bad_json(where: Path | str, error: Exception) -> SourceError:
    message = (
        f"{where}: cannot be read as JSON ({error}); the file is damaged or truncated, get it again"
    )
    return SourceError(message, reason="bad-json")


def read_members(path: Path, take: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
    """The members of a JSON object in a file, long arrays one element at a time: as values they take many times the
    file's size.

    Args:
        path: the file.
        take: by name of a member, what is called with each element of its array.

    Returns:
        All members by name; those of `take` stand as the number of their elements.

    Raises:
        SourceError: as `read_bytes`; `"bad-json"` if it is no JSON object or a member of `take` is no array.
    """
    data = read_bytes(path)
    try:
        text = data.decode(json.detect_encoding(data))
        del data
        return _members(text, take)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad_json(path, error) from error


def _members(text: str, take: Mapping[str, Callable[[Any], None]]) -> dict[str, Any]:
    read = json.JSONDecoder().raw_decode
    out: dict[str, Any] = {}
    place, more = _open(text, 0, "{", "}")
    while more:
        if text[place : place + 1] != '"':
            raise json.JSONDecodeError("Expecting a name in quotes", text, place)
        name, place = read(text, place)
        place = _expect(text, place, ":")
        if name in take:
            count = 0
            place, inside = _open(text, place, "[", "]")
            while inside:
                element, place = read(text, place)
                take[name](element)
                count += 1
                place, inside = _next(text, place, "]")
            out[name] = count
        else:
            out[str(name)], place = read(text, place)
        place, more = _next(text, place, "}")
    if place != len(text):
        raise json.JSONDecodeError("Extra data", text, place)
    return out


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()


def _expect(text: str, place: int, mark: str) -> int:
    place = _skip(text, place)
    if text[place : place + 1] != mark:
        raise json.JSONDecodeError(f"Expecting '{mark}'", text, place)
    return _skip(text, place + 1)


def _open(text: str, place: int, first: str, last: str) -> tuple[int, bool]:
    """After an opening bracket: the place, and whether anything comes before the closing one."""
    place = _expect(text, place, first)
    return (_skip(text, place + 1), False) if text[place : place + 1] == last else (place, True)


def _next(text: str, place: int, last: str) -> tuple[int, bool]:
    """After an element: the place, and whether another one follows."""
    place = _skip(text, place)
    if text[place : place + 1] == last:
        return _skip(text, place + 1), False
    return _expect(text, place, ","), True


def read_json(path: Path) -> Any:
    """JSON values of a file; errors as in `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path), path)


def read_yaml(path: Path, flag: str) -> Any:
    """The values of a YAML file that the user gives with a flag.

    Raises:
        UsageError: if it is not there or no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(read_bytes(path, MAX_YAML))
    except (SourceError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{flag} {path}: not a YAML file that can be read ({' '.join(str(error).split())})"
        ) from error
