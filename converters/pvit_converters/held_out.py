"""What is tested on is not trained on: of lists that name the same sample, the first one in this order has it."""

from __future__ import annotations

from collections.abc import Collection

from pvit_data.words import counted

ORDER = ("val", "test", "train")


def held_out_first(there: Collection[str], wanted: Collection[str]) -> list[str]:
    """The lists to be read, in that order: of the wanted splits, and of those that take samples from them.

    >>> held_out_first(["train", "val"], ["train"]), held_out_first(["train", "val"], ["val"])
    (['val', 'train'], ['val'])
    """
    last = max(map(ORDER.index, wanted))
    return [split for split in ORDER[: last + 1] if split in there]


def told(rows: int, what: str) -> list[str]:
    """The sentence on rows that were left out, if there are any."""
    text = "repeat a {} and are left out; what is tested on is not trained on"
    return [f"{counted(rows, 'row')} {text.format(what)}"] if rows else []
