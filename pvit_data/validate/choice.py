"""Which shards and samples are looked into: everything, every n-th shard, a share of the samples, or both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import UsageError

Shard = TypeVar("Shard")


@dataclass(frozen=True)
class Choice:
    """What of a dataset is looked into.

    Args:
        part: (i, n): of all shards in their fixed order those with the numbers i, i + n, i + 2 n, ...
        sample: share of the samples of each shard, above 0 and at most 1. Which ones these are depends on their keys
            alone, and those of a smaller share are among those of a larger one.

    Raises:
        UsageError: if there is no such part or share.
    """

    part: tuple[int, int] = (0, 1)
    sample: float = 1.0

    def __post_init__(self) -> None:
        number, parts = self.part
        if not 0 <= number < parts:
            raise UsageError(
                f"shard {number}/{parts}: expected i/n with i from 0 to n - 1, as the tasks of a job array are numbered"
            )
        if not 0 < self.sample <= 1:
            raise UsageError(
                f"sample {100 * self.sample:g}%: expected a share above 0 % and at most 100 %"
            )

    @property
    def hashes(self) -> bool:
        """Whether the sha256 of whole shards is compared, for which every byte is read."""
        return self.sample == 1

    def shards(self, shards: Sequence[Shard]) -> Sequence[Shard]:
        """Those of all shards that are looked into."""
        number, parts = self.part
        return shards[number::parts]

    def rows(self, keys: Iterable[str]) -> Integer[np.ndarray, "k"] | None:
        """Numbers of the samples of a shard that are looked into, ascending; None = all."""
        if self.sample == 1:
            return None
        limit = self.sample * 2.0**64
        return np.array([row for row, key in enumerate(keys) if _number(key) < limit], np.int64)


def _number(key: str) -> int:
    """A number below 2^64 that has nothing to do with the key's place in a shard, which is by its sha256."""
    digest = hashlib.blake2b(
        key.encode("utf-8", "surrogatepass"), digest_size=8, person=b"validate"
    )
    return int.from_bytes(digest.digest(), "big")


WHOLE = Choice()
