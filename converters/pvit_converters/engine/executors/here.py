"""What an executor is, and the simplest one: one task after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from pvit_converters.engine.task import Outcome, Task, Tick, run_task
from pvit_data.errors import PvitError

Result = tuple[Task, Outcome | PvitError]
Executor = Callable[[Sequence[Task], Tick], Generator[Result]]


def run_here(tasks: Sequence[Task], tick: Tick) -> Generator[Result]:
    """One task after the other in this process."""
    for task in tasks:
        try:
            yield task, run_task(task, tick)
        except PvitError as error:
            yield task, error
