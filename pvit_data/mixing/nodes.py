"""Which draws of a batch lie side by side: spread evenly for any number of ranks, or gathered by canonical nodes.

With several nodes each has blocks of its own of every source, for all epochs, so that no two of them read the same
piece of a shard; and the draws of its rows lie in its part of each batch. Nothing depends on the machines there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from pvit_data.mixing.order import seeded


class NodeBlocks:
    """Which rows of a part belong to which node: whole blocks, dealt once for all epochs.

    Args:
        seed, part: as in `EpochOrder`.
        num_rows, block: of the part.
        nodes: their number.
    """

    def __init__(self, seed: int, part: str, num_rows: int, block: int, nodes: int) -> None:
        self._block = block
        blocks = seeded(seed, "nodes", part).permutation(-(-num_rows // block)).astype(np.uint32)
        short = len(blocks) - 1 if num_rows % block else -1  # the last block; last of its node's
        self._blocks = []
        for node in range(nodes):
            mine = blocks[node::nodes]
            self._blocks.append(np.concatenate([mine[mine != short], mine[mine == short]]))
        missing = -num_rows % block
        sizes = [len(b) * block - missing * bool((b == short).any()) for b in self._blocks]
        self.sizes = np.array(sizes, np.int64)
        self._even = int(self.sizes.min())  # places of an epoch that every node has
        self._more = np.cumsum(self.sizes - self._even)

    def place(self, place: int) -> tuple[int, int]:
        """Node, and place in that node's own epoch, of a place in the part's epoch: taking turns to the end."""
        nodes = len(self.sizes)
        if place < self._even * nodes:
            return place % nodes, place // nodes
        rest = place - self._even * nodes
        node = int(np.searchsorted(self._more, rest, side="right"))
        before = int(self._more[node - 1]) if node else 0
        return node, self._even + rest - before

    def row(self, node: int, index: int) -> int:
        """The row of the part that is a node's number `index`."""
        return int(self._blocks[node][index // self._block]) * self._block + index % self._block


@lru_cache(maxsize=256)
def dealt_places(number: int) -> list[int]:
    """Which of so many items, sorted by kind, lies where: as cards are dealt."""
    return dealt(list(range(number)))


def arranged(nodes: Sequence[int], number: int) -> list[int]:
    """Which item lies where, for items that are wanted by nodes: equal parts for each, in the order of the nodes.

    What is too much for a part goes where there is room; within a part items are dealt.
    """
    room = len(nodes) // number
    parts: list[list[int]] = [[] for _ in range(number)]
    for item, node in enumerate(nodes):
        parts[node].append(item)
    spare = [item for part in parts for item in part[room:]]
    out = []
    for part in parts:
        mine = part[:room]
        while len(mine) < room:
            mine.append(spare.pop())
        out += [mine[i] for i in dealt_places(room)]
    return out


def dealt(rows: list[int]) -> list[int]:
    """Sorted items reordered like dealt cards, so that any half, quarter, ... of the list is composed like the whole.

    With items sorted by source, each of 2, 4, 8, ... equal slices holds the floor or ceiling of its fair share of
    every source; with another number of slices the shares differ by at most a few.
    """
    if len(rows) < 2 or len(rows) % 2:
        return rows
    return dealt(rows[0::2]) + dealt(rows[1::2])
