"""One row of a dataset to one training or evaluation clip: choose frames, read only these, transform, build targets.

What is drawn at random is a pure function of (seed, epoch, key), so it is the same in whichever process it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from jaxtyping import Int64, UInt8

from pvit_data.clips import augmentation, colour_jitter, transforms
from pvit_data.clips.about import About
from pvit_data.clips.config import ClipConfig
from pvit_data.clips.crops import uncropped
from pvit_data.clips.geometry import Geometry
from pvit_data.clips.view import View, Viewer
from pvit_data.codecs.video import VideoInfo
from pvit_data.errors import FormatError
from pvit_data.mixing.order import EpochOrder, seeded
from pvit_data.mixing.sources import SampleSet, clips_within, of_source, sampler_of, values_of
from pvit_data.sample.rows import Rows, marked, place_of
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import TargetSpec, target_specs
from pvit_data.tasks.target import Target
from pvit_data.words import brief, short

AT_ONCE = 1 << 26
"""Pixels of one video that are held decoded for its views; a single clip may have more."""


@dataclass(frozen=True)
class Clip:
    """One row of a batch.

    Args:
        key, source: of its sample.
        rgb: the distinct frames, resized; the clip shows `rgb[order]`.
        order: which of them each clip frame is.
        targets: by target name.
    """

    key: str
    source: str
    rgb: UInt8[np.ndarray, "n h w 3"]
    order: Int64[np.ndarray, "t"]
    targets: dict[str, Target]

    __repr__ = brief


class ClipReader:
    """Reads clips of one dataset.

    Args:
        ds: the samples.
        config: what a clip is.
        tasks: tasks of each source of `ds`, by source name; labels of the downstream among them where they are trained.
        seed: of everything drawn.
        read: reads a sample. Default: `ds.read`.
        whole: see `Viewer`.
    """

    def __init__(
        self,
        ds: SampleSet,
        config: ClipConfig,
        tasks: Mapping[str, Sequence[str]],
        seed: int = 0,
        read: Callable[..., Sample] | None = None,
        whole: int = 0,
    ) -> None:
        self.ds, self.config, self.seed = ds, config, seed
        self._read = read or ds.read
        # Names, not specs: a worker that is not forked gets this object pickled, and specs hold functions.
        self._names = {source: tuple(tasks[source]) for source in ds.sources if source in tasks}
        self._viewers = {
            source: Viewer(config.of_source(source), sampler_of(ds, source, config), whole)
            for source in self._names
        }
        self._never_flipped = {
            source: [
                f"has_{task.field}" for task in self.tasks(source) if task.never_flipped(config)
            ]
            for source in self._names
        }
        self._within = {source: clips_within(ds, source) for source in self._names}
        self._value = values_of(ds)
        self._donors_of: dict[tuple[str, str], tuple[Rows, EpochOrder]] = {}

    def key(self, row: int) -> str:
        """The sample key of a row."""
        return str(self._value("key", row))

    def source(self, row: int) -> str:
        """The source name of a row."""
        return str(self._value("source", row))

    def tasks(self, source: str) -> tuple[TargetSpec, ...]:
        """The tasks of a source."""
        return target_specs(self._names[source])

    def empty(self) -> dict[str, Target]:
        """The packed targets of no rows: every target name that a batch of this dataset can hold."""
        out: dict[str, Target] = {}
        for source in self._names:
            spaces = self.ds.spaces_of(source)
            for task in self.tasks(source):
                if name := task.target_name(spaces):
                    out[name] = task.empty(self.config)
        return out

    def needs(self, row: int, shuffled: bool = False) -> list[tuple[int, frozenset[str]]]:
        """The rows that a clip is read from, its own and donors of shuffled annotations, and which fields of each."""
        source = self.source(row)
        labels, others = _split(self.tasks(source))
        if not shuffled:
            return [(row, frozenset({"rgb", *_reads(labels), *_reads(others)}))]
        donors = ((self._donor(source, task, row), frozenset(_reads([task]))) for task in others)
        shown = ((donor, fields) for donor, fields in donors if donor is not None)
        return [(row, frozenset({"rgb", *_reads(labels)})), *shown]

    def train(self, row: int, epoch: int, copy: int = 0) -> Clip:
        """The clip of a row in one epoch: random frames, crop, flip, colours and further augmentation.

        Args:
            copy: which of several clips of the row in this epoch.

        Raises:
            FormatError: if the sample cannot be read.
        """
        rng = seeded(self.seed, "clip", epoch, self.key(row), *([copy] if copy else []))
        viewer, video = self._viewers[self.source(row)], self._video(row)
        view = viewer.training(video, self._flip(row), rng, self._about(row, video))
        clip = self._shuffled(row, view) if self.config.shuffle_labels else self._clip(row, view)
        rgb = colour_jitter.jitter(clip.rgb, viewer.config.colour, rng)
        return replace(clip, rgb=augmentation.augment(rgb, viewer.config, rng))

    def view(self, row: int, index: int = 0, views: tuple[int, int] = (1, 1)) -> Clip:
        """Evaluation view `index` of `temporal x spatial` ones of a row: `index = temporal * views[1] + spatial`.

        Raises:
            FormatError: if the sample cannot be read.
        """
        return self._clip(row, self._evaluation(row, index, views))

    def views(self, row: int, indices: Sequence[int], views: tuple[int, int]) -> list[Clip]:
        """Several evaluation views of a row, as `view` gives each; a frame that several of them show is decoded once.

        Raises:
            FormatError: if the sample cannot be read.
        """
        viewer, video = self._viewers[self.source(row)], self._video(row)
        about = self._about(row, video)
        asked = [viewer.evaluation(video, index, views, about) for index in indices]
        if len(asked) == 1:
            return [self._clip(row, asked[0])]
        return [clip for some in _together(asked) for clip in self._clips(row, some)]

    def shape(self, row: int) -> tuple[int, int]:
        """(H, W) of a row's evaluation clip.

        Raises:
            FormatError: if it would be too large.
        """
        viewer = self._viewers[self.source(row)]
        size = self._size(row)
        return (
            uncropped(size, viewer.config, viewer.whole).size
            if viewer.whole
            else viewer.config.size
        )

    def frames(self, row: int) -> Int64[np.ndarray, "t"]:
        """The frames of a row's evaluation clip; what its sample says is read only where clips go by it.

        Raises:
            FormatError: if that cannot be read, or is no such thing.
        """
        return self._evaluation(row).frames

    def _evaluation(self, row: int, index: int = 0, views: tuple[int, int] = (1, 1)) -> View:
        viewer, video = self._viewers[self.source(row)], self._video(row)
        return viewer.evaluation(video, index, views, self._about(row, video))

    def _video(self, row: int) -> VideoInfo:
        size = self._size(row)
        return VideoInfo(int(self._value("frames", row)), float(self._value("fps", row)), *size)

    def _size(self, row: int) -> tuple[int, int]:
        return int(self._value("height", row)), int(self._value("width", row))

    def _about(self, row: int, video: VideoInfo) -> About | None:
        """What a row says of its place, where clips go by it."""
        source = self.source(row)
        within = self._within[source]
        goes_by_it = self._viewers[source].sampler in {"keyframe", "ego4d-grid"}
        if not within and not goes_by_it:
            return None
        meta = self._read(row, ()).meta
        about = About.of(meta) if goes_by_it else About()
        if not within:
            return about
        return replace(about, within=self._part(row, meta.get(within), video.num_frames))

    def _part(self, row: int, told: object, num_frames: int) -> range:
        """The frames that clips of a row are taken from, where its source declares that not all are."""
        if isinstance(told, list) and [type(n) for n in told] == [int, int]:
            first, end = told
            if 0 <= first < end <= num_frames:
                return range(first, end)
        name = self._within[self.source(row)]
        raise FormatError(
            f"sample '{self.key(row)}': {name} in its metadata is {short(told)}, expected [first, end) within its "
            f"{num_frames} frames"
        )

    def _flip(self, row: int) -> float:
        source = self.source(row)
        if any(self._value(column, row) for column in self._never_flipped[source]):
            return 0.0
        return self.config.flip_of(source)

    def _supervised(self, view: View) -> Int64[np.ndarray, "s"]:
        """The frames that targets belong to."""
        return view.frames[:: self.config.stride]

    def _clip(self, row: int, view: View) -> Clip:
        if np.array_equal(np.unique(self._supervised(view)), view.distinct):
            return self._read_at_once(row, view)
        return self._read_apart(row, view)

    def _read_at_once(self, row: int, view: View) -> Clip:
        """A still, or a clip of which every frame is supervised: one read serves pixels and annotations."""
        tasks = self.tasks(self.source(row))
        fields = {"rgb", *_reads(tasks)}
        shown = self._pixels(row, fields, view, self._grid(row, view))
        return self._made(row, view, shown, self._build(shown, tasks, view))

    def _read_apart(self, row: int, view: View) -> Clip:
        """A clip of which only some frames are supervised: the annotations are read for these alone."""
        labels, others = _split(self.tasks(self.source(row)))
        shown = self._pixels(row, {"rgb", *_reads(labels)}, view)
        targets = self._build(shown, labels, view)
        if others:
            targets |= self._annotations(row, others, view)
        return self._made(row, view, shown, targets)

    def _clips(self, row: int, views: Sequence[View]) -> list[Clip]:
        """The clips of views of one row, whose frames are read, decoded and resized once."""
        labels, others = _split(self.tasks(self.source(row)))
        frames = np.unique(np.concatenate([view.distinct for view in views]))
        read = self._frames_of(row, {"rgb", *_reads(labels)}, frames, None, views[0].geometry)
        rgb = self._resized(read, views[0].geometry)
        clips = []
        for view in views:
            own = rgb[np.searchsorted(frames, view.distinct)]
            numbers = {**read.frames, "rgb": view.distinct}
            shown = self._shown(replace(read, rgb=own, frames=numbers), view)
            targets = self._build(shown, labels, view)
            if others:
                targets |= self._annotations(row, others, view)
            clips.append(self._made(row, view, shown, targets))
        return clips

    def _shuffled(self, row: int, view: View) -> Clip:
        """The control with shuffled annotations: each task shows that of another row of the source."""
        source = self.source(row)
        labels, others = _split(self.tasks(source))
        shown = self._pixels(row, {"rgb", *_reads(labels)}, view)
        targets = self._build(shown, labels, view)
        for task in others:
            donor = self._donor(source, task, row)
            if donor is None:
                continue
            theirs = view if donor == row else self._evaluation(donor)
            targets |= self._annotations(donor, (task,), theirs)
        return self._made(row, view, shown, targets)

    def _pixels(
        self,
        row: int,
        fields: Collection[str],
        view: View,
        grid: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Sample:
        """The clip's distinct frames as they are seen, with these fields of theirs."""
        return self._shown(self._frames_of(row, fields, view.distinct, grid, view.geometry), view)

    def _frames_of(
        self,
        row: int,
        fields: Collection[str],
        frames: Int64[np.ndarray, "n"],
        grid: tuple[np.ndarray, np.ndarray] | None,
        geometry: Geometry,
    ) -> Sample:
        """These frames of a row, of rgb the window of a draw."""
        read = self._read(row, fields, frames, grid, geometry.cut())
        if read.rgb is None or read.frames_of("rgb").tolist() != frames.tolist():
            raise FormatError(
                f"sample '{self.key(row)}': rgb lacks frames the index promises; run pvit-data validate"
            )
        return read

    def _resized(self, read: Sample, geometry: Geometry) -> UInt8[np.ndarray, "n r c 3"]:
        assert isinstance(read.rgb, np.ndarray)
        return transforms.resized(read.rgb, geometry, self.config.antialias)

    def _shown(self, read: Sample, view: View) -> Sample:
        return transforms.apply(
            read,
            view.geometry,
            self.config.maps,
            self.config.antialias,
            gathered=True,
            keep_persons=not view.is_training,
        )

    def _annotations(self, row: int, tasks: Sequence[TargetSpec], view: View) -> dict[str, Target]:
        """Targets from annotations alone, without pixels."""
        frames = self._supervised(view)
        read = self._read(row, _reads(tasks), np.unique(frames), self._grid(row, view))
        shown = transforms.apply(read, view.geometry, self.config.maps, gathered=True)
        return self._build(shown, tasks, view)

    def _grid(self, row: int, view: View) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of stored maps that targets are made of."""
        return view.geometry.nearest(self._size(row), self.config.maps)

    def _build(self, sample: Sample, tasks: Sequence[TargetSpec], view: View) -> dict[str, Target]:
        """Labels belong to all frames of a clip, annotations to the supervised ones."""
        found = {}
        for task in tasks:
            frames = view.frames if task.downstream_only else self._supervised(view)
            target = task.build(sample, frames, self.config)
            name = task.target_name(sample.spaces)
            if target is not None and name is not None:
                found[name] = target
        return found

    def _made(self, row: int, view: View, shown: Sample, targets: dict[str, Target]) -> Clip:
        assert isinstance(shown.rgb, np.ndarray)
        return Clip(shown.key, self.source(row), shown.rgb, view.order, targets)

    def _donor(self, source: str, task: TargetSpec, row: int) -> int | None:
        """The row whose annotation a row shows: a fixed permutation of the source's rows that carry the field.

        A row that lacks it shows none, so that as much is supervised as without shuffling.
        """
        has = f"has_{task.field}"
        if not self._value(has, row):
            return None
        place = source, task.name
        if place not in self._donors_of:
            mine = of_source(self.ds, source) & self.ds.column(has).astype(bool)
            donors = marked(mine)
            order = EpochOrder(self.seed, f"labels {source} {task.name}", 0, len(donors))
            self._donors_of[place] = donors, order
        rows, order = self._donors_of[place]
        return int(rows[order[place_of(rows, row)]])


def _together(views: Sequence[View]) -> Iterator[list[View]]:
    """Views of one video by what is read at once: all, or where those are too many pixels, those of the same frames."""
    height, width = views[0].geometry.window
    if len(np.unique(np.concatenate([view.frames for view in views]))) * height * width <= AT_ONCE:
        yield list(views)
        return
    for _, same in groupby(views, lambda view: view.frames.tobytes()):
        yield list(same)


def _reads(tasks: Sequence[TargetSpec]) -> set[str]:
    return {field for task in tasks for field in task.reads}


def _split(tasks: Sequence[TargetSpec]) -> tuple[list[TargetSpec], list[TargetSpec]]:
    """Labels of the whole clip, which come with its record, and annotations of its frames."""
    labels = [task for task in tasks if task.downstream_only]
    return labels, [task for task in tasks if not task.downstream_only]
