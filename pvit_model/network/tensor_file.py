"""Tensors in local safetensors files: written completely or not at all, and read no further than their header is true.

The header tells names, types and shapes before any tensor is read; `shapes_in` gives it, so that what shall take the
tensors can be compared first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from pvit_data.errors import FormatError
from pvit_data.storage.files import open_regular, replacing
from pvit_data.storage.values import MAX_JSON_BYTES, parse_json
from pvit_data.words import short


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file.

    Raises:
        OSError: if it cannot be written, with the system's reason; `path` stays as it was.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as part:
        part.touch()
        mode = (
            part.stat().st_mode
        )  # as the user's umask has it; the library makes files of its own that nobody else reads
        try:
            save_file(dict(tensors), part, metadata=metadata)
        except SafetensorError as error:
            raise _system_error(error, path) from None
        part.chmod(mode & 0o777)


def _system_error(error: Exception, path: Path) -> Exception:
    """What the system said, where the library passes it on as text."""
    number = re.search(r"os error (\d+)", str(error))
    if number is None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a safetensors file, by its header; as many bytes are there.

    Raises:
        FormatError: if the file cannot be read, or its header is none, or says other things than the file holds.
    """
    from safetensors import safe_open

    try:
        with open(open_regular(path), "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= MAX_JSON_BYTES:
                raise FormatError(
                    f"{path}: is no safetensors file: its header would have {size:,} bytes"
                )
            header = parse_json(file.read(size), f"{path}: its header")
    except OSError as error:
        raise FormatError(f"{path}: {error.strerror or error}; save or download it again") from None
    entries = header if isinstance(header, dict) else {"": None}
    shapes = {name: _shape(name, entry, path) for name, entry in entries.items() if name != _NOTES}
    with _readable(path), safe_open(path, "pt"):  # compares types, shapes and places with the size
        return shapes


_NOTES = "__metadata__"


def _shape(name: str, entry: object, path: Path) -> tuple[int, ...]:
    shape = entry.get("shape") if isinstance(entry, dict) else None
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise FormatError(f"{path}: its header gives tensor {short(name, 60)} no shape")
    return tuple(shape)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU; never more bytes than the file has.

    Raises:
        FormatError: if it cannot be read, or says other things than it holds.
    """
    from safetensors.torch import load_file

    shapes_in(path)  # a regular file with a header of bounded size
    with _readable(path):
        return load_file(path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """The library's refusals as one of ours."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise FormatError(f"{path}: cannot be read ({first}); save or download it again") from None
