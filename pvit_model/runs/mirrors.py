"""Where the numbers of a run are shown besides its own log: TensorBoard, Trackio, Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from pvit_data.errors import UsageError
from pvit_data.storage.files import read_regular, require_unlinked, write_file

EXTRAS = {"tensorboard": "train", "trackio": "trackio", "wandb": "wandb"}
"""The extra of our distribution that brings each."""
PROJECT = "pvit"
ID, ID_BYTES = "tracker-id.txt", 64
"""File of a run that holds the name under which trackers know it."""


class Mirror(Protocol):
    """Anything that shows a run's numbers."""

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Takes in the numbers of a step."""

    def image(self, name: str, step: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """Takes in a picture."""

    def close(self) -> None:
        """There is no more."""


def check_mirrors(names: Sequence[str]) -> None:
    """Refuses those that are not installed.

    Raises:
        UsageError: naming the first, and the extra that brings it.
    """
    for name in names:
        if find_spec(name) is None:
            raise UsageError(
                f"run.log: '{name}' is not installed: pip install 'pvit-toolkit[{EXTRAS[name]}]', or leave it out of "
                "run.log"
            )


def open_mirrors(
    names: Sequence[str], run: Path, resume_step: int | None, config: Mapping[str, Any]
) -> list[Mirror]:
    """The mirrors of a run.

    Args:
        names: which.
        run: its folder.
        resume_step: steps already done; None: it begins.
        config: of the run, JSON values.
    """
    return [
        _TensorBoard(run, resume_step) if name == "tensorboard" else _Tracker(name, run, config)
        for name in names
    ]


class _TensorBoard:
    """Event files in the run's folder."""

    def __init__(self, run: Path, resume_step: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=resume_step)

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Mirror`."""
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def image(self, name: str, step: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """See `Mirror`."""
        self._board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """See `Mirror`."""
        self._board.close()


class _Tracker:
    """Trackio, or Weights & Biases, whose interface the former has; a resumed run goes on under its name."""

    def __init__(self, name: str, run: Path, config: Mapping[str, Any]) -> None:
        self._library = import_module(name)
        number = _number_of(run)
        own = {"id": number, "dir": str(run)} if name == "wandb" else {}
        self._run = self._library.init(
            project=PROJECT, name=f"{run.name}-{number}", config=dict(config), resume="allow", **own
        )

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """See `Mirror`."""
        self._run.log(dict(values), step=step)

    def image(self, name: str, step: int, picture: UInt8[np.ndarray, "h w 3"]) -> None:
        """See `Mirror`."""
        self._run.log({name: self._library.Image(picture)}, step=step)

    def close(self) -> None:
        """See `Mirror`."""
        self._run.finish()


def _number_of(run: Path) -> str:
    """What tells a run from others in folders of the same name."""
    path = run / ID
    require_unlinked(run, path)
    if not path.is_file():
        write_file(path, secrets.token_hex(4) + "\n")
    found = read_regular(path, ID_BYTES).decode("ascii", "replace").strip()
    return found if found.isalnum() else secrets.token_hex(4)
