"""What a dataset holds, in numbers: from the index alone, and from a scan of some samples where pixels must be read."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Num, Shaped

from pvit_data.errors import FormatError
from pvit_data.format.members import FIELDS, MEMBERS
from pvit_data.looking.layers import LAYERS, MAPS
from pvit_data.looking.tiles import class_name
from pvit_data.reading.dataset import ShardDataset
from pvit_data.sample.labels import LabelSpace

SCAN = 256
BINS = 24
SCANNED = [layer for layer in LAYERS if layer.scanned]
INDEXED = [layer for layer in LAYERS if layer.classes is not None and not layer.scanned]
_UNITS = {layer.name: layer.unit for layer in LAYERS}
_DEPTH_STEP, _DEPTH_STEPS = 0.05, 4000  # metres; up to 200 m, the last bin takes what is farther


@dataclass(frozen=True)
class Histogram:
    """Counts between edges: `counts[i]` values lie in [edges[i], edges[i + 1])."""

    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class SplitCounts:
    """One split of one source.

    Args:
        samples, groups, frames, bytes: totals; bytes are those of the members.
        hours: duration of the clips whose frame rate is known.
        fields: samples that carry each field.
    """

    source: str
    split: str
    samples: int
    groups: int
    frames: int
    hours: float
    bytes: int
    fields: dict[str, int]


@dataclass(frozen=True)
class ClassCounts:
    """How often each class of a label space occurs.

    Args:
        source, field, space: what was counted.
        unit: `"samples"`, `"boxes"` or `"pixels"`.
        counts: by class name, most frequent first; classes that never occur are left out.
        unlabelled: entries without a class.
        classes: number of classes in the space.
    """

    source: str
    field: str
    space: str
    unit: str
    counts: dict[str, int]
    unlabelled: int
    classes: int


@dataclass
class Stats:
    """All numbers.

    Args:
        parts: by source and split.
        together: samples that carry both fields of a pair (a field with itself: samples that carry it).
        maps: annotated frames of the dense fields.
        members: bytes by kind of member.
        frames, rates, sizes: distributions of clip length, frame rate and picture size (most frequent first).
        people, boxes: samples by their number of people and boxes, where annotated.
        actions: class counts from the index, complete.
        scanned: samples that were read for what follows; `unreadable` of them were damaged.
        depth: valid depths in metres, one map per scanned sample; `depth_invalid` is the share of invalid pixels.
        classes: box and segmentation classes in the scanned samples.
        layers: by source, the layer that gives a field.
        notes: about these layers: what is absent, what differs.
    """

    parts: list[SplitCounts]
    together: dict[str, dict[str, int]]
    maps: dict[str, int]
    members: dict[str, int]
    frames: Histogram
    rates: dict[str, int]
    sizes: dict[str, int]
    people: dict[str, int]
    boxes: Histogram
    actions: list[ClassCounts]
    scanned: int = 0
    unreadable: int = 0
    depth: Histogram = field(default_factory=lambda: Histogram([], []))
    depth_invalid: float = 0.0
    classes: list[ClassCounts] = field(default_factory=list)
    layers: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples in all."""
        return sum(part.samples for part in self.parts)

    @property
    def hours(self) -> float:
        """Duration of all clips whose frame rate is known."""
        return math.fsum(part.hours for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of all members."""
        return sum(self.members.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        totals = {"samples": self.samples, "hours": self.hours, "bytes": self.bytes}
        return totals | asdict(self)


def collect(
    dataset: ShardDataset, scan: int = SCAN, progress: Callable[[int, int], None] | None = None
) -> Stats:
    """Counts everything.

    Args:
        dataset: with an index.
        scan: samples to read for depths, boxes and segmentation, spread evenly over each source; 0 = none,
            -1 = all.
        progress: called with (samples scanned, samples to scan).

    Raises:
        UsageError: if the dataset has no index.
    """
    table = _Table(dataset)
    width, boxes, people, rates = map(dataset.column, ("width", "boxes", "people", "fps"))
    sizes = (dataset.column("height").astype(np.int64) << 32) + width  # both in one number
    stats = Stats(
        parts=table.parts(),
        together=table.together(),
        maps={layer.name: int(dataset.column(f"{layer.name}_frames").sum()) for layer in MAPS},
        members=table.members,
        frames=histogram(dataset.column("frames")),
        rates=_most_frequent(rates[rates > 0], lambda rate: f"{rate:g}"),
        sizes=_most_frequent(sizes[width > 0], lambda size: f"{size & 0xFFFFFFFF} x {size >> 32}"),
        people=_most_frequent(people[people >= 0], str),
        boxes=histogram(boxes[boxes >= 0]),
        actions=table.classes(),
        layers={name: given for name in dataset.sources if (given := _given(dataset, name))},
        notes=dataset.notes,
    )
    rows = spread_rows(dataset.column("source"), scan)
    _scan(dataset, rows, stats, progress or (lambda done, total: None))
    return stats


def _given(dataset: ShardDataset, source: str) -> dict[str, str]:
    return {field: layer.name for field, layer in dataset.layers_of(source).items()}


class _Table:
    """Counts from index columns, each of which is held only as long as it is counted.

    Args:
        dataset: with an index.
    """

    def __init__(self, dataset: ShardDataset) -> None:
        self._dataset = dataset
        self._sources, self._names = coded(dataset.column("source"))
        splits, self._splits = coded(dataset.column("split"))
        self._places = self._sources * len(self._splits) + splits
        """Of each sample its source and split as one number."""
        self.members: dict[str, int] = {}
        self._bytes = np.zeros(len(dataset), np.int64)
        for member in MEMBERS:
            sizes = dataset.column(f"{member}_size")
            self._bytes += sizes
            if total := int(sizes.sum(dtype=np.int64)):
                self.members[member] = total

    def parts(self) -> list[SplitCounts]:
        """The counts of each source and split."""
        order, ends = _runs(self._places)
        is_sorted = bool(
            (order[1:] > order[:-1]).all()
        )  # as in a dataset from which nothing was selected

        def runs(values: Shaped[np.ndarray, "n"]) -> list[Shaped[np.ndarray, "k"]]:
            return np.split(values if is_sorted else values[order], ends[:-1])

        frames, rate = (
            self._dataset.column("frames"),
            self._dataset.column("fps").astype(np.float64),
        )
        seconds = np.divide(frames, rate, out=np.zeros(len(rate)), where=rate > 0)
        groups, names = coded(self._dataset.column("group"))
        torn = np.unique(self._places.astype(np.int64) * len(names) + groups) // max(len(names), 1)
        has = {name: runs(self._dataset.column(f"has_{name}")) for name in FIELDS}
        parts = []
        columns = map(runs, (self._places, frames, seconds, self._bytes))
        for number, (places, frame, second, size) in enumerate(zip(*columns, strict=True)):
            if not len(places):
                continue
            source, split = divmod(int(places[0]), len(self._splits))
            parts.append(
                SplitCounts(
                    source=self._names[source],
                    split=self._splits[split],
                    samples=len(places),
                    groups=int((torn == places[0]).sum()),
                    frames=int(frame.sum()),
                    hours=float(second.sum()) / 3600,
                    bytes=int(size.sum()),
                    fields={f: n for f in FIELDS if (n := int(has[f][number].sum()))},
                )
            )
        return sorted(parts, key=lambda part: (part.source, part.split))

    def together(self) -> dict[str, dict[str, int]]:
        """Samples that carry both fields of a pair."""
        columns = {name: self._dataset.column(f"has_{name}") for name in FIELDS}
        has = {name: column for name, column in columns.items() if column.any()}
        return {a: {b: int((has[a] & has[b]).sum()) for b in has} for a in has}

    def classes(self) -> list[ClassCounts]:
        """Class counts of what the index holds the class of."""
        found = []
        columns = {layer.name: self._dataset.column(layer.name) for layer in INDEXED}
        carried = {layer.name: self._dataset.column(f"has_{layer.name}") for layer in INDEXED}
        for source in self._dataset.sources:
            if source not in self._names:
                continue
            mine = self._sources == self._names.index(source)
            for layer in INDEXED:
                ids = columns[layer.name][mine & carried[layer.name]]
                values, counts = np.unique(ids[ids >= 0], return_counts=True)
                if len(values):
                    space = self._dataset.spaces_of(source).get(layer.name)
                    by_id = dict(zip(values.tolist(), counts.tolist(), strict=True))
                    found.append(_named(source, layer.name, space, layer.unit, by_id))
        return found


def coded(texts: Shaped[np.ndarray, "n"]) -> tuple[Integer[np.ndarray, "n"], list[str]]:
    """Texts as numbers: that of each, and the different texts in the order of their first occurrence.

    >>> coded(np.array(["b", "a", "b"], object))
    (array([0, 1, 0], dtype=int32), ['b', 'a'])
    """
    numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    codes = np.fromiter(map(numbers.__getitem__, texts), np.int32, len(texts))
    return codes, list(numbers)


def _runs(
    codes: Integer[np.ndarray, "n"],
) -> tuple[Integer[np.ndarray, "n"], Integer[np.ndarray, "k"]]:
    """Rows by code, those of a code in their order, and where each code's rows end."""
    return np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))


def histogram(values: Num[np.ndarray, "n"], bins: int = BINS) -> Histogram:
    """Counts in at most `bins` bins of equal, round width; whole numbers in a small range get a bin each.

    >>> histogram(np.array([1, 1, 3]))
    Histogram(edges=[1.0, 2.0, 3.0, 4.0], counts=[2, 0, 1])
    """
    if len(values) == 0:
        return Histogram([], [])
    low, high = float(values.min()), float(values.max())
    step = _round_step((high - low) / bins, values.dtype.kind in "iub")
    first = math.floor(low / step) * step
    edges = first + step * np.arange(math.floor((high - first) / step) + 2)
    counts, _ = np.histogram(values, edges)
    return Histogram([round(float(e), 10) for e in edges], counts.tolist())


def _round_step(step: float, whole: bool) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if whole and step <= 1:
        return 1.0
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def spread_rows(sources: Shaped[np.ndarray, "n"], number: int) -> Integer[np.ndarray, "k"]:
    """`number` rows with as equal a share for each source as there are samples, evenly spaced; -1 = all rows."""
    if number < 0:
        return np.arange(len(sources))
    codes, names = coded(sources)
    order, ends = _runs(codes)
    rows = dict(sorted(zip(names, np.split(order, ends[:-1]), strict=False)))
    picks, left = {}, number
    for i, name in enumerate(sorted(rows, key=lambda name: len(rows[name]))):
        share = min(len(rows[name]), left // (len(rows) - i))
        picks[name] = rows[name][np.linspace(0, len(rows[name]) - 1, share).round().astype(int)]
        left -= share
    return np.concatenate([np.empty(0, int), *(picks[name] for name in rows)])


def _most_frequent(values: Shaped[np.ndarray, "n"], name: Callable[[Any], str]) -> dict[str, int]:
    """How often each value occurs, by its name, the most frequent first, of several those that occur first."""
    found, first, counts = np.unique(values, return_index=True, return_counts=True)
    named: Counter[str] = Counter()
    for i in np.argsort(first).tolist():
        named[name(found[i].item())] += int(counts[i])
    return dict(named.most_common())


def _named(
    source: str,
    field: str,
    space: LabelSpace | None,
    unit: str,
    counts: Mapping[int, int],
    unlabelled: int = 0,
) -> ClassCounts:
    named: Counter[str] = Counter()
    for number, count in sorted(counts.items()):
        named[class_name(number, space) or f"class {number}"] += count
    ordered = dict(sorted(named.items(), key=lambda pair: (-pair[1], pair[0])))
    size = 0 if space is None else len(space.classes)
    return ClassCounts(
        source, field, "" if space is None else space.name, unit, ordered, unlabelled, size
    )


def _scan(
    dataset: ShardDataset,
    rows: Integer[np.ndarray, "k"],
    stats: Stats,
    progress: Callable[[int, int], None],
) -> None:
    """Reads the scanned layers of each sample: of maps one, of the others all."""
    scan = _Scan()
    sources = dataset.column("source")[rows].tolist()
    for done, (row, source) in enumerate(zip(rows.tolist(), sources, strict=True)):
        try:
            scan.add(dataset, row, source)
        except FormatError:
            stats.unreadable += 1
        progress(done + 1, len(rows))
    stats.scanned = len(rows)
    stats.depth, stats.depth_invalid = scan.depth()
    for (source, name), counts in sorted(scan.classes.items()):
        space = dataset.spaces_of(source).get(name)
        unlabelled = scan.unlabelled[source, name]
        stats.classes.append(_named(source, name, space, _UNITS[name], counts, unlabelled))


class _Scan:
    def __init__(self) -> None:
        self.classes: dict[tuple[str, str], Counter[int]] = {}
        self.unlabelled: Counter[tuple[str, str]] = Counter()
        self._depths = np.zeros(_DEPTH_STEPS, np.int64)
        self._pixels = 0

    def add(self, dataset: ShardDataset, row: int, source: str) -> None:
        record = dataset.record(row)
        for layer in SCANNED:
            if layer.name not in record.fields:
                continue
            frames = layer.frames(record) if layer.is_map else []
            middle = [frames[len(frames) // 2]] if frames else None
            sample = dataset.read(row, [layer.name], middle)
            if layer.classes is not None and (found := layer.classes(sample)) is not None:
                self._add_classes(source, layer.name, *found)
            if sample.depth is not None:
                self._add_depth(sample.depth)

    def _add_depth(self, depth: Float[np.ndarray, "n h w"]) -> None:
        valid = depth[(depth > 0) & np.isfinite(depth)]
        steps = np.minimum(valid / _DEPTH_STEP, _DEPTH_STEPS - 1).astype(int)
        self._depths += np.bincount(steps, minlength=_DEPTH_STEPS)
        self._pixels += depth.size

    def _add_classes(
        self, source: str, name: str, ids: Integer[np.ndarray, "..."], nothing: int
    ) -> None:
        values, counts = np.unique(ids, return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        self.unlabelled[source, name] += found.pop(nothing, 0)
        self.classes.setdefault((source, name), Counter()).update(found)

    def depth(self) -> tuple[Histogram, float]:
        """Depths up to the 99.5th percentile in round bins, the last of which takes the rest."""
        total = int(self._depths.sum())
        if total == 0:
            return Histogram([], []), 1.0 if self._pixels else 0.0
        last = int(np.searchsorted(np.cumsum(self._depths), 0.995 * total)) + 1
        width = max(1, round(_round_step(last * _DEPTH_STEP / BINS, False) / _DEPTH_STEP))
        bins = -(-last // width)
        starts = np.arange(bins) * width
        counts = np.add.reduceat(self._depths, starts).tolist()
        edges = [round(i * width * _DEPTH_STEP, 10) for i in range(bins + 1)]
        return Histogram(edges, counts), 1 - total / self._pixels
