"""The task table: what a task reads, what its target looks like, how it follows geometry and how it is drawn.

One entry per task; heads, losses and metrics of the same names live in the model's package. A new task is one more
`register(Task(...))`, called by whoever brings it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError
from pvit_data.mixing.sources import SampleSet
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.tasks import target as targets
from pvit_data.tasks.target import Target

Builder = Callable[[Sample, Int64[np.ndarray, "t"], ClipConfig], Target | None]
Shapes = Callable[[ClipConfig], tuple[tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class Task:
    """One task.

    Args:
        name: its name everywhere.
        field: the `Sample` field that holds its annotation; how geometry acts on it is `transforms.RULES[field]`.
        reads: fields to read for it, those of them that a sample has.
        kind: `"map"` (one value per cell), `"vector"` (values per frame) or `"class"` (one value per clip).
        drawing: name of the picture that shows it.
        build: makes the target of one sample at the given frames.
        shapes: shapes of value and valid of one row.
        dtype: of the values.
    """

    name: str
    field: str
    reads: tuple[str, ...]
    kind: Literal["map", "vector", "class"]
    drawing: str
    build: Builder
    shapes: Shapes
    dtype: str = "float32"

    def empty(self, config: ClipConfig) -> Target:
        """The packed target of no rows."""
        value, valid = self.shapes(config)
        return Target(np.zeros((0, *value), self.dtype), np.zeros((0, *valid), bool))


def _map(*channels: int) -> Shapes:
    return lambda c: ((c.num_targets, *c.maps, *channels), (c.num_targets, *c.maps))


TASKS: dict[str, Task] = {}


def register(task: Task) -> None:
    """Adds a task to the table.

    Raises:
        ConfigError: if another task has its name.
    """
    if TASKS.get(task.name, task) != task:
        raise ConfigError(f"task '{task.name}' is registered twice; give the new one another name")
    TASKS[task.name] = task


register(Task("depth", "depth", ("depth",), "map", "depth", targets.depth, _map()))
register(Task("normal", "normal", ("normal", "camera"), "map", "normal", targets.normal, _map(3)))
register(Task("segm", "segm", ("segm",), "map", "labels", targets.segm, _map(), "int64"))
register(
    Task(
        "pose3d",
        "pose3d",
        ("pose3d", "pose3d_valid", "pose2d"),
        "vector",
        "skeleton",
        targets.pose3d,
        lambda c: ((c.num_targets, 25, 3), (c.num_targets, 25)),
    )
)
register(
    Task(
        "boxes",
        "boxes",
        ("boxes",),
        "vector",
        "boxes",
        targets.boxes,
        lambda c: ((c.num_targets, c.num_boxes, 4), (c.num_targets, c.num_boxes)),
    )
)
register(
    Task(
        "action",
        "action",
        ("action",),
        "class",
        "text",
        targets.action,
        lambda c: ((), ()),
        "int64",
    )
)


def target_name(task: str, spaces: Mapping[str, LabelSpace]) -> str:
    """The name of a task's target in a batch: the task's, and for segmentation also its label space's."""
    return f"segm/{spaces['segm'].name}" if task == "segm" else task


def of_source(ds: SampleSet, source: str, chosen: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The tasks that a source is used for, without `"action"`.

    Those that `chosen` names for it, else those that its `SourceSpec` declares, else every task that some row of it
    carries.
    """
    names = chosen[source] if source in chosen else ds.sources[source].tasks
    if source not in chosen and not names:
        mine = ds.column("source") == source
        names = [
            name
            for name, task in TASKS.items()
            if name != "action" and ds.column(f"has_{task.field}")[mine].any()
        ]
    return tuple(name for name in names if name != "action")


def known(names: Iterable[str]) -> tuple[Task, ...]:
    """The tasks of the given names; `"boxes/hands"` is a further task of the kind `boxes`, with a target of that name.

    Raises:
        ConfigError: if a name is not in the table.
    """
    found = []
    for name in names:
        kind = TASKS.get(name.partition("/")[0])
        if kind is None or (name != kind.name and kind.name in ("segm", "action")):
            raise ConfigError(f"unknown task '{name}': expected one of {', '.join(sorted(TASKS))}")
        found.append(replace(kind, name=name))
    return tuple(found)
