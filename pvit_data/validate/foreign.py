"""Validation of foreign tars: whether every member is still what was indexed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pvit_data.codecs.window import Asked
from pvit_data.errors import FormatError, PvitError, StorageError
from pvit_data.reading.foreign.index import PATTERNS
from pvit_data.reading.foreign.part import ForeignPart, foreign_parts
from pvit_data.reading.foreign.table import NAME
from pvit_data.storage.storage import Storage
from pvit_data.validate.choice import Choice
from pvit_data.validate.problems import Amount, Problem, ValidationReport
from pvit_data.validate.units import Task, Unit


def survey_foreign(storage: Storage, report: ValidationReport, deep: bool) -> list[Unit]:
    """Adds findings about index and names; gives the shards to look into, whose sizes and CRCs are compared with it.

    Args:
        storage: the folder of an index.
        report: with the choice of shards and samples.
        deep: decode what is understood.
    """
    try:
        parts = foreign_parts(storage)
    except PvitError as error:
        report.add([Problem("foreign-index", NAME, "", str(error))])
        return []
    sizes = parts[0].shards if parts else {}
    there = {name for pattern in PATTERNS for name in storage.list(pattern)}
    strays = sorted(there - sizes.keys())
    report.add(Problem("stray-shard", name, "", f"not listed in {NAME}") for name in strays)
    report.whole = Amount(sum(part.samples for part in parts), len(sizes), sum(sizes.values()))
    mine = {name: part for part in parts for name, part in part.by_shard().items()}
    chosen = report.choice.shards(sorted({*sizes, *mine} - set(strays)))
    return [
        _unit(storage, name, sizes.get(name), mine.get(name), report.choice, deep)
        for name in chosen
    ]


def _unit(
    storage: Storage,
    name: str,
    size: int | None,
    part: ForeignPart | None,
    choice: Choice,
    deep: bool,
) -> Unit:
    keys = () if part is None else (part.key(row) for row in range(part.samples))
    rows = choice.rows(keys)
    part = part if part is None or rows is None else part.only(rows)
    return ForeignShard(storage, name, size, part, choice.sample, deep)


@dataclass(frozen=True)
class ForeignShard:
    """A shard, which is one task of its own.

    Args:
        storage: the dataset.
        name: of the shard.
        size: in bytes when it was indexed; None if samples name it that the index does not list.
        part: its samples that are looked at.
        sample: share of all that these are.
        deep: decode what is understood.
    """

    storage: Storage
    name: str
    size: int | None
    part: ForeignPart | None
    sample: float
    deep: bool

    @property
    def samples(self) -> int:
        """See `Unit`."""
        return 0 if self.part is None else self.part.samples

    @property
    def bytes(self) -> int:
        """See `Unit`."""
        if self.part is None or self.sample == 1:
            return self.size or 0
        return sum(sum(self.part.members(row).values()) for row in range(self.part.samples))

    def digest(self) -> str:
        """See `Unit`."""
        return f"{self.size} {self.deep} {self.sample!r} {self.part and self.part.digest()}"

    def tasks(self) -> list[Task]:
        """See `Unit`."""
        return [self]

    def halves(self) -> list[Task]:
        """See `Task`."""
        return []

    def crash(self) -> Problem:
        """See `Task`."""
        return Problem("crash", self.name, "", "the process that checked it died")

    def run(self) -> list[Problem]:
        """See `Task`."""
        if self.size is not None:
            try:
                size = self.storage.size(self.name)
            except StorageError as error:
                return [Problem("shard-missing", self.name, "", str(error))]
            if size != self.size:
                text = f"{size} bytes, {self.size} when it was indexed"
                return [Problem("shard-size", self.name, "", text), *self._samples()]
        return list(self._samples())

    def _samples(self) -> Iterator[Problem]:
        if self.part is not None:
            for row in range(self.part.samples):
                yield from _sample(self.part, row, self.name, self.deep)


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
            part.decode(part.request(row, None).fetch(), None, Asked())
        except FormatError as error:
            yield Problem("undecodable", shard, part.key(row), str(error))
