"""`Mixture`: which samples of which sources make up each global batch, from the indices alone.

Global batch s is a pure function of (seed, s, configuration): it knows nothing of ranks, workers or earlier batches, so
resuming is remembering s. Composition: `composition.py`; order of the rows of a source: `order.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.errors import ConfigError
from pvit_data.mixing.composition import MixturePart, Schedule, shares
from pvit_data.mixing.order import BLOCK, WINDOW, dealt, epoch_order
from pvit_data.mixing.sources import MixtureSource, SampleSet, auxiliary_tasks
from pvit_data.tasks.table import target_spec, target_specs


class Draw(NamedTuple):
    """One sample of a batch: row `row` of source number `source`, in the `epoch`-th pass over its stratum."""

    source: int
    row: int
    epoch: int
    stratum: int


@dataclass(frozen=True)
class _Stratum:
    """Rows of one source that supervise the same quota tasks; each stratum has its own epochs."""

    source: int
    rows: Int64[np.ndarray, "n"]
    part: MixturePart
    label: str


class Mixture:
    """The task-aware sampler.

    Args:
        sources: what to mix.
        batch_size: samples of a global batch, over all ranks.
        seed: of the order.
        quotas: at least this many samples of every batch supervise each task.
        cap: auxiliary samples per downstream sample, at most, in every batch.
        portion: scales the auxiliary sources' weights.
        tasks: tasks by source name; see `sources.auxiliary_tasks` for sources not named.
        block, window: see `order.epoch_order`.

    Raises:
        UsageError: if a task is unknown.
        ConfigError: if a source is empty, a weight is not positive, or the quotas do not fit.
    """

    def __init__(
        self,
        sources: Sequence[MixtureSource],
        batch_size: int,
        seed: int = 0,
        quotas: Mapping[str, int] | None = None,
        cap: float = 3.0,
        *,
        portion: float = 1.0,
        tasks: Mapping[str, Iterable[str]] | None = None,
        block: int = BLOCK,
        window: int = WINDOW,
    ) -> None:
        self.sources, self.batch_size, self.seed, self.cap = list(sources), batch_size, seed, cap
        self.quotas = dict(quotas or {})
        self.tasks = {name: tuple(names) for name, names in (tasks or {}).items()}
        self.block, self.window = block, window
        target_specs([*self.quotas, *(name for names in self.tasks.values() for name in names)])
        if not self.sources or batch_size < 1:
            raise ConfigError(
                f"a mixture needs sources and a batch size, got {len(self.sources)} and {batch_size}"
            )
        self._rows = [self._usable_rows(source) for source in self.sources]
        self._weights = _weights(self.sources, [len(rows) for rows in self._rows], portion)
        self._strata = [
            stratum for index in range(len(self.sources)) for stratum in self._split(index)
        ]
        wanted = shares([s.part for s in self._strata], batch_size, self.quotas, cap)
        self._strata = [s for s, share in zip(self._strata, wanted, strict=True) if share > 0]
        self.wanted = wanted[wanted > 0]
        self._schedule = Schedule(self.wanted)
        self._orders: dict[tuple[int, int], Int64[np.ndarray, "n"]] = {}

    def with_datasets(self, of: Callable[[MixtureSource], SampleSet]) -> Mixture:
        """The same mixture of the same rows, read through other views of its sources' datasets."""
        other = copy.copy(self)
        other.sources = [replace(source, ds=of(source)) for source in self.sources]
        return other

    def plan(self, step: int) -> list[tuple[int, int]]:
        """Global batch `step`: (index of the source, row of its dataset) of each sample."""
        return [(draw.source, draw.row) for draw in self.draws(step)]

    def draws(self, step: int) -> list[Draw]:
        """Global batch `step` with the epoch of each draw; any half, quarter, ... of it is composed like the whole."""
        before, counts = self._schedule.drawn_before(step), self._schedule.counts(step)
        out = []
        for index, (first, count) in enumerate(zip(before.tolist(), counts.tolist(), strict=True)):
            stratum = self._strata[index]
            for number in range(first, first + count):
                epoch, place = divmod(number, len(stratum.rows))
                row = int(stratum.rows[self._order(index, epoch)[place]])
                out.append(Draw(stratum.source, row, epoch, index))
        return [out[i] for i in dealt(list(range(len(out))))]

    def _order(self, index: int, epoch: int) -> Int64[np.ndarray, "n"]:
        if (index, epoch) not in self._orders:
            stratum = self._strata[index]
            for old in [key for key in self._orders if key[0] == index and abs(key[1] - epoch) > 1]:
                del self._orders[old]
            rows, label = len(stratum.rows), stratum.label
            self._orders[index, epoch] = epoch_order(
                self.seed, label, epoch, rows, self.block, self.window
            )
        return self._orders[index, epoch]

    def substitute(self, draw: Draw, attempt: int) -> Draw:
        """What takes the place of an unreadable sample: a row of the same stratum, the same one in every run."""
        rows = self._strata[draw.stratum].rows
        order = self._order(draw.stratum, -1)  # an order of its own, that no epoch uses
        return draw._replace(row=int(rows[order[(draw.row + draw.epoch + attempt) % len(rows)]]))

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches in which the downstream sources are passed once (all sources, where there is no downstream one)."""
        everything = range(len(self.sources))
        counted = [i for i in everything if self.sources[i].is_downstream] or everything
        rows = sum(len(self._rows[i]) for i in counted)
        return math.ceil(rows / self.samples_per_batch(*counted) - 1e-9)

    def samples_per_batch(self, *indices: int) -> float:
        """Samples of the given sources in a batch, on average."""
        mine = [
            share for s, share in zip(self._strata, self.wanted, strict=True) if s.source in indices
        ]
        return float(sum(mine))

    def tasks_of(self, source: str, ds: SampleSet) -> tuple[str, ...]:
        """The tasks that a source of a dataset trains in any role."""
        return auxiliary_tasks(ds, source, self.tasks)

    def rows(self, index: int) -> Int64[np.ndarray, "n"]:
        """The rows that are drawn from source `index`."""
        return self._rows[index]

    def supervised(self, index: int, task: str) -> Bool[np.ndarray, "n"]:
        """Which of the rows that are drawn from source `index` supervise a task."""
        carried: Bool[np.ndarray, "n"] = self._carried(self.sources[index], task)[self._rows[index]]
        return carried

    def _carried(self, source: MixtureSource, task: str) -> Bool[np.ndarray, "n"]:
        spec = target_spec(task)
        if spec.downstream_only:
            return _labelled(source.ds, spec.field) & source.is_downstream
        using = [name for name in source.ds.sources if task in self.tasks_of(name, source.ds)]
        used = np.isin(source.ds.column("source"), using)
        return np.asarray(used & _has(source.ds, spec.field), bool)

    def _usable_rows(self, source: MixtureSource) -> Int64[np.ndarray, "n"]:
        """Rows with pixels; of an auxiliary source with tasks only those that carry one of them."""
        usable = _has(source.ds, "rgb")
        if not usable.any():
            raise ConfigError(
                f"source '{source.name}' has no sample with rgb; check its split and filter"
            )
        tasks = sorted(
            {task for name in source.ds.sources for task in self.tasks_of(name, source.ds)}
        )
        if tasks and not source.is_downstream:
            usable = usable & np.any([self._carried(source, task) for task in tasks], axis=0)
            if not usable.any():
                raise ConfigError(
                    f"source '{source.name}' has no sample with {' or '.join(tasks)}; check its tasks, split and filter"
                )
        return np.flatnonzero(usable)

    def _split(self, index: int) -> list[_Stratum]:
        rows, source = self._rows[index], self.sources[index]
        names = sorted(self.quotas)
        carries = (
            np.array([self.supervised(index, task) for task in names])
            .reshape(len(names), len(rows))
            .T
        )
        kinds, kind_of = np.unique(carries, axis=0, return_inverse=True)
        strata = []
        for number, kind in enumerate(kinds):
            mine = rows[kind_of.ravel() == number]
            served = frozenset(task for task, carried in zip(names, kind, strict=True) if carried)
            weight = self._weights[index] * len(mine) / len(rows)
            part = MixturePart(source.name, weight, source.is_downstream, served)
            strata.append(
                _Stratum(index, mine, part, f"{index} {source.name} {'+'.join(sorted(served))}")
            )
        return strata


def _has(ds: SampleSet, field: str) -> Bool[np.ndarray, "n"]:
    has: Bool[np.ndarray, "n"] = ds.column(f"has_{field}").astype(bool)
    return has


def _labelled(ds: SampleSet, field: str) -> Bool[np.ndarray, "n"]:
    """Which rows have a class; the index has it where there is one for the whole clip."""
    classes: Bool[np.ndarray, "n"] = ds.column(field) >= 0
    return classes


def _weights(sources: Sequence[MixtureSource], sizes: Sequence[int], portion: float) -> list[float]:
    for source in sources:
        if source.weight is not None and not source.weight > 0:
            raise ConfigError(
                f"source '{source.name}': weight {source.weight:g} is not positive; leave the source out"
            )
    if not portion > 0:
        raise ConfigError(f"portion {portion:g} is not positive; leave the auxiliary sources out")
    real = [s.is_downstream for s in sources]
    downstream = (
        sum(s.weight if s.weight is not None else 1.0 for s in sources if s.is_downstream) or 1.0
    )
    auxiliary = sum(size for size, is_real in zip(sizes, real, strict=True) if not is_real)
    out = []
    for source, size, is_real in zip(sources, sizes, real, strict=True):
        default = 1.0 if is_real else downstream * size / auxiliary
        weight = default if source.weight is None else source.weight
        out.append(weight if is_real else weight * portion)
    return out
