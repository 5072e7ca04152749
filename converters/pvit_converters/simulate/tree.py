"""What every raw writer shares: sizes of the presets, the report of what was written, work spread over processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pvit_data.errors import UsageError

UNFINISHED = ".simulation-unfinished"
"""A file that lies in a tree as long as it is being written, which happens beside its place, under another name."""

T = TypeVar("T")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Size:
    """Frames per clip and size in pixels of a preset."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Job:
    """What is asked of every raw writer; see `simulate` in this package.

    Args:
        out: folder of the raw tree.
        samples: number of videos or images; None: the preset's.
        seed: everything follows from it.
        preset: `tiny`, `small` or `format`.
        workers: processes; the bytes do not depend on it.
        progress: called with (work done, work in all).
        truth: folder for the exact truth; None: not written.
    """

    out: Path
    samples: int | None = None
    seed: int = 0
    preset: str = "small"
    workers: int = 1
    progress: Progress | None = None
    truth: Path | None = None


def dump(path: Path, value: object) -> None:
    """Writes a JSON file."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def write_truth(job: Job, **found: object) -> None:
    """Writes `NAME.json` into the folder for the truth, where one is asked for."""
    if job.truth is None:
        return
    job.truth.mkdir(parents=True, exist_ok=True)
    for name, value in found.items():
        dump(job.truth / f"{name}.json", value)


@dataclass(frozen=True)
class Tree:
    """What was written.

    Args:
        root: folder of the raw tree, as a converter takes it.
        samples: number of videos or images.
        splits: how many of them per split.
        notes: sentences on the traps that the tree contains.
        convert: arguments of `pvit-data convert`, one conversion after the other; default: of the source, to OUT.
    """

    root: Path
    samples: int
    splits: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    convert: tuple[str, ...] = ()


@dataclass(frozen=True)
class Simulator:
    """A raw layout that can be simulated; registered under the entry-point group `pvit.simulators`.

    Args:
        about: one line for a list of sources.
        simulate: writes a tree, `simulate(job, **options) -> Tree`. Its keyword-only parameters become flags of the
            command, the `Args:` of its docstring their help.
    """

    about: str
    simulate: Callable[..., Tree]

    @property
    def options(self) -> dict[str, Any]:
        """Names and defaults of the source's own options."""
        return dict(self.simulate.__kwdefaults__ or {})


def rng_of(*parts: int) -> np.random.Generator:
    """The generator of one item: a pure function of the seed and the item's numbers, so each can be made alone."""
    return np.random.default_rng(list(parts))


def begin(out: Path) -> Path:
    """Where a tree is written until it is whole: beside its place. What an interrupted simulation left is removed.

    Raises:
        UsageError: if the place is taken.
    """
    require_room(out)
    absolute = out.absolute()
    part = absolute.with_name(f".{absolute.name}.simulating")
    if (part / UNFINISHED).is_file() and not part.is_symlink():
        shutil.rmtree(part)
    return part


def finish(part: Path, out: Path) -> None:
    """Gives a whole tree its name.

    Raises:
        UsageError: if the place was taken meanwhile.
    """
    require_room(out)
    (part / UNFINISHED).unlink(missing_ok=True)
    if out.exists():
        out.rmdir()
    part.rename(out)


def fresh(out: Path) -> Path:
    """The folder that a tree is written into, made.

    Raises:
        UsageError: if it holds something.
    """
    require_room(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / UNFINISHED).touch()
    return out


def require_room(out: Path) -> None:
    """Refuses a place that is no empty folder.

    Raises:
        UsageError: naming it.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"simulate: '{out}' exists and is not an empty folder. Choose another folder or remove it."
        )


def spread(work: Callable[[T], int], tasks: Sequence[T], job: Job) -> None:
    """Runs the tasks, in this process (`job.workers` <= 1) or in others, and reports progress."""
    total = len(tasks)
    tell: Progress = job.progress or (lambda done, total: None)
    if job.workers <= 1 or total <= 1:
        for done, task in enumerate(tasks, 1):
            work(task)
            tell(done, total)
        return
    with ProcessPoolExecutor(
        min(job.workers, total), mp_context=multiprocessing.get_context("spawn")
    ) as pool:
        for done, _ in enumerate(
            pool.map(work, tasks, chunksize=max(1, total // (job.workers * 16))), 1
        ):
            tell(done, total)
