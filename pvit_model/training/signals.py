"""Signals: the first SIGTERM, SIGINT or SIGUSR1 asks for a stop after the current step, a second one ends at once."""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

from pvit_data.errors import Interrupted, PvitError

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class StopRequest:
    """A flag that signals set. Use as a context; the former handlers come back at its end.

    A signal to the whole process group also ends helpers, such as a compiler, on which a step then fails: that is an
    interruption, too.

    Args:
        said: written to the terminal when the first one comes; a handler may do no more than that.

    Attributes:
        name: name of the signal that asked to stop, or "".
    """

    def __init__(self, said: str = "") -> None:
        self.name = ""
        self.said = said.encode()
        self._former: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        for number in CAUGHT:
            self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self and isinstance(error, Exception) and not isinstance(error, PvitError):
            raise Interrupted(
                f"stopped by {self.name} within a step, which failed ({type(error).__name__}) and is lost; "
                "continue with --resume"
            ) from error

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.name:
            os._exit(128 + number)
        self.name = signal.Signals(number).name
        os.write(2, self.said)

    def __bool__(self) -> bool:
        return bool(self.name)
