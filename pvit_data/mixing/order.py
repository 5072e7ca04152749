"""The order in which an epoch visits the rows of a source: a seeded permutation that reads disks and networks kindly.

Runs of neighbouring rows (which lie side by side in a shard) are shuffled as blocks; then rows are shuffled inside
windows of many blocks. So at any time reading is confined to the blocks of one window, each a large sequential piece,
while neighbours in the result come from all over the source. A source that fits in one window is shuffled uniformly.
An order holds the places of its blocks and the windows that were asked for last, not one number per row.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import numpy as np
from jaxtyping import Int64

BLOCK = 32
WINDOW = 32 * 256
HELD = 4  # windows


def seeded(*words: object) -> np.random.Generator:
    """A generator that is a pure function of its arguments: the same on every machine, process and worker."""
    digest = hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


class EpochOrder:
    """A permutation of range(num_rows), for one epoch of one part of a mixture.

    Args:
        seed: of the run.
        part: name of the part, so that parts of equal size get different orders.
        epoch: number of the pass.
        num_rows: their number.
        block: rows that are read together.
        window: rows among which single rows are shuffled.
    """

    def __init__(
        self,
        seed: int,
        part: str,
        epoch: int,
        num_rows: int,
        block: int = BLOCK,
        window: int = WINDOW,
    ) -> None:
        self._rng = seeded(seed, "order", part, epoch)
        self._rows, self._block, self._window = num_rows, block, window
        self._held: OrderedDict[int, Int64[np.ndarray, "w"]] = OrderedDict()
        if num_rows <= window:
            self._held[0] = self._rng.permutation(num_rows)
            return
        starts = self._rng.permutation(np.arange(0, num_rows, block))
        self._blocks = (starts // block).astype(np.uint32)
        self._missing = -num_rows % block  # rows that the last block lacks
        last = int(np.flatnonzero(self._blocks == len(starts) - 1)[0])
        self._gap = (last + 1) * block - self._missing
        self._states: list[Any] = [self._rng.bit_generator.state]  # before each window's shuffle

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, place: int) -> int:
        number = place // self._window if self._rows > self._window else 0
        if number in self._held:
            self._held.move_to_end(number)
        else:
            self._held[number] = self._shuffled(number)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        return int(self._held[number][place - number * self._window])

    def array(self) -> Int64[np.ndarray, "n"]:
        """All of it."""
        windows = range(-(-self._rows // self._window)) if self._rows > self._window else ()
        return np.concatenate([self._shuffled(n) for n in windows] or [self._held[0]])

    def _shuffled(self, number: int) -> Int64[np.ndarray, "w"]:
        """The rows of a window. Shuffles follow one another, so those before are gone through once."""
        while len(self._states) <= number:
            self._shuffle(self._places(len(self._states) - 1), self._states[-1])
            self._states.append(self._rng.bit_generator.state)
        places = self._places(number)
        places += self._missing * (places >= self._gap)  # nothing lies where rows are missing
        rows = self._blocks[places // self._block].astype(np.int64) * self._block
        return self._shuffle(rows + places % self._block, self._states[number])

    def _places(self, number: int) -> Int64[np.ndarray, "w"]:
        begin = number * self._window
        return np.arange(begin, min(begin + self._window, self._rows))

    def _shuffle(self, values: Int64[np.ndarray, "w"], state: Any) -> Int64[np.ndarray, "w"]:
        self._rng.bit_generator.state = state
        self._rng.shuffle(values)
        return values
