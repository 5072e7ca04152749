"""A few of many, evenly spread: which samples are looked at before a conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(things: Sequence[T], count: int) -> list[T]:
    """At most so many of them, in order, the first among them.

    >>> evenly(range(10), 4), evenly("ab", 4)
    ([0, 2, 5, 7], ['a', 'b'])
    """
    count = min(len(things), count)
    return [things[i * len(things) // count] for i in range(count)]
