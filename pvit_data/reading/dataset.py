"""`ShardDataset`: random access to the samples of a dataset, decoding only what is asked for.

What is damaged raises, or is skipped and counted.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from pvit_data.codecs.window import Asked, Grid, Window
from pvit_data.errors import CorruptShardError, FormatError, UsageError
from pvit_data.format.index import no_rows
from pvit_data.format.manifest import LayerSpec, SourceSpec
from pvit_data.format.record import Record
from pvit_data.reading.layers.annotated import AnnotatedPart, whole_spec
from pvit_data.reading.layers.protocol import ProtocolPart
from pvit_data.reading.part import DatasetPart, Fetched, Request
from pvit_data.reading.renumbered import RenumberedPart
from pvit_data.reading.where import evaluate
from pvit_data.sample.labels import LabelSpace
from pvit_data.sample.rows import Rows, marked, row_array, selected
from pvit_data.sample.sample import Sample

SKIP_LIMIT = 0.01  # of the samples read
SKIP_GRACE = 10  # that many may always be skipped, or a first bad sample would end the run


class ShardDataset(Sequence[Sample]):
    """Samples of one or more sources in a fixed order. Made by `pvit_data.open`; selections share one index.

    Attributes:
        skipped: keys of samples that iteration skipped as damaged, with the message of each.
    """

    def __init__(
        self,
        parts: Sequence[DatasetPart],
        rows: Rows | None,
        fields: tuple[str, ...] | None,
        on_corrupt: Literal["raise", "skip"],
        skip_limit: float,
    ) -> None:
        self._parts = parts
        self._starts = [0, *itertools.accumulate(part.samples for part in parts)]
        self._rows = rows
        self._fields = fields
        self._on_corrupt = on_corrupt
        self._skip_limit = skip_limit
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return self._starts[-1] if self._rows is None else len(self._rows)

    def __repr__(self) -> str:
        names = ", ".join(sorted({f"{p.spec.name}/{p.split}" for p in self._parts}))
        return f"ShardDataset({len(self)} samples of {names})"

    @property
    def parts(self) -> Sequence[DatasetPart]:
        """What it is made of, of whose rows it may be a selection."""
        return self._parts

    @property
    def sources(self) -> dict[str, SourceSpec]:
        """Declarations of the sources, by name."""
        found: dict[str, list[SourceSpec]] = {}
        for part in self._parts:
            found.setdefault(part.spec.name, []).append(part.spec)
        return {name: whole_spec(specs) for name, specs in found.items()}

    def spaces_of(self, source: str) -> dict[str, LabelSpace]:
        """Label spaces of a source, by field.

        Raises:
            UsageError: if there is no such source.
        """
        if source not in self.sources:
            raise UsageError(f"no source {source!r}: there is {', '.join(self.sources)}")
        return dict(self.sources[source].spaces)

    def layers_of(self, source: str) -> dict[str, LayerSpec]:
        """Which layer gives a field of a source, by field; fields of its own are not among them.

        Of splits with other layers the last one's; `by_split` of a source that was found tells them apart.
        """
        return {
            f: layer for p in self._parts if p.spec.name == source for f, layer in p.layers.items()
        }

    def home_of(self, source: str) -> str:
        """The source whose pictures a source shows: of a protocol its base, else the same."""
        parts = [part for part in self._parts if part.spec.name == source]
        plain = (part.base if isinstance(part, RenumberedPart) else part for part in parts)
        own = next((part for part in plain if isinstance(part, ProtocolPart)), None)
        return source if own is None else own.bases[0].spec.name

    def declared_by(self, source: str) -> list[tuple[SourceSpec, Set[str] | None]]:
        """What declares a source's samples, with the fields that it gives; None: all that nobody else does.

        The source, or of a protocol its base, then a protocol's own labels and layers; of every split, so that a
        declaration may come more than once.
        """
        found: list[tuple[SourceSpec, Set[str] | None]] = []
        mine = [part for part in self._parts if part.spec.name == source]
        for part in (part.base if isinstance(part, RenumberedPart) else part for part in mine):
            labels: frozenset[str] = frozenset()
            shown: Sequence[DatasetPart] = [part]
            if isinstance(part, ProtocolPart):
                labels, shown = part.labels, part.bases
                found.append((part.own.spec, labels))
            found += [(each.spec, None) for each in shown]
            layers = [given for each in shown for given in each.layers.items()]
            found += [(layer, {field}) for field, layer in layers if field not in labels]
        return found

    @property
    def notes(self) -> list[str]:
        """Sentences about the layers that are attached: what is absent, what differs."""
        return list(dict.fromkeys(note for part in self._parts for note in part.notes))

    def notes_of(self, source: str) -> list[str]:
        """The same of one source."""
        mine = (part for part in self._parts if part.spec.name == source)
        return list(dict.fromkeys(note for part in mine for note in part.notes))

    def keys(self) -> Any:
        """All keys in order, as an Arrow array of large strings."""
        import pyarrow as pa

        whole = pa.concat_arrays([part.keys() for part in self._parts])
        return whole if self._rows is None else whole.take(row_array(self._rows))

    def with_spaces(
        self, source: str, spaces: Mapping[str, LabelSpace], refused: Collection[str] = ()
    ) -> ShardDataset:
        """The same samples with the class ids of other label spaces, matched by the classes' names.

        Args:
            source: whose samples.
            spaces: the wanted space by field, of fields in which the source has one.
            refused: fields of which reading a class that the wanted space lacks is an error; of others such labels
                are left out.

        Example:
            >>> import numpy as np, pvit_data
            >>> writer = pvit_data.ShardWriter("d", "s", spaces={"action": pvit_data.LabelSpace("a", ("run", "sit"))})
            >>> with writer:
            ...     writer.write(pvit_data.Sample(key="k", action=1, rgb=np.zeros((1, 8, 8, 3), np.uint8)))
            >>> dataset = pvit_data.open("d").with_spaces("s", {"action": pvit_data.LabelSpace("b", ("sit", "run"))})
            >>> dataset[0].action
            0
        """
        parts: list[DatasetPart] = []
        for part in self._parts:
            given = part.spec.spaces  # a split's layers may have a field without one
            mine = {f: s for f, s in spaces.items() if f in given}
            is_other = any(given[f] != s for f, s in mine.items())
            is_meant = part.spec.name == source and is_other
            parts.append(RenumberedPart(part, mine, refused) if is_meant else part)
        return ShardDataset(parts, self._rows, self._fields, self._on_corrupt, self._skip_limit)

    def without_layers(self) -> ShardDataset:
        """The same samples with their sources' own annotations and class ids; of protocols, as their bases are open."""
        parts = [_own(part) for part in self._parts]
        return ShardDataset(parts, self._rows, self._fields, self._on_corrupt, self._skip_limit)

    def digest_of(self, source: str) -> str:
        """sha256 over a source's index, shards and label spaces: what training on it depends on.

        Cards, notes, and other sources in the same folder don't change it.
        """
        mine = [part for part in self._parts if part.spec.name == source]
        spaces = {field: asdict(space) for field, space in self.spaces_of(source).items()}
        values = {"spaces": spaces, "splits": {part.split: part.digest() for part in mine}}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]
        """Reads and decodes one sample; negative numbers count from the end.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        return self.read(index)

    def read(
        self,
        index: int,
        fields: Collection[str] | None = None,
        frames: Integer[np.ndarray, "n"] | Sequence[int] | None = None,
        grid: Grid | None = None,
        window: Window | None = None,
    ) -> Sample:
        """Reads one sample, decoding only some fields, frames and pixels.

        Args:
            index: number in this dataset.
            fields: names such as `"rgb"`, `"depth"`. Default: those given to `open`, or all.
            frames: frame numbers, in any order, repeats allowed; per-frame fields hold those that exist, in this
                order, and `Sample.frames` says which; box rows of other frames are left out, cameras kept.
                Default: all.
            grid: row numbers and column numbers at which dense maps are sampled, which costs a fraction of decoding
                them whole. Default: all.
            window: the part of rgb to decode; rgb then has its size (a still: divided by its `shrink`, where that
                saves time). Default: everything.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        fetched = self.request(index, fields).fetch()
        return self.decode(index, fetched, fields, frames, grid, window)

    @property
    def is_remote(self) -> bool:
        """Whether some of the samples lie behind a URL, where it pays to fetch before one reads."""
        return any(part.storage.root is None for part in self._parts)

    def request(self, index: int, fields: Collection[str] | None = None) -> Request:
        """What reading these fields of a sample fetches, and how; nothing is fetched yet.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its place in the index is no possible one.
        """
        part, row = self._locate(index)
        return part.request(row, self._fields if fields is None else fields)

    def decode(
        self,
        index: int,
        fetched: Fetched,
        fields: Collection[str] | None = None,
        frames: Integer[np.ndarray, "n"] | Sequence[int] | None = None,
        grid: Grid | None = None,
        window: Window | None = None,
    ) -> Sample:
        """Decodes what was fetched of a sample, these fields or more; the other arguments are those of `read`.

        Raises:
            FormatError: if it does not decode.
        """
        part, _ = self._locate(index)
        picks = None if frames is None else np.asarray(frames, np.int64).reshape(-1)
        asked = Asked(picks, grid, window)
        return part.decode(fetched, self._fields if fields is None else fields, asked)

    def record(self, index: int) -> Record:
        """The JSON member of one sample.

        Raises:
            IndexError: if there is no such sample.
            CorruptShardError: if its bytes are damaged.
        """
        part, row = self._locate(index)
        return part.record(row)

    def members(self, index: int) -> dict[str, int]:
        """Bytes of every file of one sample, by extension (`"depth.tif"`), without reading them.

        Raises:
            IndexError: if there is no such sample.
        """
        part, row = self._locate(index)
        return part.members(row)

    def files(self, index: int, names: Collection[str] | None = None) -> dict[str, bytes]:
        """Contents of the files of one sample as they are stored, each compared with its CRC.

        Args:
            index: number in this dataset.
            names: extensions wanted (see `members`). Default: all.

        Raises:
            IndexError: if there is no such sample.
            UsageError: if it has no such file.
            CorruptShardError: if its bytes are damaged.
        """
        part, row = self._locate(index)
        return part.files(row, names)

    def __iter__(self) -> Iterator[Sample]:
        """All samples in order; damaged ones raise or are skipped, as `on_corrupt` says.

        Raises:
            CorruptShardError: if more than the limit are damaged.
        """
        for index in range(len(self)):
            try:
                sample = self.read(index)
            except FormatError as error:
                self.pass_over(index, error)
                continue
            yield sample

    def pass_over(self, index: int, error: FormatError) -> None:
        """What iteration does with a damaged sample, for loops of one's own: raises, or skips and counts it.

        Raises:
            FormatError: the error itself, unless `on_corrupt` is `"skip"`.
            CorruptShardError: if more than the limit are damaged.
        """
        if self._on_corrupt == "raise":
            raise error
        part, row = self._locate(index)
        self.skipped[part.key(row)] = str(error)
        if len(self.skipped) > max(SKIP_GRACE, self._skip_limit * len(self)):
            raise CorruptShardError(
                f"{len(self.skipped)} of {len(self)} samples are damaged, limit {self._skip_limit:.1%}; last: {error}"
            ) from error

    def column(self, name: str) -> Shaped[np.ndarray, "n"]:
        """A column of the index: `key`, `group`, `source`, `split`, `shard`, `frames`, `fps`, `height`, `width`,
        `action`, `has_rgb`, `has_depth`, ... (see `pvit_data.format.index`).

        Raises:
            UsageError: if there is no such column.
        """
        if not self._parts:
            return no_rows(name)
        if self._rows is None:
            return np.concatenate([part.column(name) for part in self._parts])
        rows = row_array(self._rows)
        order = np.argsort(rows, kind="stable") if isinstance(self._rows, np.ndarray) else None
        bounds = np.searchsorted(rows, self._starts, sorter=order)
        found = self._parts[0].column(name, rows[:0])
        found = np.empty(len(rows), found.dtype)
        for number in np.flatnonzero(np.diff(bounds)).tolist():
            mine = slice(bounds[number], bounds[number + 1])
            places = mine if order is None else order[mine]
            found[places] = self._parts[number].column(name, rows[places] - self._starts[number])
        return found

    def value(self, name: str, index: int) -> Any:
        """One value of a column, without the others.

        Raises:
            IndexError: if there is no such sample.
            UsageError: if there is no such column.
        """
        part, row = self._locate(index)
        return part.value(name, row)

    def of_source(self, source: str) -> Bool[np.ndarray, "n"]:
        """Which samples are a source's."""
        return self._of([part.spec.name == source for part in self._parts])

    def where(self, text: str) -> ShardDataset:
        """The samples that fulfil a filter such as `"has_depth and frames >= 16"`.

        Raises:
            UsageError: if the filter cannot be parsed or names an unknown column.
        """
        return self._within(marked(evaluate(text, self.column, len(self))))

    def by_source(self) -> dict[str, ShardDataset]:
        """The samples of each source."""
        if self._rows is not None:
            of = self.column("source")
            return {name: self.select(np.flatnonzero(of == name)) for name in self.sources}
        parts: dict[str, list[DatasetPart]] = {}
        for part in self._parts:
            parts.setdefault(part.spec.name, []).append(part)
        return {
            name: ShardDataset(mine, None, self._fields, self._on_corrupt, self._skip_limit)
            for name, mine in parts.items()
        }

    def in_split(self, split: str) -> ShardDataset | None:
        """The samples of one split; None where there are none."""
        if self._rows is not None:
            found = self._within(marked(self._of([part.split == split for part in self._parts])))
        else:
            parts = [part for part in self._parts if part.split == split]
            found = ShardDataset(parts, None, self._fields, self._on_corrupt, self._skip_limit)
        return found if len(found) else None

    def select(self, rows: Integer[np.ndarray, "n"] | Sequence[int]) -> ShardDataset:
        """The samples of the given numbers, in this order.

        Raises:
            IndexError: if there is no such sample.
        """
        picks = np.asarray(rows, np.int64).reshape(-1)
        if picks.size and not -len(self) <= picks.min() <= picks.max() < len(self):
            raise IndexError(f"row {picks.max()} of a dataset of {len(self)} samples")
        own = (picks + len(self)) % len(self) if picks.size else picks
        return self._within(selected(own, len(self)))

    def _of(self, part_is: Sequence[bool]) -> Bool[np.ndarray, "n"]:
        """Which samples belong to parts that are meant."""
        if self._rows is None:  # as many as there are, not as a manifest says
            numbers = [len(part.column("frames")) for part in self._parts]
            return np.repeat(np.array(part_is, bool), numbers)
        number = np.searchsorted(self._starts, row_array(self._rows), side="right") - 1
        return np.array(part_is, bool)[number]

    def _within(self, rows: Rows) -> ShardDataset:
        """Some of these samples, by their numbers here."""
        if self._rows is not None:
            total = self._starts[-1]
            rows = selected(row_array(self._rows)[row_array(rows)], total)
        return ShardDataset(self._parts, rows, self._fields, self._on_corrupt, self._skip_limit)

    def _locate(self, index: int) -> tuple[DatasetPart, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a dataset of {len(self)}")
        own = index % len(self)
        row = own if self._rows is None else int(self._rows[own])
        number = bisect.bisect_right(self._starts, row) - 1
        return self._parts[number], row - self._starts[number]


def _own(part: DatasetPart) -> DatasetPart:
    """A part as it was before layers were attached and its classes renumbered."""
    while isinstance(part, AnnotatedPart | RenumberedPart):
        part = part.base
    return part
