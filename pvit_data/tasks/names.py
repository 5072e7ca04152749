"""Names of tasks and targets: `"boxes/hands"` is a further task of the kind `boxes`, `"segm/nyu40"` a label space's."""

from __future__ import annotations


def kind_of(task: str) -> str:
    """The kind of a task or target: `"boxes"` of `"boxes"` and of `"boxes/hands"`."""
    return task.partition("/")[0]


def in_space(task: str, space: str) -> str:
    """The name of a task's target in one label space.

    >>> in_space("segm", "nyu40")
    'segm/nyu40'
    """
    return f"{task}/{space}"
