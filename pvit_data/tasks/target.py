"""`Target`: the label of one sample for one task, what all targets are made with, and their packing by batch.

Targets belong to chosen frames of the video (every `stride`-th frame of the clip). A frame without its annotation is
masked, a sample without any valid entry gives None: nothing is invented, nothing is padded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from pvit_data.sample.sample import Sample
from pvit_data.words import brief


class Target(NamedTuple):
    """Targets of one task for one sample; shapes as in `pvit_data.loading.batch.Targets`, without the row axis."""

    value: np.ndarray
    valid: np.ndarray

    def __repr__(self) -> str:
        return brief(self)


def target_of(value: np.ndarray, valid: np.ndarray) -> Target | None:
    """The target, or None where nothing of it is labelled."""
    return Target(value, valid) if valid.any() else None


def at_frames(
    sample: Sample, field: str, value: np.ndarray, frames: Int64[np.ndarray, "t"]
) -> tuple[np.ndarray, Bool[np.ndarray, "t"]]:
    """The entries of a per-frame field at the asked frames, and which of these exist (others repeat some entry).

    Not for box tables, which hold any number of rows for a frame: see `Boxes.frame`.
    """
    have = sample.frames_of(field)
    if len(have) == 0:
        return np.zeros((len(frames), *value.shape[1:]), value.dtype), np.zeros(len(frames), bool)
    place = np.minimum(np.searchsorted(have, frames), len(have) - 1)
    return value[place], have[place] == frames


def shown_maps(
    sample: Sample,
    field: str,
    value: np.ndarray,
    valid: np.ndarray,
    frames: Int64[np.ndarray, "t"],
    blank: int,
) -> Target | None:
    """The maps at the asked frames; a frame without its map is masked and blank."""
    chosen, present = at_frames(sample, field, value, frames)
    chosen[~present] = blank
    return target_of(chosen, at_frames(sample, field, valid, frames)[0] & present[:, None, None])


class Packed(NamedTuple):
    """Targets of one task for the rows of a batch that carry it, as in `pvit_data.loading.batch.Targets`."""

    rows: np.ndarray
    value: np.ndarray
    valid: np.ndarray

    def __repr__(self) -> str:
        return brief(self)


def pack(rows: Sequence[Mapping[str, Target]], empty: Mapping[str, Target]) -> dict[str, Packed]:
    """The targets of a batch's rows, packed by target name.

    Args:
        rows: targets of each row by name.
        empty: for each name a `Target` with a leading axis of length 0: shape and dtype where no row has it. A row's
            own target may have that axis, too: it then is any number of entries, with the row's number each.
    """
    return {name: _packed(rows, name, nothing) for name, nothing in empty.items()}


def _packed(rows: Sequence[Mapping[str, Target]], name: str, nothing: Target) -> Packed:
    index = [i for i, row in enumerate(rows) if name in row]
    found = [rows[i][name] for i in index]
    if not found:
        return Packed(np.zeros(0, np.int64), nothing.value, nothing.valid)
    numbers = np.array(index, np.int64)
    has_entries = found[0].value.ndim == nothing.value.ndim
    if has_entries:
        numbers = np.repeat(numbers, [len(target.value) for target in found])
    joined = np.concatenate if has_entries else np.stack
    value, valid = joined([t.value for t in found]), joined([t.valid for t in found])
    return Packed(numbers, value, valid)
