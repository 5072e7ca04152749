"""What an executor is, and the simplest one: one task after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from pvit_converters.engine.task import Outcome, Task, Tick, run_task
from pvit_data.errors import PvitError

Result = tuple[Task, Outcome | PvitError]
Executor = Callable[[Iterable[Task], Tick], Generator[Result]]
"""Takes the next task when somebody is free for it, so that few are in memory at a time."""


def run_here(tasks: Iterable[Task], tick: Tick) -> Generator[Result]:
    """One task after the other in this process."""
    for task in tasks:
        try:
            yield task, run_task(task, tick)
        except PvitError as error:
            yield task, error
