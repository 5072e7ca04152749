"""`Mixture`: which samples of which sources make up each global batch, from the indices alone.

Global batch s is a pure function of (seed, s, configuration): it knows nothing of ranks, workers or earlier batches, so
resuming is remembering s. Composition: `composition.py`; order of the rows of a source: `order.py`; which draws lie
side by side, for one node to read: `nodes.py`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt

from pvit_data.errors import ConfigError
from pvit_data.mixing.composition import MixturePart, Schedule, shares
from pvit_data.mixing.nodes import NodeBlocks, arranged, dealt_places
from pvit_data.mixing.order import BLOCK, WINDOW, EpochOrder
from pvit_data.mixing.sources import MixtureSource, SampleSet, auxiliary_tasks, of_source
from pvit_data.sample.rows import Rows, marked, row_array, row_mask
from pvit_data.tasks.table import TargetSpec, target_spec, target_specs

SUBSTITUTES = -1  # an order of its own, that no epoch uses


class Draw(NamedTuple):
    """One sample of a batch: row `row` of source number `source`, in the `epoch`-th pass over its stratum.

    `copy` says which of several clips of the sample in that pass it is.
    """

    source: int
    row: int
    epoch: int
    stratum: int
    copy: int = 0


@dataclass(frozen=True)
class _Stratum:
    """Rows of one source that supervise the same quota tasks; each stratum has its own epochs."""

    source: int
    rows: Rows
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
        block, window: see `order.EpochOrder`.
        nodes: canonical nodes: each reads its own blocks of every source, and its draws lie side by side in a batch.
            It belongs to the seed: another number gives other batches, whatever number of machines trains. Best is
            the number of machines, or a multiple of it.
        repeats: clips of each downstream sample, one after the other, in each pass (repeated augmentation).

    Raises:
        UsageError: if a task is unknown.
        ConfigError: if a source is empty, a weight is not positive, the quotas do not fit, or a batch cannot be cut
            into as many equal parts as there are nodes.
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
        nodes: int = 1,
        repeats: int = 1,
    ) -> None:
        self.sources, self.batch_size, self.seed, self.cap = list(sources), batch_size, seed, cap
        self.quotas = dict(quotas or {})
        self.tasks = {name: tuple(names) for name, names in (tasks or {}).items()}
        self.block, self.window, self.nodes, self.repeats = block, window, nodes, repeats
        target_specs([*self.quotas, *(name for names in self.tasks.values() for name in names)])
        if not self.sources or batch_size < 1:
            raise ConfigError(
                f"a mixture needs sources and a batch size, got {len(self.sources)} and {batch_size}"
            )
        if nodes < 1 or batch_size % nodes:
            raise ConfigError(
                f"batch_size {batch_size} cannot be cut into {nodes} equal parts; choose nodes that divide it"
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
        self._orders: dict[tuple[int, int, int], EpochOrder] = {}
        self._dealt: dict[int, NodeBlocks] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_orders": {}, "_dealt": {}}

    def with_datasets(self, of: Callable[[MixtureSource], SampleSet]) -> Mixture:
        """The same mixture of the same rows, read through other views of its sources' datasets."""
        other = copy.copy(self)
        other.sources = [replace(source, ds=of(source)) for source in self.sources]
        return other

    def plan(self, step: int) -> list[tuple[int, int]]:
        """Global batch `step`: (index of the source, row of its dataset) of each sample."""
        return [(draw.source, draw.row) for draw in self.draws(step)]

    def draws(self, step: int, part: slice = slice(None)) -> list[Draw]:
        """Global batch `step` with the epoch of each draw; any half, quarter, ... of it is composed like the whole.

        Args:
            step: number of the batch.
            part: which draws are wanted; the others cost nothing.
        """
        before, counts = self._schedule.drawn_before(step), self._schedule.counts(step)
        starts = np.cumsum(counts) - counts
        numbers = np.arange(self.batch_size) + np.repeat(before - starts, counts)
        strata = np.repeat(np.arange(len(counts)), counts)
        places = list(zip(strata.tolist(), numbers.tolist(), strict=True))
        if self.nodes == 1:
            return [self._draw(*places[i]) for i in dealt_places(self.batch_size)[part]]
        nodes = [self._node_of(*place) for place in places]
        return [self._draw(*places[i]) for i in arranged(nodes, self.nodes)[part]]

    def _draw(self, index: int, number: int) -> Draw:
        """The `number`-th draw from a stratum."""
        stratum = self._strata[index]
        number, copy = divmod(number, self._repeats_of(stratum.source))
        epoch, place = divmod(number, len(stratum.rows))
        row = int(stratum.rows[self._row(index, epoch, place)])
        return Draw(stratum.source, row, epoch, index, copy)

    def _repeats_of(self, source: int) -> int:
        """Clips of each sample of a source in a pass."""
        return self.repeats if self.sources[source].is_downstream else 1

    def _row(self, index: int, epoch: int, place: int) -> int:
        if self.nodes == 1:
            return self._order(index, epoch)[place]
        blocks = self._blocks(index)
        node, own = blocks.place(place)
        return blocks.row(node, self._order(index, epoch, node)[own])

    def _node_of(self, index: int, number: int) -> int:
        stratum = self._strata[index]
        number //= self._repeats_of(stratum.source)
        return self._blocks(index).place(number % len(stratum.rows))[0]

    def _blocks(self, index: int) -> NodeBlocks:
        if index not in self._dealt:
            stratum = self._strata[index]
            self._dealt[index] = NodeBlocks(
                self.seed, stratum.label, len(stratum.rows), self.block, self.nodes
            )
        return self._dealt[index]

    def _order(self, index: int, epoch: int, node: int = 0) -> EpochOrder:
        key = index, epoch, node
        if key not in self._orders:
            for old in [k for k in self._orders if k[0] == index and abs(k[1] - epoch) > 1]:
                del self._orders[old]
            stratum = self._strata[index]
            rows, label = len(stratum.rows), stratum.label
            if self.nodes > 1 and epoch != SUBSTITUTES:
                rows, label = int(self._blocks(index).sizes[node]), f"{label} node {node}"
            self._orders[key] = EpochOrder(self.seed, label, epoch, rows, self.block, self.window)
        return self._orders[key]

    def substitute(self, draw: Draw, attempt: int) -> Draw:
        """What takes the place of an unreadable sample: a row of the same stratum, the same one in every run."""
        rows = self._strata[draw.stratum].rows
        order = self._order(draw.stratum, SUBSTITUTES)
        return draw._replace(row=int(rows[order[(draw.row + draw.epoch + attempt) % len(rows)]]))

    @cached_property
    def steps_per_epoch(self) -> int:
        """Batches in which the downstream sources are passed once (all sources, where there is no downstream one)."""
        everything = range(len(self.sources))
        counted = [i for i in everything if self.sources[i].is_downstream] or everything
        rows = sum(len(self._rows[i]) * self._repeats_of(i) for i in counted)
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

    def rows(self, index: int) -> Rows:
        """The rows that are drawn from source `index`."""
        return self._rows[index]

    def supervised(self, index: int, task: str) -> Bool[np.ndarray, "n"]:
        """Which of the rows that are drawn from source `index` supervise a task."""
        carried = self._carried(self.sources[index], task)
        rows = self._rows[index]
        return carried if isinstance(rows, range) else carried[row_array(rows)]

    def _carried(self, source: MixtureSource, task: str) -> Bool[np.ndarray, "n"]:
        spec = target_spec(task)
        if spec.downstream_only:
            return _labelled(source.ds, spec) & source.is_downstream
        has = _has(source.ds, spec.field)
        for name in source.ds.sources:
            if task not in self.tasks_of(name, source.ds):
                has = has & ~of_source(source.ds, name)
        return has

    def _usable_rows(self, source: MixtureSource) -> Rows:
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
        return marked(usable)

    def _split(self, index: int) -> list[_Stratum]:
        rows, source = self._rows[index], self.sources[index]
        names = sorted(self.quotas)
        mask, codes = self._codes(index, names)
        kinds = np.unique(codes if isinstance(rows, range) else codes[mask]) if names else [0]
        strata = []
        for kind in kinds:
            bits = [int(kind) >> (len(names) - 1 - i) & 1 for i in range(len(names))]
            served = frozenset(task for task, bit in zip(names, bits, strict=True) if bit)
            mine = rows if len(kinds) == 1 else marked(mask & (codes == kind))
            weight = self._weights[index] * len(mine) / len(rows)
            part = MixturePart(source.name, weight, source.is_downstream, served)
            strata.append(
                _Stratum(index, mine, part, f"{index} {source.name} {'+'.join(sorted(served))}")
            )
        return strata

    def _codes(
        self, index: int, names: Sequence[str]
    ) -> tuple[Bool[np.ndarray, "n"], UInt[np.ndarray, "n"]]:
        """Which rows of a source's dataset are drawn, and a bit for each task, the first name the highest."""
        source = self.sources[index]
        mask = row_mask(self._rows[index], len(source.ds))
        codes = np.zeros(len(mask), np.min_scalar_type((1 << len(names)) - 1))
        for task in names:
            codes <<= 1
            codes |= self._carried(source, task)
        return mask, codes


def _has(ds: SampleSet, field: str) -> Bool[np.ndarray, "n"]:
    has: Bool[np.ndarray, "n"] = ds.column(f"has_{field}").astype(bool)
    return has


def _labelled(ds: SampleSet, spec: TargetSpec) -> Bool[np.ndarray, "n"]:
    """Which rows have a label: of an action a class, not a time."""
    if not spec.column:
        return _has(ds, spec.field)
    classes: Bool[np.ndarray, "n"] = ds.column(spec.column) >= 0
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
