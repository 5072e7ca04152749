"""Runs: rows of a dataset that lie one behind the other in a shard, which one process reads from front to back."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pvit_data.errors import FormatError
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.part import Fetched


class Run(NamedTuple):
    """Rows `start` to `stop` of a dataset."""

    start: int
    stop: int


class Row(NamedTuple):
    """What was fetched of a sample, and its number in the dataset."""

    number: int
    fetched: Fetched


def runs_of(dataset: ShardDataset) -> list[Run]:
    """One run per shard; of a selection in another order than that of the shards, as many as there are.

    Raises:
        UsageError: if the dataset has no index.
    """
    places = [dataset.column(name) for name in ("source", "split", "shard")]
    changes = np.zeros(max(len(dataset) - 1, 0), bool)
    for column in places:
        changes |= column[1:] != column[:-1]
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(dataset)]
    return [Run(*pair) for pair in itertools.pairwise(bounds) if pair[0] < pair[1]]


def cut(runs: Sequence[Run], least: int) -> list[Run]:
    """The same rows in at least so many runs, if there are as many rows: each run is cut into equally many."""
    pieces = -(-least // max(len(runs), 1))
    while pieces > 1:
        found = [piece for run in runs for piece in _pieces(run, pieces)]
        rows = sum(run.stop - run.start for run in runs)
        if len(found) >= min(least, rows):
            return found
        pieces *= 2  # some runs were shorter than that
    return [*runs]


def _pieces(run: Run, number: int) -> Iterator[Run]:
    bounds = np.linspace(run.start, run.stop, min(number, run.stop - run.start) + 1).astype(int)
    yield from (Run(*pair) for pair in itertools.pairwise(bounds.tolist()))


def fetched(dataset: ShardDataset, runs: Iterable[Run]) -> Iterator[Row]:
    """The undecoded samples of runs; damaged ones raise or are skipped, as the dataset was opened."""
    for start, stop in runs:
        for number in range(start, stop):
            try:
                row = Row(number, dataset.request(number).fetch())
            except FormatError as error:
                pass_over(dataset, number, error)
                continue
            yield row


def pass_over(dataset: ShardDataset, number: int, error: FormatError) -> None:
    """What a stream does with a damaged sample: raises, or says that it is skipped; nobody sees the dataset's count.

    Raises:
        FormatError: the error itself, or that there are too many.
    """
    dataset.pass_over(number, error)
    warnings.warn(f"skipped: {error}", RuntimeWarning, stacklevel=3)
