"""Dividing samples by their groups: folds, hold-out, n per class. Pure functions; a group is never torn apart.

Groups are ordered by the hash of their name, so that the same samples give the same division on every machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Integer

from pvit_data.errors import UsageError
from pvit_data.storage.files import utf8
from pvit_data.words import counted


def place_of_group(group: str, seed: int = 0) -> str:
    """What groups are ordered by: a hash of the name; every seed gives another order."""
    text = f"{seed} {group}" if seed else group
    return hashlib.sha256(utf8(text)).hexdigest()


def holdout_split(group: str, percent: float, seed: int = 0) -> str:
    """`val` for the given percentage of the groups, by the hash of the name, else `train`."""
    return "val" if int(place_of_group(group, seed), 16) % 100 < percent else "train"


def held_out(groups: Sequence[str], percent: float, seed: int = 0) -> Bool[np.ndarray, "n"]:
    """Which samples are held out, as conversions do it.

    Args:
        groups: of each sample.
        percent: of the groups.
        seed: 0 gives what a conversion with this percentage gives.

    Raises:
        UsageError: if that is no group, or all of them.
    """
    is_val = {group: holdout_split(group, percent, seed) == "val" for group in set(groups)}
    if all(is_val.values()) or not any(is_val.values()):
        which = "all" if is_val and all(is_val.values()) else "none"
        raise UsageError(
            f"--holdout {percent:g}: {which} of the {counted(len(is_val), 'group')} would be held out: "
            "give another percentage, or another --seed"
        )
    return np.array([is_val[group] for group in groups], bool)


def holdout_of_classes(
    classes: Mapping[str, Collection[Hashable]], percent: float, seed: int = 0
) -> set[str]:
    """The groups that are held out, so that of every class with two groups at least one is, and one is not.

    Args:
        classes: of the samples of each group; groups without any are a class of their own.
        percent: of the groups of each class; none are held out at 0, all at 100.
        seed: which groups come first.

    Example:
        >>> held = holdout_of_classes({f"{c}{n}": [c] for c in "ab" for n in range(5)}, 20)
        >>> sorted(name[0] for name in held)
        ['a', 'b']
    """
    if not 0 < percent < 100:
        return set(classes) if percent >= 100 else set()
    of = {group: frozenset(found) or frozenset([None]) for group, found in classes.items()}
    groups = Counter(each for found in of.values() for each in found)
    wanted = {each: _share(count, percent) for each, count in groups.items()}
    held: set[str] = set()
    number = Counter[Hashable]()
    for group in sorted(of, key=lambda name: place_of_group(name, seed)):
        needs = any(number[each] < wanted[each] for each in of[group])
        if needs and all(number[each] + 1 < groups[each] for each in of[group]):
            held.add(group)
            number.update(of[group])
    return held


def _share(count: int, percent: float) -> int:
    """How many of some groups are held out: one of two at least, and never the last."""
    return 0 if count < 2 else min(max(1, round(count * percent / 100)), count - 1)


def folds(groups: Sequence[str], count: int, seed: int = 0) -> Integer[np.ndarray, "n"]:
    """The fold of each sample: large groups first, each into the fold with the fewest samples so far.

    Args:
        groups: of each sample.
        count: of folds.
        seed: which of equally good divisions.

    Raises:
        UsageError: if there are fewer groups than folds.

    Example:
        >>> folds(["a", "a", "b", "c"], 2).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
        True
    """
    sizes = Counter(groups)
    if len(sizes) < count:
        raise UsageError(
            f"--folds {count}: the samples have only {counted(len(sizes), 'group')}, and none is torn apart"
        )
    ordered = sorted(sizes, key=lambda group: (-sizes[group], place_of_group(group, seed)))
    filled = [0] * count
    fold_of = {}
    for group in ordered:
        fold_of[group] = filled.index(min(filled))
        filled[fold_of[group]] += sizes[group]
    return np.array([fold_of[group] for group in groups], np.int64)


def per_class(
    groups: Sequence[str], classes: Sequence[int], number: int, seed: int = 0
) -> Bool[np.ndarray, "n"]:
    """Which samples are trained on: of each class at most `number`, in whole groups.

    Args:
        groups: of each sample.
        classes: of each sample.
        number: of samples of a class.
        seed: which groups come first.

    Raises:
        UsageError: if a class would have none.
    """
    held: dict[str, Counter[int]] = {}
    for group, each in zip(groups, classes, strict=True):
        held.setdefault(group, Counter())[each] += 1
    taken: set[str] = set()
    totals = Counter[int]()
    for group in sorted(held, key=lambda name: place_of_group(name, seed)):
        if all(totals[each] + count <= number for each, count in held[group].items()):
            taken.add(group)
            totals.update(held[group])
    if missing := sorted(set(classes) - set(totals)):
        smallest = min(sum(c.values()) for c in held.values() if missing[0] in c)
        raise UsageError(
            f"--per-class {number}: {counted(len(missing), 'class', 'classes')} would have no sample to train on, "
            f"first class {missing[0]}, whose smallest group has {counted(smallest, 'sample')}: groups are not torn "
            "apart; give a larger number, or another --seed"
        )
    return np.array([group in taken for group in groups], bool)
