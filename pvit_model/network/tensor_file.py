"""Writing tensors to a local file that is complete or not there, readable as the user's other files are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pvit_data.storage.files import replacing


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
