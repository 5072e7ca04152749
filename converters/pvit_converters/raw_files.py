"""Reading whole files that nobody vouches for: bytes with a limit, JSON, and a user's own YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pvit_data.errors import SourceError, UsageError

MAX_JSON = 1 << 31
MAX_YAML = 1 << 20


def read_bytes(path: Path, limit: int = MAX_JSON) -> bytes:
    """The bytes of a file.

    Raises:
        SourceError: if it is missing (`"missing-file"`), too large (`"too-large"`) or cannot be read.
    """
    try:
        if (size := path.stat().st_size) > limit:
            raise SourceError(f"{path}: {size} bytes, more than the limit of {limit}", reason="too-large")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file", reason="missing-file") from error
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})", reason="unreadable") from error


def parse_json(data: bytes, where: Path | str) -> Any:
    """JSON values of bytes; NaN and Infinity are accepted, since raw files hold them.

    Raises:
        SourceError: with the reason `"bad-json"`.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"{where}: cannot be read as JSON ({error}); the file is damaged or truncated, get it again"
        raise SourceError(message, reason="bad-json") from error


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
        raise UsageError(f"{flag} {path}: not a YAML file that can be read ({' '.join(str(error).split())})") from error
