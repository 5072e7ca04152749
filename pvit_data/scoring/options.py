"""What a scoring is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pvit_data.scoring.protocols import Protocol


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """Options of `score`.

    Args:
        protocol: what a data set's publications count.
        truth: file, folder of shards or URL; None: the labels that the predictions carry.
        source, split: of the shards; see `part`.
        classes: file with the classes of the predictions' columns.
        excluded: AVA's excluded seconds.
        no_excluded: no second is excluded.
        label_map: AVA's classes: a file, `ava60` or `ava80`.
        no_cap: with `activitynet`: every pair of an image counts.
        threshold: of the detector's scores, as it was used; it stands in the result.
        partial: videos of the list may be missing.
        frames: of a clip, where the predictions don't say.
        whole: clips showed whole frames, without a crop.
        diagnose: look for what may be wrong.
        train_list: the list of training videos.
    """

    protocol: Protocol
    truth: str | None = None
    source: str | None = None
    split: str | None = None
    classes: Path | None = None
    excluded: Path | None = None
    no_excluded: bool = False
    label_map: str | None = None
    no_cap: bool = False
    threshold: float | None = None
    partial: bool = False
    frames: int | None = None
    whole: bool | None = None
    diagnose: bool = False
    train_list: Path | None = None

    @property
    def part(self) -> str:
        """The split of the shards: by default the one that publications score."""
        return self.split or self.protocol.split
