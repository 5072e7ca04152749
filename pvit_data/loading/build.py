"""Builds batch number s from nothing but its number: the unit of work of a loader, in whichever process it runs."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError
from pvit_data.loading.clip_reader import Clip, ClipReader
from pvit_data.loading.fetching import Fetcher, Want
from pvit_data.loading.options import Options
from pvit_data.loading.threads import side_by_side
from pvit_data.loading.transfer import Built, empty_bytes, labels
from pvit_data.mixing.mixture import Draw, Mixture
from pvit_data.mixing.sources import SampleSet, trained_tasks
from pvit_data.sample.rows import marked
from pvit_data.tasks.table import require_places
from pvit_data.tasks.target import Target, pack

Note = Callable[[str], None]
Skipped = list[tuple[str, str]]
MAX_IN_A_ROW = 100
"""Unreadable samples in a row at which skipping stops (design, on_corrupt)."""


class Builder(Protocol):
    """Anything that builds batches by number."""

    def build(self, step: int, note: Note) -> Built:
        """Batch `step`; `note` is told the key of each sample before it is read."""

    def foresee(self, steps: Iterable[int]) -> None:
        """Told which batches will be built in this process, the next one first."""

    def close(self) -> None:
        """Told that there will be no more."""


class TrainingBatches:
    """This rank's slice of the global batches of a mixture."""

    def __init__(
        self, mixture: Mixture, config: ClipConfig, options: Options | None = None
    ) -> None:
        self.mixture, self.config, self.options = mixture, config, options or Options()
        share = mixture.batch_size // self.options.world_size
        self._slice = slice(self.options.rank * share, (self.options.rank + 1) * share)
        chosen = {**mixture.tasks, **config.tasks}
        datasets = [source.ds for source in mixture.sources]
        self._fetcher = Fetcher(datasets, self.options.concurrency)
        self._readers = []
        self._empty: dict[str, Target] = {}
        for number, source in enumerate(mixture.sources):
            tasks = _tasks_by_source(source.ds, config, chosen, source.is_downstream)
            for name in tasks:
                require_places(config, name, tasks[name])
            read = partial(self._fetcher.read, number)
            reader = ClipReader(source.ds, config, tasks, mixture.seed, read)
            self._readers.append(reader)
            self._empty |= reader.empty()

    def build(self, step: int, note: Note) -> Built:
        """See `Builder`."""
        skipped: Skipped = []
        draws = self.mixture.draws(step, self._slice)
        made = side_by_side(partial(self._train, note), draws, _threads(self.config, self.options))
        pairs = zip(draws, self._fetcher.each(step, made), strict=True)
        read = [self._clip(draw, taken, skipped, note) for draw, taken in pairs]
        return _built(step, read, self.config, self._empty, (len(draws), skipped))

    def foresee(self, steps: Iterable[int]) -> None:
        """See `Builder`."""
        self._fetcher.foresee(steps, self._needs)

    def close(self) -> None:
        """See `Builder`."""
        self._fetcher.close()

    def _needs(self, step: int) -> list[list[Want]]:
        shuffled = self.config.shuffle_labels
        return [
            [Want(source, *need) for need in self._readers[source].needs(row, shuffled)]
            for source, row, *_ in self.mixture.draws(step, self._slice)
        ]

    def _train(self, note: Note, draw: Draw) -> Clip:
        reader = self._readers[draw.source]
        note(reader.key(draw.row))
        return reader.train(draw.row, draw.epoch, draw.copy)

    def _clip(self, draw: Draw, take: Callable[[], Clip], skipped: Skipped, note: Note) -> Clip:
        """The clip of a draw, or of the first one in its place that can be read."""
        wanted = draw
        for attempt in range(1, MAX_IN_A_ROW + 1):
            try:
                return take()
            except FormatError as error:
                if self.options.on_corrupt == "raise":
                    raise
                skipped.append((self._readers[wanted.source].source(wanted.row), str(error)))
            wanted = self.mixture.substitute(draw, attempt)
            take = partial(self._train, note, wanted)
        raise FormatError(
            f"{MAX_IN_A_ROW} samples in a row cannot be read, the last: {skipped[-1][1]}"
        )


class EvaluationBatches:
    """Every sample of a dataset once per view, in order; whole frames by their shape, of which a batch has one.

    A batch holds all views of its samples; where one sample has more than a batch takes, all crops of some clips.
    """

    def __init__(
        self,
        ds: SampleSet,
        config: ClipConfig,
        batch_size: int,
        tasks: Iterable[str] | None = None,
        views: tuple[int, int] = (1, 1),
        options: Options | None = None,
        whole: int = 0,
    ) -> None:
        self.config, self.options = config, options or Options()
        self.batch_size, self.views = batch_size, views
        self._rows = marked(ds.column("has_rgb").astype(bool))
        mine = range(self.options.rank, len(self._rows), self.options.world_size)
        each = views[0] * views[1]
        self._samples = max(batch_size // each, 1)  # of a batch
        part = batch_size // views[1] * views[1] or batch_size
        self._parts = [range(each)[begin : begin + part] for begin in range(0, each, part)]
        if tasks is None:
            by_source = _tasks_by_source(ds, config, config.tasks, downstream=True)
        else:
            by_source = dict.fromkeys(ds.sources, tuple(tasks))
        self._fetcher = Fetcher([ds], self.options.concurrency)
        read = partial(self._fetcher.read, 0)
        self._reader = ClipReader(ds, config, by_source, read=read, whole=whole)
        self._empty = self._reader.empty()
        self._groups: list[Sequence[int]] = self._by_shape(mine) if whole else [mine]
        counts = [-(-len(group) // self._samples) * len(self._parts) for group in self._groups]
        self._starts = [0, *itertools.accumulate(counts)]

    def _by_shape(self, places: Sequence[int]) -> list[Sequence[int]]:
        """Places of clips of one shape each, the most frequent shape first."""
        found: dict[tuple[int, int], list[int]] = {}
        for place in places:
            found.setdefault(self._reader.shape(int(self._rows[place])), []).append(place)
        return sorted(found.values(), key=len, reverse=True)

    def __len__(self) -> int:
        return self._starts[-1]

    def _samples_of(self, step: int) -> tuple[list[int], range]:
        """The rows of a batch, and which views of each it shows."""
        number = bisect.bisect_right(self._starts, step) - 1
        place, part = divmod(step - self._starts[number], len(self._parts))
        mine = self._groups[number][place * self._samples : (place + 1) * self._samples]
        return [int(self._rows[place]) for place in mine], self._parts[part]

    def build(self, step: int, note: Note) -> Built:
        """See `Builder`."""
        read: list[Clip] = []
        skipped: Skipped = []
        rows, views = self._samples_of(step)
        make = partial(self._views, note, views)
        made = side_by_side(make, rows, _threads(self.config, self.options))
        for row, take in zip(rows, self._fetcher.each(step, made), strict=True):
            try:
                read += take()
            except FormatError as error:
                if self.options.on_corrupt == "raise":
                    raise
                skipped.append((self._reader.source(row), str(error)))
        return _built(step, read, self.config, self._empty, (len(rows), skipped))

    def _views(self, note: Note, views: range, row: int) -> list[Clip]:
        note(self._reader.key(row))
        return self._reader.views(row, views, self.views)

    def foresee(self, steps: Iterable[int]) -> None:
        """See `Builder`."""
        self._fetcher.foresee(steps, self._needs)

    def close(self) -> None:
        """See `Builder`."""
        self._fetcher.close()

    def _needs(self, step: int) -> list[list[Want]]:
        rows, _ = self._samples_of(step)
        return [[Want(0, *need) for need in self._reader.needs(row)] for row in rows]


def _threads(config: ClipConfig, options: Options) -> int:
    """How many threads read the clips of a batch."""
    # Shuffled annotations come from rows in an order that is drawn while it is asked for.
    return 1 if config.shuffle_labels else options.threads


def _tasks_by_source(
    ds: SampleSet, config: ClipConfig, chosen: Mapping[str, Sequence[str]], downstream: bool
) -> dict[str, tuple[str, ...]]:
    """What each source trains; a downstream source that the configuration names overrules the role `downstream`."""
    found = {}
    for name in ds.sources:
        is_downstream = config.downstream == name if config.downstream else downstream
        found[name] = trained_tasks(ds, name, chosen, is_downstream)
    return found


def _built(
    step: int,
    read: Sequence[Clip],
    config: ClipConfig,
    empty: Mapping[str, Target],
    count: tuple[int, Skipped],
) -> Built:
    starts = np.cumsum([0, *(len(clip.rgb) for clip in read)])
    size = read[0].rgb.shape[1:3] if read else config.size
    frames = empty_bytes((int(starts[-1]), *size, 3))
    order = np.empty((len(read), config.num_frames), np.int64)
    for row, (start, clip) in enumerate(zip(starts.tolist(), read, strict=False)):
        frames[start : start + len(clip.rgb)].numpy()[:] = clip.rgb
        order[row] = start + clip.order
    block, places = labels(order, pack([clip.targets for clip in read], empty))
    keys, sources = [clip.key for clip in read], [clip.source for clip in read]
    return Built(step, keys, sources, frames, block, places, count[0], tuple(count[1]))
