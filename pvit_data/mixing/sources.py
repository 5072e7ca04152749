"""What is mixed: `SampleSet`, `MixtureSource`, and which tasks each source trains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Bool, Shaped

from pvit_data.clips.config import ClipConfig
from pvit_data.clips.frames import BY_SOURCE, Sampler
from pvit_data.codecs.window import Window
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import every_task, labels_among, target_spec

Role = Literal["downstream", "auxiliary"]


class SampleSet(Protocol):
    """Samples by row number, with an index that answers questions without touching pixels.

    `ShardDataset` is one; any object with these methods does. One that also has `value(name, row)`, a single value of
    a column, is spared whole columns (`values_of`).
    """

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


class _Columns:
    """Looks single values up in whole columns."""

    def __init__(self, ds: SampleSet) -> None:
        self._ds = ds
        self._columns: dict[str, Shaped[np.ndarray, "n"]] = {}

    def __call__(self, name: str, row: int) -> Any:
        if name not in self._columns:
            self._columns[name] = self._ds.column(name)
        return self._columns[name][row]


def values_of(ds: SampleSet) -> Callable[[str, int], Any]:
    """How the value of a column in a row is looked up."""
    own: Callable[[str, int], Any] | None = getattr(ds, "value", None)
    return own or _Columns(ds)


def of_source(ds: SampleSet, source: str) -> Bool[np.ndarray, "n"]:
    """Which rows are a source's."""
    if list(ds.sources) == [source]:
        return np.ones(len(ds), bool)
    if isinstance(ds, ShardDataset):
        return ds.of_source(source)
    return np.asarray(ds.column("source") == source, bool)


@dataclass(frozen=True)
class MixtureSource:
    """One source of a mixture.

    Args:
        ds: its samples; filter with `ds.where(...)`.
        role: `"downstream"`: its action labels are trained and epochs are counted on it; `"auxiliary"`: its other
            annotations are trained.
        weight: share of the batch relative to the other sources. Default: 1 for a downstream source; auxiliary
            sources without a weight share the downstream's total by their sizes, which gives the paper's half and half.
    """

    ds: SampleSet
    role: Role = "downstream"
    weight: float | None = None

    @property
    def is_downstream(self) -> bool:
        """Whether its role is `"downstream"`."""
        return self.role == "downstream"

    @property
    def name(self) -> str:
        """Names of the sources in its dataset."""
        return "+".join(self.ds.sources)


def auxiliary_tasks(
    ds: SampleSet, source: str, chosen: Mapping[str, Iterable[str]]
) -> tuple[str, ...]:
    """The tasks that a source trains in any role.

    Those that `chosen` names for it, else those that its `SourceSpec` declares, else every task that some row of it
    carries; in each case without the labels that only a downstream source trains.
    """
    named = chosen[source] if source in chosen else ds.sources[source].tasks or _carried(ds, source)
    return tuple(task for task in named if not target_spec(task).downstream_only)


def trained_tasks(
    ds: SampleSet, source: str, chosen: Mapping[str, Iterable[str]], downstream: bool
) -> tuple[str, ...]:
    """All tasks that a source trains: the auxiliary ones, and as a downstream its labels (named, or actions)."""
    labels = labels_among(chosen.get(source, ())) if downstream else ()
    return (*auxiliary_tasks(ds, source, chosen), *labels)


def _carried(ds: SampleSet, source: str) -> list[str]:
    mine = of_source(ds, source)
    return [
        task
        for task in every_task()
        if not target_spec(task).downstream_only
        and (ds.column(f"has_{target_spec(task).field}").astype(bool) & mine).any()
    ]


def sampler_of(ds: SampleSet, source: str, config: ClipConfig) -> Sampler:
    """The clip sampler of a source: the configuration's, else the one it declares, else the published one."""
    return config.sampler(source, declared_sampler(ds, source))


def declared_sampler(ds: SampleSet, source: str) -> str:
    """The clip sampler that a source's manifest declares, or "".

    A protocol that declares none, and whose name has no published one, has that of its base.
    """
    declared: str = getattr(ds.sources[source], "sampler", "")
    if declared or source in BY_SOURCE or not isinstance(ds, ShardDataset):
        return declared
    return BY_SOURCE.get(ds.home_of(source), "")


def clips_within(ds: SampleSet, source: str) -> str:
    """The entry of a sample's `meta` that holds the frames from which its clips are taken; "": all of them."""
    declared: str = getattr(ds.sources[source], "clips_within", "")
    return declared
