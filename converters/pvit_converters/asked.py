"""Layers that a source's options ask for: conversions of their own, over the source as soon as it is converted."""

from __future__ import annotations

from dataclasses import replace

from pvit_converters import registry
from pvit_converters.base import AskedLayer
from pvit_converters.engine.plan import Settings
from pvit_converters.engine.run import Job


def apart(job: Job) -> tuple[Job, list[Job]]:
    """A conversion without the layers that its options ask for, and theirs, to be run after it.

    Raises:
        UsageError: if an option of a layer is missing.
    """
    options, asked = job.converter.layers_asked(job.options)
    return replace(job, options=options), [_over(job, layer) for layer in asked]


def _over(job: Job, layer: AskedLayer) -> Job:
    converter = registry.load(layer.converter)
    return replace(
        job,
        converter=converter,
        root=layer.root,
        options=converter.Options(),
        settings=Settings(),
        base=f"{job.out}#{job.name}",
        task_index=0,
        num_tasks=1,
    )
