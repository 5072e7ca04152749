"""Which row of a layer belongs to which row of its base: by key, whatever the order, and whether the two fit.

All of it is decided from the indices, before anything is read: other frames or sizes are errors, other bytes of the
pictures are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Integer, Shaped

from pvit_data.errors import FormatError
from pvit_data.reading.layers.fields import PIXEL_FIELDS
from pvit_data.reading.part import DatasetPart

NONE = -1
"""The row of a layer where it has none of a sample."""
RATE_TOLERANCE = 0.01

Rows = Int32[np.ndarray, "n"]
Values = Callable[[str], Shaped[np.ndarray, "k"]]
"""Gives a column by its name."""


@dataclass(frozen=True)
class Joined:
    """Some samples of a layer, and which of them belongs to each row of a part of its base.

    Args:
        part: of the layer.
        rows: its row for each row of the base's part, `NONE` where there is none. None: they line up.
    """

    part: DatasetPart
    rows: Rows | None

    @property
    def known(self) -> int:
        """How many samples of the base's part it has."""
        return self.part.samples if self.rows is None else int(np.count_nonzero(self.rows != NONE))

    @property
    def is_whole(self) -> bool:
        """Whether it has all of them."""
        return self.rows is None or self.known == len(self.rows)

    def row(self, row: int) -> int:
        """The layer's row for a row of the base's part, or `NONE`."""
        return row if self.rows is None else int(self.rows[row])

    def column(
        self, name: str, missing: Any, rows: Integer[np.ndarray, "k"] | None
    ) -> Shaped[np.ndarray, "n"]:
        """A column of the layer, of all rows of the base's part or of some."""
        if self.rows is None:
            return self.part.column(name, rows)
        own = self.rows if rows is None else self.rows[rows]
        has = own != NONE
        values = self.part.column(name, own[has])
        found = np.full(len(own), missing, values.dtype)
        found[has] = values
        return found


def row_map(base: DatasetPart, layer: DatasetPart) -> Joined:
    """Joins by key."""
    import pyarrow.compute as pc

    wanted, given = base.keys(), layer.keys()
    if wanted.equals(given):
        return Joined(layer, None)
    found = pc.fill_null(pc.index_in(wanted, value_set=given), NONE)
    return Joined(layer, np.asarray(found.to_numpy(zero_copy_only=False), np.int32))


class Misfit(NamedTuple):
    """What some rows of a layer have otherwise than their base.

    Args:
        what: in words, several of them.
        wrong: which rows.
        shown: both sides of a row.
    """

    what: str
    wrong: Bool[np.ndarray, "k"]
    shown: Callable[[int], str]


def misfits(base: Values, layer: Values, fields: Collection[str]) -> Iterator[Misfit]:
    """Compares the columns of a layer with those of its base, row by row; gives only what some rows have otherwise.

    Args:
        base, layer: give a column by its name, both of the same samples in the same order.
        fields: that the layer gives.
    """

    def two(name: str, form: str) -> Callable[[int], str]:
        theirs, own = layer(name), base(name)
        return lambda i: f"{theirs[i]:{form}} in the layer, {own[i]:{form}} in the base"

    def size(values: Values, i: int) -> str:
        return f"{values('width')[i]}x{values('height')[i]}"

    rates = base("fps"), layer("fps")
    apart = np.abs(rates[0] - rates[1]) > RATE_TOLERANCE * np.maximum(*rates)
    found = [
        Misfit("frames", base("frames") != layer("frames"), two("frames", "d")),
        Misfit("frame rates", apart, two("fps", "g")),
    ]
    if PIXEL_FIELDS & set(fields):
        sides = [base(side) != layer(side) for side in ("height", "width")]
        found.insert(
            1,
            Misfit(
                "sizes",
                sides[0] | sides[1],
                lambda i: f"{size(layer, i)} in the layer, {size(base, i)} in the base",
            ),
        )
    return (misfit for misfit in found if misfit.wrong.any())


def other_pictures(base: Values, layer: Values) -> Bool[np.ndarray, "k"]:
    """Which rows have pictures of other bytes than those that the layer was made from; without pictures none has."""
    return np.asarray(base("has_rgb") & (base("rgb_crc32") != layer("base_crc32")), bool)


def require_fit(
    base: DatasetPart, joined: Joined, fields: Collection[str], names: tuple[str, str]
) -> int:
    """Compares a layer with its base, row by row.

    Args:
        base: a part of the base.
        joined: the layer's rows.
        fields: that the layer gives.
        names: of layer and base, for messages.

    Returns:
        Samples whose pictures have other bytes than those that the layer was made from.

    Raises:
        FormatError: if frames, rate, or the size of what is bound to pixels differ.
    """
    has = np.arange(base.samples) if joined.rows is None else np.flatnonzero(joined.rows != NONE)
    theirs = has if joined.rows is None else joined.rows[has]

    def own(name: str) -> Shaped[np.ndarray, "k"]:
        return base.column(name, has)

    def layer(name: str) -> Shaped[np.ndarray, "k"]:
        return joined.part.column(name, theirs)

    for misfit in misfits(own, layer, fields):
        first = int(np.flatnonzero(misfit.wrong)[0])
        raise FormatError(
            f"layer '{names[0]}' does not fit '{names[1]}': {int(misfit.wrong.sum())} samples have other "
            f"{misfit.what}, first '{base.key(int(has[first]))}': {misfit.shown(first)}; "
            "it was made from other pictures"
        )
    return int(np.count_nonzero(other_pictures(own, layer)))


def require_common(joined: Sequence[Joined], names: tuple[str, str]) -> int:
    """How many samples of a base a layer knows.

    Raises:
        FormatError: if it knows none.
    """
    known = sum(part.known for part in joined)
    if known == 0:
        raise FormatError(
            f"layer '{names[0]}' has no key in common with '{names[1]}': is it a layer over another version of it?"
        )
    return known
