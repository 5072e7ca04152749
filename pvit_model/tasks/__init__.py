"""Tasks: one file each, with its head, loss, metric and picture; registered under the entry point `pvit.tasks`."""

from pvit_model.tasks.base import ORDER, LossOptions, LossSum, Task, get_task, kind_of

__all__ = ["ORDER", "LossOptions", "LossSum", "Task", "get_task", "kind_of"]
