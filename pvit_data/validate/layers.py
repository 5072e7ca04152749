"""Layers against their bases: whether each row fits the sample that it names, by the tables alone; no shard is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from pvit_data.errors import PvitError, UsageError
from pvit_data.format.manifest import LayerSpec
from pvit_data.format.members import FIELDS, LABELS
from pvit_data.reading.dataset import ShardDataset
from pvit_data.reading.layers.joining import NONE, misfits, other_pictures
from pvit_data.reading.open import base_parts
from pvit_data.storage.storage import Storage
from pvit_data.validate.problems import Problem, ValidationReport
from pvit_data.validate.shard import ShardFacts
from pvit_data.validate.survey import Survey


def check_layers(
    storage: Storage, found: Survey, report: ValidationReport, base: Storage | None
) -> None:
    """Adds findings about the fit of every row; layers whose base is not there are noted.

    Args:
        storage: the dataset.
        found: its tables.
        report: to add to.
        base: where the bases are. Default: in the dataset itself.

    Raises:
        UsageError: if no layer is over something in `base`.
    """
    layers: dict[str, list[ShardFacts]] = {}
    for facts in found.shards:
        if isinstance(facts.spec, LayerSpec):
            layers.setdefault(facts.spec.folder, []).append(facts)
    specs = {f: s[0].spec for f, s in layers.items() if isinstance(s[0].spec, LayerSpec)}
    joined = 0
    for folder, spec in specs.items():
        try:
            parts = base_parts(base or storage, spec.base.source)
            if parts:
                dataset = ShardDataset(parts, None, None, "raise", 0.0)
                report.add(_Fit(spec, layers[folder], dataset).problems())
                joined += 1
        except PvitError as error:
            parts = []
            if base is not None:  # what is wrong with the dataset itself is told already
                report.add([Problem("base-damaged", folder, "", f"{base.url}: {error}")])
                joined += 1
        if not parts:
            report.apart.append(f"'{spec.name}' over '{spec.base.source}'")
    if base is not None and not joined:
        over = ", ".join(sorted({spec.base.source for spec in specs.values()})) or "nothing"
        raise UsageError(
            f"base {base.url}: holds no base of the layers in {storage.url}, which are over {over}"
        )


class _Fit:
    """The rows of a layer beside those of its base.

    Args:
        spec: the layer's.
        shards: its shards, one at least.
        base: all samples of the base.
    """

    def __init__(self, spec: LayerSpec, shards: Sequence[ShardFacts], base: ShardDataset) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._spec, self._shards, self._base = spec, shards, base
        keys = pa.array(self._column("key").tolist(), pa.large_string())
        found = pc.fill_null(pc.index_in(keys, value_set=base.keys()), NONE)
        self._theirs: Integer[np.ndarray, "n"] = found.to_numpy(zero_copy_only=False)
        """The base's row of each row of the layer."""
        self._known = np.flatnonzero(self._theirs != NONE)

    def _column(self, name: str) -> Shaped[np.ndarray, "n"]:
        return np.concatenate([facts.rows[name] for facts in self._shards])

    def _own(self, name: str) -> Shaped[np.ndarray, "k"]:
        return self._column(name)[self._known]

    def _other(self, name: str) -> Shaped[np.ndarray, "k"]:
        found: Shaped[np.ndarray, "k"] = self._base.column(name)[self._theirs[self._known]]
        return found

    def problems(self) -> Iterator[Problem]:
        """What does not fit, then what is other or absent."""
        spec, name = self._spec, self._spec.base.source
        if len(self._theirs) and not len(self._known):
            text = f"none of its {len(self._theirs)} samples is in '{name}'"
            yield Problem("base-differs", spec.folder, "", text)
            return
        fields = {field for field in FIELDS if self._column(f"has_{field}").any()}
        labels = fields & LABELS if spec.kind == "annotation" else ()
        if labels and any(self._base.column(f"has_{field}").any() for field in LABELS):
            text = f"brings {min(labels)}, and '{name}' has labels of its own"
            yield Problem("base-differs", spec.folder, "", text)
        for misfit in misfits(self._other, self._own, fields):
            for file, key, i in self._rows(misfit.wrong):
                yield Problem("base-differs", file, key, f"other {misfit.what}: {misfit.shown(i)}")
        crc = self._other("rgb_crc32"), self._own("base_crc32")
        for file, key, i in self._rows(other_pictures(self._other, self._own)):
            text = f"CRC {crc[1][i]:08x} when it was made, {crc[0][i]:08x} in '{name}'"
            yield Problem("base-bytes", file, key, text)
        for file, key in self._named(np.flatnonzero(self._theirs == NONE)):
            yield Problem("base-absent", file, key, f"not in '{name}'")

    def _rows(self, wrong: Bool[np.ndarray, "k"]) -> Iterator[tuple[str, str, int]]:
        """Shard and key of those known rows that are marked, and their numbers."""
        places = np.flatnonzero(wrong)
        for (file, key), i in zip(self._named(self._known[places]), places.tolist(), strict=True):
            yield file, key, i

    def _named(self, rows: Integer[np.ndarray, "k"]) -> Iterator[tuple[str, str]]:
        keys = self._column("key")
        ends = np.cumsum([len(facts) for facts in self._shards])
        shards = np.searchsorted(ends, rows, side="right")
        for row, shard in zip(rows.tolist(), shards.tolist(), strict=True):
            yield self._shards[shard].name, str(keys[row])
