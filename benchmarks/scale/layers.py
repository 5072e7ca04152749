"""Attaching layers: rows that line up, every second row, rows in another order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.scale.data import Rows, dataset
from benchmarks.scale.measure import Figures, measure, memory_mb, peak_mb, worked

KINDS: dict[str, Callable[[int, np.random.Generator], Rows]] = {
    "line-up": lambda rows, _: np.arange(rows),
    "second": lambda rows, _: np.arange(0, rows, 2),
    "any-order": lambda rows, rng: rng.permutation(rows),
}
"""Which rows of its base a layer has, and in which order."""
NUMBER = 3
"""Layers that are attached at once."""


def _memory() -> float:
    """See `memory_mb`: without what libraries keep of what they freed."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    return memory_mb()


@measure("rows")
def attaching(rows: int, folder: Path) -> Figures:
    """Three layers attached to a base: seconds of processors (first: indices are laid out), memory at most."""
    import pvit_data

    rng = np.random.default_rng(0)
    names = {kind: [f"{kind}-{i}" for i in range(NUMBER)] for kind in KINDS}
    layers = {name: KINDS[kind](rows, rng) for kind, mine in names.items() for name in mine}
    url = dataset(folder, {"a": rows}, layers=layers)
    del layers
    pvit_data.open(url, source="a").column("frames")  # loads libraries, lays out the base's index
    found: Figures = {}
    for kind, mine in names.items():

        def attach(mine: list[str] = mine) -> pvit_data.ShardDataset:
            return pvit_data.open(url, source="a", layers=mine)

        before = _memory()
        first, _ = worked(attach)
        peak = peak_mb() - before
        again, ds = worked(attach)
        found |= {f"{kind} first s": first, f"{kind} s": again, f"{kind} peak MB": peak}
        assert len(ds) == rows
    return found
