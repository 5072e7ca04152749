"""The order in which an epoch visits the rows of a source: a seeded permutation that reads disks and networks kindly.

Runs of neighbouring rows (which lie side by side in a shard) are shuffled as blocks; then rows are shuffled inside
windows of many blocks. So at any time reading is confined to the blocks of one window, each a large sequential piece,
while neighbours in the result come from all over the source. A source that fits in one window is shuffled uniformly.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int64

BLOCK = 32
WINDOW = 32 * 256


def seeded(*words: object) -> np.random.Generator:
    """A generator that is a pure function of its arguments: the same on every machine, process and worker."""
    digest = hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def epoch_order(
    seed: int, part: str, epoch: int, num_rows: int, block: int = BLOCK, window: int = WINDOW
) -> Int64[np.ndarray, "n"]:
    """A permutation of range(num_rows), for one epoch of one part of a mixture.

    Args:
        part: name of the part, so that parts of equal size get different orders.
        block: rows that are read together.
        window: rows among which single rows are shuffled.
    """
    rng = seeded(seed, "order", part, epoch)
    if num_rows <= window:
        order = rng.permutation(num_rows)
    else:
        starts = rng.permutation(np.arange(0, num_rows, block))
        order = (starts[:, None] + np.arange(block)).ravel()
        order = order[order < num_rows]
        for begin in range(0, num_rows, window):
            rng.shuffle(order[begin : begin + window])
    return order


def dealt(rows: list[int]) -> list[int]:
    """Sorted items reordered like dealt cards, so that any half, quarter, ... of the list is composed like the whole.

    With items sorted by source, each of 2, 4, 8, ... equal slices holds the floor or ceiling of its fair share of
    every source; with another number of slices the shares differ by at most a few.
    """
    if len(rows) < 2 or len(rows) % 2:
        return rows
    return dealt(rows[0::2]) + dealt(rows[1::2])
