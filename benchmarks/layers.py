"""What a layer costs: reading through one against the same samples in one data set, CPU seconds of this process.

Run: python -m benchmarks.layers [--samples N] [--pairs N]

The samples are those of `benchmarks.loading`: PHAV-like clips and Hypersim-like stills. Their annotations lie either in
the shards of the pictures or in a layer over them. Runs of both alternate, and each pair gives a ratio: its median and
quartiles are told for whole samples (`ds[i]`) and for batches of the loader.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import pvit_data
from benchmarks.loading import BATCH, SPACE, hypersim_like, phav_like
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.sample import Sample

LATER = ("depth", "normal", "segm")
"""Fields that are in the layer."""


class Ratio(NamedTuple):
    """CPU milliseconds per sample of one data set and of base and layer, and quartiles of the pairs' ratios."""

    whole: float
    layered: float
    quartiles: tuple[float, float, float]


def written(folder: Path, samples: list[Sample]) -> tuple[ShardDataset, ShardDataset]:
    """The samples as one data set, and as a base with a layer."""
    source = samples[0].source
    spaces = {"segm": SPACE}
    with pvit_data.ShardWriter(folder / "whole", source, spaces=spaces) as writer:
        for sample in samples:
            writer.write(sample)
    nothing: dict[str, Any] = dict.fromkeys(LATER)
    with pvit_data.ShardWriter(folder / "base", source) as writer:
        for sample in samples:
            writer.write(replace(sample, **nothing, spaces={}))
    with pvit_data.ShardWriter(folder / "base", "later", base=source, spaces=spaces) as writer:
        for sample in samples:
            own = {name: getattr(sample, name) for name in LATER}
            writer.write(Sample(key=sample.key, **own))
    layered = pvit_data.open(folder / "base", source=source, layers=["later"])
    return pvit_data.open(folder / "whole", source=source), layered


def whole_samples(ds: ShardDataset) -> Callable[[], int]:
    """Decodes all of every sample."""
    return lambda: sum(ds[i].num_frames > 0 for i in range(len(ds)))


def batches(ds: ShardDataset) -> Callable[[], int]:
    """Makes as many batches of the loader as the data set fills."""
    source = pvit_data.MixtureSource(ds, "auxiliary")
    endless = iter(pvit_data.loader(pvit_data.Mixture([source], BATCH)))
    return lambda: sum(len(next(endless).keys) for _ in range(len(ds) // BATCH))


def compared(one: Callable[[], int], other: Callable[[], int], pairs: int) -> Ratio:
    """Pairs of runs, of which each kind is the first one by turns; a run before them is not counted."""
    one(), other()
    found = np.empty((pairs, 2))
    for number in range(pairs):
        for kind in (0, 1) if number % 2 else (1, 0):
            begun = time.process_time()
            samples = (one, other)[kind]()
            found[number, kind] = (time.process_time() - begun) / samples * 1000
    low, middle, high = np.quantile(found[:, 1] / found[:, 0], [0.25, 0.5, 0.75]).tolist()
    whole, layered = np.median(found, axis=0).tolist()
    return Ratio(whole, layered, (low, middle, high))


def main() -> None:
    """Prints the table."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'source':10} {'read as':8} {'whole ms':>9} {'layer ms':>9}  ratio (quartiles)")
    for make in (phav_like, hypersim_like):
        samples = make(options.samples)
        with tempfile.TemporaryDirectory() as folder:
            pair = written(Path(folder), samples)
            for name, run in (("samples", whole_samples), ("batches", batches)):
                found = compared(run(pair[0]), run(pair[1]), options.pairs)
                low, middle, high = found.quartiles
                told = f"{middle:.3f} ({low:.3f} to {high:.3f})"
                figures = f"{found.whole:9.2f} {found.layered:9.2f}"
                print(f"{samples[0].source:10} {name:8} {figures}  {told}", flush=True)


if __name__ == "__main__":
    main()
