"""Tasks by name: one file each, registered under the entry point `pvit.tasks`; those of other packages likewise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import pydantic

from pvit_data.errors import ConfigError
from pvit_data.tasks.names import in_space, kind_of
from pvit_data.tasks.table import target_spec
from pvit_data.words import did_you_mean, first_problem
from pvit_model.plugins import TASKS
from pvit_model.tasks.base import LossSum, Task

if TYPE_CHECKING:
    from torch import Tensor

    from pvit_data.loading.batch import Targets

__all__ = [
    "ACTION",
    "LossOptions",
    "LossSum",
    "Task",
    "get_task",
    "rois_of",
    "target_names",
]

ACTION = "action"
"""The downstream's task, whose head every network has."""


def get_task(name: str) -> Task[Any]:
    """The task of a name: `"boxes"` of `"boxes"` and of `"boxes/hands"`.

    Raises:
        UsageError: if there is none.
    """
    return _task(kind_of(name))


@cache
def _task(kind: str) -> Task[Any]:
    task: Task[Any] = TASKS.load(kind)()
    return task


def target_names(tasks: Iterable[str], spaces: Iterable[str]) -> tuple[str, ...]:
    """Target names of some tasks: their own, then `task/space` for each label space of those that have several."""
    names, by_space = [], []
    for name in tasks:
        if target_spec(name).by_space:
            by_space += [in_space(name, space) for space in spaces]
        else:
            names.append(name)
    return (*names, *by_space)


def rois_of(targets: Mapping[str, Targets]) -> dict[str, Tensor]:
    """Boxes that heads read, by target name: number of the clip in its batch, then corners in [0, 1]; (R, 5) each."""
    found = ((name, get_task(name).rois(target)) for name, target in targets.items())
    return {name: rois for name, rois in found if rois is not None}


class LossOptions:
    """How losses are computed: options of the tasks' losses by keyword; the defaults are the paper's.

    Each task declares its own in its file; `LossOptions(depth_clip=5)` is known because depth does.

    Raises:
        ConfigError: for an option that no task has, or a value that it cannot have.

    Example:
        >>> LossOptions(depth="scale-invariant").of("depth").depth_clip  # metres
        10.0
    """

    def __init__(self, **values: Any) -> None:
        self.values: Mapping[str, Any] = values
        if values:
            self._check()

    def _check(self) -> None:
        known: set[str] = set()
        for name in TASKS.names():
            known |= set(type(self.of(name)).model_fields)
        for name in sorted(set(self.values) - known):
            hint = did_you_mean(name, known) or "."
            raise ConfigError(
                f"losses.options has no '{name}'{hint} Known: {', '.join(sorted(known))}."
            )

    def of(self, task: str) -> Any:
        """The options of one task's loss: its `Task.options`."""
        options = get_task(task).options
        own = {name: v for name, v in self.values.items() if name in options.model_fields}
        try:
            return options(**own)
        except pydantic.ValidationError as error:
            raise ConfigError(f"losses.options: {first_problem(error)}") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossOptions) and self.values == other.values

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.values.items())))
