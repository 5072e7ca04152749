"""Builds batch number s from nothing but its number: the unit of work of a loader, in whichever process it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError
from pvit_data.loading.clip_reader import Clip, ClipReader
from pvit_data.loading.transfer import Built, empty_bytes, labels
from pvit_data.mixing.mixture import Draw, Mixture
from pvit_data.mixing.sources import SampleSet
from pvit_data.tasks.table import of_source
from pvit_data.tasks.target import Target, pack

OnCorrupt = Literal["raise", "skip"]
Note = Callable[[str], None]
MAX_IN_A_ROW = 100
"""Unreadable samples in a row at which skipping stops (design, on_corrupt)."""


class Builder(Protocol):
    """Anything that builds batches by number."""

    def build(self, step: int, note: Note) -> Built:
        """Batch `step`; `note` is told the key of each sample before it is read."""


class TrainingBatches:
    """This rank's slice of the global batches of a mixture."""

    def __init__(
        self,
        mixture: Mixture,
        config: ClipConfig,
        rank: int = 0,
        world_size: int = 1,
        on_corrupt: OnCorrupt = "raise",
    ) -> None:
        self.mixture, self.config, self.on_corrupt = mixture, config, on_corrupt
        share = mixture.batch_size // world_size
        self._slice = slice(rank * share, (rank + 1) * share)
        self._readers = []
        for source in mixture.sources:
            trained = {
                name: of_source(source.ds, name, {**mixture.tasks, **config.tasks})
                for name in source.ds.sources
            }
            tasks = {
                name: _with_action(
                    names,
                    config.downstream == name or (not config.downstream and source.is_downstream),
                )
                for name, names in trained.items()
            }
            self._readers.append(ClipReader(source.ds, config, tasks, mixture.seed))
        self._empty = {
            name: nothing for reader in self._readers for name, nothing in reader.empty().items()
        }

    def build(self, step: int, note: Note) -> Built:
        """See `Builder`."""
        skipped: list[tuple[str, str]] = []
        draws = self.mixture.draws(step)[self._slice]
        read = [self._clip(draw, skipped, note) for draw in draws]
        return _built(step, read, self.config, self._empty, (len(draws), skipped))

    def _clip(self, draw: Draw, skipped: list[tuple[str, str]], note: Note) -> Clip:
        wanted = draw
        for attempt in range(1, MAX_IN_A_ROW + 1):
            reader = self._readers[wanted.source]
            note(reader.key(wanted.row))
            try:
                return reader.train(wanted.row, wanted.epoch)
            except FormatError as error:
                if self.on_corrupt == "raise":
                    raise
                skipped.append((reader.source(wanted.row), str(error)))
            wanted = self.mixture.substitute(draw, attempt)
        raise FormatError(
            f"{MAX_IN_A_ROW} samples in a row cannot be read, the last: {skipped[-1][1]}"
        )


class EvaluationBatches:
    """Every sample of a dataset once per view, in order."""

    def __init__(
        self,
        ds: SampleSet,
        config: ClipConfig,
        batch_size: int,
        tasks: Iterable[str] | None = None,
        views: tuple[int, int] = (1, 1),
        rank: int = 0,
        world_size: int = 1,
        on_corrupt: OnCorrupt = "raise",
    ) -> None:
        self.config, self.views, self.on_corrupt, self.batch_size = (
            config,
            views,
            on_corrupt,
            batch_size,
        )
        rows = np.flatnonzero(ds.column("has_rgb").astype(bool))[rank::world_size]
        self._todo = [(int(row), view) for row in rows for view in range(views[0] * views[1])]
        asked = None if tasks is None else tuple(tasks)
        self._reader = ClipReader(
            ds, config, {name: _asked(asked, name, ds, config) for name in ds.sources}
        )
        self._empty = self._reader.empty()

    def __len__(self) -> int:
        return -(-len(self._todo) // self.batch_size)

    def build(self, step: int, note: Note) -> Built:
        """See `Builder`."""
        read, skipped = [], []
        todo = self._todo[step * self.batch_size : (step + 1) * self.batch_size]
        for row, view in todo:
            note(self._reader.key(row))
            try:
                read.append(self._reader.view(row, view, self.views))
            except FormatError as error:
                if self.on_corrupt == "raise":
                    raise
                skipped.append((self._reader.source(row), str(error)))
        return _built(step, read, self.config, self._empty, (len(todo), skipped))


def _asked(
    asked: Sequence[str] | None, source: str, ds: SampleSet, config: ClipConfig
) -> tuple[str, ...]:
    if asked is not None:
        return tuple(asked)
    return _with_action(of_source(ds, source, config.tasks), config.downstream in ("", source))


def _with_action(tasks: Iterable[str], trained: bool) -> tuple[str, ...]:
    return (*tasks, *(("action",) if trained else ()))


def _built(
    step: int,
    read: Sequence[Clip],
    config: ClipConfig,
    empty: Mapping[str, Target],
    count: tuple[int, list[tuple[str, str]]],
) -> Built:
    starts = np.cumsum([0, *(len(clip.rgb) for clip in read)])
    frames = empty_bytes((int(starts[-1]), *config.size, 3))
    order = np.empty((len(read), config.num_frames), np.int64)
    for row, (start, clip) in enumerate(zip(starts.tolist(), read, strict=False)):
        frames[start : start + len(clip.rgb)].numpy()[:] = clip.rgb
        order[row] = start + clip.order
    block, places = labels(order, pack([clip.targets for clip in read], empty))
    keys, sources = [clip.key for clip in read], [clip.source for clip in read]
    return Built(step, keys, sources, frames, block, places, count[0], tuple(count[1]))
