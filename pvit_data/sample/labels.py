"""Label spaces: what the integers of a segmentation map, a box class or an action mean.

Only the type lives here. A source's own tables live in its converter; a reader takes them from the dataset's manifest.
Spaces are never merged by number: two sources share ids only when they name the same space.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from pvit_data.errors import FormatError
from pvit_data.sample.limits import MAX_IDS

IGNORE_8 = 255
IGNORE_16 = 65535
_SIDE = re.compile(  # words, leftwards, and parts of swipe_left, SwipeLeft and SWIPE_LEFT; neither bright nor leftover
    r"(?<![A-Za-z])(?:left|right)(?=(?:wards?)?(?![a-z]))"
    r"|(?:Left|Right)(?=(?:[Ww]ards?)?(?![a-z]))"
    r"|(?<![A-Za-z])(?:LEFT|RIGHT)(?=(?:WARDS?)?(?![A-Za-z]))"
)
_SIDES = ("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")
_OTHER = {a: b for pair in _SIDES for a, b in (pair, pair[::-1])}


@dataclass(frozen=True)
class LabelSpace:
    """A named set of class ids.

    Args:
        name: unique name, for example `"nyu40"`.
        classes: class names; `classes[i]` belongs to id `first + i`.
        first: the smallest id (1 for `nyu40`, else 0).
        colours: one (r, g, b) of 0..255 per class, or empty.
        pairs: (left, right) id pairs that a horizontal flip swaps.

    Raises:
        FormatError: if an id is negative or above `MAX_IDS`, a pair has an id outside, or colours do not fit.

    Example:
        >>> space = LabelSpace("hands", ("left", "right"), first=1, pairs=((1, 2),))
        >>> space.num_ids, space.class_name(2), space.ignore
        (3, 'right', 255)
    """

    name: str
    classes: tuple[str, ...]
    first: int = 0
    colours: tuple[tuple[int, int, int], ...] = ()
    pairs: tuple[tuple[int, int], ...] = field(default=())

    def __post_init__(self) -> None:
        if self.first < 0 or self.num_ids > MAX_IDS:
            raise FormatError(
                f"label space '{self.name[:60]}' has ids {self.first} to {self.num_ids - 1}, expected 0..{MAX_IDS - 1}"
            )
        if not all(self.first <= i < self.num_ids for pair in self.pairs for i in pair):
            raise FormatError(
                f"label space '{self.name[:60]}' has pairs of ids that it does not have"
            )
        if len(self.colours) not in (0, len(self.classes)) or not all(
            0 <= value <= 255 for colour in self.colours for value in colour
        ):
            raise FormatError(
                f"label space '{self.name[:60]}' has {len(self.colours)} colours for {len(self.classes)} classes, "
                "expected none, or one of 0 to 255 each"
            )

    @property
    def num_ids(self) -> int:
        """Number of output channels a classifier over this space needs: the largest id plus one."""
        return self.first + len(self.classes)

    @property
    def ignore(self) -> int:
        """The id that means "not labelled": 255, or 65535 in a space with ids above 254."""
        return IGNORE_8 if self.num_ids <= IGNORE_8 else IGNORE_16

    def class_name(self, index: int) -> str:
        """The name of a class id.

        Raises:
            KeyError: if the id is outside the space.
        """
        if not self.first <= index < self.num_ids:
            raise KeyError(
                f"label space '{self.name}' has ids {self.first}..{self.num_ids - 1}, not {index}"
            )
        return self.classes[index - self.first]


def renumbering(given: LabelSpace, wanted: LabelSpace) -> Int64[np.ndarray, "k"]:
    """By id of `given`: the id that `wanted` gives the class of the same name, -1 where it has none.

    >>> renumbering(LabelSpace("a", ("cat", "dog", "cow")), LabelSpace("b", ("dog", "cat"), first=1))
    array([ 2,  1, -1])
    """
    ids = {name: wanted.first + i for i, name in reversed(list(enumerate(wanted.classes)))}
    return np.array([-1] * given.first + [ids.get(name, -1) for name in given.classes], np.int64)


def is_same(given: LabelSpace, wanted: LabelSpace) -> bool:
    """Whether every id means the same class in both."""
    return (given.first, tuple(given.classes)) == (wanted.first, tuple(wanted.classes))


def mirrored_pairs(classes: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of ids of classes that a mirror exchanges: their names differ by left and right, as the two directions of
    pushing do.

    Args:
        classes: ids by name.

    Example:
        >>> mirrored_pairs({"turn left": 0, "stop": 1, "turn right": 2, "SwipeLeft": 3, "SwipeRight": 4})
        ((0, 2), (3, 4))
    """
    others = ((index, classes.get(_mirrored(name), index)) for name, index in classes.items())
    return tuple(sorted((a, b) for a, b in others if a < b))


def _mirrored(name: str) -> str:
    return _SIDE.sub(lambda match: _OTHER[match[0]], name)
