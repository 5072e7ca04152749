"""What the model finds by name, without importing it: tasks and backbones, built in or of other packages."""

from pvit_data.plugins import Registry

TASKS = Registry("pvit.tasks", "task")
BACKBONES = Registry("pvit.backbones", "backbone")
