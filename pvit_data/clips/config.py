"""`ClipConfig`: everything that decides how a sample becomes a training clip, as one frozen, printable value."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pvit_data.clips.frames import Sampler, WindowStart, published
from pvit_data.sample.limits import MAX_FRAMES, MAX_IDS, MAX_PIXELS

MOST_TASKS = 64  # of a source, or of a network
MOST_OPS = 16  # of RandAugment on one clip
RANGES = ("jitter", "area", "aspect")


class SourceClip(BaseModel):
    """What one source does differently in training (and `rate` in evaluation too); see `ClipConfig` for each."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: int | None = Field(default=None, ge=1, le=MAX_FRAMES)
    jitter: tuple[float, float] | None = None
    area: tuple[float, float] | None = None
    aspect: tuple[float, float] | None = None
    colour: float | None = Field(default=None, ge=0, le=1)
    rand_ops: int | None = Field(default=None, ge=0, le=MOST_OPS)
    rand_magnitude: float | None = Field(default=None, ge=0, le=10)
    rand_geometry: bool | None = None
    erase: float | None = Field(default=None, ge=0, le=1)


class ClipConfig(BaseModel):
    """How samples become clips and targets. The defaults are the paper's (16 frames, crop 224, short side 256-320).

    Args:
        num_frames: T, frames of a clip.
        size: (H, W) of a clip in pixels.
        map_size: (h, w) of dense targets; default a quarter of `size`, the resolution of MViT's patch tokens.
        stride: temporal stride of the targets; target t belongs to clip frame `stride * t`.
        mean: taken from rgb in [0, 1], per channel (MViT: 0.45).
        std: what that is then divided by, per channel (MViT: 0.225).
        downstream: the source whose action labels are trained; "" takes the mixture's downstream sources.
        tasks: tasks by source; a source not named has the tasks of its `SourceSpec`. In a recipe, `depth?` is meant
            where the source carries it.
        samplers: which frames of a video are a clip, by source: `segment` one of each T-th part of the video, `whole`
            evenly spread from its first to its last, `fit` every `rate`-th from a random place (closer where the video
            is short), `dense` the same as if it had 30 frames per second, `keyframe` every `rate`-th around a key
            frame, `ego4d-grid` multiples of a step in the full video. A source not named has the one that its manifest
            declares, else the published one of its name, else `default_sampler`.
        default_sampler: that of sources for which nothing else says one.
        rate: frame step of fit, dense and keyframe.
        window_start: where training windows of Ego4D may begin: `intended`, anywhere in their row, or `published`, as
            the published code draws them by a slip: between 1 s and what the window leaves over of 8 s.
        jitter: short side in training, as a multiple of the crop, drawn uniformly in 1/size ([256, 320] at 224).
        area: share of the picture that random resized crops show in training; null: crops as `jitter` says.
        aspect: width over height of random resized crops.
        flip: probability of a horizontal flip, for all sources or by source (a source not named: 0). Samples
            whose targets are world normals are never flipped.
        colour: strength of the colour jitter in training, 0 (off) to 1.
        rand_ops: number of RandAugment's operations on a training clip, all its frames alike; 0: off.
        rand_magnitude: strength of RandAugment's operations, 0 to 10.
        rand_geometry: draw also operations that rotate, shear and shift. Refused for sources that train annotations
            with a place in the picture: `jitter`, `area`, `aspect` and `flip` move these too.
        erase: probability that a rectangle of a training clip, the same in all its frames, is filled with noise.
        per_source: rate, jitter, area, aspect, colour, rand_* and erase by source, where they differ from the ones
            given here.
        eval_scale: short side in evaluation, as a multiple of the crop (Kinetics: 256/224).
        antialias: filter before shrinking; the published evaluations of SSv2 and Kinetics use plain bilinear.
        num_boxes: O, slots per frame: left hand, right hand, then active objects.
        person_score: least score of a person that a detector found; persons without a score always count.
        label_classes: number of classes by label task whose targets have a number for each; a plan fills it in.
        normal_axes: axes of normal targets; a source without a world frame gives camera axes.
        shuffle_labels: control experiment: each row is given the annotations of another row of its source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_frames: int = Field(default=16, ge=1, le=MAX_FRAMES)
    size: tuple[int, int] = (224, 224)
    map_size: tuple[int, int] | None = None
    stride: int = Field(default=2, ge=1, le=MAX_FRAMES)
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    downstream: str = ""
    tasks: dict[str, tuple[str, ...]] = {}
    samplers: dict[str, Sampler] = {}
    default_sampler: Sampler = "fit"
    rate: int = Field(default=4, ge=1, le=MAX_FRAMES)
    window_start: WindowStart = "intended"
    jitter: tuple[float, float] = (256 / 224, 320 / 224)
    area: tuple[float, float] | None = None
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float | dict[str, float] = 0.0
    colour: float = Field(default=0.0, ge=0, le=1)
    rand_ops: int = Field(default=0, ge=0, le=MOST_OPS)
    rand_magnitude: float = Field(default=7.0, ge=0, le=10)
    rand_geometry: bool = False
    erase: float = Field(default=0.0, ge=0, le=1)
    per_source: dict[str, SourceClip] = {}
    eval_scale: float = Field(default=1.0, ge=1, le=16)
    antialias: bool = True
    num_boxes: int = Field(default=4, ge=2, le=1024)
    person_score: float = Field(default=0.8, ge=0, le=1)
    label_classes: dict[str, int] = {}
    normal_axes: Literal["world", "camera"] = "world"
    shuffle_labels: bool = False

    @model_validator(mode="after")
    def _check(self) -> ClipConfig:
        for source, tasks in self.tasks.items():
            if len(tasks) > MOST_TASKS:
                raise ValueError(f"{len(tasks):,} tasks of source '{source}', at most {MOST_TASKS}")
        for label, number in self.label_classes.items():
            if not 1 <= number <= MAX_IDS:
                raise ValueError(f"label_classes of '{label}' is {number}, expected 1 to {MAX_IDS}")
        for own in (self, *self.per_source.values()):
            for name in RANGES:
                low, high = getattr(own, name) or (1, 1)
                if not 0 < low <= high:
                    raise ValueError(
                        f"{name} ({low}, {high}) is not an ascending range of positive numbers"
                    )
        if self.num_frames * max(math.prod(self.size), math.prod(self.maps)) > MAX_PIXELS:
            raise ValueError(
                f"{self.num_frames} frames of {self.size} pixels: a clip has at most {MAX_PIXELS:,} pixels in all"
            )
        if min(*self.size, *self.maps) < 1:
            raise ValueError(
                f"size {self.size} and map_size {self.maps} must be at least one pixel"
            )
        return self

    def of_source(self, source: str) -> ClipConfig:
        """The configuration of a source's clips."""
        own = self.per_source.get(source)
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))

    @property
    def maps(self) -> tuple[int, int]:
        """(h, w) of dense targets."""
        return self.map_size or (max(self.size[0] // 4, 1), max(self.size[1] // 4, 1))

    @property
    def num_targets(self) -> int:
        """T', target frames of a clip."""
        return -(-self.num_frames // self.stride)

    def sampler(self, source: str, declared: str = "") -> Sampler:
        """The clip sampler of a source, whose manifest declares `declared`."""
        return self.samplers.get(source) or published(source, declared, self.default_sampler)

    def flip_of(self, source: str) -> float:
        """The flip probability of a source."""
        return self.flip if isinstance(self.flip, float | int) else self.flip.get(source, 0.0)
