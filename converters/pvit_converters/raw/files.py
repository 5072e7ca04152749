"""Reading whole files that nobody vouches for: bytes with a limit, JSON, and a user's own YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pvit_data.errors import SourceError, UsageError

MAX_JSON = 1 << 31
MAX_YAML = 1 << 20
_SPACE = re.compile(r"[ \t\n\r]*")


def read_bytes(path: Path, limit: int = MAX_JSON) -> bytes:
    """The bytes of a file.

    Raises:
        SourceError: if it is missing (`"missing-file"`), too large (`"too-large"`) or cannot be read.
    """
    try:
        if (size := path.stat().st_size) > limit:
            raise SourceError(
                f"{path}: {size} bytes, more than the limit of {limit}", reason="too-large"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file", reason="missing-file") from error
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be read ({error.strerror})", reason="unreadable"
        ) from error


def parse_json(data: bytes, where: Path | str) -> Any:
    """JSON values of bytes; NaN and Infinity are accepted, since raw files hold them.

    Raises:
        SourceError: with the reason `"bad-json"`.
    """
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
