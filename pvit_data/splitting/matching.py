"""The samples that lists of ids name: by key, or by something that converters keep in `meta`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import UsageError
from pvit_data.format.names import SPLITS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.decode import read_meta
from pvit_data.splitting.division import Division
from pvit_data.splitting.lists import read_ids
from pvit_data.words import counted, short

OUT = -1
"""The split of samples that are left out; others have their number in `SPLITS`."""


def listed(dataset: ShardDataset, division: Division) -> tuple[Integer[np.ndarray, "n"], list[str]]:
    """The split of each sample by the lists, as a number in `SPLITS` or `OUT`, and notes.

    Raises:
        UsageError: if an id is in two lists, or no sample has it.
    """
    wanted: dict[str, str] = {}
    for split, path in division.lists.items():
        for each in read_ids(path, division.column):
            if wanted.setdefault(each, split) != split:
                raise UsageError(
                    f"{short(each)} is in {division.lists[wanted[each]]} and in {path}: "
                    f"is it {wanted[each]} or {split}?"
                )
    ids = _ids(dataset, division.match)
    missing = [each for each in wanted if each not in ids]
    if missing and (not division.allow_missing or len(missing) == len(wanted)):
        raise UsageError(_missing_text(dataset, division, missing, wanted))
    splits = np.full(len(dataset), OUT, np.int64)
    for each, split in wanted.items():
        splits[ids.get(each, [])] = SPLITS.index(split)
    notes = []
    if missing:
        first = short(missing[0])
        notes.append(f"{counted(len(missing), 'id')} of the lists: no sample has it, first {first}")
    if left := int(np.count_nonzero(splits == OUT)):
        notes.append(f"{counted(left, 'sample')}: in no list, left out")
    return splits, notes


def _ids(dataset: ShardDataset, match: str) -> Mapping[str, list[int]]:
    """Numbers of the samples by their id."""
    found: dict[str, list[int]] = {}
    if match == "key":
        # As samples have it, and as foreign tars do.
        for keys in (dataset.column("key").tolist(), dataset.keys().to_pylist()):
            found |= {str(key): [row] for row, key in enumerate(keys)}
        return found
    for row in range(len(dataset)):
        value = read_meta(dataset.record(row)).get(match)
        if isinstance(value, str | int) and not isinstance(value, bool):
            found.setdefault(str(value), []).append(row)
    if not found:
        raise UsageError(f"--match {match}: no sample has that in its meta{_meta_hint(dataset)}")
    return found


def _missing_text(
    dataset: ShardDataset, division: Division, missing: Sequence[str], wanted: Mapping[str, str]
) -> str:
    first = missing[0]
    what = "the key" if division.match == "key" else f"meta[{division.match!r}]"
    hint = ""
    if len(missing) == len(wanted):
        if division.match == "key":
            hint = _meta_hint(dataset)
        if not division.column and any(mark in first for mark in ",;\t"):
            hint += "; of a CSV file with a header --column says which column has the ids"
    else:
        hint = "; --allow-missing counts such ids, and leaves them out"
    own = dataset.value("key", 0)
    return (
        f"{division.lists[wanted[first]]}: {counted(len(missing), 'id')} of {len(wanted):,} are {what} of no sample, "
        f"first {short(first)}; samples are called like {short(own)}{hint}"
    )


def _meta_hint(dataset: ShardDataset) -> str:
    meta = read_meta(dataset.record(0))
    names = [n for n, value in meta.items() if isinstance(value, str | int) and n != "split"]
    return f"; --match takes ids of meta: {', '.join(names)}" if names else ""
