"""Samples that are trained on under one name and held out under another: protocols over one base can do that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any

from pvit_data.errors import UsageError
from pvit_data.format.names import SPLITS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.places import FoundSource
from pvit_data.words import counted


def require_apart(found: Mapping[str, FoundSource], where: Mapping[str, str]) -> None:
    """Refuses sources over the same pictures of which one trains on what another holds out.

    Args:
        found: the sources, by name.
        where: index filter by source.

    Raises:
        UsageError: with the count.
    """
    over: dict[tuple[str, str], list[str]] = {}
    for name, source in found.items():
        over.setdefault((source.pictures, source.over or name), []).append(name)
    for names in over.values():
        several = names if len(names) > 1 else ()
        keys = {name: _keys(found[name], where.get(name, "")) for name in several}
        for trained, held in permutations(keys, 2):
            if count := _common(keys[trained][0], keys[held][1]):
                raise UsageError(
                    f"'{trained}' trains on {counted(count, 'sample')} that '{held}' holds out, over the same "
                    "pictures: leave one of them out, or --set data.allow_overlap=true"
                )


def seen_in_training(
    trained: Iterable[str], found: Mapping[str, FoundSource], name: str, held: ShardDataset
) -> dict[str, int]:
    """How many samples of a source a network was trained on under other names, by these names.

    Args:
        trained: names of the sources that it was trained on.
        found: the sources of the shards, by name.
        name: of what is held out.
        held: some of its samples.
    """
    mine = found[name].pictures, found[name].over or name
    over = {
        other: found[other]
        for other in sorted({*trained} & found.keys() - {name})
        if (found[other].pictures, found[other].over or other) == mine
    }
    counts = {other: _common(held.keys(), _keys(source, "")[0]) for other, source in over.items()}
    return {other: count for other, count in counts.items() if count}


def _keys(source: FoundSource, where: str) -> tuple[Any, Any]:
    """Keys of the training samples and of all others."""
    import pyarrow as pa

    split = {n: mine.keys() for n in SPLITS if (mine := source.split(n, where)) is not None}
    nothing = pa.array([], pa.large_string())
    others = [keys for n, keys in split.items() if n != "train"]
    return split.get("train", nothing), pa.concat_arrays([nothing, *others])


def _common(one: Any, other: Any) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(pc.is_in(one, value_set=other), min_count=0).as_py())
