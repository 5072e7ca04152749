"""What the bridges cost: samples through webdataset and datasets against `open` and `loader`, CPU seconds.

Run: python -m benchmarks.bridges [--samples N] [--rounds N]

The samples are the PHAV-like clips of `benchmarks.loading`; every field of each is decoded whole. `loader` does what
training needs of the same clips: frames chosen, cropped, resized, targets packed. Runs alternate; medians are told.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pvit_data
from benchmarks.loading import BATCH, phav_like, write_shards

MOST = {"as_webdataset": 1.1, "as_hf, streamed": 1.15, "as_hf, table": 1.25}
"""CPU time per sample, relative to `open`."""


def ways(folder: Path, ds: Any) -> dict[str, Callable[[], int]]:
    """Each reads every sample once, and returns how many there were."""
    name = ds.parts[0].spec.name
    pipeline = pvit_data.as_webdataset(folder)
    stream, table = (pvit_data.as_hf(folder, name, streaming=way) for way in (True, False))
    mixture = pvit_data.Mixture([pvit_data.MixtureSource(ds, "auxiliary")], BATCH)
    batches = iter(pvit_data.loader(mixture))
    return {
        "open": lambda: sum(1 for _ in ds),
        "as_webdataset": lambda: sum(1 for _ in pipeline),
        "as_hf, streamed": lambda: sum(1 for _ in stream),
        "as_hf, table": lambda: sum(1 for _ in table),
        "loader": lambda: sum(len(next(batches).keys) for _ in range(len(ds) // BATCH)),
    }


def main() -> int:
    """Prints the table; 1 if a bridge costs more than its bar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    warnings.simplefilter("ignore")  # of the other libraries' dependencies
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ds = write_shards(Path(folder), "phav", phav_like(args.samples), ("depth", "segm"))
        readers = ways(Path(folder), ds)
        times: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(args.rounds + 1):  # the first one warms up
            for name, read in readers.items():
                begun = time.process_time()
                number = read()
                spent = (time.process_time() - begun) / number * 1000
                times[name] += [spent] if turn else []
    found = {name: float(np.median(spent)) for name, spent in times.items()}
    missed = 0
    for name, spent in found.items():
        ratio = spent / found["open"]
        bar = f"   (at most {MOST[name]})" if name in MOST else ""
        print(f"{name:16} {spent:7.2f} ms per sample   {ratio:5.2f} x open{bar}")
        missed += ratio > MOST.get(name, ratio)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
