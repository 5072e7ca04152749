"""What every raw writer shares: sizes of the presets, the report of what was written, work spread over processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from pvit_data.errors import UsageError

T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Size:
    """Frames per clip and size in pixels of a preset."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Tree:
    """What was written.

    Args:
        root: folder of the raw tree, as a converter takes it.
        samples: number of videos or images.
        splits: how many of them per split.
        notes: sentences on the traps that the tree contains.
    """

    root: Path
    samples: int
    splits: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def rng_of(*parts: int) -> np.random.Generator:
    """The generator of one item: a pure function of the seed and the item's numbers, so each can be made alone."""
    return np.random.default_rng(list(parts))


def fresh(out: Path) -> Path:
    """The output folder, made.

    Raises:
        UsageError: if it exists and holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"simulate: '{out}' exists and is not an empty folder. Choose another folder or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    return out


def spread(work: Callable[[T], int], tasks: Sequence[T], workers: int, progress: Progress | None) -> None:
    """Runs the tasks, in this process (`workers` <= 1) or in others; `work` returns how many samples it wrote."""
    total, done = len(tasks), 0
    if workers <= 1 or total <= 1:
        for task in tasks:
            work(task)
            done += 1
            if progress:
                progress(done, total)
        return
    with ProcessPoolExecutor(min(workers, total), mp_context=multiprocessing.get_context("spawn")) as pool:
        for _ in pool.map(work, tasks, chunksize=max(1, total // (workers * 16))):
            done += 1
            if progress:
                progress(done, total)
