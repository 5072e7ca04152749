"""How a measure is registered, taken in a process of its own, and stated as a law."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

Figures = dict[str, float]


MEASURES: dict[str, tuple[str, Callable[[int, Path], Figures]]] = {}
"""What grows, and the measure of one size in a folder of its own."""


SIZES = {
    "clips": (16, 64),
    "rows": (10_000, 100_000, 1_000_000, 10_000_000),
    "sources": (10, 50, 200),
    "shards": (1000, 10_000, 100_000, 1_000_000),
    "finished": (100, 1000, 10_000, 100_000),
    "nodes": (1, 8, 32, 128),
    "lines": (10_000, 100_000, 1_000_000, 10_000_000),
    "items": (10_000, 100_000, 1_000_000),
    "tasks": (1000, 10_000, 30_000, 100_000, 1_000_000),
    "jobs": (100, 1000, 3000, 10_000),
}


def measure(
    unit: str,
) -> Callable[[Callable[[int, Path], Figures]], Callable[[int, Path], Figures]]:
    """Registers a measure by its function's name."""

    def register(function: Callable[[int, Path], Figures]) -> Callable[[int, Path], Figures]:
        MEASURES[function.__name__] = unit, function
        return function

    return register


def clocked(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it gave."""
    begun = time.perf_counter()
    value = action()
    return time.perf_counter() - begun, value


def worked(action: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of this process's processors, whoever else is busy, and what it gave."""
    begun = time.process_time()
    value = action()
    return time.process_time() - begun, value


def private_mb(process: int | str = "self", kind: str = "Private_Dirty") -> float:
    """Memory that a process shares with nobody and that no file holds: pages of mapped files are the system's.

    With the kind "Anonymous" also what it shares with the processes that it forked.
    """
    text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
    kept = [line.split()[1] for line in text.splitlines() if line.startswith(f"{kind}:")]
    return sum(map(int, kept)) / 1000


def peak_mb() -> float:
    """The most memory that this process has had since `memory_mb`."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(
        int(line.split()[1]) / 1000 for line in text.splitlines() if line.startswith("VmHWM")
    )


def memory_mb() -> float:
    """What this process has now, from where `peak_mb` starts anew."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return peak_mb()


def in_process(target: Callable[..., None], *arguments: Any) -> Any:
    """What a function puts into the queue that it is given at last, in a fresh process.

    Raises:
        RuntimeError: if the process fails.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=target, args=(*arguments, queue))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{target.__name__}: ended with {process.exitcode}")
    return queue.get()


def _alone(name: str, size: int, queue: Any) -> None:
    import_module("benchmarks.scale")  # which registers all
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PVIT_CACHE"] = f"{folder}/cache"
        try:
            queue.put(MEASURES[name][1](size, Path(folder)))
        except Exception as error:  # a size that cannot be had is a result, too
            queue.put(f"{type(error).__name__}: {error}")


def measured(name: str, size: int) -> Figures | str:
    """One measure at one size, in a fresh process."""
    found: Figures | str = in_process(_alone, name, size)
    return found


def laws(sizes: list[int], found: list[Figures]) -> Iterator[str]:
    """Each figure's growth between the first and the last size."""
    for name in found[0]:
        first, last = (max(found[i][name], 1e-9) for i in (0, -1))
        power = math.log(last / first) / math.log(sizes[-1] / sizes[0]) if len(sizes) > 1 else 0.0
        yield f"{name} ~ n^{power:.2f}"
