"""Samples behind URLs are fetched before they are read: those of this batch and the next ones, by several threads.

Whoever builds batches foresees which rows they read; a `Fetcher` fetches these in that order, holds their bytes, and
lets go of each after its last use. What it holds has a bound. Local samples are read where they lie, without threads.
Whoever reads or builds changes something here, one at a time; the others fetch, and what they meet is raised where it
is read.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pvit_data.codecs.window import Window
from pvit_data.errors import PvitError
from pvit_data.loading.threads import Threads
from pvit_data.mixing.sources import SampleSet
from pvit_data.sample.sample import Sample

MAX_HELD_BYTES = 128 << 20
"""Bytes of samples that are being fetched, or wait to be read, in one process; without those that are being read."""

Thing = TypeVar("Thing")
Place = tuple[int, int]
"""Number of a dataset, and a row of it."""


class Want(NamedTuple):
    """Fields of a sample that will be read; `dataset` is the number of its dataset."""

    dataset: int
    row: int
    fields: frozenset[str]


@dataclass
class _Held:
    """A sample that will be read: how often, and what is known of it."""

    fields: frozenset[str]
    uses: int = 0
    request: Any = None  # `pvit_data.reading.part.Request`, once it was its turn
    coming: Future[Any] | None = None  # once it is fetched


@dataclass
class _State:
    """What one process is at."""

    foreseen: dict[int, list[list[Want]]] = field(default_factory=dict)  # by step, of each sample
    held: dict[Place, _Held] = field(default_factory=dict)
    waiting: deque[Place] = field(default_factory=deque)
    bytes: int = 0
    threads: Threads | None = None
    process: int = field(default_factory=os.getpid)
    lock: threading.RLock = field(default_factory=threading.RLock)


class Fetcher:
    """Fetches samples of some datasets.

    Args:
        datasets: those that wants and reads give the number of.
        concurrency: requests at once; 0: nothing is fetched before it is read.
    """

    def __init__(self, datasets: Sequence[SampleSet], concurrency: int) -> None:
        self._datasets: Sequence[Any] = datasets
        self._remote = [concurrency > 0 and getattr(ds, "is_remote", False) for ds in datasets]
        self._concurrency = concurrency
        self._state: _State | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_state": None}

    def foresee(self, steps: Iterable[int], needs: Callable[[int], list[list[Want]]]) -> None:
        """Begins to fetch what the next batch reads, and batches after it with at least `concurrency` samples.

        Args:
            steps: numbers of the batches that are built here, the next one first.
            needs: what each sample of a batch reads.
        """
        if not any(self._remote):
            return
        foreseen, further = self._now.foreseen, 0
        with self._now.lock:
            for number, step in enumerate(islice(steps, self._concurrency + 1)):
                if step not in foreseen:
                    foreseen[step] = needs(step)
                    self._expect([want for wants in foreseen[step] for want in wants])
                further += len(foreseen[step]) if number else 0
                if further >= self._concurrency:
                    break
            self._begin()

    def each(self, step: int, samples: Iterable[Thing]) -> Iterator[Thing]:
        """The samples of a batch one by one; what one of them needed is let go of when the next one's turn comes."""
        left = deque(self._now.foreseen.pop(step, ()))
        try:
            for sample in samples:
                yield sample
                with self._now.lock:
                    if left:
                        self._forget(left.popleft())
                        self._begin()
        finally:
            with self._now.lock:
                for wants in left:
                    self._forget(wants)

    def read(
        self,
        dataset: int,
        row: int,
        fields: Collection[str],
        frames: np.ndarray | None = None,
        grid: tuple[np.ndarray, np.ndarray] | None = None,
        window: Window | None = None,
    ) -> Sample:
        """A sample, or the error, as the dataset's own `read` gives it."""
        ds, coming = self._datasets[dataset], self._coming(dataset, row, fields)
        if coming is not None:
            decoded: Sample = ds.decode(row, coming.result(), fields, frames, grid, window)
            return decoded
        sample: Sample = ds.read(row, fields, frames, grid, window)
        return sample

    def _coming(self, dataset: int, row: int, fields: Collection[str]) -> Future[Any] | None:
        """What was foreseen of a sample, with these fields; None if nothing was, or it is local."""
        with self._now.lock:
            held = self._now.held.get((dataset, row))
            if held is None or not held.fields.issuperset(fields):
                return None
            if held.coming is None and self._request(dataset, row, held) is not None:
                self._fetch(held)  # for which there was no room, or no time
            return held.coming

    def close(self) -> None:
        """Forgets everything; what is being fetched ends when it comes."""
        state = self._state  # and no names of modules, gone when a generator ends with Python
        if state is None:
            return
        for held in state.held.values():
            if held.coming is not None:
                held.coming.cancel()
        if state.threads is not None:
            state.threads.close()
        state.foreseen.clear()
        state.held.clear()
        state.waiting.clear()
        state.bytes, state.threads = 0, None

    @property
    def _now(self) -> _State:
        """This process's state: a fork takes no threads with it."""
        if self._state is None or self._state.process != os.getpid():
            self._state = _State()
        return self._state

    def _expect(self, wants: Iterable[Want]) -> None:
        held, waiting = self._now.held, self._now.waiting
        for want in wants:
            if not self._remote[want.dataset]:
                continue
            place = (want.dataset, want.row)
            if place not in held:
                held[place] = _Held(want.fields)
                waiting.append(place)
            found = held[place]
            found.uses += 1
            if found.coming is None and not found.fields >= want.fields:
                found.fields, found.request = found.fields | want.fields, None

    def _begin(self) -> None:
        """Fetches what waits, in its order, as far as there is room."""
        state = self._now
        while state.waiting:
            place = state.waiting[0]
            held = state.held.get(place)
            if held is not None and held.coming is None:
                request = self._request(*place, held)
                if request is not None:
                    if state.bytes and state.bytes + request.moves > MAX_HELD_BYTES:
                        return
                    self._fetch(held)
            state.waiting.popleft()

    def _request(self, dataset: int, row: int, held: _Held) -> Any:
        """What fetches a sample; None if it is local, or an error, which reading it will raise."""
        if held.request is None:
            try:
                held.request = self._datasets[dataset].request(row, held.fields)
            except PvitError:
                return None
        return held.request if held.request.moves else None

    def _fetch(self, held: _Held) -> None:
        state = self._now
        state.threads = state.threads or Threads(self._concurrency, "pvit-fetch")
        state.bytes += held.request.moves
        held.coming = state.threads.submit(held.request.fetch)

    def _forget(self, wants: Iterable[Want]) -> None:
        """Lets go of what was used for the last time."""
        state = self._now
        for want in wants:
            place = (want.dataset, want.row)
            if place not in state.held:
                continue
            held = state.held[place]
            held.uses -= 1
            if held.uses == 0:
                del state.held[place]
                if held.coming is not None:
                    held.coming.cancel()
                    state.bytes -= held.request.moves
