"""Validation: whether a dataset is what its manifest promises, file by file and sample by sample."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from pvit_data.format import manifest as manifests
from pvit_data.reading import foreign_table
from pvit_data.storage.storage import Storage
from pvit_data.validate.folder import check_folder
from pvit_data.validate.foreign import check_foreign
from pvit_data.validate.problems import KINDS, WARNINGS, Problem, ValidationReport
from pvit_data.validate.run import run_here, run_workers, tasks_of
from pvit_data.validate.survey import survey

__all__ = ["KINDS", "WARNINGS", "Problem", "ValidationReport", "validate"]

SMALL_BYTES = {False: 500_000_000, True: 20_000_000}
"""By whether everything is decoded: what one process checks while others would start."""


def validate(
    out: str | Path,
    *,
    deep: bool = False,
    workers: int = 1,
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
        progress: called with (samples done, samples in all).

    Raises:
        UsageError: if there is no dataset.
    """
    start = time.monotonic()
    storage = Storage(out)
    storage.require_folder()
    if storage.exists(foreign_table.NAME) and not storage.exists(manifests.NAME):
        return check_foreign(storage, deep, progress)
    found = survey(storage)
    report = ValidationReport(storage.url, deep)
    report.add([*found.problems, *check_folder(storage, found)])
    report.shards = len(found.shards)
    report.samples = sum(len(facts) for facts in found.shards)
    report.bytes = sum(max(facts.bytes, 0) for facts in found.shards)
    tasks = tasks_of(storage, found.shards, deep)
    count = min(workers or _worthwhile(report.bytes, deep), len(tasks))
    done = 0
    for task, problems in run_here(tasks) if count <= 1 else run_workers(tasks, count):
        report.add(problems)
        done += task.samples
        if progress is not None:
            progress(done, report.samples)
    report.problems.sort(key=lambda p: (list(KINDS).index(p.kind), p.file, p.key))
    report.seconds = time.monotonic() - start
    return report


def _worthwhile(size: int, deep: bool) -> int:
    if size < SMALL_BYTES[deep]:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
