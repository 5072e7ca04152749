"""What a mixture will do, counted from its plan before anything is trained: shares, repeats, and what would starve.

`survey` walks through the batches of an epoch and reads no pixel. `pvit-data mix` prints it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.mixing.mixture import Mixture
from pvit_data.sample.rows import row_array
from pvit_data.tasks.table import labels_among, ordered

MAX_STEPS = 2000
MANY_REPEATS = 5
"""Showings of each sample per epoch of the downstream set from which on a source is called too small for its share."""


@dataclass(frozen=True)
class SourceShare:
    """What one source contributes.

    Args:
        name, role: of the source.
        rows: samples that are drawn from.
        left_out: samples that are not: without pixels, or without any of the source's tasks.
        per_batch, fewest, most: samples per batch on average, and the smallest and largest number met.
        per_epoch: samples per epoch of the downstream set.
        repeats: how often each sample is shown in such an epoch.
    """

    name: str
    role: str
    rows: int
    left_out: int
    per_batch: float
    fewest: int
    most: int
    per_epoch: float
    repeats: float


@dataclass(frozen=True)
class TaskShare:
    """How much supervision one task gets.

    Args:
        name: of the task.
        sources: that supervise it.
        per_batch, fewest, most: supervised samples per batch on average, smallest and largest number met.
        starved: share of the batches without any.
        quota: samples guaranteed in every batch.
    """

    name: str
    sources: tuple[str, ...]
    per_batch: float
    fewest: int
    most: int
    starved: float
    quota: int


@dataclass(frozen=True)
class MixPlan:
    """The plan of a mixture.

    Args:
        batch_size, steps_per_epoch: of the mixture.
        steps: batches that were counted.
        sources, tasks: shares.
        first: samples of each source in the first batches, (steps, sources) in the order of `sources`.
        warnings: what deserves a second look.
    """

    batch_size: int
    steps_per_epoch: int
    steps: int
    sources: tuple[SourceShare, ...]
    tasks: tuple[TaskShare, ...]
    first: list[list[int]]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def survey(mixture: Mixture, steps: int | None = None) -> MixPlan:
    """Counts the batches of one epoch (at most 2000, or `steps`)."""
    steps = steps or min(mixture.steps_per_epoch, MAX_STEPS)
    names = _supervised_tasks(mixture)
    carries = [_by_row(mixture, i, names) for i in range(len(mixture.sources))]
    by_source = np.zeros((steps, len(mixture.sources)), np.int64)
    by_task = np.zeros((steps, len(names)), np.int64)
    for step in range(steps):
        drawn = np.array(mixture.plan(step))
        for source, rows in enumerate(carries):
            mine = drawn[drawn[:, 0] == source, 1]
            by_source[step, source] = len(mine)
            by_task[step] += rows[mine].sum(0)
    sources = tuple(_source_share(mixture, i, by_source[:, i]) for i in range(len(mixture.sources)))
    tasks = tuple(
        _task_share(mixture, name, carries, i, by_task[:, i]) for i, name in enumerate(names)
    )
    return MixPlan(
        mixture.batch_size, mixture.steps_per_epoch, steps, sources, tasks, by_source[:200].tolist(),
        tuple(_warnings(mixture, sources, tasks)),
    )  # fmt: skip


def _supervised_tasks(mixture: Mixture) -> list[str]:
    used = {*mixture.quotas}
    for source in mixture.sources:
        used.update(
            task for name in source.ds.sources for task in mixture.tasks_of(name, source.ds)
        )
        if source.is_downstream:
            for name in source.ds.sources:
                used.update(labels_among(mixture.tasks.get(name, ())))
    indices = range(len(mixture.sources))
    return [
        task for task in ordered(used) if any(mixture.supervised(i, task).any() for i in indices)
    ]


def _by_row(mixture: Mixture, index: int, names: list[str]) -> Bool[np.ndarray, "n t"]:
    out = np.zeros((len(mixture.sources[index].ds), len(names)), bool)
    rows = row_array(mixture.rows(index))
    for column, name in enumerate(names):
        out[rows, column] = mixture.supervised(index, name)
    return out


def _source_share(mixture: Mixture, index: int, counts: Int64[np.ndarray, "s"]) -> SourceShare:
    source, rows = mixture.sources[index], len(mixture.rows(index))
    per_batch = mixture.samples_per_batch(index)
    per_epoch = per_batch * mixture.steps_per_epoch
    return SourceShare(
        source.name, source.role, rows, len(source.ds) - rows, per_batch, int(counts.min()), int(counts.max()),
        per_epoch, per_epoch / rows,
    )  # fmt: skip


def _task_share(
    mixture: Mixture,
    name: str,
    carries: list[np.ndarray],
    column: int,
    counts: Int64[np.ndarray, "s"],
) -> TaskShare:
    sources = tuple(
        s.name for s, rows in zip(mixture.sources, carries, strict=True) if rows[:, column].any()
    )
    starved = float((counts == 0).mean())
    return TaskShare(
        name,
        sources,
        float(counts.mean()),
        int(counts.min()),
        int(counts.max()),
        starved,
        mixture.quotas.get(name, 0),
    )


def _warnings(
    mixture: Mixture, sources: tuple[SourceShare, ...], tasks: tuple[TaskShare, ...]
) -> list[str]:
    out = []
    for task in tasks:
        if task.starved:
            out.append(
                f"{task.name}: {task.starved:.0%} of the batches have no sample with it; "
                f"set a quota ({task.name}: 1) or raise the share of {' or '.join(task.sources)}"
            )
    for source in sources:
        if source.repeats >= MANY_REPEATS:
            out.append(
                f"{source.name}: each of its {source.rows:,} samples is shown {source.repeats:.1f} times per epoch; "
                "lower its weight or add data"
            )
        if source.left_out:
            out.append(
                f"{source.name}: {source.left_out:,} samples are never drawn (no rgb, or none of its tasks)"
            )
    auxiliary = sum(s.per_batch for s in sources if s.role == "auxiliary")
    downstream = mixture.batch_size - auxiliary
    if downstream and auxiliary >= mixture.cap * downstream - 1e-6:
        out.append(
            f"the auxiliary share is at the cap: {auxiliary:g} of {mixture.batch_size} samples per batch"
        )
    return out
