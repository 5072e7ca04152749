"""Whether one loader process feeds the demo's training: samples per second of both, and the share of waiting.

Run: python -m benchmarks.feeding [--shards FOLDER ...] [--steps N]

Trains the demo's recipe for some steps as the demo does (one thread for the network, one loader process), reads speed
and data wait from the run's log, then takes as many batches from the same loader alone. Shards: those that `make demo`
leaves, or freshly simulated ones of the same kind.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCES = {
    "hypersim": ("--samples", "120", "--preset", "small"),
    "ssv2": ("--train", "160", "--validation", "8", "--test", "1", "--preset", "tiny"),
}
DEMO = Path(__file__).parents[1] / "demo/out/shards"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
INTERVAL = 10
"""Steps between two lines of the log; the first interval, in which everything starts, does not count."""


def call(name: str, *words: object) -> None:
    """One of our commands, quietly."""
    command = [str(Path(sys.executable).parent / name), *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)


def simulated(folder: Path) -> list[str]:
    """The demo's two sources, smaller."""
    for name, size in SOURCES.items():
        call("pvit-data", "simulate", name, folder / "raw" / name, *size, "--workers", 2)
        call(
            "pvit-data",
            "convert",
            name,
            folder / "raw" / name,
            folder / "shards" / name,
            "--workers",
            2,
        )
    return [str(folder / "shards" / name) for name in SOURCES]


def training(shards: list[str], run: Path, settings: list[str]) -> tuple[float, float]:
    """(samples per second, share of the time spent waiting for data) of a run; medians over intervals."""
    from pvit_model.runs.log import read_log

    folders = [word for url in shards for word in ("--shards", url)]
    changes = [word for text in settings for word in ("--set", text)]
    call("pvit", "train", *folders, "--recipe", "demo", "--out", run, *changes)
    lines = [x for x in read_log(run) if x["kind"] == "train"][1:]
    return tuple(
        statistics.median(x[name] for x in lines) for name in ("samples_per_s", "data_wait")
    )  # type: ignore[return-value]


def loading(shards: list[str], settings: list[str], steps: int) -> float:
    """Samples per second of the same loader without training."""
    import torch

    import pvit_data
    from pvit_model.recipes.loading import load_recipe
    from pvit_model.recipes.plan import make_plan

    plan = make_plan(load_recipe("demo", settings), shards)
    torch.set_num_threads(plan.config.run.threads)
    batches = iter(
        pvit_data.loader(plan.mixture, workers=plan.config.data.workers, clip=plan.config.clip)
    )
    next(itertools.islice(batches, INTERVAL, None))
    begun = time.perf_counter()
    samples = sum(len(batch.keys) for batch in itertools.islice(batches, steps))
    return samples / (time.perf_counter() - begun)


def main() -> None:
    """Prints the three numbers and their bars."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", nargs="*", default=sorted(str(p) for p in DEMO.glob("*")))
    parser.add_argument("--steps", type=int, default=60)
    args = parser.parse_args()
    quick = (
        "run.eval_clips=1",
        "run.predictions=0",
        f"run.log_every={INTERVAL}",
        f"run.eval_every={args.steps}",
    )
    settings = [f"optim.steps={args.steps}", *quick]
    with tempfile.TemporaryDirectory() as folder:
        shards = args.shards or simulated(Path(folder))
        trained, wait = training(shards, Path(folder) / "run", settings)
        loaded = loading(shards, settings, args.steps)
    print(f"training       {trained:8.1f} samples/s")
    print(
        f"loader alone   {loaded:8.1f} samples/s, {loaded / trained:.2f} times the training's (bar: >= 1.2)"
    )
    print(f"data wait      {100 * wait:8.1f} % of the training's time (bar: < 5 %)")


if __name__ == "__main__":
    main()
