"""`SampleSet`: what mixing and loading ask of a dataset. `ShardDataset` is one; any object with these methods does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np

from pvit_data.codecs.window import Window
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample


class SampleSet(Protocol):
    """Samples by row number, with an index that answers questions without touching pixels."""

    def __len__(self) -> int:
        """Number of samples."""

    @property
    def sources(self) -> Mapping[str, Any]:
        """`SourceSpec` of each source, by name."""

    def spaces_of(self, source: str) -> Mapping[str, LabelSpace]:
        """Label spaces of a source by field."""

    def column(self, name: str) -> np.ndarray:
        """One value per sample: key, source, frames, fps, height, width, action, has_<field>."""

    def read(
        self,
        row: int,
        fields: Collection[str] | None = None,
        frames: np.ndarray | None = None,
        grid: tuple[np.ndarray, np.ndarray] | None = None,
        window: Window | None = None,
    ) -> Sample:
        """One sample: these fields; of per-frame fields these frames, of maps these pixels, of rgb this window."""
