"""Frame numbers of per-frame fields: which frames have an entry, and which entries serve the asked frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Integer

from pvit_data.errors import FormatError
from pvit_data.sample.sample import Sample
from pvit_data.sample.schema import check_frames

Frames = Integer[np.ndarray, "n"]


def entry_frames(sample: Sample, name: str, num_frames: int) -> list[int]:
    """The frame of each entry of a field, as a record holds them.

    Raises:
        FormatError: if the field has no entry, or its frames are not told or not ascending inside the clip.
    """
    count = len(getattr(sample, name))
    frames: Frames = np.asarray(sample.frames.get(name, np.arange(count)))
    check_frames(name, frames, count, num_frames)
    if count == 0:
        raise FormatError(f"{name} has no frames: leave it None where it is not annotated")
    if name not in sample.frames and count != num_frames:
        raise FormatError(
            f"{name} has {count} frames of {num_frames}: give their numbers in frames['{name}']"
        )
    return [int(f) for f in frames]


def select_frames(
    stored: list[int], num_frames: int, frames: Frames | None
) -> tuple[Frames | None, Frames]:
    """Which entries of a per-frame field to decode, and the frame numbers they belong to.

    Args:
        stored: frame number of each entry, ascending.
        num_frames: length of the clip.
        frames: asked frame numbers, or None for all.

    Returns:
        Entry numbers (None = all), and frame numbers in the same order.

    Raises:
        FormatError: if the stored numbers are not ascending inside the clip.
    """
    have = np.array(stored, np.int64)
    if have.size and (have[0] < 0 or have[-1] >= num_frames or (np.diff(have) <= 0).any()):
        raise FormatError(
            f"frame numbers {stored[:8]} are not ascending inside 0..{num_frames - 1}"
        )
    if frames is None:
        return None, have
    places = np.searchsorted(have, frames)
    exists = places < len(have)
    exists[exists] = have[places[exists]] == np.asarray(frames)[exists]
    return places[exists], np.asarray(frames)[exists]
