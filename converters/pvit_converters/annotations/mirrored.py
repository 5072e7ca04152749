"""Classes that a mirror exchanges: their names differ by left and right."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SIDES = {"left": "right", "right": "left"}


def mirrored_classes(classes: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    """Pairs of ids of classes whose names differ by left and right, such as the two directions of pushing.

    Args:
        classes: ids by name.

    Example:
        >>> mirrored_classes({"turn left": 0, "stop": 1, "turn right": 2})
        ((0, 2),)
    """
    other = {name: re.sub(r"\b(left|right)\b", lambda m: _SIDES[m[1]], name) for name in classes}
    pairs = (
        (index, classes[other[name]]) for name, index in classes.items() if other[name] in classes
    )
    return tuple(sorted((a, b) for a, b in pairs if a < b))
