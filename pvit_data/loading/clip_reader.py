"""One row of a dataset to one training or evaluation clip: choose frames, read only these, transform, build targets.

What is drawn at random is a pure function of (seed, epoch, key), so it is the same in whichever process it happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from pvit_data.clips import colour, geometry, transforms
from pvit_data.clips import frames as clips
from pvit_data.clips.config import ClipConfig
from pvit_data.errors import FormatError
from pvit_data.mixing.order import epoch_order, seeded
from pvit_data.mixing.sources import SampleSet
from pvit_data.sample.sample import Sample
from pvit_data.tasks.table import Task, known, target_name
from pvit_data.tasks.target import Target


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


class ClipReader:
    """Reads clips of one dataset.

    Args:
        ds: the samples.
        config: what a clip is.
        tasks: tasks of each source of `ds`, by source name; `"action"` among them where it is trained.
        seed: of everything drawn.
    """

    def __init__(
        self, ds: SampleSet, config: ClipConfig, tasks: Mapping[str, Sequence[str]], seed: int = 0
    ) -> None:
        self.ds, self.config, self.seed = ds, config, seed
        # Names, not tasks: a worker that is not forked gets this object pickled, and tasks hold functions.
        self._names = {
            source: tuple(task.name for task in known(names)) for source, names in tasks.items()
        }
        self._configs = {source: config.of_source(source) for source in tasks}
        self._key, self._source = ds.column("key"), ds.column("source")
        self._frames, self._fps = ds.column("frames"), ds.column("fps")
        self._height, self._width = ds.column("height"), ds.column("width")
        self._donor_of: dict[tuple[str, str], Int64[np.ndarray, "n"]] = {}
        self._has_normal = ds.column("has_normal")

    def key(self, row: int) -> str:
        """The sample key of a row."""
        return str(self._key[row])

    def source(self, row: int) -> str:
        """The source name of a row."""
        return str(self._source[row])

    def tasks(self, source: str) -> tuple[Task, ...]:
        """The tasks of a source."""
        return known(self._names[source])

    def empty(self) -> dict[str, Target]:
        """The packed targets of no rows: every target name that a batch of this dataset can hold."""
        out: dict[str, Target] = {}
        for source in self._names:
            spaces = self.ds.spaces_of(source)
            for task in self.tasks(source):
                if task.name != "segm" or "segm" in spaces:
                    out[target_name(task.name, spaces)] = task.empty(self.config)
        return out

    def train(self, row: int, epoch: int) -> Clip:
        """The clip of a row in one epoch: random frames, crop, flip and colours.

        Raises:
            FormatError: if the sample cannot be read.
        """
        rng = seeded(self.seed, "clip", epoch, self.key(row))
        frames, config = self._choose(row, rng), self._configs[self.source(row)]
        size = int(self._height[row]), int(self._width[row])
        view = geometry.draw(size, config, self._flip(row), rng)
        clip = self._read(row, frames, view, self._label_row(row))
        return Clip(
            clip.key,
            clip.source,
            colour.jitter(clip.rgb, config.colour, rng),
            clip.order,
            clip.targets,
        )

    def view(self, row: int, index: int = 0, views: tuple[int, int] = (1, 1)) -> Clip:
        """Evaluation view `index` of `temporal x spatial` ones of a row: `index = temporal * views[1] + spatial`.

        Raises:
            FormatError: if the sample cannot be read.
        """
        temporal, spatial = divmod(index, views[1])
        frames = self._choose(row, None, (temporal, views[0]))
        size = int(self._height[row]), int(self._width[row])
        return self._read(row, frames, geometry.view(size, self.config, spatial, views[1]), {})

    def _choose(
        self, row: int, rng: np.random.Generator | None, view: tuple[int, int] = (0, 1)
    ) -> np.ndarray:
        config = self._configs[self.source(row)]
        sampler = config.sampler(self.source(row))
        centre = self.ds.read(row, ()).meta.get("key_frame") if sampler == "keyframe" else None
        length, fps = int(self._frames[row]), float(self._fps[row])
        return clips.choose(
            sampler,
            length,
            config.num_frames,
            rng,
            rate=config.rate,
            fps=fps,
            view=view,
            centre=centre,
        )

    def _flip(self, row: int) -> float:
        source = self.source(row)
        world = self.config.normal_axes == "world" and "normal" in self._names[source]
        return 0.0 if world and self._has_normal[row] else self.config.flip_of(source)

    def _read(
        self, row: int, frames: np.ndarray, view: geometry.Geometry, label_row: Mapping[str, int]
    ) -> Clip:
        distinct, order = np.unique(frames, return_inverse=True)
        supervised, tasks = frames[:: self.config.stride], self.tasks(self.source(row))
        # One read serves all tasks where the targets' frames are the clip's, as in stills.
        at_once = not label_row and np.array_equal(np.unique(supervised), distinct)
        first = [task for task in tasks if at_once or task.kind == "class"]
        fields = {"rgb", *(name for task in first for name in task.reads)}
        grid = (
            view.nearest((int(self._height[row]), int(self._width[row])), self.config.maps)
            if at_once
            else None
        )
        pixels = self.ds.read(row, fields, distinct, grid, view.cut())
        if pixels.rgb is None or pixels.frames_of("rgb").tolist() != distinct.tolist():
            raise FormatError(
                f"sample '{self.key(row)}': rgb lacks frames the index promises; run pvit-data validate"
            )
        shown = transforms.apply(
            pixels, view, self.config.maps, self.config.antialias, gathered=True
        )
        targets = _build(shown, first, supervised, self.config)
        targets |= self._targets(
            row, [task for task in tasks if task not in first], supervised, view, label_row
        )
        assert isinstance(shown.rgb, np.ndarray)
        return Clip(pixels.key, self.source(row), shown.rgb, order.ravel(), targets)

    def _targets(
        self,
        row: int,
        tasks: Sequence[Task],
        frames: np.ndarray,
        view: geometry.Geometry,
        label_row: Mapping[str, int],
    ) -> dict[str, Target]:
        if not tasks:
            return {}
        if not label_row:
            return _build(self._annotations(row, tasks, frames, view), tasks, frames, self.config)
        out: dict[str, Target] = {}
        for task in tasks:
            other = label_row[task.name]
            theirs = frames if other == row else self._choose(other, None)[:: self.config.stride]
            size = int(self._height[other]), int(self._width[other])
            their_view = view if other == row else geometry.view(size, self.config)
            sample = self._annotations(other, (task,), theirs, their_view)
            out |= _build(sample, (task,), theirs, self.config)
        return out

    def _annotations(
        self, row: int, tasks: Sequence[Task], frames: np.ndarray, view: geometry.Geometry
    ) -> Sample:
        fields = {name for task in tasks for name in task.reads}
        size, maps = (int(self._height[row]), int(self._width[row])), self.config.maps
        sample = self.ds.read(row, fields, np.unique(frames), view.nearest(size, maps))
        return transforms.apply(sample, view, maps, gathered=True)

    def _label_row(self, row: int) -> dict[str, int]:
        """For the control with shuffled annotations: the row whose annotation each task shows instead."""
        if not self.config.shuffle_labels:
            return {}
        source = self.source(row)
        return {
            t.name: int(self._donors(source, t.name)[row])
            for t in self.tasks(source)
            if t.kind != "class"
        }

    def _donors(self, source: str, task: str) -> Int64[np.ndarray, "n"]:
        """Row -> the row whose annotation it shows: a fixed permutation of the source's rows."""
        if (source, task) not in self._donor_of:
            donors = np.arange(len(self.ds))
            rows = np.flatnonzero(self._source == source)
            donors[rows] = rows[epoch_order(self.seed, f"labels {source} {task}", 0, len(rows))]
            self._donor_of[source, task] = donors
        return self._donor_of[source, task]


def _build(
    sample: Sample, tasks: Sequence[Task], frames: np.ndarray, config: ClipConfig
) -> dict[str, Target]:
    built = {task.name: task.build(sample, frames, config) for task in tasks}
    return {
        target_name(name, sample.spaces): target
        for name, target in built.items()
        if target is not None
    }
