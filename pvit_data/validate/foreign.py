"""Validation of foreign tars: whether every member is still what was indexed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from pvit_data.errors import FormatError, PvitError
from pvit_data.reading.foreign_index import PATTERNS
from pvit_data.reading.foreign_part import ForeignPart, foreign_parts
from pvit_data.reading.foreign_table import NAME
from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem, ValidationReport


def check_foreign(
    storage: Storage, deep: bool, progress: Callable[[int, int], None] | None = None
) -> ValidationReport:
    """Compares sizes of shards and CRCs of members with `webdataset.parquet`; `deep` decodes what is understood."""
    start = time.monotonic()
    report = ValidationReport(storage.url, deep)
    try:
        parts = foreign_parts(storage)
    except PvitError as error:
        report.add([Problem("foreign-index", NAME, "", str(error))])
        return report
    sizes = parts[0].shards if parts else {}
    report.shards = len(sizes)
    report.bytes = sum(sizes.values())
    report.samples = sum(part.samples for part in parts)
    report.add(_shards(storage, sizes))
    gone = {p.file for kind in ("shard-missing", "stray-shard") for p in report.of_kind(kind)}
    done = 0
    for part in parts:
        shards = part.column("shard")
        for row in range(part.samples):
            if shards[row] not in gone:
                report.add(_sample(part, row, str(shards[row]), deep))
            done += 1
            if progress is not None:
                progress(done, report.samples)
    report.seconds = time.monotonic() - start
    return report


def _shards(storage: Storage, sizes: dict[str, int]) -> Iterator[Problem]:
    there = {name for pattern in PATTERNS for name in storage.list(pattern)}
    for name in sorted(there - sizes.keys()):
        yield Problem("stray-shard", name, "", f"not listed in {NAME}")
    for name, size in sorted(sizes.items()):
        if name not in there:
            yield Problem("shard-missing", name, "", "no such file")
        elif (found := storage.size(name)) != size:
            yield Problem("shard-size", name, "", f"{found} bytes, {size} when it was indexed")


def _sample(part: ForeignPart, row: int, shard: str, deep: bool) -> Iterator[Problem]:
    try:
        part.files(row, None)
    except FormatError as error:
        yield Problem("member-damaged", shard, part.key(row), str(error))
        return
    except PvitError as error:
        yield Problem("foreign-index", NAME, part.key(row), str(error))
        return
    if deep:
        try:
            part.decode(part.request(row, None).fetch(), None, None, None, None)
        except FormatError as error:
            yield Problem("undecodable", shard, part.key(row), str(error))
