"""`as_webdataset`: a pipeline of the library webdataset over our shards, its stages split by node and by worker.

A run of each shard goes to one worker of one node, which reads it from front to back. Behind a URL a request fetches
4 MiB, and the next ones are on their way. Every member is compared with its checksum, layers are joined, and what comes
out are the samples that `pvit_data.open` returns, decoded by our decoders.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pvit_data.bridges.runs import Row, Run, cut, fetched, pass_over, runs_of
from pvit_data.errors import FormatError, UsageError
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.open import open_dataset
from pvit_data.sample.sample import Sample
from pvit_data.storage.ahead import Blocks, BlocksAhead

SHUFFLED = 1000
"""Samples among which one is drawn, by default; they wait encoded, as they are stored."""


def as_webdataset(
    url: str | Path,
    source: str | None = None,
    split: str | None = None,
    fields: Collection[str] | None = None,
    where: str | None = None,
    on_corrupt: Literal["raise", "skip"] = "raise",
    *,
    layers: Sequence[str] = (),
    base: str | Path = "",
    cache: Blocks | str | Path | None = None,
    shuffle: int = SHUFFLED,
    seed: int = 0,
) -> Any:
    """A `webdataset` pipeline of samples; public as `pvit_data.as_webdataset`.

    Each time it is iterated it gives every sample once: split over the nodes (ranks of torch.distributed, or the
    variables RANK and WORLD_SIZE), then over the workers of a `DataLoader`. Nodes get whole shards or, where there are
    fewer than processes, parts of them, so their numbers of samples differ: end epochs of equal length with
    `.with_epoch(n)`.

    Args:
        url, source, split, fields, where, on_corrupt, layers, base, cache: as of `pvit_data.open`. Without `layers`
            no layer is attached, as there. What is skipped is warned of; at most 1 % of the dataset in a process.
        shuffle: samples in the buffer from which one is drawn at random; shards are shuffled too. 0: in order.
        seed: of the order. In workers it differs between epochs as torch's own seed does (`torch.manual_seed`).

    Returns:
        A `webdataset` pipeline of `Sample`s with its methods: `.map(f)`, `.select(f)`, `.batched(n, collation_fn=f)`,
        `.with_epoch(n)`, ...; it is a `torch.utils.data.IterableDataset`.

    Raises:
        UsageError: if there is no such dataset, source or layer, or it has no index.
        FormatError, StorageError: as `pvit_data.open`.

    Example:
        >>> import numpy as np, pvit_data
        >>> with pvit_data.ShardWriter("data", "mine") as writer:
        ...     writer.write(pvit_data.Sample(key="a", depth=np.ones((2, 4, 6), np.float32)))
        >>> pipeline = pvit_data.as_webdataset("data").map(lambda sample: (sample.key, sample.depth.shape))
        >>> list(pipeline)
        [('a', (2, 4, 6))]
    """
    import webdataset as wds

    if shuffle < 0:
        raise UsageError(f"shuffle is {shuffle}, expected the size of a buffer, or 0 for none")
    dataset = open_dataset(
        url, source, split, fields, where, on_corrupt,
        layers=layers, base=base, cache=BlocksAhead() if cache is None else cache,
    )  # fmt: skip
    stages = [wds.split_by_node, wds.split_by_worker, _Read(dataset), _Decoded(dataset)]
    if shuffle:
        stages.insert(2, _Shuffled(None, seed))
        stages.insert(4, _Shuffled(shuffle, seed))
    return wds.FluidWrapper(_Runs(dataset)).compose(*stages)


class _Runs:
    """The first stage: all runs, enough for every worker of every node."""

    def __init__(self, dataset: ShardDataset) -> None:
        self._runs = runs_of(dataset)

    def __call__(self) -> Iterator[Run]:
        from webdataset.utils import pytorch_worker_info

        _, nodes, _, workers = pytorch_worker_info()
        return iter(cut(self._runs, nodes * workers))


class _Shuffled:
    """What this process gets, in another order each time.

    Args:
        size: of the buffer; None = all of it.
        seed: of the order.
    """

    def __init__(self, size: int | None, seed: int) -> None:
        self._size, self._seed, self._times = size, seed, 0

    def __call__(self, items: Iterable[Any]) -> Iterator[Any]:
        import webdataset as wds

        rng = random.Random(f"{self._seed} {self._times} {_seed_of_worker()}")
        self._times += 1
        if self._size is None:
            items = [*items]
            rng.shuffle(items)
            return iter(items)
        shuffled: Iterator[Any] = wds.shuffle(self._size, rng=rng)(iter(items))
        return shuffled


def _seed_of_worker() -> int:
    """Of a worker of torch, which differs between epochs; 0 elsewhere."""
    if "torch" not in sys.modules:
        return 0
    from torch.utils.data import get_worker_info

    info = get_worker_info()
    return 0 if info is None else int(info.seed)


class _Read:
    """Runs to undecoded samples."""

    def __init__(self, dataset: ShardDataset) -> None:
        self._dataset = dataset

    def __call__(self, runs: Iterable[Run]) -> Iterator[Row]:
        return fetched(self._dataset, runs)


class _Decoded:
    """Undecoded samples to samples."""

    def __init__(self, dataset: ShardDataset) -> None:
        self._dataset = dataset

    def __call__(self, rows: Iterable[Row]) -> Iterator[Sample]:
        for number, found in rows:
            try:
                sample = self._dataset.decode(number, found)
            except FormatError as error:
                pass_over(self._dataset, number, error)
                continue
            yield sample
