"""Held-out samples that a network was trained on under another name: by its run, or by the weights that began it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.places import FoundSource, find_sources
from pvit_data.words import counted
from pvit_model.recipes.overlap import seen_in_training
from pvit_model.recipes.plan import Plan
from pvit_model.runs.learned import Learned, began_with


@dataclass(frozen=True)
class Seen:
    """What is known of the samples that a network has seen in training.

    Args:
        overlap: how many of them, by the name that they were trained under.
        gone: names of data over the same pictures that it was trained on, and that are not at hand.
        unrecorded: names of weights of which nobody recorded what they were trained on.
    """

    overlap: dict[str, int]
    gone: list[str]
    unrecorded: list[str]

    def to_json(self) -> dict[str, Any]:
        """What is not empty of it, as JSON values: `overlap`, and in `unknown` all that could be."""
        found = {"overlap": self.overlap, "unknown": [*self.unrecorded, *self.gone]}
        return {name: value for name, value in found.items() if value}

    def told(self, name: str, held: ShardDataset) -> list[str]:
        """The same in sentences, but of weights.

        Args:
            name: of the source that is held out.
            held: the samples of it that are evaluated.
        """
        lines = [
            f"{name}: {count:,} of the {counted(len(held), 'sample')} are training samples of '{other}', on which the "
            "network was trained"
            for other, count in self.overlap.items()
        ]
        return lines + [
            f"{name}: whether its samples are training samples is not known: the network was trained on '{other}', "
            "over the same pictures; add its folder with --shards"
            for other in self.gone
        ]


def unrecorded_text(learned: Learned) -> str:
    """That nobody recorded what some weights were trained on; "" where it is known of all."""
    names = ", ".join(f"'{name}'" for name in learned.starts_unknown)
    said = "whether the network was trained on samples that are evaluated is not known: nobody recorded what"
    return f"{said} {names} was trained on" if names else ""


def seen_by(
    learned: Learned, shards: Iterable[str], source: FoundSource, held: ShardDataset
) -> Seen:
    """Which samples a network has seen in training under other names than their source's.

    Args:
        learned: what it was trained on.
        shards: folders and URLs.
        source, held: what is held out, and the samples of it that count.
    """
    base = source.over or source.name
    others = {
        each.name: each.over
        for each in learned.trained_on
        if each.name != source.name and (each.over is None or base in (each.name, each.over))
    }
    found = _found([*others], base, shards) if others else {}
    overlap = seen_in_training(others, {**found, source.name: source}, source.name, held)
    gone = [n for n, over in others.items() if n not in found and over is not None]
    return Seen(overlap, gone, [*dict.fromkeys(learned.starts_unknown)])


def _found(names: Sequence[str], base: str, shards: Iterable[str]) -> dict[str, FoundSource]:
    """Those of the sources that are there, without layers."""
    urls, bare = [*shards], {name: list[str]() for name in (*names, base)}
    found: dict[str, FoundSource] = {}
    for asked in ([*names], *([name] for name in names)):
        with suppress(
            UsageError
        ):  # one that is there twice, or whose base is not there: the others are found alone
            found |= {n: s for n, s in find_sources(urls, bare, asked).items() if n in asked}
        if len(found) == len(names):
            break
    return found


def require_unseen(
    learned: Learned, shards: Iterable[str], source: FoundSource, split: str
) -> None:
    """Refuses held-out samples that a network was trained on under another name.

    Args:
        learned, shards, source: see `seen_by`.
        split: what is held out.

    Raises:
        UsageError: with the count.
    """
    held = source.split(split)
    if held is None or split == "train":
        return
    for other, count in seen_by(learned, shards, source, held).overlap.items():
        raise UsageError(
            f"{count} of {counted(len(held), 'sample')} of '{source.name}' {split} are training samples of '{other}', "
            "on which the network was trained: they tell nothing new; --allow-overlap evaluates them all the same"
        )


def seen_before(plan: Plan) -> list[str]:
    """What of a plan's held-out samples the weights have seen that it begins with, in sentences."""
    start = began_with(plan.config)
    urls = [url for each in plan.sources for url in (each.found.url, each.found.pictures)]
    return [
        f"{count:,} of {counted(len(source.val), 'held-out sample')} of '{source.name}' are training samples of "
        f"'{other}', on which the weights were trained that this run begins with: they tell nothing new"
        for source in plan.sources
        if source.val is not None
        for other, count in seen_by(start, urls, source.found, source.val).overlap.items()
    ]
