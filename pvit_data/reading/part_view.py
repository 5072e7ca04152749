"""`PartView`: a part that shows another one, in everything that a subclass does not say otherwise."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer, Shaped

from pvit_data.codecs.window import Asked
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.record import Record
from pvit_data.reading.part import DatasetPart, Fetched, Request
from pvit_data.sample.sample import Sample


class PartView:
    """See `DatasetPart`.

    Args:
        base: what is shown.
        spec: the declaration that it is shown with.
    """

    def __init__(self, base: DatasetPart, spec: SourceSpec) -> None:
        self.base, self.spec = base, spec
        self.split, self.storage = base.split, base.storage

    @property
    def layers(self) -> Mapping[str, LayerSpec]:
        """See `DatasetPart`."""
        return self.base.layers

    @property
    def notes(self) -> tuple[str, ...]:
        """See `DatasetPart`."""
        return self.base.notes

    @property
    def samples(self) -> int:
        """See `DatasetPart`."""
        return self.base.samples

    def key(self, row: int) -> str:
        """See `DatasetPart`."""
        return self.base.key(row)

    def keys(self) -> Any:
        """See `DatasetPart`."""
        return self.base.keys()

    def digest(self) -> dict[str, Any]:
        """See `DatasetPart`."""
        return self.base.digest()

    def column(
        self, name: str, rows: Integer[np.ndarray, "k"] | None = None
    ) -> Shaped[np.ndarray, "n"]:
        """See `DatasetPart`."""
        return self.base.column(name, rows)

    def value(self, name: str, row: int) -> Any:
        """See `DatasetPart`."""
        return self.base.value(name, row)

    def members(self, row: int) -> dict[str, int]:
        """See `DatasetPart`."""
        return self.base.members(row)

    def files(self, row: int, names: Collection[str] | None) -> dict[str, bytes]:
        """See `DatasetPart`."""
        return self.base.files(row, names)

    def record(self, row: int) -> Record:
        """See `DatasetPart`."""
        return self.base.record(row)

    def request(self, row: int, fields: Collection[str] | None) -> Request:
        """See `DatasetPart`."""
        return self.base.request(row, fields)

    def decode(self, fetched: Fetched, fields: Collection[str] | None, asked: Asked) -> Sample:
        """See `DatasetPart`."""
        return self.base.decode(fetched, fields, asked)
