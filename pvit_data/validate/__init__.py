"""Validation: whether a dataset is what its manifest promises, file by file and sample by sample."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from pvit_data.errors import Interrupted, UsageError
from pvit_data.format import manifest as manifests
from pvit_data.reading.foreign import table as foreign_table
from pvit_data.storage.storage import Storage
from pvit_data.validate.choice import Choice
from pvit_data.validate.folder import check_folder
from pvit_data.validate.foreign import survey_foreign
from pvit_data.validate.layers import check_layers
from pvit_data.validate.problems import (
    KINDS,
    WARNINGS,
    Amount,
    Findings,
    Problem,
    ValidationReport,
)
from pvit_data.validate.run import check_units
from pvit_data.validate.state import State
from pvit_data.validate.survey import survey
from pvit_data.validate.units import ShardUnit, Unit

__all__ = ["KINDS", "WARNINGS", "Problem", "ValidationReport", "validate"]

SMALL_BYTES = {False: 500_000_000, True: 20_000_000}
"""By whether everything is decoded: what one process checks while others would start."""


def validate(
    out: str | Path,
    *,
    deep: bool = False,
    workers: int = 1,
    shard: tuple[int, int] = (0, 1),
    sample: float = 1.0,
    resume: str | Path | None = None,
    base: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ValidationReport:
    """Checks a dataset; never stops at the first problem.

    Checked are manifest, card, receipts, index and file names; size, sha256 and archive structure of each shard; CRC of
    every member; each JSON record against schema, manifest and index; values of the small tables and of the first page
    of each dense map. Of foreign tars that 'pvit-data index' has indexed: sizes, and the CRC of every member.

    Args:
        out: folder or URL of the dataset.
        deep: decode every page and every frame as well.
        workers: processes; 0 = as many as pay. More than one need a script that can be imported (`__main__` guard).
        shard: (i, n), to look into each n-th shard from the i-th on only; the n of them make up the whole.
        sample: share of the samples to look into, chosen by their keys. Below 1 the sha256 of shards is not compared.
        resume: folder outside of the dataset that keeps what was found in each shard; shards that are found there with
            the same bytes are not checked again. Several processes may share it.
        base: folder or URL of the bases of its layers. Default: bases in the dataset itself are found. The fit of
            layers whose base is not there remains unknown, which the report says.
        progress: called with (samples done, samples to look at).

    Raises:
        UsageError: if there is no dataset, no such shard or share, `resume` lies in the dataset, or no layer is over
            something in `base`.
        StorageError: if `base` cannot be read, or `resume` not be written.
        Interrupted: on Ctrl-C, if `resume` is given; what was checked is there.
    """
    start = time.monotonic()
    choice = Choice(shard, sample)
    storage = Storage(out)
    storage.require_folder()
    state = None if resume is None else State(resume, storage.root)
    report = ValidationReport(storage.url, deep, choice=choice)
    is_foreign = storage.exists(foreign_table.NAME) and not storage.exists(manifests.NAME)
    home = None if base is None else Storage(base)
    if is_foreign and home is not None:
        raise UsageError(
            f"base {home.url}: {storage.url} holds tars of another tool, and no layers"
        )
    look = survey_foreign if is_foreign else partial(_survey, base=home)
    units = look(storage, report, deep)
    report.shards = len(units)
    report.samples = sum(unit.samples for unit in units)
    report.bytes = sum(unit.bytes for unit in units)
    count = 1 if is_foreign else workers or _worthwhile(report.bytes, deep)
    report.join(_look_into(units, count, state, report.samples, progress))
    report.earlier = 0 if state is None else state.found
    report.problems.sort(key=lambda p: (list(KINDS).index(p.kind), p.file, p.key))
    report.seconds = time.monotonic() - start
    return report


def _survey(
    storage: Storage, report: ValidationReport, deep: bool, base: Storage | None
) -> list[Unit]:
    """Adds findings about tables and names; gives the shards to look into."""
    if base is not None:
        base.require_folder()
    found = survey(storage)
    report.add([*found.problems, *check_folder(storage, found)])
    check_layers(storage, found, report, base)
    report.whole = Amount(
        sum(len(facts) for facts in found.shards),
        len(found.shards),
        sum(max(facts.bytes, 0) for facts in found.shards),
    )
    chosen = report.choice.shards(found.shards)
    return [ShardUnit(storage, facts, report.choice, deep) for facts in chosen]


def _look_into(
    units: Sequence[Unit],
    workers: int,
    state: State | None,
    samples: int,
    progress: Callable[[int, int], None] | None,
) -> Findings:
    done = 0

    def tick(units_done: int, samples_done: int) -> None:
        nonlocal done
        done = units_done
        if progress is not None:
            progress(samples_done, samples)

    try:
        return check_units(units, workers, state, tick)
    except KeyboardInterrupt:
        if state is None:
            raise
        raise Interrupted(
            f"interrupted: {done:,} of {len(units):,} shards are checked, which {state.folder} knows; "
            "run the same command again to check the others"
        ) from None
    finally:
        if state is not None:
            state.close()


def _worthwhile(size: int, deep: bool) -> int:
    if size < SMALL_BYTES[deep]:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
