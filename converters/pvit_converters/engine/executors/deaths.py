"""What the death of a worker means for its task: it is tried again, and a sample that kills twice is left out.

So one poison video (a decoder that crashes, memory that runs out) costs one video, and is named.
"""

from __future__ import annotations

from dataclasses import replace

from pvit_converters.engine.task import Task
from pvit_data.errors import SourceError

MAX_DEATHS = 20  # of workers on one shard, with a different sample in work each time
GIVEN_UP = "killed-worker"  # reason of the error that ends such a shard


class Deaths:
    """The deaths so far, by shard, with the sample that was in work."""

    def __init__(self) -> None:
        self._keys: dict[str, list[str]] = {}

    def after(self, task: Task, key: str) -> Task | SourceError:
        """What follows from one more death.

        Args:
            task: what the worker was at.
            key: of the sample in work; empty if it had not begun one.

        Returns:
            The task to try again, if need be without the sample; or the error that ends it.
        """
        keys = self._keys.setdefault(task.shard.name, [])
        keys.append(key)
        if len(keys) >= MAX_DEATHS:
            message = (
                f"{task.shard.name}: its worker died {len(keys)} times, last at '{key}'; given up"
            )
            return SourceError(message, reason=GIVEN_UP)
        is_poison = bool(key) and keys.count(key) > 1
        return replace(task, poison=task.poison | {key}) if is_poison else task
