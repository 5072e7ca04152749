"""The table of tasks, data half: what of a sample a task is trained on. One file per task, found by name.

A task's file holds a `TargetSpec`, registered as an entry point of the group `pvit.targets`; the built-in ones register
in the same way. It is imported when its name is looked up. Heads, losses and metrics of the same names live in the
model's package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from jaxtyping import Int64

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import ConfigError, UsageError
from pvit_data.plugins import Registry
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.tasks.names import in_space, kind_of
from pvit_data.tasks.target import Target

ORDER = ("depth", "normal", "segm", "pose3d", "boxes", "action", "actions", "pnr", "persons")
"""The built-in tasks, in their order wherever several are meant; others follow by name."""
LABELS = ("action",)
"""The labels that a downstream source trains where nobody names others."""

REGISTRY = Registry("pvit.targets", "task")

Builder = Callable[[Sample, Int64[np.ndarray, "t"], ClipConfig], Target | None]
Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def map_shapes(*channels: int) -> Callable[[ClipConfig], Shapes]:
    """Shapes of a map's value and valid: (T', h, w, *channels) and (T', h, w)."""

    def shapes(config: ClipConfig) -> Shapes:
        grid = (config.num_targets, *config.maps)
        return (*grid, *channels), grid

    return shapes


def _never(config: ClipConfig) -> bool:
    """For no configuration."""
    return False


@dataclass(frozen=True, kw_only=True)
class TargetSpec:
    """What of a sample one task is trained on.

    Args:
        name: of the task, everywhere.
        field: the `Sample` field that holds its annotation; how geometry acts on it is `transforms.RULES[field]`.
        reads: fields to read for it, those of them that a sample has; default: `field`.
        build: makes the target of one sample at the given frames, (t,) int64: the supervised ones, for labels all of
            the clip; None where nothing is labelled.
        shapes: shapes of value and valid of one row.
        dtype: of the values.
        by_space: there is one target for each label space of the field (`"segm/nyu40"`).
        downstream_only: it is the label of a whole clip that only a downstream source trains; it is read with the
            pixels, and stays where annotations are shuffled.
        by_class: of a label: its target has a number for each class of this field's label space
            (`ClipConfig.label_classes`); "" for others.
        by_box: its target has an entry for each box of a sample, any number of them and none where nobody is, which
            `pack` puts one after the other; each lies in the picture.
        column: of a label: of the index, not negative where the label is there; "": `has_` and the field.
        never_flipped: for which configurations a sample with this annotation must not be mirrored.
    """

    name: str
    field: str
    reads: tuple[str, ...] = ()
    build: Builder
    shapes: Callable[[ClipConfig], Shapes]
    dtype: str = "float32"
    by_space: bool = False
    downstream_only: bool = False
    by_class: str = ""
    by_box: bool = False
    column: str = ""
    never_flipped: Callable[[ClipConfig], bool] = _never

    def __post_init__(self) -> None:
        if not self.reads:
            object.__setattr__(self, "reads", (self.field,))

    def empty(self, config: ClipConfig) -> Target:
        """The packed target of no rows."""
        value, valid = self.shapes(config)
        return Target(np.zeros((0, *value), self.dtype), np.zeros((0, *valid), bool))

    def target_name(self, spaces: Mapping[str, LabelSpace]) -> str | None:
        """Its target's name in a batch, for samples with these label spaces; None where its space is not declared."""
        if not self.by_space:
            return self.name
        space = spaces.get(self.field)
        return None if space is None else in_space(self.name, space.name)


@cache
def target_spec(task: str) -> TargetSpec:
    """The entry of a task; `"boxes/hands"` is a further task of the kind `boxes`, with a target of that name.

    Raises:
        UsageError: if there is no such task, or it cannot be imported.
    """
    kind = kind_of(task)
    spec = REGISTRY.load(kind)
    if not isinstance(spec, TargetSpec):
        raise UsageError(f"task '{kind}': its entry point is {spec!r}, expected a TargetSpec")
    if task != kind and (spec.by_space or spec.downstream_only):
        raise UsageError(f"unknown task '{task}': there can be only one of the kind '{kind}'")
    return replace(spec, name=task)


def is_by_box(target: str) -> bool:
    """Whether a target, by its name, has an entry for each box."""
    return target_spec(kind_of(target)).by_box


def target_specs(tasks: Iterable[str]) -> tuple[TargetSpec, ...]:
    """The entries of several tasks; see `target_spec`."""
    return tuple(target_spec(task) for task in tasks)


def ordered(tasks: Iterable[str]) -> tuple[str, ...]:
    """The tasks without repetition: the built-in ones in their order, then the others by name."""
    asked = set(tasks)
    return (*(task for task in ORDER if task in asked), *sorted(asked - set(ORDER)))


def every_task() -> tuple[str, ...]:
    """The names of all tasks, in order."""
    return ordered(REGISTRY.names())


def require_places(config: ClipConfig, source: str, tasks: Iterable[str]) -> None:
    """Refuses to augment clips in a way that their annotations would not follow.

    Args:
        config: what clips are.
        source: whose clips.
        tasks: that it trains.

    Raises:
        ConfigError: if pixels are moved by operations that move nothing else, and a task has places in the picture.
    """
    if not config.of_source(source).rand_geometry:
        return
    specs = target_specs(tasks)
    if placed := [spec.name for spec in specs if spec.by_box or not spec.downstream_only]:
        raise ConfigError(
            f"clip.rand_geometry: source '{source}' trains {', '.join(placed)}, which would not follow rotated, "
            f"sheared and shifted pictures; --set clip.per_source.{source}.rand_geometry=false (crops and flips, "
            "which they follow, are clip.area, clip.jitter and clip.flip)"
        )


def labels_among(tasks: Iterable[str]) -> tuple[str, ...]:
    """Those of some tasks that are labels of whole clips; the usual ones where there are none."""
    return tuple(task for task in tasks if target_spec(task).downstream_only) or LABELS
