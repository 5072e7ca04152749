"""What is checked by itself: a shard, in tasks small enough to be dealt to workers.

What stands in the report is made of the findings of units, in their order, whoever checked them and whenever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pvit_data.format.members import MEMBERS
from pvit_data.storage.storage import Storage
from pvit_data.validate.choice import Choice
from pvit_data.validate.problems import Problem
from pvit_data.validate.shard import ShardFacts, check_file, check_samples

CHUNK = 64  # samples per task


class Task(Protocol):
    """A part of the work on a unit. Tasks travel to worker processes."""

    @property
    def samples(self) -> int:
        """Samples that are done when it is."""

    def run(self) -> list[Problem]:
        """Its findings."""

    def halves(self) -> list[Task]:
        """The same work in smaller parts; [] where it cannot be divided."""

    def crash(self) -> Problem:
        """What there is to say where it ends the process that runs it."""


class Unit(Protocol):
    """A shard."""

    @property
    def storage(self) -> Storage:
        """The dataset."""

    @property
    def name(self) -> str:
        """Its path in the dataset."""

    @property
    def samples(self) -> int:
        """Samples that are looked at."""

    @property
    def bytes(self) -> int:
        """Bytes that are looked at."""

    def digest(self) -> str:
        """A hash of all that the findings depend on but the bytes of the shard."""

    def tasks(self) -> list[Task]:
        """The work, at least one task."""


@dataclass(frozen=True)
class FileTask:
    """The shard as a file.

    Args:
        storage: the dataset.
        facts: with all rows.
        hashed: compare the sha256.
    """

    storage: Storage
    facts: ShardFacts
    hashed: bool

    samples = 0

    def run(self) -> list[Problem]:
        """See `Task`."""
        return check_file(self.storage, self.facts, self.hashed)

    def halves(self) -> list[Task]:
        """See `Task`."""
        return []

    def crash(self) -> Problem:
        """See `Task`."""
        return _crash(self.facts.name, "")


@dataclass(frozen=True)
class SamplesTask:
    """Some samples of a shard.

    Args:
        storage: the dataset.
        facts: with the rows to check.
        deep: decode everything.
    """

    storage: Storage
    facts: ShardFacts
    deep: bool

    @property
    def samples(self) -> int:
        """See `Task`."""
        return len(self.facts)

    def run(self) -> list[Problem]:
        """See `Task`."""
        found = check_samples(self.storage, self.facts, self.deep)
        return [problem for each in found for problem in each]

    def halves(self) -> list[Task]:
        """See `Task`."""
        middle = len(self.facts) // 2
        parts = (slice(0, middle), slice(middle, None)) if middle else ()
        return [SamplesTask(self.storage, self.facts.part(rows), self.deep) for rows in parts]

    def crash(self) -> Problem:
        """See `Task`."""
        return _crash(self.facts.name, str(self.facts.rows["key"][0]))


def _crash(name: str, key: str) -> Problem:
    return Problem("crash", name, key, "the process that checked it died")


class ShardUnit:
    """A shard of ours.

    Args:
        storage: the dataset.
        facts: what manifest, index and receipts say about it.
        choice: which of its samples are looked into.
        deep: decode everything.
    """

    def __init__(self, storage: Storage, facts: ShardFacts, choice: Choice, deep: bool) -> None:
        self.storage = storage
        self.facts = facts
        self.choice = choice
        self.deep = deep
        rows = choice.rows(facts.rows["key"].tolist())
        self.chosen = facts if rows is None else facts.part(rows)

    @property
    def name(self) -> str:
        """See `Unit`."""
        return self.facts.name

    @property
    def samples(self) -> int:
        """See `Unit`."""
        return len(self.chosen)

    @property
    def bytes(self) -> int:
        """See `Unit`."""
        if self.choice.hashes:
            return max(self.facts.bytes, 0)
        rows = self.chosen.rows
        sizes = [rows[f"{m}_size"][rows[f"{m}_offset"] >= 0].sum(dtype=np.int64) for m in MEMBERS]
        return int(sum(sizes))

    def digest(self) -> str:
        """See `Unit`."""
        return f"{self.facts.digest()} {self.deep} {self.choice.sample!r}"

    def tasks(self) -> list[Task]:
        """See `Unit`."""
        starts = range(0, len(self.chosen), CHUNK)
        return [
            FileTask(self.storage, self.facts, self.choice.hashes),
            *(
                SamplesTask(self.storage, self.chosen.part(slice(start, start + CHUNK)), self.deep)
                for start in starts
            ),
        ]
